// From [cluster.NAME], [cluster.NAME.monitor] and [[cluster.NAME.node]] to one cluster.
#include "config/cluster_section.hpp"

#include <algorithm>
#include <cctype>
#include <span>

namespace pgweir::config {

namespace {

// A lease names its node by a byte, and nobody reads a table of more.
constexpr std::size_t most_nodes = 32;

// A name that may also stand as one part of a path.
reading check_cluster_name(const std::string& name) {
    if (name.find('/') != std::string::npos) {
        return fault{"contains a slash", "its state is kept in a file of that name"};
    }
    return name_of_one(name);
}

bool is_empty(const node* list) {
    return list == nullptr ||
           (std::holds_alternative<array_value>(list->value) && list->children.empty());
}

bool same_host(std::string_view a, std::string_view b) {
    return std::ranges::equal(
        a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

// One [[cluster.NAME.node]]; false: it cannot be compared with others.
bool read_node(const node& n,
               const section_name& section,
               node_settings& out,
               section_reader& reader) {
    if (!n.is_table()) {
        reader.complain(n.value_at, section.shown + " must hold sections, not " + kind_of(n),
                        "write [[" + section.shown + "]]");
        return false;
    }
    reader.read(n, section, node_rules(), out);
    if (n.child("host") == nullptr) {
        reader.complain(n.value_at, section.shown + ".host is missing", "a name or an address");
    }
    if (out.name.empty()) {
        out.name = out.host;
    }
    return !out.host.empty();
}

// Each problem at the later one of the two.
void check_twins(const section_name& section,
                 const std::vector<node_settings>& nodes,
                 const std::vector<position>& places,
                 section_reader& reader) {
    for (std::size_t i = 1; i < nodes.size(); ++i) {
        const auto before = std::span{nodes}.first(i);
        const auto& later = nodes[i];
        if (std::ranges::any_of(before, [&](const auto& n) {
                return n.port == later.port && same_host(n.host, later.host);
            })) {
            reader.complain(places[i], section.shown + " has the node at " + key_part(later.host) +
                                           ", port " + std::to_string(later.port) + ", twice");
        } else if (std::ranges::find(before, later.name, &node_settings::name) != before.end()) {
            reader.complain(places[i],
                            section.shown + " has two nodes called " + toml_string(later.name),
                            "give each a name of its own in a [[" + section.shown + ".node]]");
        }
    }
}

void read_nodes(const node& n,
                const section_name& section,
                cluster_settings& cluster,
                section_reader& reader) {
    const node* list = n.child("nodes");
    const node* tables = n.child("node");
    std::vector<position> places;
    for (std::size_t i = 0; i < cluster.nodes.size(); ++i) {
        places.push_back(list->children[i].value_at);
    }
    if (tables != nullptr && !std::holds_alternative<array_value>(tables->value)) {
        reader.complain(tables->name_at,
                        section.shown + ".node must be a list of sections, not " + kind_of(*tables),
                        "write [[" + section.shown + ".node]]");
    } else if (tables != nullptr) {
        for (const node& each : tables->children) {
            node_settings one;
            if (read_node(each, section.below("node"), one, reader)) {
                cluster.nodes.push_back(std::move(one));
                places.push_back(each.value_at);
            }
        }
    }
    if (is_empty(list) && is_empty(tables)) {
        reader.complain_about(section.shown + ".nodes", "names no node",
                              R"(write nodes = ["10.0.0.1", "10.0.0.2"])");
    }
    if (cluster.nodes.size() > most_nodes) {
        reader.complain(n.name_at, section.shown + " has " + std::to_string(cluster.nodes.size()) +
                                       " nodes, more than " + std::to_string(most_nodes));
        return;
    }
    check_twins(section, cluster.nodes, places, reader);
}

}  // namespace

void read_cluster(const node& n, snapshot& out, section_reader& reader) {
    const section_name section{"cluster.NAME", "cluster." + key_part(n.name)};
    if (!reader.expect_table(n, section.shown,
                             "each cluster has a section of its own: [cluster.NAME]")) {
        return;
    }
    if (const auto refused = check_cluster_name(n.name)) {
        reader.complain(n.name_at, section.shown + " " + refused->message, refused->hint);
    }
    cluster_settings& cluster = out.clusters[n.name];
    cluster.name = n.name;
    cluster.tls = out.server_tls;
    reader.read(n, section, cluster_rules(), cluster, {"monitor", "node", "tls"});
    if (const node* monitor = n.child("monitor");
        monitor != nullptr && reader.expect_table(*monitor, section.below("monitor").shown)) {
        reader.read(*monitor, section.below("monitor"), monitor_rules(), cluster);
    }
    if (const node* tls = n.child("tls");
        tls != nullptr && reader.expect_table(*tls, section.below("tls").shown)) {
        reader.read(*tls, section.below("tls"), server_tls_rules(), cluster.tls);
    }
    if (cluster.monitor_sslmode.starts_with("verify") && cluster.monitor_sslrootcert.empty()) {
        reader.complain_about(section.shown + ".monitor.sslmode",
                              "is " + toml_string(cluster.monitor_sslmode) +
                                  ", and there is no sslrootcert to verify with",
                              "name the file with the certificates of those who may sign");
    }
    read_nodes(n, section, cluster, reader);
    const auto needed = cluster.check_interval + cluster.probe_timeout;
    if (cluster.lease <= needed) {
        reader.complain_about(
            section.shown + ".lease",
            "is " + print_duration(cluster.lease) + ", not longer than check_interval and " +
                "probe_timeout together, which are " + print_duration(needed),
            "a primary that answers in time would lose its right to be written to");
    }
}

}  // namespace pgweir::config
