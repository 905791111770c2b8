// Refuses at start what would otherwise fail at the first client.
#include "config/consistency.hpp"

#include "config/secret_text.hpp"
#include "config/suggestion.hpp"

#include <algorithm>
#include <filesystem>

namespace pgweir::config {

namespace {

std::string too_many(unsigned min_size, unsigned size) {
    return "is " + std::to_string(min_size) + ", more than the size of " + std::to_string(size);
}

void check_pools(const snapshot& read, section_reader& reader) {
    if (read.pool.min_size > read.pool.size) {
        reader.complain_about("pool.min_size", too_many(read.pool.min_size, read.pool.size));
    }
    for (const auto& [name, database] : read.databases) {
        const std::string section = "database." + key_part(name);
        // An inherited contradiction was reported for [pool].
        const bool own =
            reader.has(section + ".pool.size") || reader.has(section + ".pool.min_size");
        if (own && database.pool.min_size > database.pool.size) {
            reader.complain_about(section + ".pool.min_size",
                                  too_many(database.pool.min_size, database.pool.size));
        }
        const unsigned most = database.max_server_connections;
        if (most != 0 && database.pool.min_size > most) {
            reader.complain_about(section + ".max_server_connections",
                                  "is " + std::to_string(most) + ", less than the min_size of " +
                                      std::to_string(database.pool.min_size));
        }
    }
    for (const auto& [name, user] : read.users) {
        if (!user.pool.min_size && !user.pool.size) {
            continue;
        }
        const std::string section = "user." + key_part(name);
        const bool by_size = !user.pool.min_size;
        for (const auto& [database_name, database] : read.databases) {
            const auto pool = effective_pool(database, &user);
            const bool fine_without = database.pool.min_size <= database.pool.size;
            if (fine_without && pool.min_size > pool.size) {
                reader.complain_about(section + (by_size ? ".pool.size" : ".pool.min_size"),
                                      "gives database " + toml_string(database_name) +
                                          " a min_size of " + std::to_string(pool.min_size) +
                                          " in a pool of size " + std::to_string(pool.size));
                break;
            }
        }
    }
}

// How to say that there is no cluster of that name.
std::string hint_for_cluster(const snapshot& read, const std::string& name) {
    std::vector<std::string_view> names;
    std::string all;
    constexpr std::size_t most_listed = 8;
    for (const auto& [known, settings] : read.clusters) {
        names.emplace_back(known);
        if (names.size() <= most_listed) {
            all += (all.empty() ? "" : ", ") + toml_string(known);
        }
    }
    if (const auto near = nearest(name, names); !near.empty()) {
        return "did you mean " + toml_string(near) + "?";
    }
    return all.empty() ? "there is none" : "clusters are " + all;
}

void check_database_cluster(const snapshot& read,
                            const database_settings& database,
                            section_reader& reader) {
    const std::string section = "database." + key_part(database.name);
    if (database.cluster.empty()) {
        if (database.target != access_target::primary) {
            reader.complain_about(section + ".target",
                                  "is " + toml_string(to_string(database.target)) +
                                      ", and there is no cluster to choose a node of",
                                  "set cluster, or remove target");
        }
        return;
    }
    for (const auto* key : {".host", ".port"}) {
        if (reader.has(section + key)) {
            reader.complain_about(section + key, "is set beside a cluster, whose nodes have theirs",
                                  "remove it, or remove cluster");
        }
    }
    const std::string cluster = "cluster." + key_part(database.cluster);
    // A section that was refused has been reported already.
    if (read.clusters.contains(database.cluster) || reader.has(cluster)) {
        return;
    }
    reader.complain_about(
        section + ".cluster",
        "is " + toml_string(database.cluster) + ", and there is no [" + cluster + "]",
        hint_for_cluster(read, database.cluster));
}

void check_databases(const snapshot& read, section_reader& reader) {
    if (read.databases.empty() && !reader.has("database")) {
        reader.complain({}, "there is no database",
                        "add a [database.NAME] section, or [database.\"*\"] for all names");
    }
    for (const auto& [name, database] : read.databases) {
        if (!database.password.empty() && database.user.empty()) {
            reader.complain_about("database." + key_part(name) + ".password",
                                  "is set without a user",
                                  "it is the password of the forced user; a client's own goes in "
                                  "[user.NAME] as server_password");
        }
        check_database_cluster(read, database, reader);
    }
}

void check_state_files(const snapshot& read, section_reader& reader) {
    std::map<std::string, std::string> owners;  // normal path -> cluster
    for (const auto& [name, cluster] : read.clusters) {
        const auto path = std::filesystem::path{state_path(read, cluster)}.lexically_normal();
        const auto [owner, is_new] = owners.emplace(path.string(), name);
        if (is_new) {
            continue;
        }
        // The one that says so is to blame, whichever comes first.
        const bool blame_owner = cluster.state_file.empty();
        const auto& blamed = blame_owner ? owner->second : name;
        const auto& other = blame_owner ? name : owner->second;
        reader.complain_about("cluster." + key_part(blamed) + ".state_file",
                              "is the file of cluster " + toml_string(other) + " as well",
                              "each cluster needs a file of its own");
    }
}

void check_http(const snapshot& read, section_reader& reader) {
    const auto& mine = read.http.addresses;
    const auto& others = read.listen.addresses;
    const auto has = [](const auto& list, std::string_view address) {
        return std::ranges::find(list, address) != list.end();
    };
    const bool meet = std::ranges::any_of(mine, [&](const auto& a) { return has(others, a); }) ||
                      (!mine.empty() && has(others, "*")) || (!others.empty() && has(mine, "*"));
    if (meet && read.http.port == read.listen.port) {
        reader.complain_about("http.port", "is " + std::to_string(read.http.port) +
                                               ", which is where PostgreSQL's clients connect");
    }
}

void check_peers(const snapshot& read, section_reader& reader) {
    if (!read.peers.empty() && read.peer_id == 0 && !reader.has("peers.id")) {
        reader.complain_about(
            "peers.id", "is missing, and there are peers",
            "give each instance a number of its own, 1 to " + std::to_string(max_peer_id));
    }
}

void check_rule_files(const snapshot& read, section_reader& reader) {
    if (read.auth.method == login_method::hba) {
        if (read.auth.hba_file.empty()) {
            reader.complain_about("auth.hba_file", "is missing, and auth.method is \"hba\"",
                                  "name a file such as \"pg_hba.conf\"");
        }
        return;
    }
    for (const auto& [key, file] : {std::pair{"auth.hba_file", &read.auth.hba_file},
                                    std::pair{"auth.ident_file", &read.auth.ident_file}}) {
        if (!file->empty()) {
            reader.complain_about(key,
                                  std::string{"is set, and auth.method is "} +
                                      toml_string(to_string(read.auth.method)) +
                                      ": nobody would go by it",
                                  "set auth.method to \"hba\"");
        }
    }
}

void check_users(const snapshot& read, section_reader& reader) {
    // Rules may let users in without a password.
    if (read.auth.method == login_method::trust || read.auth.method == login_method::hba) {
        return;
    }
    const std::string method = to_string(read.auth.method);
    const bool may_be_found = !read.auth.user_file.empty() || !read.auth.auth_user.empty() ||
                              std::ranges::any_of(read.databases, [&](const auto& d) {
                                  return has_auth_query(read, d.second);
                              });
    if (read.users.empty() && !reader.has("user") && !may_be_found) {
        reader.complain(
            {},
            "there is no user, and auth.method is " + toml_string(method) + ": nobody could log in",
            "add a [user.NAME] section with a password, or set auth.auth_user");
    }
    for (const auto& [name, user] : read.users) {
        const std::string key = "user." + key_part(name) + ".password";
        if (user.password.empty()) {
            // A password that was refused has been reported already.
            if (!reader.has(key)) {
                reader.complain_about(key, "is missing, and auth.method is " + toml_string(method) +
                                               ": this user could not log in");
            }
        } else if (read.auth.method == login_method::scram_sha_256 &&
                   form_of(user.password.reveal()) == secret_form::md5) {
            reader.complain_about(key,
                                  "is an md5 hash, and auth.method is " + toml_string(method) +
                                      ": this user could not log in",
                                  "use a plain password or a SCRAM-SHA-256 verifier");
        }
    }
}

// Where nobody could log in with channel binding, though nobody may without.
void check_client_binding(const snapshot& read, section_reader& reader) {
    if (read.client_tls.channel_binding != auth::binding_policy::require) {
        return;
    }
    if (read.client_tls.mode == tls_mode::disable && !read.listen.addresses.empty()) {
        reader.complain_about("client_tls.channel_binding",
                              R"(is "require", and mode is "disable": nobody could log in by TCP)",
                              R"(set mode to "require")");
    }
    if (read.auth.method == login_method::trust || read.auth.method == login_method::password) {
        reader.complain_about("client_tls.channel_binding",
                              R"(is "require", and auth.method is )" +
                                  toml_string(to_string(read.auth.method)) +
                                  ", which binds to nothing",
                              R"(set auth.method to "scram-sha-256")");
    }
}

void check_client_tls(const client_tls_settings& tls, section_reader& reader) {
    const std::string mode = "is " + toml_string(to_string(tls.mode));
    if (tls.mode != tls_mode::disable && tls.certificate.empty()) {
        reader.complain_about("client_tls.mode", mode + ", and there is no certificate",
                              "name its file as certificate, and that of its key as key");
    } else if (tls.certificate.empty() != tls.key.empty()) {
        reader.complain_about("client_tls.certificate", "and key need each other",
                              "name both files, or none");
    }
    if (tls.mode >= tls_mode::verify_ca && tls.ca.empty()) {
        reader.complain_about("client_tls.mode", mode + ", and there is no ca to verify with",
                              "name the file with the certificates of those who may sign");
    }
}

constexpr const char* unbound =
    R"(is "require", and sslmode is "disable": without TLS there is nothing to bind to)";
constexpr const char* use_tls = R"(set sslmode to "require" or more)";

void check_server_tls(const std::string& section,
                      const server_tls_settings& tls,
                      section_reader& reader) {
    if (tls.sslmode >= tls_mode::verify_ca && tls.sslrootcert.empty()) {
        reader.complain_about(section + ".sslmode",
                              "is " + toml_string(to_string(tls.sslmode)) +
                                  ", and there is no sslrootcert to verify with",
                              "name the file with the certificates of those who may sign");
    }
    if (tls.sslcert.empty() != tls.sslkey.empty()) {
        reader.complain_about(section + ".sslcert", "and sslkey need each other",
                              "name both files, or none");
    }
    if (tls.channel_binding == auth::binding_policy::require && tls.sslmode == tls_mode::disable) {
        reader.complain_about(section + ".channel_binding", unbound, use_tls);
    }
    // As in libpq: whom anybody may have certified is nobody.
    if (tls.sslrootcert == "system" && tls.sslmode != tls_mode::verify_full) {
        reader.complain_about(section + ".sslmode",
                              "is " + toml_string(to_string(tls.sslmode)) +
                                  R"(, which is weak for an sslrootcert of "system")",
                              R"(use "verify-full")");
    }
}

void check_tls(const snapshot& read, section_reader& reader) {
    check_client_tls(read.client_tls, reader);
    check_client_binding(read, reader);
    check_server_tls("server_tls", read.server_tls, reader);
    // What is inherited has been reported where it stands.
    for (const auto& [name, cluster] : read.clusters) {
        if (cluster.tls != read.server_tls) {
            check_server_tls("cluster." + key_part(name) + ".tls", cluster.tls, reader);
        }
        if (cluster.monitor_channel_binding == auth::binding_policy::require &&
            cluster.monitor_sslmode == "disable") {
            reader.complain_about("cluster." + key_part(name) + ".monitor.channel_binding", unbound,
                                  use_tls);
        }
    }
    for (const auto& [id, peer] : read.peers) {
        if (peer.tls != read.server_tls) {
            check_server_tls("peer." + std::to_string(id) + ".tls", peer.tls, reader);
        }
    }
    for (const auto& [name, database] : read.databases) {
        const auto cluster = read.clusters.find(database.cluster);
        if (database.tls !=
            (cluster == read.clusters.end() ? read.server_tls : cluster->second.tls)) {
            check_server_tls("database." + key_part(name) + ".tls", database.tls, reader);
        }
        if (database.tls.channel_binding == auth::binding_policy::require &&
            database.cluster.empty() && database.host.starts_with('/')) {
            reader.complain_about("database." + key_part(name) + ".tls.channel_binding",
                                  R"(is "require", and host is a unix socket, which has no TLS)",
                                  "set it to \"prefer\" in this section");
        }
    }
}

}  // namespace

void check_consistency(const snapshot& read, section_reader& reader) {
    if (!read.process.group.empty() && read.process.user.empty()) {
        reader.complain_about("process.group", "is set without a user",
                              "name the account that pgweir is to become as process.user");
    }
    if (read.listen.addresses.empty() && read.listen.unix_socket_dir.empty()) {
        reader.complain_about("listen.addresses", "is empty, and there is no unix socket either",
                              "name an address, or set listen.unix_socket_dir");
    }
    check_pools(read, reader);
    check_http(read, reader);
    check_peers(read, reader);
    check_state_files(read, reader);
    check_databases(read, reader);
    check_rule_files(read, reader);
    check_users(read, reader);
    check_tls(read, reader);
}

}  // namespace pgweir::config
