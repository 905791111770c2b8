// Merging the nodes that are told with those that are known.
#include "watch/discovery.hpp"

#include <algorithm>

namespace pgweir::watch {
namespace {

constexpr std::uint16_t default_patroni_port = 8008;

// A witness holds no data, and a node without an address cannot be asked.
bool is_usable(const node_address& told) {
    return told.type != "witness" && !told.name.empty() && !told.host.empty() &&
           !told.host.starts_with('/') && told.port != 0;
}

bool is_same(const known_node& node, const node_address& told) {
    if (node.repmgr_id && told.id) {
        return *node.repmgr_id == *told.id;
    }
    return node.name == told.name || (node.host == told.host && node.port == told.port);
}

}  // namespace

std::vector<known_node> configured_nodes(const config::cluster_settings& settings) {
    std::vector<known_node> out;
    for (const auto& n : settings.nodes) {
        out.push_back({.name = n.name,
                       .host = n.host,
                       .port = n.port,
                       .weight = n.weight,
                       .repmgr_id = n.repmgr_id,
                       .patroni_port = n.patroni_port,
                       .is_discovered = false});
    }
    return out;
}

std::vector<known_node> discover(std::span<const known_node> known,
                                 std::span<const node_address> told,
                                 std::string_view primary) {
    const auto teller = std::ranges::find(known, primary, &known_node::name);
    const bool is_authoritative =
        teller != known.end() &&
        std::ranges::any_of(told, [&](const node_address& t) { return is_same(*teller, t); });
    std::vector<known_node> out;
    for (const auto& node : known) {
        const auto row =
            std::ranges::find_if(told, [&](const node_address& t) { return is_same(node, t); });
        auto next = node;
        if (node.is_discovered && is_authoritative) {
            if (row == told.end()) {
                continue;
            }
            if (is_usable(*row)) {
                next.host = row->host;
                next.port = row->port;
            }
        }
        out.push_back(std::move(next));
    }
    for (const auto& row : told) {
        const bool is_known = std::ranges::any_of(out, [&](const known_node& node) {
            return is_same(node, row) || node.name == row.name;
        });
        if (is_known || !is_usable(row) || out.size() >= max_nodes) {
            continue;
        }
        out.push_back({.name = row.name,
                       .host = row.host,
                       .port = row.port,
                       .weight = 100,
                       .repmgr_id = row.id,
                       .patroni_port = row.api_port != 0 ? row.api_port : default_patroni_port,
                       .is_discovered = true});
    }
    return out;
}

std::vector<known_node> reconfigure(std::span<const known_node> known,
                                    const config::cluster_settings& settings) {
    auto out = configured_nodes(settings);
    if (settings.how == config::discovery::fixed) {
        return out;
    }
    for (const auto& node : known) {
        node_address told;
        told.id = node.repmgr_id;
        told.name = node.name;
        told.host = node.host;
        told.port = node.port;
        if (node.is_discovered && std::ranges::none_of(out, [&](const known_node& configured) {
                return is_same(configured, told) || configured.name == node.name;
            })) {
            out.push_back(node);
        }
    }
    return out;
}

}  // namespace pgweir::watch
