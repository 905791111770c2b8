// Every metric there is, by what it is about.
#include "pgweir/observe/prometheus.hpp"

#include "observe/exposition.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <span>
#include <utility>
#include <vector>

namespace pgweir::observe {
namespace {

using metrics::cluster_row;
using metrics::node_row;
using metrics::report;
using metrics::traffic;
using kind = family::kind;

std::string as_count(std::uint64_t n) { return number(n); }

// --- counters of databases

struct traffic_metric {
    std::uint64_t traffic::*counter;
    std::string_view name;
    std::string_view help;
    std::string (*print)(std::uint64_t) = as_count;
};
constexpr std::array traffic_metrics{
    traffic_metric{&traffic::transactions, "pgweir_transactions_total", "Transactions that ended."},
    traffic_metric{&traffic::queries, "pgweir_queries_total", "Queries that were answered."},
    traffic_metric{&traffic::bytes_received, "pgweir_received_bytes_total",
                   "Bytes received from clients."},
    traffic_metric{&traffic::bytes_sent, "pgweir_sent_bytes_total", "Bytes sent to clients."},
    traffic_metric{&traffic::transaction_us, "pgweir_transaction_seconds_total",
                   "Time spent in transactions.", seconds_of_us},
    traffic_metric{&traffic::query_us, "pgweir_query_seconds_total", "Time spent in queries.",
                   seconds_of_us},
    traffic_metric{&traffic::wait_us, "pgweir_client_wait_seconds_total",
                   "Time clients waited for a server.", seconds_of_us},
    traffic_metric{&traffic::server_assignments, "pgweir_server_assignments_total",
                   "Times a client was given a server."},
    traffic_metric{&traffic::client_logins, "pgweir_client_logins_total",
                   "Clients that logged in."},
    traffic_metric{&traffic::client_parses, "pgweir_client_parses_total",
                   "Named statements that clients prepared."},
    traffic_metric{&traffic::server_parses, "pgweir_server_parses_total",
                   "Statements prepared on servers."},
    traffic_metric{&traffic::binds, "pgweir_binds_total", "Executions of prepared statements."},
    traffic_metric{&traffic::statement_hits, "pgweir_statement_hits_total",
                   "Statements that a server knew already from another client."},
    traffic_metric{&traffic::statement_repairs, "pgweir_statement_repairs_total",
                   "Statements prepared again on a server that did not know them."},
    traffic_metric{&traffic::settings_changes, "pgweir_settings_changes_total",
                   "Round trips that gave a server its next client's settings."},
    traffic_metric{&traffic::cleanings, "pgweir_server_cleanings_total",
                   "Servers whose session state was removed."},
    traffic_metric{&traffic::recoveries, "pgweir_server_recoveries_total",
                   "Servers brought back from a client that left them busy."},
    traffic_metric{&traffic::moves, "pgweir_server_moves_total",
                   "Servers that changed to another worker."},
    traffic_metric{&traffic::cancels, "pgweir_cancels_total",
                   "Cancel requests sent to PostgreSQL."},
};
static_assert(sizeof(traffic) == traffic_metrics.size() * sizeof(std::uint64_t));

void write_traffic(std::string& out, const report& r) {
    for (const auto& m : traffic_metrics) {
        family f{out, m.name, kind::counter, m.help};
        for (const auto& row : r.traffics) {
            f.add({{"database", row.database}}, m.print(row.total.*m.counter));
        }
    }
}

// --- pools and memory

void write_pools(std::string& out, const report& r) {
    family clients{out, "pgweir_pool_clients", kind::gauge, "Clients of a pool by what they do."};
    for (const auto& p : r.pools) {
        const std::pair<const char*, unsigned> states[] = {
            {"active", p.clients_active}, {"idle", p.clients_idle}, {"waiting", p.clients_waiting}};
        for (const auto& [state, n] : states) {
            clients.add({{"database", p.database}, {"user", p.user}, {"state", state}}, n);
        }
    }
    family servers{out, "pgweir_pool_servers", kind::gauge,
                   "Server connections of a pool by state; each counts against the pool's size."};
    const auto add_servers = [&servers](std::vector<label> labels,
                                        const metrics::server_counts& counts) {
        auto& state = labels.emplace_back(label{"state", {}});
        for (std::size_t i = 0; i < counts.size(); ++i) {
            state.value = to_string(static_cast<metrics::server_state>(i));
            servers.add(labels, number(counts[i]));
        }
    };
    for (const auto& p : r.pools) {
        const std::vector<label> labels{{"database", p.database}, {"user", p.user}};
        if (p.nodes.empty()) {
            add_servers(labels, p.servers);
        }
        for (const auto& share : p.nodes) {
            auto with_node = labels;
            with_node.push_back({"node", share.node});
            add_servers(std::move(with_node), share.servers);
        }
    }
    family waits{out, "pgweir_pool_longest_wait_seconds", kind::gauge,
                 "How long the client that waits longest has waited for a server."};
    for (const auto& p : r.pools) {
        waits.add({{"database", p.database}, {"user", p.user}}, seconds_of_us(p.longest_wait_us));
    }
}

void write_memory(std::string& out, const report& r) {
    family bytes{out, "pgweir_memory_bytes", kind::gauge, "Memory by what it is used for."};
    for (const auto& m : r.memory) {
        bytes.add({{"kind", m.name}}, m.total);
    }
    family objects{out, "pgweir_memory_objects", kind::gauge,
                   "Objects in use, and those kept for reuse."};
    for (const auto& m : r.memory) {
        objects.add({{"kind", m.name}, {"state", "used"}}, m.used);
        objects.add({{"kind", m.name}, {"state", "free"}}, m.free);
    }
}

// --- users who are looked up

struct lookup_metric {
    std::string_view name;
    kind what;
    std::string_view help;
    std::uint64_t (*value)(const metrics::lookup_row&);
};
constexpr lookup_metric lookup_metrics[] = {
    {"pgweir_auth_query_connections", kind::gauge,
     "Connections over which users are looked up; in no pool's size.",
     [](const metrics::lookup_row& l) { return std::uint64_t{l.connections}; }},
    {"pgweir_auth_query_waiting", kind::gauge, "Users whom logins wait for.",
     [](const metrics::lookup_row& l) { return l.waiting; }},
    {"pgweir_auth_query_known_users", kind::gauge, "Users whose answer is kept.",
     [](const metrics::lookup_row& l) { return l.known; }},
    {"pgweir_auth_query_unknown_users", kind::gauge, "Names that are kept as nobody's.",
     [](const metrics::lookup_row& l) { return l.unknown; }},
    {"pgweir_auth_query_asked_total", kind::counter, "Questions sent to PostgreSQL.",
     [](const metrics::lookup_row& l) { return l.asked; }},
    {"pgweir_auth_query_reused_total", kind::counter, "Logins that needed no question.",
     [](const metrics::lookup_row& l) { return l.reused; }},
    {"pgweir_auth_query_failed_total", kind::counter, "Connections and questions that failed.",
     [](const metrics::lookup_row& l) { return l.failed; }},
    {"pgweir_auth_query_stale_total", kind::counter,
     "Logins by an old answer, since PostgreSQL could not be asked.",
     [](const metrics::lookup_row& l) { return l.stale; }},
};

void write_lookups(std::string& out, const report& r) {
    for (const auto& m : lookup_metrics) {
        family f{out, m.name, m.what, m.help};
        for (const auto& l : r.lookups) {
            f.add({{"place", l.place}, {"database", l.database}, {"user", l.user}},
                  number(m.value(l)));
        }
    }
}

void write_certificates(std::string& out, const report& r) {
    family expiry{out, "pgweir_certificate_not_after_seconds", kind::gauge,
                  "When a certificate of ours expires, in seconds since 1970."};
    for (const auto& c : r.certificates) {
        const auto at = std::chrono::system_clock::to_time_t(c.not_after);
        expiry.add({{"section", c.section}, {"file", c.file}},
                   static_cast<std::uint64_t>(std::max<std::time_t>(at, 0)));
    }
}

// --- the process

void write_process(std::string& out, const process_figures& p) {
    family{out, "pgweir_build_info", kind::gauge, "1, with the version of pgweir."}.add(
        {{"version", p.version}}, 1);
    struct figure {
        std::string_view name;
        kind what;
        std::string value;
        std::string_view help;
    };
    const figure figures[] = {
        {"pgweir_workers", kind::gauge, number(p.workers), "Threads that serve clients."},
        {"pgweir_clients", kind::gauge, number(p.clients),
         "Clients that have sent their startup packet."},
        {"pgweir_login_clients", kind::gauge, number(p.login_clients),
         "Connections that have not proved yet who they are."},
        {"pgweir_max_clients", kind::gauge, number(p.max_clients), "limits.max_clients."},
        {"pgweir_max_login_clients", kind::gauge, number(p.max_login_clients),
         "limits.max_login_clients."},
        {"process_cpu_seconds_total", kind::counter, seconds_of_us(p.cpu_us),
         "User and system CPU time."},
        {"process_resident_memory_bytes", kind::gauge, number(p.resident_bytes),
         "Resident memory."},
        {"process_max_fds", kind::gauge, number(p.max_descriptors),
         "Descriptors that may be open at once."},
        {"process_start_time_seconds", kind::gauge, std::to_string(p.started),
         "When the process started, in seconds since 1970."},
    };
    for (const auto& f : figures) {
        family{out, f.name, f.what, f.help}.add({}, f.value);
    }
    family refused{out, "pgweir_refused_connections_total", kind::counter,
                   "Connections closed without a word, by the limit that they met."};
    refused.add({{"reason", "full"}}, p.refused_full);
    refused.add({{"reason", "address_full"}}, p.refused_address_full);
    refused.add({{"reason", "too_fast"}}, p.refused_too_fast);
}

// --- clusters and their nodes

// One sample for each state, 1 for the present one, so that an alert can ask for any of them. A
// state that is not listed is shown all the same.
void add_states(family& f,
                std::vector<label> labels,
                std::string_view label_name,
                std::span<const std::string_view> states,
                std::string_view now) {
    auto& last = labels.emplace_back(label{label_name, {}});
    const auto add = [&](std::string_view state) {
        last.value = state;
        f.add(labels, number(state == now ? 1 : 0));
    };
    std::ranges::for_each(states, add);
    if (!now.empty() && std::ranges::find(states, now) == states.end()) {
        add(now);
    }
}

constexpr std::string_view write_modes[] = {"serve", "hold", "reject"};
constexpr std::string_view node_states[] = {"unknown", "standby", "claimant", "primary",
                                            "suspect", "down",    "fenced",   "quarantined"};
constexpr std::string_view read_qualities[] = {"none", "stale", "good"};

struct cluster_metric {
    std::string_view name;
    kind what;
    std::string_view help;
    std::string (*print)(const cluster_row&);  // empty: not known
};
std::string seconds_if_known(std::int64_t ms) {
    return ms < 0 ? std::string{} : seconds_of_ms(static_cast<std::uint64_t>(ms));
}
constexpr cluster_metric cluster_metrics[] = {
    {"pgweir_primary_epoch", kind::gauge, "Counts the grants of a primary.",
     [](const cluster_row& c) { return number(c.epoch); }},
    {"pgweir_primary_timeline", kind::gauge, "Timeline of the newest grant.",
     [](const cluster_row& c) { return number(c.tli); }},
    {"pgweir_primary_lease_seconds", kind::gauge,
     "What is left of the primary's lease; 0 while nothing new is sent to it.",
     [](const cluster_row& c) { return seconds_of_ms(c.lease_ms); }},
    {"pgweir_lease_least_seconds", kind::gauge,
     "The least that was left of the primary's lease before it was renewed, since its grant.",
     [](const cluster_row& c) { return seconds_if_known(c.lease_least_ms); }},
    {"pgweir_lease_lapses_total", kind::counter,
     "Times the primary's lease ran out before it was renewed.",
     [](const cluster_row& c) { return number(c.lease_lapses); }},
    {"pgweir_no_primary_seconds", kind::gauge,
     "For how long no primary has been served; 0 while one is.",
     [](const cluster_row& c) { return seconds_of_ms(c.unserved_ms); }},
    {"pgweir_split_brain", kind::gauge,
     "1 while more than one node of the cluster says that it is a primary.",
     [](const cluster_row& c) { return number(c.split_brain ? 1 : 0); }},
    {"pgweir_state_file_failed", kind::gauge, "1 while the state of the cluster cannot be written.",
     [](const cluster_row& c) { return number(c.metadata_error.empty() ? 0 : 1); }},
    {"pgweir_held_clients", kind::gauge, "Clients that wait for a primary.",
     [](const cluster_row& c) { return number(c.held_clients); }},
    {"pgweir_held_bytes", kind::gauge, "Requests of held clients that had been read already.",
     [](const cluster_row& c) { return number(c.held_bytes); }},
    {"pgweir_in_doubt_total", kind::counter,
     "Clients told that their statement may or may not have been executed (08007).",
     [](const cluster_row& c) { return number(c.in_doubt); }},
    {"pgweir_rolled_back_total", kind::counter,
     "Clients told that their open transaction was rolled back (08006).",
     [](const cluster_row& c) { return number(c.rolled_back); }},
    {"pgweir_hold_rejected_total", kind::counter,
     "Clients refused for want of a primary (57P03, 53300).",
     [](const cluster_row& c) { return number(c.hold_rejected); }},
    {"pgweir_fenced_conn_closed_total", kind::counter,
     "Server connections closed because their node lost its role.",
     [](const cluster_row& c) { return number(c.fenced_closed); }},
    {"pgweir_primary_doubts_total", kind::counter,
     "Writes paused for a moment, since a connection to the primary broke: is it all of it?",
     [](const cluster_row& c) { return number(c.doubts); }},
};

void write_clusters(std::string& out, const report& r) {
    family writes{out, "pgweir_cluster_writes", kind::gauge,
                  "What becomes of a transaction that wants the primary: 1 for the present mode."};
    for (const auto& c : r.clusters) {
        add_states(writes, {{"cluster", c.name}}, "mode", write_modes, c.writes);
    }
    for (const auto& m : cluster_metrics) {
        family f{out, m.name, m.what, m.help};
        for (const auto& c : r.clusters) {
            if (const auto value = m.print(c); !value.empty()) {
                f.add({{"cluster", c.name}}, value);
            }
        }
    }
    family failovers{out, "pgweir_failover_total", kind::counter,
                     "Times another node was served than before, by what ended the service of the "
                     "one before."};
    for (const auto& c : r.clusters) {
        for (const auto& [cause, count] : c.failovers_by_cause) {
            failovers.add({{"cluster", c.name}, {"cause", cause}}, count);
        }
    }
    family outages{out, "pgweir_failover_seconds", kind::histogram,
                   "From the end of one primary's service to the beginning of the next one's."};
    family holds{out, "pgweir_hold_seconds", kind::histogram,
                 "How long clients waited for a primary, served in the end or not."};
    for (const auto& c : r.clusters) {
        outages.add({"cluster", c.name}, c.failover_times);
    }
    for (const auto& c : r.clusters) {
        holds.add({"cluster", c.name}, c.hold_times);
    }
}

struct node_metric {
    std::string_view name;
    kind what;
    std::string_view help;
    std::string (*print)(const node_row&);  // empty: not known
};
constexpr node_metric node_metrics[] = {
    {"pgweir_timeline", kind::gauge, "Timeline of the node.",
     [](const node_row& n) { return n.tli == 0 ? std::string{} : number(n.tli); }},
    {"pgweir_replay_lag_bytes", kind::gauge, "What the node has still to replay.",
     [](const node_row& n) {
         return n.lag_bytes < 0 ? std::string{} : number(static_cast<std::uint64_t>(n.lag_bytes));
     }},
    {"pgweir_replay_lag_seconds", kind::gauge, "How far the node's replay is behind in time.",
     [](const node_row& n) { return seconds_if_known(n.lag_ms); }},
    {"pgweir_node_followers", kind::gauge, "Standbys that stream from the node.",
     [](const node_row& n) { return number(n.followers); }},
    {"pgweir_node_silence_seconds", kind::gauge, "Time since the node last answered.",
     [](const node_row& n) { return seconds_if_known(n.last_ok_ms); }},
    {"pgweir_probe_seconds", kind::gauge, "How long the last answered probe took.",
     [](const node_row& n) {
         return n.last_ok_ms < 0 ? std::string{} : seconds_of_us(n.probe_us);
     }},
};

void write_nodes(std::string& out, const report& r) {
    family states{out, "pgweir_node_state", kind::gauge,
                  "What the node is taken for: 1 for the present state."};
    for (const auto& n : r.nodes) {
        add_states(states, {{"cluster", n.cluster}, {"node", n.name}}, "state", node_states,
                   n.state);
    }
    family reads{out, "pgweir_node_reads", kind::gauge,
                 "How good the node is for reads: 1 for the present quality."};
    for (const auto& n : r.nodes) {
        add_states(reads, {{"cluster", n.cluster}, {"node", n.name}}, "quality", read_qualities,
                   n.reads);
    }
    for (const auto& m : node_metrics) {
        family f{out, m.name, m.what, m.help};
        for (const auto& n : r.nodes) {
            if (const auto value = m.print(n); !value.empty()) {
                f.add({{"cluster", n.cluster}, {"node", n.name}}, value);
            }
        }
    }
    family probes{out, "pgweir_probes_total", kind::counter, "Probes of the node by their result."};
    for (const auto& n : r.nodes) {
        for (const auto& [result, count] : n.probe_results) {
            probes.add({{"cluster", n.cluster}, {"node", n.name}, {"result", result}}, count);
        }
    }
}

// --- peers

void write_peers(std::string& out, const report& r) {
    family f{out, "pgweir_peer_cancels_total", kind::counter,
             "Cancel requests for another pgweir, by whether it took them."};
    for (const auto& p : r.peers) {
        const auto id = std::to_string(p.id);
        f.add({{"peer", id}, {"result", "taken"}}, number(p.cancels));
        f.add({{"peer", id}, {"result", "failed"}}, number(p.cancels_failed));
    }
}

}  // namespace

std::string to_prometheus(const report& r, const process_figures& process) {
    std::string out;
    write_process(out, process);
    write_pools(out, r);
    write_traffic(out, r);
    write_memory(out, r);
    write_certificates(out, r);
    write_clusters(out, r);
    write_nodes(out, r);
    write_lookups(out, r);
    write_peers(out, r);
    return out;
}

}  // namespace pgweir::observe
