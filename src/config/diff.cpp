// What a reload changes, key by key.
#include "config/document.hpp"
#include "config/schema.hpp"
#include "pgweir/auth/access_rules.hpp"
#include "pgweir/config/load.hpp"

#include <algorithm>
#include <functional>

namespace pgweir::config {

namespace {

template <class Settings>
void compare(const std::string& section,
             const section_rules<Settings>& rules,
             const Settings& before,
             const Settings& after,
             difference& out) {
    for (const auto& r : rules) {
        if (!r.same(before, after)) {
            (r.reloadable ? out.changed : out.needs_restart).push_back(section + "." + r.name);
        }
    }
}

// Like compare(), but silent about a key that only follows a changed global one.
template <class Settings>
void compare_layered(const std::string& section,
                     const section_rules<Settings>& rules,
                     const Settings& before,
                     const Settings& after,
                     const Settings& global_before,
                     const Settings& global_after,
                     difference& out) {
    for (const auto& r : rules) {
        const bool inherited = r.same(before, global_before) && r.same(after, global_after);
        if (!inherited && !r.same(before, after)) {
            out.changed.push_back(section + "." + r.name);
        }
    }
}

std::string name_of(const std::string& key) { return key_part(key); }
std::string name_of(unsigned key) { return std::to_string(key); }

// Names of sections in one map only; calls compare_both(section, before, after) for the others.
template <class Map, class Compare>
void compare_named(const std::string& kind,
                   const Map& before,
                   const Map& after,
                   difference& out,
                   Compare&& compare_both) {
    for (const auto& [name, settings] : before) {
        const std::string section = kind + "." + name_of(name);
        if (const auto found = after.find(name); found == after.end()) {
            out.changed.push_back(section);
        } else {
            compare_both(section, settings, found->second);
        }
    }
    for (const auto& [name, settings] : after) {
        if (!before.contains(name)) {
            out.changed.push_back(kind + "." + name_of(name));
        }
    }
}

// The keys of nodes that are in both. Who comes or goes is in the list of their names.
void compare_nodes(const std::string& section,
                   const std::vector<node_settings>& before,
                   const std::vector<node_settings>& after,
                   difference& out) {
    for (const auto& node : before) {
        const auto found = std::ranges::find(after, node.name, &node_settings::name);
        if (found != after.end()) {
            compare(section + "." + key_part(node.name), node_rules(), node, *found, out);
        }
    }
}

// Files of rules that say something else under the same name.
void compare_rule_files(const snapshot& before, const snapshot& after, difference& out) {
    if (before.access == nullptr || after.access == nullptr) {
        return;
    }
    if (before.auth.hba_file == after.auth.hba_file &&
        before.access->rules() != after.access->rules()) {
        out.changed.emplace_back("auth.hba_file");
    }
    if (before.auth.ident_file == after.auth.ident_file &&
        before.access->maps() != after.access->maps()) {
        out.changed.emplace_back("auth.ident_file");
    }
}

// What the database's own keys are laid over.
const server_tls_settings& inherited_tls(const snapshot& s, const database_settings& database) {
    const auto cluster = s.clusters.find(database.cluster);
    return cluster == s.clusters.end() ? s.server_tls : cluster->second.tls;
}

}  // namespace

difference diff(const snapshot& before, const snapshot& after) {
    difference out;
    for_each_global_section([&](const char* name, auto part, const auto& rules) {
        compare(name, rules, std::invoke(part, before), std::invoke(part, after), out);
    });
    compare_rule_files(before, after, out);
    compare_named("cluster", before.clusters, after.clusters, out,
                  [&](const std::string& section, const auto& a, const auto& b) {
                      compare(section, cluster_rules(), a, b, out);
                      compare(section + ".monitor", monitor_rules(), a, b, out);
                      compare_nodes(section + ".node", a.nodes, b.nodes, out);
                      compare_layered(section + ".tls", server_tls_rules(), a.tls, b.tls,
                                      before.server_tls, after.server_tls, out);
                  });
    compare_named("database", before.databases, after.databases, out,
                  [&](const std::string& section, const auto& a, const auto& b) {
                      compare(section, database_rules(), a, b, out);
                      compare_layered(section + ".pool", pool_rules(), a.pool, b.pool, before.pool,
                                      after.pool, out);
                      compare_layered(section + ".tls", server_tls_rules(), a.tls, b.tls,
                                      inherited_tls(before, a), inherited_tls(after, b), out);
                      compare_layered(section + ".timeouts", database_timeout_rules(), a.timeouts,
                                      b.timeouts, before.timeouts, after.timeouts, out);
                  });
    compare_named("peer", before.peers, after.peers, out,
                  [&](const std::string& section, const auto& a, const auto& b) {
                      compare(section, peer_rules(), a, b, out);
                      compare_layered(section + ".tls", server_tls_rules(), a.tls, b.tls,
                                      before.server_tls, after.server_tls, out);
                  });
    compare_named("user", before.users, after.users, out,
                  [&](const std::string& section, const auto& a, const auto& b) {
                      compare(section, user_rules(), a, b, out);
                      compare(section + ".pool", user_pool_rules(), a.pool, b.pool, out);
                      compare(section + ".timeouts", user_timeout_rules(), a.timeouts, b.timeouts,
                              out);
                  });
    return out;
}

}  // namespace pgweir::config
