// Which nodes a cluster has: those of the configuration, and those that its own metadata name.
#pragma once

#include "pgweir/config/snapshot.hpp"
#include "watch/probe_reply.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::watch {

// More are not taken, whatever a server says.
inline constexpr std::size_t max_nodes = 100;

struct known_node {
    std::string name;
    std::string host;
    std::uint16_t port = 5432;
    unsigned weight = 100;
    std::optional<int> repmgr_id;
    std::uint16_t patroni_port = 8008;
    bool is_discovered = false;  // else configured

    friend bool operator==(const known_node&, const known_node&) = default;
};

[[nodiscard]] std::vector<known_node> configured_nodes(const config::cluster_settings& settings);

// `known` (the configured ones first) with what a node tells of the others. If that is the primary
// that is served, by the name of `primary` (else empty), a discovered node also gets its new
// address, or leaves. A node of the configuration does neither. A list in which the primary does
// not find itself is no list of this cluster, and ends nobody's membership.
[[nodiscard]] std::vector<known_node> discover(std::span<const known_node> known,
                                               std::span<const node_address> told,
                                               std::string_view primary);

// After a reload: the configured nodes, then those of `known` that were discovered and are not
// among them.
[[nodiscard]] std::vector<known_node> reconfigure(std::span<const known_node> known,
                                                  const config::cluster_settings& settings);

}  // namespace pgweir::watch
