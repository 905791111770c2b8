// Looks for the key that was meant: elsewhere in the schema, under PgBouncer's name, or misspelt.
#include "config/unknown_name.hpp"

#include "config/document.hpp"
#include "config/schema.hpp"
#include "config/suggestion.hpp"

#include <algorithm>

namespace pgweir::config {

namespace {

const std::vector<key_description>& all_keys() {
    static const auto keys = describe_keys();
    return keys;
}

const key_description* find_key(std::string_view section, std::string_view name) {
    const auto found = std::ranges::find_if(all_keys(), [&](const key_description& d) {
        return d.section == section && d.name == name;
    });
    return found == all_keys().end() ? nullptr : &*found;
}

std::string in_section(std::string_view name, std::string_view section) {
    std::string header = "[" + std::string{section} + "]";
    if (section.ends_with(".node")) {
        header = "[" + header + "]";
    }
    return "did you mean " + toml_string(name) + " in " + header + "?";
}

// `name` where it exists: in this section, below it, or anywhere else.
std::string point_to(std::string_view section, std::string_view shown, std::string_view name) {
    if (find_key(section, name) != nullptr) {
        return "did you mean " + toml_string(name) + "?";
    }
    for (const auto* below : {".pool", ".timeouts", ".node", ".monitor", ".tls"}) {
        if (!section.empty() && find_key(std::string{section} + below, name) != nullptr) {
            return in_section(name, std::string{shown} + below);
        }
    }
    // Most keys of a cluster's parts are called like those of a database or a user, which were
    // meant more likely.
    const bool in_cluster = section.starts_with("cluster.");
    const auto found = std::ranges::find_if(all_keys(), [&](const key_description& d) {
        const bool elsewhere = d.section.starts_with("cluster.NAME.") && !in_cluster;
        return d.name == name && !elsewhere;
    });
    return found == all_keys().end() ? std::string{} : in_section(name, found->section);
}

}  // namespace

std::string hint_for_key(std::string_view section, std::string_view shown, std::string_view name) {
    if (auto hint = point_to(section, shown, name); !hint.empty()) {
        return hint;
    }
    if (const auto key = from_pgbouncer(name); !key.empty()) {
        const auto dot = key.rfind('.');
        const auto parent = key.substr(0, dot);
        const auto last = key.substr(dot + 1);
        const bool here = find_key(section, last) != nullptr || section == "database.NAME";
        return here ? point_to(section, shown, last) : in_section(last, parent);
    }
    std::vector<std::string_view> names;
    for (const auto& key : all_keys()) {
        if (key.section == section) {
            names.emplace_back(key.name);
        }
    }
    const auto near = nearest(name, names);
    return near.empty() ? std::string{} : "did you mean " + toml_string(near) + "?";
}

std::string hint_for_section(std::string_view name) {
    if (name == "databases" || name == "db") {
        return "each database has a section of its own: [database.NAME]";
    }
    if (name == "clusters") {
        return "each cluster has a section of its own: [cluster.NAME]";
    }
    if (name == "users") {
        return "each user has a section of its own: [user.NAME]";
    }
    std::vector<std::string_view> names{"cluster", "database", "peer", "user"};
    for_each_global_section(
        [&](const char* section, auto, const auto&) { names.emplace_back(section); });
    if (const auto near = nearest(name, names); !near.empty()) {
        return "did you mean [" + std::string{near} + "]?";
    }
    std::string all;
    std::ranges::sort(names);
    for (const auto section : names) {
        all += (all.empty() ? "" : ", ") + std::string{section};
    }
    return "sections are " + all;
}

}  // namespace pgweir::config
