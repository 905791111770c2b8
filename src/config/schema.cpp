// The rules of each section, in the order in which the documentation lists them.
#include "config/schema.hpp"

#include "config/peer_section.hpp"
#include "config/secret_text.hpp"

#include <algorithm>

namespace pgweir::config {

namespace {

using std::chrono::seconds;
constexpr auto at_restart = applied::at_restart;

// No server takes more: MAX_BACKENDS in PostgreSQL's postmaster.h.
constexpr std::int64_t most_servers = 262'143;
constexpr std::int64_t most_clients = 1'000'000;

const choice<pool_mode> modes{{{"session", pool_mode::session},
                               {"transaction", pool_mode::transaction},
                               {"statement", pool_mode::statement}}};
const choice<cleaning> cleanings{
    {{"when-dirty", cleaning::when_dirty}, {"always", cleaning::always}}};
const choice<login_method> methods{{{"trust", login_method::trust},
                                    {"password", login_method::password},
                                    {"md5", login_method::md5},
                                    {"scram-sha-256", login_method::scram_sha_256},
                                    {"hba", login_method::hba}}};
const choice<log_format> formats{{{"text", log_format::text}, {"json", log_format::json}}};
const choice<console_role> roles{{{"none", console_role::none},
                                  {"hint", console_role::hint},
                                  {"stats", console_role::stats},
                                  {"admin", console_role::admin}}};
const choice<discovery> discoveries{
    {{"static", discovery::fixed}, {"repmgr", discovery::repmgr}, {"patroni", discovery::patroni}}};
const choice<access_target> targets{{{"primary", access_target::primary},
                                     {"standby", access_target::standby},
                                     {"prefer-standby", access_target::prefer_standby},
                                     {"any", access_target::any}}};
const choice<server_protocol> protocols{
    {{"3.0", server_protocol::v3_0}, {"3.2", server_protocol::v3_2}}};
const choice<balancing> balancings{
    {{"round-robin", balancing::round_robin},
     {"least-connections", balancing::least_connections},
     {"weighted-least-connections", balancing::weighted_least_connections},
     {"hash", balancing::hash}}};
const choice<hash_key> hash_keys{{{"user", hash_key::user},
                                  {"database", hash_key::database},
                                  {"application-name", hash_key::application_name},
                                  {"client-address", hash_key::client_address}}};
const choice<isolation_guard> guards{{{"off", isolation_guard::off},
                                      {"hold", isolation_guard::hold},
                                      {"reject", isolation_guard::reject}}};
const choice<cold_start> cold_starts{
    {{"majority", cold_start::majority}, {"self", cold_start::self}}};
// SQL that asks for one user.
reading question_for_user(std::string_view text) {
    auto refused = any_text(text);
    if (!refused && text.find("$1") == std::string_view::npos) {
        refused = fault{"does not ask for $1", "the user's name comes as the parameter $1"};
    }
    return refused;
}

reading empty_or_question(std::string_view text) {
    return text.empty() ? std::nullopt : question_for_user(text);
}

const choice<auth::binding_policy> binding_policies{{{"disable", auth::binding_policy::disable},
                                                     {"prefer", auth::binding_policy::prefer},
                                                     {"require", auth::binding_policy::require}}};
const choice<std::string> ssl_modes{{{"disable", "disable"},
                                     {"allow", "allow"},
                                     {"prefer", "prefer"},
                                     {"require", "require"},
                                     {"verify-ca", "verify-ca"},
                                     {"verify-full", "verify-full"}}};
const choice<tls_mode> tls_modes{{{"disable", tls_mode::disable},
                                  {"allow", tls_mode::allow},
                                  {"prefer", tls_mode::prefer},
                                  {"require", tls_mode::require},
                                  {"verify-ca", tls_mode::verify_ca},
                                  {"verify-full", tls_mode::verify_full}}};
const choice<tls_version> tls_versions{{{"", tls_version::any},
                                        {"TLSv1", tls_version::tls_1_0},
                                        {"TLSv1.1", tls_version::tls_1_1},
                                        {"TLSv1.2", tls_version::tls_1_2},
                                        {"TLSv1.3", tls_version::tls_1_3}}};
const choice<std::string> levels{{{"trace", "trace"},
                                  {"debug", "debug"},
                                  {"info", "info"},
                                  {"warn", "warn"},
                                  {"error", "error"}}};
const whole_number<std::uint16_t> port_number{1, 65'535};
const whole_number<unsigned> pool_size{1, most_servers};
const whole_number<unsigned> server_count{0, most_servers};
const whole_number<unsigned> client_count{0, most_clients};
const duration_text<> timeout{};
// Longer would hold a place among those who log in for no further gain.
const duration_text<> failure_delay{milliseconds{0}, std::chrono::minutes{1}};
// A connect that never gives up would hold its permit for ever.
const duration_text<> connect_timeout{milliseconds{1}, longest_duration};
// The kernel's MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL and MAX_TCP_KEEPCNT.
const duration_text<seconds> keepalive_time{seconds{1}, seconds{32'767}};
const whole_number<int> keepalive_probes{1, 127};
// TCP_USER_TIMEOUT is an int of milliseconds; a day leaves it room.
const duration_text<> tcp_timeout{milliseconds{0}, std::chrono::hours{24}};

// A probe more often than this would be a load of its own; a lease must end long before a worker's
// clock for it turns over (see cluster::lease_word).
const duration_text<> cluster_timer{milliseconds{10}, std::chrono::hours{1}};
// 0 would read as "no limit", and here it would mean "at once".
const duration_text<> cluster_grace{milliseconds{1}, std::chrono::hours{1}};
const duration_text<> cluster_wait{milliseconds{0}, std::chrono::hours{1}};

}  // namespace

const section_rules<listen_settings>& listen_rules() {
    using s = listen_settings;
    static const section_rules<s> rules{
        rule("addresses", &s::addresses, address_list{}, at_restart),
        rule("port", &s::port, port_number, at_restart),
        rule("unix_socket_dir", &s::unix_socket_dir, checked_text{socket_directory}, at_restart),
        rule("unix_socket_mode", &s::unix_socket_mode, octal_mode{}, at_restart),
        rule("backlog", &s::backlog, whole_number<int>{1, 65'535}, at_restart),
    };
    return rules;
}

const section_rules<log_settings>& log_rules() {
    using s = log_settings;
    static const section_rules<s> rules{
        rule("level", &s::level, levels),
        rule("format", &s::format, formats, at_restart),
        rule("file", &s::file, checked_text{any_text}, at_restart),
        rule("connections", &s::connections, flag{}),
    };
    return rules;
}

const section_rules<worker_settings>& worker_rules() {
    static const section_rules<worker_settings> rules{
        rule("count", &worker_settings::count, whole_number<unsigned>{0, 1'024}, at_restart),
    };
    return rules;
}

const section_rules<auth_settings>& auth_rules() {
    using s = auth_settings;
    static const section_rules<s> rules{
        rule("method", &s::method, methods),
        rule("hba_file", &s::hba_file, checked_text{any_text}),
        rule("ident_file", &s::ident_file, checked_text{any_text}),
        rule("user_file", &s::user_file, checked_text{any_text}),
        rule("failure_delay", &s::failure_delay, failure_delay),
        rule("auth_user", &s::auth_user, checked_text{role_or_database}),
        rule("auth_password", &s::auth_password, secret_text{secret_forms::plain}),
        rule("auth_query", &s::auth_query, checked_text{question_for_user}),
        rule("auth_database", &s::auth_database, checked_text{name_of_one}),
        rule("auth_ttl", &s::auth_ttl, timeout),
        rule("auth_negative_ttl", &s::auth_negative_ttl, timeout),
        rule("auth_refresh", &s::auth_refresh, timeout),
        rule("auth_stale", &s::auth_stale, timeout),
        rule("auth_timeout", &s::auth_timeout, connect_timeout),
        rule("auth_connections", &s::auth_connections, whole_number<unsigned>{1, 100}),
        rule("auth_cache_size", &s::auth_cache_size, whole_number<unsigned>{1, 10'000'000}),
    };
    return rules;
}

const section_rules<limit_settings>& limit_rules() {
    using s = limit_settings;
    static const section_rules<s> rules{
        rule("max_clients", &s::max_clients, whole_number<unsigned>{1, most_clients}),
        rule("max_login_clients", &s::max_login_clients, whole_number<unsigned>{1, most_clients}),
        rule("max_login_clients_per_address", &s::max_login_clients_per_address, client_count),
        rule("login_rate_per_address", &s::login_rate_per_address, client_count),
    };
    return rules;
}

const section_rules<tcp_settings>& tcp_rules() {
    using s = tcp_settings;
    static const section_rules<s> rules{
        rule("keepalive", &s::keepalive, flag{}),
        rule("keepalive_idle", &s::keepalive_idle, keepalive_time),
        rule("keepalive_interval", &s::keepalive_interval, keepalive_time),
        rule("keepalive_count", &s::keepalive_count, keepalive_probes),
        rule("user_timeout", &s::user_timeout, tcp_timeout),
    };
    return rules;
}

const section_rules<timeout_settings>& timeout_rules() {
    using s = timeout_settings;
    static const section_rules<s> rules{
        rule("client_login", &s::client_login, timeout),
        rule("client_idle", &s::client_idle, timeout),
        rule("query", &s::query, timeout),
        rule("query_wait", &s::query_wait, timeout),
        rule("idle_in_transaction", &s::idle_in_transaction, timeout),
        rule("transaction", &s::transaction, timeout),
        rule("client_stall", &s::client_stall, timeout),
        rule("shutdown", &s::shutdown, timeout),
    };
    return rules;
}

const section_rules<pool_settings>& pool_rules() {
    using s = pool_settings;
    static const section_rules<s> rules{
        rule("mode", &s::mode, modes),
        rule("size", &s::size, pool_size),
        rule("min_size", &s::min_size, server_count),
        rule("reserve_size", &s::reserve_size, server_count),
        rule("reserve_after", &s::reserve_after, timeout),
        rule("max_parallel_connects", &s::max_parallel_connects, whole_number<unsigned>{1, 1'000}),
        rule("server_connect_timeout", &s::server_connect_timeout, connect_timeout),
        rule("server_lifetime", &s::server_lifetime, timeout),
        rule("server_idle_timeout", &s::server_idle_timeout, timeout),
        rule("server_check_delay", &s::server_check_delay, timeout),
        rule("server_close_timeout", &s::server_close_timeout, timeout),
        rule("clean", &s::clean, cleanings),
        rule("max_prepared_statements", &s::max_prepared_statements,
             whole_number<unsigned>{0, 100'000}),
    };
    return rules;
}

const section_rules<http_settings>& http_rules() {
    using s = http_settings;
    static const section_rules<s> rules{
        rule("addresses", &s::addresses, address_list{}, at_restart),
        rule("port", &s::port, port_number, at_restart),
    };
    return rules;
}

const section_rules<client_tls_settings>& client_tls_rules() {
    using s = client_tls_settings;
    static const section_rules<s> rules{
        rule("mode", &s::mode, tls_modes),
        rule("certificate", &s::certificate, checked_text{absolute_file}),
        rule("key", &s::key, checked_text{absolute_file}),
        rule("ca", &s::ca, checked_text{absolute_file}),
        rule("crl", &s::crl, checked_text{absolute_file}),
        rule("min_version", &s::min_version, tls_versions),
        rule("max_version", &s::max_version, tls_versions),
        rule("ciphers", &s::ciphers, checked_text{any_text}),
        rule("cipher_suites", &s::cipher_suites, checked_text{any_text}),
        rule("groups", &s::groups, checked_text{any_text}),
        rule("channel_binding", &s::channel_binding, binding_policies),
    };
    return rules;
}

const section_rules<server_tls_settings>& server_tls_rules() {
    using s = server_tls_settings;
    static const section_rules<s> rules{
        rule("sslmode", &s::sslmode, tls_modes),
        rule("sslrootcert", &s::sslrootcert, checked_text{root_certificates}),
        rule("sslcrl", &s::sslcrl, checked_text{absolute_file}),
        rule("sslcert", &s::sslcert, checked_text{absolute_file}),
        rule("sslkey", &s::sslkey, checked_text{absolute_file}),
        rule("ssl_min_protocol_version", &s::ssl_min_protocol_version, tls_versions),
        rule("ssl_max_protocol_version", &s::ssl_max_protocol_version, tls_versions),
        rule("channel_binding", &s::channel_binding, binding_policies),
    };
    return rules;
}

const section_rules<process_settings>& process_rules() {
    using s = process_settings;
    static const section_rules<s> rules{
        rule("state_dir", &s::state_dir, checked_text{state_directory}, at_restart),
        rule("user", &s::user, checked_text{any_text}, at_restart),
        rule("group", &s::group, checked_text{any_text}, at_restart),
        rule("core_dumps", &s::core_dumps, flag{}, at_restart),
    };
    return rules;
}

const section_rules<snapshot>& peers_rules() {
    static const section_rules<snapshot> rules{
        rule("id", &snapshot::peer_id, peer_number{}, at_restart),
    };
    return rules;
}

const section_rules<peer_settings>& peer_rules() {
    using s = peer_settings;
    static const section_rules<s> rules{
        rule("host", &s::host, checked_text{server_host}),
        rule("port", &s::port, port_number),
    };
    return rules;
}

const section_rules<cluster_settings>& cluster_rules() {
    using s = cluster_settings;
    static const auto rules = [] {
        section_rules<s> all{
            rule("nodes", &s::nodes, node_list{}),
            rule("discovery", &s::how, discoveries),
            rule("check_interval", &s::check_interval, cluster_timer),
            rule("quick_interval", &s::quick_interval, cluster_timer),
            rule("probe_timeout", &s::probe_timeout, cluster_timer),
            rule("connect_timeout", &s::connect_timeout, cluster_timer),
            rule("lease", &s::lease, cluster_timer),
            rule("isolation_guard", &s::guard, guards),
            rule("cold_start", &s::start, cold_starts),
            rule("system_identifier", &s::system_identifier, system_number{}),
            rule("state_file", &s::state_file, checked_text{absolute_file}, at_restart),
            rule("conflict_hold", &s::conflict_hold, cluster_wait),
            rule("partition_grace", &s::partition_grace, cluster_grace),
            rule("rogue_after", &s::rogue_after, cluster_grace),
            rule("follower_silence", &s::follower_silence, cluster_grace),
            rule("hold_timeout", &s::hold_timeout, connect_timeout),
            rule("hold_max_clients", &s::hold_max_clients, client_count),
            rule("hold_max_bytes", &s::hold_max_bytes, byte_count{}),
            rule("switchover_timeout", &s::switchover_timeout, cluster_grace),
            rule("balance", &s::balance, balancings),
            rule("hash_by", &s::hash_by, hash_keys),
            rule("max_lag_bytes", &s::max_lag_bytes, byte_count{}),
            rule("max_lag", &s::max_lag, timeout),
            rule("slow_start", &s::slow_start, cluster_wait),
            rule("min_standby_servers", &s::min_standby_servers, server_count),
            rule("auth_user", &s::auth_user, checked_text{role_or_database}),
            rule("auth_password", &s::auth_password, secret_text{secret_forms::plain}),
            rule("auth_query", &s::auth_query, checked_text{empty_or_question}),
            rule("auth_database", &s::auth_database, checked_text{role_or_database}),
        };
        all.front().same = [](const s& a, const s& b) {
            return std::ranges::equal(a.nodes, b.nodes, {}, &node_settings::name,
                                      &node_settings::name);
        };
        return all;
    }();
    return rules;
}

const section_rules<cluster_settings>& monitor_rules() {
    using s = cluster_settings;
    static const section_rules<s> rules{
        rule("user", &s::monitor_user, checked_text{name_of_one}),
        rule("password", &s::monitor_password, secret_text{secret_forms::plain}),
        rule("database", &s::monitor_database, checked_text{name_of_one}),
        rule("sslmode", &s::monitor_sslmode, ssl_modes),
        rule("sslrootcert", &s::monitor_sslrootcert, checked_text{absolute_file}),
        rule("channel_binding", &s::monitor_channel_binding, binding_policies),
    };
    return rules;
}

const section_rules<node_settings>& node_rules() {
    using s = node_settings;
    static const section_rules<s> rules{
        rule("name", &s::name, checked_text{role_or_database}),
        rule("host", &s::host, checked_text{node_host}),
        rule("port", &s::port, port_number),
        rule("weight", &s::weight, whole_number<unsigned>{0, 10'000}),
        rule("repmgr_id", &s::repmgr_id, repmgr_number{}),
        rule("patroni_port", &s::patroni_port, port_number),
    };
    return rules;
}

const section_rules<database_settings>& database_rules() {
    using s = database_settings;
    static const section_rules<s> rules{
        rule("host", &s::host, checked_text{server_host}),
        rule("port", &s::port, port_number),
        rule("cluster", &s::cluster, checked_text{role_or_database}),
        rule("target", &s::target, targets),
        rule("dbname", &s::dbname, checked_text{role_or_database}),
        rule("protocol", &s::protocol, protocols),
        rule("user", &s::user, checked_text{role_or_database}),
        rule("password", &s::password, secret_text{secret_forms::plain_or_md5}),
        rule("max_server_connections", &s::max_server_connections, server_count),
        rule("max_client_connections", &s::max_client_connections, client_count),
        rule("auth_user", &s::auth_user, checked_text{role_or_database}),
        rule("auth_password", &s::auth_password, secret_text{secret_forms::plain}),
        rule("auth_query", &s::auth_query, checked_text{empty_or_question}),
        rule("auth_database", &s::auth_database, checked_text{role_or_database}),
    };
    return rules;
}

const section_rules<timeout_settings>& database_timeout_rules() {
    // The process shuts down once, for all databases.
    static const auto rules = [] {
        auto all = timeout_rules();
        std::erase_if(all, [](const auto& r) { return r.name == "shutdown"; });
        return all;
    }();
    return rules;
}

const section_rules<user_settings>& user_rules() {
    using s = user_settings;
    static const section_rules<s> rules{
        rule("password", &s::password, secret_text{secret_forms::plain_md5_or_scram}),
        rule("server_password", &s::server_password, secret_text{secret_forms::plain}),
        rule("console", &s::console, roles),
        rule("max_server_connections", &s::max_server_connections, server_count),
        rule("max_client_connections", &s::max_client_connections, client_count),
    };
    return rules;
}

const section_rules<user_pool_overrides>& user_pool_rules() {
    using s = user_pool_overrides;
    static const section_rules<s> rules{
        rule("mode", &s::mode, modes),
        rule("size", &s::size, pool_size),
        rule("min_size", &s::min_size, server_count),
        rule("reserve_size", &s::reserve_size, server_count),
    };
    return rules;
}

const section_rules<user_timeout_overrides>& user_timeout_rules() {
    using s = user_timeout_overrides;
    static const section_rules<s> rules{
        rule("client_idle", &s::client_idle, timeout),
        rule("query", &s::query, timeout),
        rule("query_wait", &s::query_wait, timeout),
        rule("idle_in_transaction", &s::idle_in_transaction, timeout),
        rule("transaction", &s::transaction, timeout),
        rule("client_stall", &s::client_stall, timeout),
    };
    return rules;
}

std::vector<key_description> describe_keys() {
    std::vector<key_description> all;
    const auto initial_of = [&](const std::string& section, const std::string& name) {
        const auto found = std::ranges::find_if(
            all, [&](const key_description& d) { return d.section == section && d.name == name; });
        return found == all.end() ? std::string{} : found->initial;
    };
    const auto add = [&]<class S>(const std::string& section, const section_rules<S>& rules,
                                  const std::string& overrides = {}) {
        for (const auto& r : rules) {
            all.push_back({section, r.name,
                           overrides.empty() ? r.write(S{}) : initial_of(overrides, r.name),
                           r.reloadable});
        }
    };
    for_each_global_section([&](const char* name, auto, const auto& rules) { add(name, rules); });
    add("cluster.NAME", cluster_rules());
    add("cluster.NAME.monitor", monitor_rules());
    add("cluster.NAME.node", node_rules());
    add("cluster.NAME.tls", server_tls_rules(), "server_tls");
    add("database.NAME", database_rules());
    add("database.NAME.pool", pool_rules(), "pool");
    add("database.NAME.timeouts", database_timeout_rules(), "timeouts");
    add("database.NAME.tls", server_tls_rules(), "server_tls");
    add("user.NAME", user_rules());
    add("user.NAME.pool", user_pool_rules(), "pool");
    add("user.NAME.timeouts", user_timeout_rules(), "timeouts");
    add("peer.ID", peer_rules());
    add("peer.ID.tls", server_tls_rules(), "server_tls");
    return all;
}

}  // namespace pgweir::config
