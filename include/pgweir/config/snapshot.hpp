// The whole configuration as one immutable value, validated before anyone sees it.
#pragma once

#include "pgweir/base/secret.hpp"
#include "pgweir/config/tls_settings.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pgweir::auth {
class access_rules;
}

namespace pgweir::config {

using milliseconds = std::chrono::milliseconds;

// When a server is given back: at the client's end, at the transaction's end, or after each query.
enum class pool_mode : std::uint8_t { session, transaction, statement };
// When a server is cleaned between two clients in transaction and statement mode: only after its
// client did something that leaves session state behind, or always.
enum class cleaning : std::uint8_t { when_dirty, always };
// How clients log in: all in one way, or as the rules of a pg_hba.conf say.
enum class login_method : std::uint8_t { trust, password, md5, scram_sha_256, hba };
enum class log_format : std::uint8_t { text, json };
// In the order of what they may do. `hint` may do RECHECK and nothing else: it is for repmgr's
// hooks.
enum class console_role : std::uint8_t { none, hint, stats, admin };
// Where the nodes of a cluster are known from.
enum class discovery : std::uint8_t { fixed /* "static" */, repmgr, patroni };
// What clients of a database with a cluster want. All but `primary` are for reading: their
// transactions are read-only unless they say otherwise.
enum class access_target : std::uint8_t { primary, standby, prefer_standby, any };
// The newest version of the protocol that servers are asked for.
enum class server_protocol : std::uint8_t { v3_0, v3_2 };
// How reads are spread over the nodes that may serve them.
enum class balancing : std::uint8_t {
    round_robin,
    least_connections,
    weighted_least_connections,
    hash
};
enum class hash_key : std::uint8_t { user, database, application_name, client_address };
// See cluster::isolation_guard and cluster::cold_start.
enum class isolation_guard : std::uint8_t { off, hold, reject };
enum class cold_start : std::uint8_t { majority, self };

[[nodiscard]] const char* to_string(pool_mode) noexcept;
[[nodiscard]] const char* to_string(cleaning) noexcept;
[[nodiscard]] const char* to_string(login_method) noexcept;
[[nodiscard]] const char* to_string(console_role) noexcept;
[[nodiscard]] const char* to_string(discovery) noexcept;
[[nodiscard]] const char* to_string(access_target) noexcept;
[[nodiscard]] const char* to_string(balancing) noexcept;
[[nodiscard]] const char* to_string(hash_key) noexcept;
[[nodiscard]] const char* to_string(isolation_guard) noexcept;
[[nodiscard]] const char* to_string(cold_start) noexcept;

// [listen]; needs a restart.
struct listen_settings {
    std::vector<std::string> addresses{"127.0.0.1"};  // IPv4/IPv6 literals or names; "*" = all
    std::uint16_t port = 6432;
    std::string unix_socket_dir;  // empty: no unix socket; else DIR/.s.PGSQL.<port>
    std::uint32_t unix_socket_mode = 0777;
    int backlog = 4096;
};

// [log]; level is reloaded.
struct log_settings {
    std::string level = "info";  // trace, debug, info, warn, error
    log_format format = log_format::text;
    std::string file;          // empty: standard error
    bool connections = false;  // one line a client that comes and goes
};

// [workers]; needs a restart.
struct worker_settings {
    unsigned count = 0;  // 0: one a core
};

// Where to look up users that the configuration does not name. A database's own values come first,
// then those of its cluster, then [auth]'s. Nobody is looked up where `user` is empty in all three.
struct auth_query_settings {
    std::string user;  // whom pgweir logs in as to ask
    base::secret password;
    std::string query;     // answers $1, a user, with two columns: the user and rolpassword
    std::string database;  // where it is asked
};

// [auth]
struct auth_settings {
    login_method method = login_method::scram_sha_256;
    std::string hba_file;    // with method hba; relative: beside the configuration file
    std::string ident_file;  // likewise; empty: there are no maps
    std::string user_file;   // users beside the sections, in PgBouncer's format; empty: none
    milliseconds failure_delay{250};  // before a login that failed is answered
    std::string auth_user;            // as in auth_query_settings, and the next three
    base::secret auth_password;
    std::string auth_query =
        "SELECT rolname, CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL ELSE rolpassword END "
        "FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin";
    std::string auth_database = "postgres";
    milliseconds auth_ttl{10'000};          // an answer is used this long
    milliseconds auth_negative_ttl{5'000};  // likewise that there is no such user
    milliseconds auth_refresh{1'000};       // a refused password asks again at most this often
    milliseconds auth_stale{300'000};       // beyond auth_ttl, while PostgreSQL cannot be asked
    milliseconds auth_timeout{5'000};       // how long one look-up may take
    unsigned auth_connections = 2;          // to one place; outside of every pool's size
    unsigned auth_cache_size = 10'000;      // users of one place that are kept, and as many unknown
};

// [limits]
struct limit_settings {
    unsigned max_clients = 10'000;
    unsigned max_login_clients = 2'000;  // connections that have not proved yet who they are
    unsigned max_login_clients_per_address = 1'000;  // of these, from one address; 0: no limit
    unsigned login_rate_per_address = 0;             // new connections a second; 0: no limit
};

// [tcp]; both legs.
struct tcp_settings {
    bool keepalive = true;
    std::chrono::seconds keepalive_idle{60};
    std::chrono::seconds keepalive_interval{10};
    int keepalive_count = 6;
    milliseconds user_timeout{60'000};  // TCP_USER_TIMEOUT; 0: the kernel's default
};

// [timeouts]: what a client may take; 0 = no limit.
struct timeout_settings {
    milliseconds client_login{60'000};
    milliseconds client_idle{0};       // no query and no transaction
    milliseconds query{0};             // one query running on a server
    milliseconds query_wait{120'000};  // waiting for a server
    milliseconds idle_in_transaction{0};
    milliseconds transaction{0};
    milliseconds client_stall{60'000};  // reading nothing of an answer while others wait
    milliseconds shutdown{30'000};      // SIGTERM: how long transactions may take to finish
};

// [pool], and what a database or a user says differently.
struct pool_settings {
    pool_mode mode = pool_mode::transaction;
    unsigned size = 20;  // server connections of one (database, user)
    unsigned min_size = 0;
    unsigned reserve_size = 0;  // further ones, once a client waited reserve_after
    milliseconds reserve_after{5'000};
    unsigned max_parallel_connects = 4;  // server logins under way at once, a pool
    milliseconds server_connect_timeout{15'000};
    milliseconds server_lifetime{3'600'000};
    milliseconds server_idle_timeout{600'000};
    milliseconds server_check_delay{30'000};  // idle for longer: a Sync must be answered before use
    milliseconds server_close_timeout{
        5'000};  // a closing backend's permit returns at the latest then
    cleaning clean = cleaning::when_dirty;
    // Named prepared statements that one server keeps for its clients; 0: they last a transaction.
    unsigned max_prepared_statements = 200;
};

// [http]: metrics and health, for Prometheus and orchestrators; needs a restart.
struct http_settings {
    std::vector<std::string> addresses;  // empty: no HTTP at all
    std::uint16_t port = 9127;
};

// [process]; needs a restart.
struct process_settings {
    std::string state_dir = "/var/lib/pgweir";  // what must survive a restart
    std::string user;         // whom to become where root has started it; empty: nobody
    std::string group;        // in place of that user's own; empty: that
    bool core_dumps = false;  // they hold what passes through, and secrets
};

// [[cluster.NAME.node]]
struct node_settings {
    std::string name;  // as repmgr's node_name, where repmgr is used
    std::string host;  // name or address; a name is resolved at every connect
    std::uint16_t port = 5432;
    unsigned weight = 100;         // of its share of reads; 0: none
    std::optional<int> repmgr_id;  // absent: known by its name
    std::uint16_t patroni_port = 8008;

    friend bool operator==(const node_settings&, const node_settings&) = default;
};

// [cluster.NAME]: nodes that replicate one database system, one of which may be written to.
struct cluster_settings {
    std::string name;
    std::vector<node_settings> nodes;  // at least one; with discovery, those to begin with
    discovery how = discovery::fixed;

    // How the monitor logs in: conf/monitor.sql makes such a role.
    std::string monitor_user = "pgweir_monitor";
    base::secret monitor_password;
    std::string monitor_database = "postgres";  // of repmgr's metadata where repmgr is used
    std::string monitor_sslmode = "prefer";     // as libpq's
    std::string monitor_sslrootcert;            // likewise; empty: none
    auth::binding_policy monitor_channel_binding = auth::binding_policy::prefer;

    std::string state_file;  // what must survive a restart; empty: [process] state_dir/NAME.cluster
    std::uint64_t system_identifier = 0;  // 0: learned from the first majority that agrees
    isolation_guard guard = isolation_guard::hold;
    cold_start start = cold_start::majority;

    milliseconds check_interval{1'000};
    milliseconds quick_interval{50};  // while something smells
    milliseconds probe_timeout{500};
    milliseconds connect_timeout{1'000};
    milliseconds lease{2'500};
    milliseconds conflict_hold{5'000};
    milliseconds partition_grace{10'000};
    milliseconds rogue_after{5'000};
    milliseconds follower_silence{15'000};

    server_tls_settings tls;  // [server_tls] with [cluster.NAME.tls] laid over it

    // While no primary may be written to, clients without an open transaction wait.
    milliseconds hold_timeout{30'000};  // at most this long, then 57P03
    unsigned hold_max_clients = 10'000;
    std::uint64_t hold_max_bytes = 64ULL * 1024 * 1024;  // of requests that had been read already
    milliseconds switchover_timeout{30'000};             // SWITCHOVER without TIMEOUT

    // Standbys that may be read from.
    balancing balance = balancing::least_connections;
    hash_key hash_by = hash_key::user;
    std::uint64_t max_lag_bytes = 16ULL * 1024 * 1024;  // 0: no limit
    milliseconds max_lag{10'000};                       // 0: no limit
    milliseconds slow_start{30'000};   // a node that is back gets its full share after this long
    unsigned min_standby_servers = 2;  // of each pool, kept open to each standby, for its promotion

    // See auth_query_settings.
    std::string auth_user;
    base::secret auth_password;
    std::string auth_query;
    std::string auth_database;
};

// [database.NAME]; "*" stands for every database not named.
struct database_settings {
    std::string name;  // as clients call it, or "*"
    std::string host =
        "127.0.0.1";  // name, address, or directory of a unix socket ("/run/postgresql")
    std::uint16_t port = 5432;
    std::string cluster;  // a section [cluster.NAME] in place of host and port; empty: none
    access_target target = access_target::primary;  // with a cluster; a client may say otherwise
    std::string dbname;                             // on the server; empty: as the client calls it
    server_protocol protocol = server_protocol::v3_2;  // the newest to ask servers for
    std::string user;           // forced user towards the server; empty: the client's
    base::secret password;      // of the forced user: plain, "md5..." or a ClientKey is not stored
    pool_settings pool;         // [pool] with this database's keys laid over it
    timeout_settings timeouts;  // [timeouts] with this database's keys laid over it
    server_tls_settings tls;    // [server_tls] or its cluster's, with its own keys laid over it
    unsigned max_server_connections = 0;  // over all its pools; 0 = no limit
    unsigned max_client_connections = 0;

    // See auth_query_settings.
    std::string auth_user;
    base::secret auth_password;
    std::string auth_query;
    std::string auth_database;
};

// What one user says differently; absent = as the database says.
struct user_pool_overrides {
    std::optional<pool_mode> mode;
    std::optional<unsigned> size;
    std::optional<unsigned> min_size;
    std::optional<unsigned> reserve_size;
};
struct user_timeout_overrides {
    std::optional<milliseconds> client_idle;
    std::optional<milliseconds> query;
    std::optional<milliseconds> query_wait;
    std::optional<milliseconds> idle_in_transaction;
    std::optional<milliseconds> transaction;
    std::optional<milliseconds> client_stall;
};

// [user.NAME]
struct user_settings {
    std::string name;
    base::secret password;  // plain, "md5" + 32 hex digits, or "SCRAM-SHA-256$..." as in pg_authid
    // Plain password that pgweir presents to the server where `password` is a verifier that differs
    // from the server's, or md5; absent: password itself, or SCRAM pass-through.
    base::secret server_password;
    console_role console = console_role::none;
    user_pool_overrides pool;
    user_timeout_overrides timeouts;
    unsigned max_server_connections = 0;  // over all pools of this user; 0 = no limit
    unsigned max_client_connections = 0;
};

// [peer.ID]: another pgweir behind the same name, which may be sent a cancel request that is for
// it.
struct peer_settings {
    std::string host;  // name, address, or directory of a unix socket
    std::uint16_t port = 6432;
    server_tls_settings tls;  // [server_tls] with [peer.ID.tls] laid over it

    friend bool operator==(const peer_settings&, const peer_settings&) = default;
};
// Peers are told apart by a number in the cancel keys they give out.
inline constexpr unsigned max_peer_id = 31;

// One key as SHOW CONFIG prints it.
struct effective_key {
    std::string key;      // "pool.size"
    std::string value;    // as it would be written in TOML; secrets as "********"
    std::string initial;  // the default
    bool reloadable = false;
};

// What a file of rules for logins must not hold.
struct refused_line {
    std::string file;
    unsigned line = 0;  // 1-based; 0: the file as a whole
    std::string error;
};

// Immutable once loaded; shared by all threads through shared_ptr<const snapshot>.
struct snapshot {
    std::string path;  // the file it was read from
    listen_settings listen;
    log_settings log;
    worker_settings workers;
    auth_settings auth;
    limit_settings limits;
    tcp_settings tcp;
    timeout_settings timeouts;
    pool_settings pool;
    http_settings http;
    std::shared_ptr<const auth::access_rules> access;  // null unless auth.method is hba
    // Why the files of rules that the last reload found are not in force; empty: they are.
    std::vector<refused_line> refused_rules;
    client_tls_settings client_tls;
    server_tls_settings server_tls;
    process_settings process;
    std::map<std::string, cluster_settings, std::less<>> clusters;
    std::map<std::string, database_settings, std::less<>> databases;  // by name, "*" among them
    std::map<std::string, user_settings, std::less<>> users;
    unsigned peer_id = 0;                     // [peers]; 0: there are no others
    std::map<unsigned, peer_settings> peers;  // perhaps this one among them
    std::vector<effective_key> keys;          // global sections only, sorted by key
    // What is allowed and dangerous; one readable line each.
    std::vector<std::string> warnings;

    // The database a client asked for: its own section, else "*", else null.
    [[nodiscard]] const database_settings* find_database(std::string_view name) const;
    [[nodiscard]] const user_settings* find_user(std::string_view name) const;
};

// Pool and timeouts of (database, user): the database's, with the user's overrides laid over.
[[nodiscard]] pool_settings effective_pool(const database_settings&, const user_settings*);
[[nodiscard]] timeout_settings effective_timeouts(const database_settings&, const user_settings*);
// How users of a database are looked up that the configuration does not name; nothing: they are
// not.
[[nodiscard]] std::optional<auth_query_settings> find_auth_query(const snapshot&,
                                                                 const database_settings&);
// Is there one? Cheaper than to find it.
[[nodiscard]] bool has_auth_query(const snapshot&, const database_settings&) noexcept;
// Where the state of a cluster is kept: its state_file, or the file in state_dir that is named
// after it.
[[nodiscard]] std::string state_path(const snapshot&, const cluster_settings&);

}  // namespace pgweir::config
