// What the parts of pgweir say about themselves: plain rows, filled by workers, shown by the
// console.
#pragma once

#include "pgweir/base/histogram.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pgweir::metrics {

// Counters of one database on one worker. Written by that worker only; summed over workers.
struct traffic {
    std::uint64_t server_assignments = 0;
    std::uint64_t transactions = 0;
    std::uint64_t queries = 0;
    std::uint64_t bytes_received = 0;  // from clients
    std::uint64_t bytes_sent = 0;      // to clients
    std::uint64_t transaction_us = 0;
    std::uint64_t query_us = 0;
    std::uint64_t wait_us = 0;        // clients waiting for a server
    std::uint64_t client_parses = 0;  // named ones
    std::uint64_t server_parses = 0;
    std::uint64_t binds = 0;
    std::uint64_t client_logins = 0;
    // What pgweir did so that clients can share servers.
    std::uint64_t statement_hits = 0;     // client_parses that the server did not have to see
    std::uint64_t statement_repairs = 0;  // server_parses of what a client had prepared elsewhere
    std::uint64_t settings_changes =
        0;                         // round trips that gave a server its next client's settings
    std::uint64_t cleanings = 0;   // servers whose session state was removed
    std::uint64_t recoveries = 0;  // servers brought back from a client that left them busy
    std::uint64_t moves = 0;       // servers taken over from another worker
    std::uint64_t cancels = 0;     // cancel requests sent to PostgreSQL

    traffic& operator+=(const traffic& o) noexcept;
    // What was added since `before`, divided by `seconds`; transaction_us and query_us are per
    // item.
    [[nodiscard]] traffic rate_since(const traffic& before, unsigned seconds) const noexcept;
};

enum class client_state : std::uint8_t { login, idle, active, waiting };
// Every permit of a pool is in exactly one of these; see pool::permit.
enum class server_state : std::uint8_t {
    connecting,  // TCP connect and login
    idle,        // ready for the next client
    active,      // serving a client
    checking,    // was idle for long: must answer a Sync first
    cleaning,    // session state of the last client is being removed, or the next one's set
    cancelling,  // a cancel request for its query is under way
    moving,      // changing to another worker
    closing,     // told to end; the backend may still live
};
inline constexpr std::size_t server_state_count = 8;

[[nodiscard]] const char* to_string(client_state) noexcept;
[[nodiscard]] const char* to_string(server_state) noexcept;

struct client_row {
    std::uint64_t id = 0;
    std::string user, database, application_name;
    client_state state = client_state::login;
    std::string address;  // "127.0.0.1", "unix"
    int port = 0;
    std::string local_address;
    int local_port = 0;
    std::chrono::system_clock::time_point connected, last_request;
    std::uint64_t wait_us = 0;        // waiting since, 0 unless waiting
    std::uint64_t linked_server = 0;  // server_row::id, 0: none
    unsigned prepared_statements = 0;
    unsigned worker = 0;
    std::string tls{};  // "TLSv1.3/TLS_AES_256_GCM_SHA384"; empty: plain text
};

struct server_row {
    std::uint64_t id = 0;
    std::string user, database, application_name;
    server_state state = server_state::connecting;
    std::string address;
    int port = 0;
    std::string local_address;
    int local_port = 0;
    std::chrono::system_clock::time_point connected, last_request;
    bool close_needed = false;
    std::uint64_t linked_client = 0;
    std::int32_t backend_pid = 0;
    unsigned prepared_statements = 0;
    unsigned worker = 0;
    std::string tls{};
};

// A certificate that pgweir shows, and the section of the configuration that names it.
struct certificate_row {
    std::string section;  // "client_tls"
    std::string file;
    std::chrono::system_clock::time_point not_after;
};

using server_counts = std::array<unsigned, server_state_count>;  // by server_state

struct pool_row {
    // Its servers to one node of a cluster.
    struct share {
        std::string node;
        server_counts servers{};
    };

    std::string database, user, mode;
    unsigned clients_active = 0, clients_idle = 0, clients_waiting = 0;
    server_counts servers{};
    std::uint64_t longest_wait_us = 0;
    std::vector<share> nodes;  // `servers` by node, sorted; empty without a cluster
};

struct database_row {
    std::string name, host, dbname, forced_user, mode;
    std::uint16_t port = 0;
    unsigned pool_size = 0, min_pool_size = 0, reserve_size = 0;
    std::int64_t server_lifetime_s = 0;
    unsigned max_connections = 0, current_connections = 0;
    unsigned max_client_connections = 0, current_client_connections = 0;
    bool is_paused = false;  // by PAUSE
};

struct traffic_row {
    std::string database;
    traffic total;
    traffic average;  // per second over the last finished period; times are per item
};

// Objects or buffers of one kind.
struct memory_row {
    std::string name;
    std::uint64_t size = 0;  // bytes of one, without what it owns elsewhere
    std::uint64_t used = 0;
    std::uint64_t free = 0;   // kept for reuse
    std::uint64_t total = 0;  // bytes of all, with what they own elsewhere
};

// A prepared statement that clients of one pool share.
struct statement_row {
    std::string database, user;
    std::string name;              // on servers
    std::string query;             // the beginning of its text
    unsigned parameter_types = 0;  // those given with its text
    unsigned servers = 0;          // that hold it
    std::uint64_t binds = 0;
};

// A cluster of replicating nodes, and what is decided of it. Filled by the watch thread; only the
// held clients by workers.
struct cluster_row {
    std::string name, discovery;
    std::string writes;   // serve, hold, reject
    std::string cause;    // why no primary is served; "none" while one is
    std::string primary;  // the node; empty: none
    std::uint64_t epoch = 0;
    std::uint32_t tli = 0;  // the newest granted
    std::uint64_t system_identifier = 0;
    bool split_brain = false;
    std::uint64_t since_ms = 0;        // how long `cause` has been the cause
    std::uint64_t unserved_ms = 0;     // how long no primary has been served; 0 while one is
    std::uint64_t lease_ms = 0;        // left of the primary's lease
    std::int64_t lease_least_ms = -1;  // the least that was left since the grant; -1: not known
    std::uint64_t lease_lapses = 0;    // times it ran out before it was renewed
    std::uint64_t held_clients = 0, held_bytes = 0;
    std::uint64_t failovers = 0;  // another node is served than before
    // The same by what the one before was lost to: its cause, as above. Every cause there is.
    std::vector<std::pair<std::string, std::uint64_t>> failovers_by_cause;
    base::duration_counts failover_times;  // from the loss of one primary to the next one's service
    base::duration_counts hold_times;      // of clients that were held
    std::uint64_t in_doubt = 0;            // 08007 sent to clients
    std::uint64_t rolled_back = 0;         // 08006 sent for open transactions
    std::uint64_t hold_rejected = 0;       // 57P03 and 53300 sent to clients for want of a primary
    std::uint64_t fenced_closed = 0;  // server connections closed because their node lost its role
    std::uint64_t doubts = 0;         // writes paused, since a connection to the primary broke
    std::string metadata_error;       // why the state file cannot be written; empty: it can
};

// What SHOW NODES tells of a node.
struct node_row {
    std::string cluster, name, host;
    std::uint16_t port = 0;
    unsigned weight = 0;
    std::string state, reason, reads;  // as cluster::to_string() says them
    std::string contact;               // how the last probe ended
    std::string error;                 // its text; empty: it did not fail
    std::uint32_t tli = 0;
    std::uint64_t lsn = 0;
    std::int64_t lag_bytes = -1;  // -1: not known
    std::int64_t lag_ms = -1;
    std::uint64_t system_identifier = 0;
    int repmgr_id = -1;
    std::string repmgr_type;  // of its own row
    int repmgr_active = -1;   // -1: not known
    std::string upstream;     // whom it streams from
    unsigned followers = 0;
    std::string sync_state;        // as the primary's pg_stat_replication says
    std::int64_t last_ok_ms = -1;  // since it last answered; -1: never
    std::uint64_t probe_us = 0;    // how long its last answer took
    std::uint64_t probes = 0, probes_failed = 0;
    std::vector<std::pair<std::string, std::uint64_t>> probe_results;  // probes by `contact`
};

// A line of SHOW FAILOVER_LOG: a change of what is decided of a cluster, newest last.
struct failover_row {
    std::chrono::system_clock::time_point at;
    std::string cluster;
    std::string event;  // "grant", "hold", "serve", "reject", "fence", "node", "verb"
    std::uint64_t epoch = 0;
    std::string text;      // for people
    std::string evidence;  // JSON: all that was known of every node
};

// A place where users are looked up that the configuration does not name. Filled by the lookup
// thread.
struct lookup_row {
    std::string place;          // the cluster, or host and port
    std::string database;       // where auth_query is asked
    std::string user;           // whom pgweir logs in as
    unsigned connections = 0;   // open or opening; not in any pool's size
    std::uint64_t waiting = 0;  // users whom logins wait for
    std::uint64_t known = 0;    // users that are kept
    std::uint64_t unknown = 0;  // names of nobody that are kept
    std::uint64_t asked = 0;    // questions to PostgreSQL
    std::uint64_t reused = 0;   // logins answered by what was kept
    std::uint64_t failed = 0;   // connections and questions that failed
    std::uint64_t stale = 0;    // logins answered by what was kept for want of PostgreSQL
    std::string last_error;     // empty: none since the last connection
};

// What a console command needs; every worker fills in its part, the asker merges.
enum class part : std::uint16_t {
    clients = 1,
    servers = 2,
    pools = 4,
    databases = 8,
    traffic = 16,
    counts = 32,
    memory = 64,
    statements = 128,
    clusters = 256,
    client_memory = 512,  // what clients own, beside `memory`; looks at every client
    lookups = 1024
};

// Another pgweir behind the same name, and the cancel requests that were sent to it.
struct peer_row {
    unsigned id = 0;
    std::string host;
    std::uint16_t port = 0;
    bool is_self = false;
    std::uint64_t cancels = 0;
    std::uint64_t cancels_failed = 0;
};

struct report {
    std::vector<client_row> clients;
    std::vector<server_row> servers;
    std::vector<pool_row> pools;            // merged by (database, user), sorted
    std::vector<database_row> databases;    // sorted by name
    std::vector<traffic_row> traffics;      // merged and sorted by database
    std::vector<memory_row> memory;         // merged and sorted by name
    std::vector<statement_row> statements;  // merged and sorted by (database, user, name)
    std::vector<cluster_row> clusters;      // merged and sorted by name
    std::vector<node_row> nodes;            // in the order of the configuration
    std::vector<failover_row> failovers;
    std::vector<lookup_row> lookups;
    std::vector<certificate_row> certificates;
    std::vector<peer_row> peers;  // merged and sorted by id
    std::uint64_t used_clients = 0, login_clients = 0, used_servers = 0, free_servers = 0;
    std::uint64_t users = 0;

    // Adds another's part: appends clients, servers, nodes, failovers and lookups, sums what has
    // the same name. What is decided of a cluster is taken from whoever has decided.
    void merge(report&& other);
};

}  // namespace pgweir::metrics
