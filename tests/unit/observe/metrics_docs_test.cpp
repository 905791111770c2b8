// docs/metrics.md lists the metrics that there are, with their types and labels, and no other.
#include "pgweir/observe/prometheus.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

namespace pgweir::observe {
namespace {

struct description {
    std::string type;
    std::set<std::string> labels;

    friend bool operator==(const description&, const description&) = default;
};
using catalogue = std::map<std::string, description>;

void PrintTo(const description& d, std::ostream* out) {
    *out << d.type;
    for (const auto& l : d.labels) {
        *out << ' ' << l;
    }
}

// A report in which everything is there and known.
metrics::report full_report() {
    metrics::report r;
    r.pools.resize(2);
    r.pools[1].nodes = {{"pg-1", {}}};
    r.traffics.resize(1);
    r.memory.resize(1);
    r.clusters.resize(1);
    r.clusters[0].lease_least_ms = 1;
    r.clusters[0].failovers_by_cause = {{"suspect", 1}};
    r.lookups.resize(1);
    r.lookups[0].place = "main";
    r.lookups[0].database = "postgres";
    r.lookups[0].user = "asker";
    r.certificates.resize(1);
    r.peers.resize(1);
    r.nodes.resize(1);
    auto& n = r.nodes[0];
    n.tli = 1;
    n.lag_bytes = n.lag_ms = n.last_ok_ms = 1;
    n.probe_results = {{"answered", 1}};
    return r;
}

std::set<std::string> labels_of(const std::string& sample) {
    std::set<std::string> out;
    const auto end = sample.find('}');
    for (auto at = sample.find('{'); at < end; at = sample.find(',', at)) {
        const auto sign = sample.find('=', ++at);
        out.insert(sample.substr(at, sign - at));
    }
    out.erase("le");  // every histogram has it
    return out;
}

catalogue exported() {
    catalogue out;
    std::istringstream page{to_prometheus(full_report(), {})};
    std::string name;
    for (std::string line; std::getline(page, line);) {
        if (line.starts_with("# TYPE ")) {
            std::istringstream words{line.substr(7)};
            words >> name;
            words >> out[name].type;
        } else if (!line.starts_with('#')) {
            out[name].labels.merge(labels_of(line));
        }
    }
    return out;
}

catalogue documented() {
    catalogue out;
    std::ifstream file{PGWEIR_SOURCE_DIR "/docs/metrics.md"};
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with("| `p")) {
            continue;
        }
        std::istringstream row{line.substr(1)};
        std::string name, type, labels;
        std::getline(row, name, '|');
        std::getline(row, type, '|');
        std::getline(row, labels, '|');
        auto& d = out[name.substr(2, name.size() - 4)];
        d.type = type.substr(1, type.size() - 2);
        for (auto at = labels.find('`'); at != std::string::npos;) {
            const auto end = labels.find('`', at + 1);
            d.labels.insert(labels.substr(at + 1, end - at - 1));
            at = labels.find('`', end + 1);
        }
    }
    return out;
}

TEST(metrics_docs, list_what_is_exported_and_nothing_else) {
    EXPECT_THAT(documented(), ::testing::ContainerEq(exported()));
}

TEST(metrics_docs, name_the_bounds_of_the_histograms) {
    std::ifstream file{PGWEIR_SOURCE_DIR "/docs/metrics.md"};
    std::stringstream text;
    text << file.rdbuf();
    EXPECT_THAT(text.str(), ::testing::HasSubstr("0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, "
                                                 "60 and 120 seconds"));
    EXPECT_EQ(base::histogram_bounds_ms.size(), 12U);
}

}  // namespace
}  // namespace pgweir::observe
