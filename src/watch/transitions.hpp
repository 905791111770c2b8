// What has changed between two views of a cluster, in words for people.
#pragma once

#include "pgweir/cluster/view.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace pgweir::watch {

// A view with what its words need. Nodes are known by their names: they may come and go.
struct told_view {
    cluster::cluster_view view;
    std::vector<std::string> names;          // parallel to view.nodes
    std::vector<cluster::contact> contacts;  // how the last probe of each ended
    std::string granted;                     // who has the grant, served or not; empty: nobody
};

struct transition {
    const char* event = "";  // as metrics::failover_row has them
    std::string text;
    bool is_alarming = false;
};

// In the order in which they should be read.
[[nodiscard]] std::vector<transition> transitions_between(const told_view& before,
                                                          const told_view& after);

}  // namespace pgweir::watch
