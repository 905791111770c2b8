// Refuses at start what would otherwise fail at the first client.
#include "config/consistency.hpp"

#include "config/secret_text.hpp"

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
    }
}

void check_users(const snapshot& read, section_reader& reader) {
    if (read.auth.method == login_method::trust) {
        return;
    }
    const std::string method = to_string(read.auth.method);
    if (read.users.empty() && !reader.has("user")) {
        reader.complain(
            {},
            "there is no user, and auth.method is " + toml_string(method) + ": nobody could log in",
            "add a [user.NAME] section with a password");
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

}  // namespace

void check_consistency(const snapshot& read, section_reader& reader) {
    if (read.listen.addresses.empty() && read.listen.unix_socket_dir.empty()) {
        reader.complain_about("listen.addresses", "is empty, and there is no unix socket either",
                              "name an address, or set listen.unix_socket_dir");
    }
    check_pools(read, reader);
    check_databases(read, reader);
    check_users(read, reader);
}

}  // namespace pgweir::config
