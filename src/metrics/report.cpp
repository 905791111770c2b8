// How the rows of several workers become one answer.
#include "pgweir/metrics/report.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <tuple>
#include <utility>

namespace pgweir::metrics {
namespace {

constexpr std::array all_counters{
    &traffic::server_assignments,
    &traffic::transactions,
    &traffic::queries,
    &traffic::bytes_received,
    &traffic::bytes_sent,
    &traffic::transaction_us,
    &traffic::query_us,
    &traffic::wait_us,
    &traffic::client_parses,
    &traffic::server_parses,
    &traffic::binds,
    &traffic::client_logins,
    &traffic::statement_hits,
    &traffic::statement_repairs,
    &traffic::settings_changes,
    &traffic::cleanings,
    &traffic::recoveries,
    &traffic::moves,
    &traffic::cancels,
};
static_assert(sizeof(traffic) == all_counters.size() * sizeof(std::uint64_t));

template <class Row>
void append(std::vector<Row>& to, std::vector<Row>&& from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

// Appends `from` to `to`, sorts by `key` and folds rows of the same key into the first of them.
template <class Row, class Key, class Fold>
void merge_by(std::vector<Row>& to, std::vector<Row>&& from, Key key, Fold fold) {
    append(to, std::move(from));
    std::stable_sort(to.begin(), to.end(),
                     [&](const Row& a, const Row& b) { return key(a) < key(b); });
    std::size_t kept = 0;
    for (std::size_t i = 0; i < to.size(); ++i) {
        if (kept > 0 && key(to[kept - 1]) == key(to[i])) {
            fold(to[kept - 1], to[i]);
            continue;
        }
        if (kept != i) {
            to[kept] = std::move(to[i]);
        }
        ++kept;
    }
    to.resize(kept);
}

void add_servers(server_counts& to, const server_counts& from) {
    for (std::size_t i = 0; i < to.size(); ++i) {
        to[i] += from[i];
    }
}

void add_pool(pool_row& to, const pool_row& from) {
    to.clients_active += from.clients_active;
    to.clients_idle += from.clients_idle;
    to.clients_waiting += from.clients_waiting;
    add_servers(to.servers, from.servers);
    to.longest_wait_us = std::max(to.longest_wait_us, from.longest_wait_us);
    for (const auto& share : from.nodes) {
        const auto at = std::ranges::lower_bound(to.nodes, share.node, {}, &pool_row::share::node);
        if (at == to.nodes.end() || at->node != share.node) {
            to.nodes.insert(at, share);
        } else {
            add_servers(at->servers, share.servers);
        }
    }
}

void add_database(database_row& to, const database_row& from) {
    to.current_connections += from.current_connections;
    to.current_client_connections += from.current_client_connections;
}

void add_memory(memory_row& to, const memory_row& from) {
    to.used += from.used;
    to.free += from.free;
    to.total += from.total;
}

// A server takes its statements along when it changes workers.
void add_statement(statement_row& to, const statement_row& from) {
    to.servers += from.servers;
    to.binds += from.binds;
}

void add_peer(peer_row& to, const peer_row& from) {
    to.cancels += from.cancels;
    to.cancels_failed += from.cancels_failed;
}

// What is decided comes from the one side that decides.
void add_cluster(cluster_row& to, const cluster_row& from) {
    const cluster_row counted = to.writes.empty() ? std::exchange(to, from) : from;
    to.held_clients += counted.held_clients;
    to.held_bytes += counted.held_bytes;
    to.in_doubt += counted.in_doubt;
    to.rolled_back += counted.rolled_back;
    to.hold_rejected += counted.hold_rejected;
    to.fenced_closed += counted.fenced_closed;
    to.doubts += counted.doubts;
}

// The mean of two means. Two products of large counters may not fit 64 bits.
std::uint64_t weighted(std::uint64_t a,
                       std::uint64_t a_count,
                       std::uint64_t b,
                       std::uint64_t b_count) {
    const auto count = static_cast<double>(a_count) + static_cast<double>(b_count);
    if (count == 0) {
        // Rates below one a second are rounded to 0 and say nothing about who did more.
        return std::max(a, b);
    }
    return static_cast<std::uint64_t>((static_cast<double>(a) * static_cast<double>(a_count) +
                                       static_cast<double>(b) * static_cast<double>(b_count)) /
                                      count);
}

void add_traffic(traffic_row& to, const traffic_row& from) {
    to.total += from.total;
    // Rates add up; a time per item is the mean over both workers' items.
    const auto transaction_us = weighted(to.average.transaction_us, to.average.transactions,
                                         from.average.transaction_us, from.average.transactions);
    const auto query_us = weighted(to.average.query_us, to.average.queries, from.average.query_us,
                                   from.average.queries);
    to.average += from.average;
    to.average.transaction_us = transaction_us;
    to.average.query_us = query_us;
}

}  // namespace

traffic& traffic::operator+=(const traffic& o) noexcept {
    for (const auto counter : all_counters) {
        this->*counter += o.*counter;
    }
    return *this;
}

traffic traffic::rate_since(const traffic& before, unsigned seconds) const noexcept {
    traffic t;
    for (const auto counter : all_counters) {
        t.*counter = this->*counter - before.*counter;
    }
    const auto each = [](std::uint64_t time, std::uint64_t count) {
        return count == 0 ? 0 : time / count;
    };
    const auto of_transaction = each(t.transaction_us, t.transactions);
    const auto of_query = each(t.query_us, t.queries);
    for (const auto counter : all_counters) {
        t.*counter /= seconds;
    }
    t.transaction_us = of_transaction;
    t.query_us = of_query;
    return t;
}

const char* to_string(client_state s) noexcept {
    switch (s) {
        case client_state::login: return "login";
        case client_state::idle: return "idle";
        case client_state::active: return "active";
        case client_state::waiting: return "waiting";
    }
    return "unknown";
}

const char* to_string(server_state s) noexcept {
    switch (s) {
        case server_state::connecting: return "connecting";
        case server_state::idle: return "idle";
        case server_state::active: return "active";
        case server_state::checking: return "checking";
        case server_state::cleaning: return "cleaning";
        case server_state::cancelling: return "cancelling";
        case server_state::moving: return "moving";
        case server_state::closing: return "closing";
    }
    return "unknown";
}

void report::merge(report&& other) {
    append(clients, std::move(other.clients));
    append(servers, std::move(other.servers));
    append(nodes, std::move(other.nodes));
    append(failovers, std::move(other.failovers));
    append(lookups, std::move(other.lookups));
    merge_by(
        peers, std::move(other.peers), [](const peer_row& r) { return std::tie(r.id); }, add_peer);
    merge_by(
        pools, std::move(other.pools),
        [](const pool_row& r) { return std::tie(r.database, r.user); }, add_pool);
    merge_by(
        databases, std::move(other.databases),
        [](const database_row& r) { return std::tie(r.name); }, add_database);
    merge_by(
        traffics, std::move(other.traffics),
        [](const traffic_row& r) { return std::tie(r.database); }, add_traffic);
    merge_by(
        memory, std::move(other.memory), [](const memory_row& r) { return std::tie(r.name); },
        add_memory);
    merge_by(
        statements, std::move(other.statements),
        [](const statement_row& r) { return std::tie(r.database, r.user, r.name); }, add_statement);
    merge_by(
        clusters, std::move(other.clusters), [](const cluster_row& r) { return std::tie(r.name); },
        add_cluster);
    used_clients += other.used_clients;
    login_clients += other.login_clients;
    used_servers += other.used_servers;
    free_servers += other.free_servers;
    // Every worker knows the same users.
    users = std::max(users, other.users);
}

}  // namespace pgweir::metrics
