// Edit distance and the table of PgBouncer's names.
#include "config/suggestion.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

namespace pgweir::config {

namespace {

// Longer names are never suggested for: keeps the work bounded on hostile files.
constexpr std::size_t longest_name = 64;

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::array<std::size_t, longest_name + 1> row{};
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i);
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
        }
    }
    return row[b.size()];
}

using renamed = std::pair<std::string_view, std::string_view>;
constexpr std::array<renamed, 58> pgbouncer_names{{
    {"auth_type", "auth.method"},
    {"client_idle_timeout", "timeouts.client_idle"},
    {"client_login_timeout", "timeouts.client_login"},
    {"default_pool_size", "pool.size"},
    {"idle_transaction_timeout", "timeouts.idle_in_transaction"},
    {"listen_addr", "listen.addresses"},
    {"listen_address", "listen.addresses"},
    {"listen_backlog", "listen.backlog"},
    {"listen_port", "listen.port"},
    {"log_connections", "log.connections"},
    {"log_disconnections", "log.connections"},
    {"logfile", "log.file"},
    {"max_client_conn", "limits.max_clients"},
    {"max_clients_conn", "limits.max_clients"},
    {"max_db_client_connections", "database.NAME.max_client_connections"},
    {"max_db_connections", "database.NAME.max_server_connections"},
    {"max_user_client_connections", "user.NAME.max_client_connections"},
    {"max_user_connections", "user.NAME.max_server_connections"},
    {"auth_file", "auth.user_file"},
    {"auth_dbname", "auth.auth_database"},
    {"admin_users", "user.NAME.console"},
    {"stats_users", "user.NAME.console"},
    {"max_prepared_statements", "pool.max_prepared_statements"},
    {"min_pool_size", "pool.min_size"},
    {"pool_mode", "pool.mode"},
    {"pool_size", "pool.size"},
    {"query_timeout", "timeouts.query"},
    {"query_wait_timeout", "timeouts.query_wait"},
    {"reserve_pool", "pool.reserve_size"},
    {"reserve_pool_size", "pool.reserve_size"},
    {"reserve_pool_timeout", "pool.reserve_after"},
    {"peer_id", "peers.id"},
    {"server_check_delay", "pool.server_check_delay"},
    {"server_connect_timeout", "pool.server_connect_timeout"},
    {"server_idle_timeout", "pool.server_idle_timeout"},
    {"server_lifetime", "pool.server_lifetime"},
    {"server_reset_query_always", "pool.clean"},
    {"tcp_keepalive", "tcp.keepalive"},
    {"tcp_keepcnt", "tcp.keepalive_count"},
    {"tcp_keepidle", "tcp.keepalive_idle"},
    {"tcp_keepintvl", "tcp.keepalive_interval"},
    {"tcp_user_timeout", "tcp.user_timeout"},
    {"transaction_timeout", "timeouts.transaction"},
    {"unix_socket_dir", "listen.unix_socket_dir"},
    {"unix_socket_mode", "listen.unix_socket_mode"},
    {"client_tls_sslmode", "client_tls.mode"},
    {"client_tls_key_file", "client_tls.key"},
    {"client_tls_cert_file", "client_tls.certificate"},
    {"client_tls_ca_file", "client_tls.ca"},
    {"client_tls_protocols", "client_tls.min_version"},
    {"client_tls_ciphers", "client_tls.ciphers"},
    {"client_tls13_ciphers", "client_tls.cipher_suites"},
    {"client_tls_ecdhcurve", "client_tls.groups"},
    {"server_tls_sslmode", "server_tls.sslmode"},
    {"server_tls_ca_file", "server_tls.sslrootcert"},
    {"server_tls_key_file", "server_tls.sslkey"},
    {"server_tls_cert_file", "server_tls.sslcert"},
    {"server_tls_protocols", "server_tls.ssl_min_protocol_version"},
}};

}  // namespace

std::string_view nearest(std::string_view name, const std::vector<std::string_view>& candidates) {
    if (name.empty() || name.size() > longest_name) {
        return {};
    }
    std::string_view best;
    // One slip in three letters still looks like the word that was meant.
    std::size_t limit = std::max<std::size_t>(1, name.size() / 3);
    for (const auto candidate : candidates) {
        if (candidate.size() > longest_name) {
            continue;
        }
        const auto distance = edit_distance(name, candidate);
        if (distance <= limit && (best.empty() || distance < limit)) {
            best = candidate;
            limit = distance;
        }
    }
    return best;
}

std::string_view from_pgbouncer(std::string_view name) {
    const auto found = std::ranges::find(pgbouncer_names, name, &renamed::first);
    return found == pgbouncer_names.end() ? std::string_view{} : found->second;
}

}  // namespace pgweir::config
