// Look-ups in a snapshot, and the layers of settings that apply to one (database, user).
#include "pgweir/config/snapshot.hpp"

#include <string_view>

namespace pgweir::config {

namespace {

template <class T>
void lay_over(T& setting, const std::optional<T>& override_of) {
    if (override_of) {
        setting = *override_of;
    }
}

}  // namespace

const char* to_string(pool_mode mode) noexcept {
    switch (mode) {
        case pool_mode::session: return "session";
        case pool_mode::transaction: return "transaction";
        case pool_mode::statement: return "statement";
    }
    return "";
}

const char* to_string(tls_mode mode) noexcept {
    switch (mode) {
        case tls_mode::disable: return "disable";
        case tls_mode::allow: return "allow";
        case tls_mode::prefer: return "prefer";
        case tls_mode::require: return "require";
        case tls_mode::verify_ca: return "verify-ca";
        case tls_mode::verify_full: return "verify-full";
    }
    return "";
}

const char* to_string(auth::binding_policy policy) noexcept {
    switch (policy) {
        case auth::binding_policy::disable: return "disable";
        case auth::binding_policy::prefer: return "prefer";
        case auth::binding_policy::require: return "require";
    }
    return "";
}

const char* to_string(cleaning clean) noexcept {
    switch (clean) {
        case cleaning::when_dirty: return "when-dirty";
        case cleaning::always: return "always";
    }
    return "";
}

const char* to_string(login_method method) noexcept {
    switch (method) {
        case login_method::trust: return "trust";
        case login_method::password: return "password";
        case login_method::md5: return "md5";
        case login_method::scram_sha_256: return "scram-sha-256";
        case login_method::hba: return "hba";
    }
    return "";
}

const char* to_string(console_role role) noexcept {
    switch (role) {
        case console_role::none: return "none";
        case console_role::hint: return "hint";
        case console_role::stats: return "stats";
        case console_role::admin: return "admin";
    }
    return "";
}

const char* to_string(discovery how) noexcept {
    switch (how) {
        case discovery::fixed: return "static";
        case discovery::repmgr: return "repmgr";
        case discovery::patroni: return "patroni";
    }
    return "";
}

const char* to_string(access_target target) noexcept {
    switch (target) {
        case access_target::primary: return "primary";
        case access_target::standby: return "standby";
        case access_target::prefer_standby: return "prefer-standby";
        case access_target::any: return "any";
    }
    return "";
}

const char* to_string(balancing how) noexcept {
    switch (how) {
        case balancing::round_robin: return "round-robin";
        case balancing::least_connections: return "least-connections";
        case balancing::weighted_least_connections: return "weighted-least-connections";
        case balancing::hash: return "hash";
    }
    return "";
}

const char* to_string(hash_key key) noexcept {
    switch (key) {
        case hash_key::user: return "user";
        case hash_key::database: return "database";
        case hash_key::application_name: return "application-name";
        case hash_key::client_address: return "client-address";
    }
    return "";
}

const char* to_string(isolation_guard guard) noexcept {
    switch (guard) {
        case isolation_guard::off: return "off";
        case isolation_guard::hold: return "hold";
        case isolation_guard::reject: return "reject";
    }
    return "";
}

const char* to_string(cold_start start) noexcept {
    switch (start) {
        case cold_start::majority: return "majority";
        case cold_start::self: return "self";
    }
    return "";
}

const database_settings* snapshot::find_database(std::string_view name) const {
    auto found = databases.find(name);
    if (found == databases.end()) {
        found = databases.find(std::string_view{"*"});
    }
    return found == databases.end() ? nullptr : &found->second;
}

const user_settings* snapshot::find_user(std::string_view name) const {
    const auto found = users.find(name);
    return found == users.end() ? nullptr : &found->second;
}

pool_settings effective_pool(const database_settings& database, const user_settings* user) {
    pool_settings pool = database.pool;
    if (user != nullptr) {
        lay_over(pool.mode, user->pool.mode);
        lay_over(pool.size, user->pool.size);
        lay_over(pool.min_size, user->pool.min_size);
        lay_over(pool.reserve_size, user->pool.reserve_size);
    }
    return pool;
}

timeout_settings effective_timeouts(const database_settings& database, const user_settings* user) {
    timeout_settings timeouts = database.timeouts;
    if (user != nullptr) {
        lay_over(timeouts.client_idle, user->timeouts.client_idle);
        lay_over(timeouts.query, user->timeouts.query);
        lay_over(timeouts.query_wait, user->timeouts.query_wait);
        lay_over(timeouts.idle_in_transaction, user->timeouts.idle_in_transaction);
        lay_over(timeouts.transaction, user->timeouts.transaction);
        lay_over(timeouts.client_stall, user->timeouts.client_stall);
    }
    return timeouts;
}

namespace {

const cluster_settings* cluster_of(const snapshot& all, const database_settings& database) {
    const auto found = all.clusters.find(database.cluster);
    return found == all.clusters.end() ? nullptr : &found->second;
}

}  // namespace

std::optional<auth_query_settings> find_auth_query(const snapshot& all,
                                                   const database_settings& database) {
    const auto* cluster = cluster_of(all, database);
    const auto first_of = [&](auto in_database, auto in_cluster, auto in_auth) {
        if (!(database.*in_database).empty()) {
            return database.*in_database;
        }
        return cluster != nullptr && !(cluster->*in_cluster).empty() ? cluster->*in_cluster
                                                                     : all.auth.*in_auth;
    };
    using d = database_settings;
    using c = cluster_settings;
    using a = auth_settings;
    auth_query_settings out;
    // A password belongs to the user beside it.
    if (!database.auth_user.empty()) {
        out.user = database.auth_user;
        out.password = database.auth_password;
    } else if (cluster != nullptr && !cluster->auth_user.empty()) {
        out.user = cluster->auth_user;
        out.password = cluster->auth_password;
    } else if (!all.auth.auth_user.empty()) {
        out.user = all.auth.auth_user;
        out.password = all.auth.auth_password;
    } else {
        return std::nullopt;
    }
    out.query = first_of(&d::auth_query, &c::auth_query, &a::auth_query);
    out.database = first_of(&d::auth_database, &c::auth_database, &a::auth_database);
    return out;
}

bool has_auth_query(const snapshot& all, const database_settings& database) noexcept {
    if (!database.auth_user.empty() || !all.auth.auth_user.empty()) {
        return true;
    }
    const auto* cluster = cluster_of(all, database);
    return cluster != nullptr && !cluster->auth_user.empty();
}

std::string state_path(const snapshot& all, const cluster_settings& cluster) {
    return cluster.state_file.empty() ? all.process.state_dir + "/" + cluster.name + ".cluster"
                                      : cluster.state_file;
}

}  // namespace pgweir::config
