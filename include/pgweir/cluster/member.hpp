// A node of a cluster as the configuration names it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pgweir::cluster {

struct member {
    std::string name;
    // As standbys may write it in primary_conninfo: the configured host, and what it resolves to.
    // They tell who streams from whom, never who is who.
    std::vector<std::string> hosts;
    std::uint16_t port = 5432;
    std::optional<int> repmgr_id;  // absent: known by `name`, if repmgr's node_name is the same
};

}  // namespace pgweir::cluster
