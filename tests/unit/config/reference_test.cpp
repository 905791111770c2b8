// conf/ and docs/ against the schema: what they say about keys and defaults stays true.
#include "config/loading.hpp"
#include "config/schema.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

namespace pgweir::config::testing {

using ::testing::IsEmpty;

const std::string root = PGWEIR_SOURCE_DIR;

std::string full(const key_description& key) { return key.section + "." + key.name; }

std::vector<std::string> lines_of(const std::string& path) {
    std::ifstream file{path};
    EXPECT_TRUE(file.is_open()) << path;
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) {
        lines.push_back(line);
    }
    return lines;
}

// Key -> first value in the reference file, active or commented out; names become NAME.
std::map<std::string, std::string> reference_values() {
    std::map<std::string, std::string> values;
    std::string section;
    for (std::string line : lines_of(root + "/conf/pgweir.toml")) {
        if (line.empty() || line.starts_with("# ")) {
            continue;
        }
        line.erase(0, line.starts_with('#') ? 1 : 0);
        if (line.starts_with('[') && line.ends_with(']')) {
            const std::size_t brackets = line.starts_with("[[") ? 2 : 1;
            section = line.substr(brackets, line.size() - 2 * brackets);
            using replaced = std::pair<std::string, std::string>;
            for (const auto& [example, placeholder] :
                 {replaced{".shop", ".NAME"}, {".main", ".NAME"}, {".1", ".ID"}}) {
                if (const auto name = section.find(example); name != std::string::npos) {
                    section.replace(name, example.size(), placeholder);
                }
            }
        } else if (const auto sign = line.find(" = "); sign != std::string::npos) {
            values.emplace(section + "." + line.substr(0, sign), line.substr(sign + 3));
        }
    }
    return values;
}

// "section.key" -> the cells of its row in the documentation's table.
std::map<std::string, std::vector<std::string>> documented_rows() {
    std::map<std::string, std::vector<std::string>> rows;
    std::string section;
    for (const auto& line : lines_of(root + "/docs/configuration.md")) {
        if (line.starts_with("##")) {
            section = line.substr(line.find(' ') + 1);
        } else if (line.starts_with("| `")) {
            std::vector<std::string> cells;
            std::istringstream row{line.substr(2)};
            for (std::string cell; std::getline(row, cell, '|');) {
                cell.erase(0, cell.find_first_not_of(' '));
                cell.erase(cell.find_last_not_of(' ') + 1);
                cells.push_back(cell);
            }
            rows.emplace(section + "." + cells[0].substr(1, cells[0].size() - 2), cells);
        }
    }
    return rows;
}

TEST(ReferenceFile, Loads) {
    EXPECT_THAT(problems_of(load_file(root + "/conf/pgweir.toml")), IsEmpty());
}

TEST(ReferenceFile, HoldsEveryKeyWithItsDefault) {
    const auto values = reference_values();
    for (const auto& key : describe_keys()) {
        const auto found = values.find(full(key));
        ASSERT_NE(found, values.end()) << full(key);
        EXPECT_EQ(found->second, key.initial) << full(key);
    }
}

TEST(ReferenceFile, HoldsNothingElse) {
    EXPECT_EQ(reference_values().size(), describe_keys().size());
}

TEST(ReferenceFile, ActivatesNothingButDefaults) {
    const auto result = load_file(root + "/conf/pgweir.toml");
    ASSERT_THAT(problems_of(result), IsEmpty());
    for (const auto& key : std::get<0>(result)->keys) {
        EXPECT_EQ(key.value, key.initial) << key.key;
    }
}

TEST(MinimalFile, Loads) {
    EXPECT_THAT(problems_of(load_file(root + "/conf/minimal.toml")), IsEmpty());
}

TEST(ClusterFile, ServesTheApplicationFromThePrimaryOfThreeNodes) {
    const auto result = load_file(root + "/conf/cluster.toml");
    ASSERT_THAT(problems_of(result), IsEmpty());
    const auto& read = *std::get<0>(result);
    EXPECT_EQ(read.clusters.at("main").nodes.size(), 3U);
    EXPECT_EQ(read.databases.at("shop").cluster, "main");
    EXPECT_EQ(read.databases.at("shop").target, access_target::primary);
}

TEST(Documentation, NamesEveryKeyWithItsDefaultAndWhatAppliesIt) {
    const auto rows = documented_rows();
    for (const auto& key : describe_keys()) {
        const auto found = rows.find(full(key));
        ASSERT_NE(found, rows.end()) << full(key);
        ASSERT_EQ(found->second.size(), 4U) << full(key);
        const bool overrides = key.section.ends_with(".pool") ||
                               key.section.ends_with(".timeouts") || key.section.ends_with(".tls");
        if (!overrides) {
            EXPECT_EQ(found->second[1], "`" + key.initial + "`") << full(key);
        }
        EXPECT_EQ(found->second[2], key.reloadable ? "reload" : "restart") << full(key);
        EXPECT_FALSE(found->second[3].empty()) << full(key);
    }
}

TEST(Schema, EveryDefaultIsAValueThatLoads) {
    std::map<std::string, std::string> sections;
    for (const auto& key : describe_keys()) {
        const bool node = key.section.ends_with(".node");
        const bool peer = key.section.starts_with("peer.");
        const std::string section = peer ? "peer.1" + key.section.substr(7) : key.section;
        // Nobody can be asked to leave out what must be there.
        const bool is_needed = node || key.section == "peer.ID";
        const std::string value = is_needed && key.name == "host" ? "\"pg-1\"" : key.initial;
        sections[node ? "[" + section + "]" : section] += key.name + " = " + value + "\n";
    }
    sections["peers"] = "id = 1\n";  // there is no default where there are peers
    sections["auth"] = "method = \"trust\"\n";
    std::string toml;
    for (const auto& [section, keys] : sections) {
        toml += "[" + section + "]\n" + keys;
    }
    EXPECT_THAT(problems_in(toml), IsEmpty());
}

TEST(EffectiveKeys, AreTheGlobalOnesSortedWithValueAndDefault) {
    const auto s = loaded(enough + "[pool]\nsize = 3\n[timeouts]\nquery = \"90s\"\n");
    EXPECT_TRUE(std::ranges::is_sorted(s->keys, {}, &effective_key::key));
    const auto size = std::ranges::find(s->keys, "pool.size", &effective_key::key);
    ASSERT_NE(size, s->keys.end());
    EXPECT_EQ(size->value, "3");
    EXPECT_EQ(size->initial, "20");
    EXPECT_TRUE(size->reloadable);
    EXPECT_EQ(std::ranges::find(s->keys, "timeouts.query", &effective_key::key)->value, "\"90s\"");
    EXPECT_FALSE(std::ranges::find(s->keys, "listen.port", &effective_key::key)->reloadable);
}

}  // namespace pgweir::config::testing
