// The statements of a probe. Times are sent as ages in microseconds, so that the server's clock
// and time zone do not matter.
#include "watch/probe_query.hpp"

namespace pgweir::watch {
namespace {

// pg_is_in_recovery() is asked once (OFFSET 0 keeps it from being pulled up): a promotion amid the
// statement must not give half of each role. The timeline of a primary is that of the next WAL
// record; the control file's lags until the first checkpoint after a promotion. Of
// default_transaction_read_only only what the server itself was set to counts, not what the
// monitor's role or database was.
constexpr auto role_sql = R"(
SELECT r.in_recovery,
       CASE WHEN current_setting('default_transaction_read_only')::bool
            THEN (SELECT reset_val::bool AND source NOT IN
                         ('database', 'user', 'database user', 'client', 'session')
                    FROM pg_settings WHERE name = 'default_transaction_read_only')
            ELSE false END,
       s.system_identifier,
       CASE WHEN r.in_recovery THEN c.timeline_id
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint
       END,
       CASE WHEN r.in_recovery THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
            ELSE pg_current_wal_lsn() END,
       CASE WHEN r.in_recovery THEN pg_last_wal_replay_lsn() END,
       CASE WHEN r.in_recovery
            THEN (extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())
                  * 1000000)::bigint END,
       CASE WHEN r.in_recovery THEN pg_is_wal_replay_paused() ELSE false END,
       (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint
  FROM (SELECT pg_is_in_recovery() AS in_recovery OFFSET 0) r,
       pg_control_system() s, pg_control_checkpoint() c)";

constexpr auto receiver_sql = R"(
SELECT status, received_tli, sender_host, sender_port, slot_name,
       (extract(epoch FROM clock_timestamp() - last_msg_receipt_time) * 1000000)::bigint
  FROM pg_stat_wal_receiver)";

// reply_time is of the standby's clock: see sender_silence.
constexpr auto senders_sql = R"(
SELECT r.application_name, s.slot_name, r.state, r.sync_state, r.pid,
       (extract(epoch FROM r.reply_time) * 1000000)::bigint,
       (extract(epoch FROM clock_timestamp() - r.reply_time) * 1000000)::bigint
  FROM pg_stat_replication r LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid)";

constexpr auto slots_sql = "SELECT slot_name, active FROM pg_replication_slots";

constexpr auto repmgr_nodes_sql =
    "SELECT node_id, node_name, type, active, upstream_node_id, host, port "
    "FROM pgweir.repmgr_nodes()";

constexpr auto repmgr_table_sql =
    "SELECT node_id, node_name, type, active, upstream_node_id FROM repmgr.nodes";

constexpr auto repmgr_local_sql = "SELECT repmgr.get_local_node_id()";

constexpr auto repmgr_term_sql = "SELECT max(term) FROM repmgr.voting_term";

const char* sql_of(part p) noexcept {
    switch (p) {
        case part::role: return role_sql;
        case part::receiver: return receiver_sql;
        case part::senders: return senders_sql;
        case part::slots: return slots_sql;
        case part::repmgr_nodes: return repmgr_nodes_sql;
        case part::repmgr_table: return repmgr_table_sql;
        case part::repmgr_local: return repmgr_local_sql;
        case part::repmgr_term: return repmgr_term_sql;
    }
    return "";
}

constexpr bool is_of_repmgr(part p) noexcept {
    return p == part::repmgr_nodes || p == part::repmgr_table || p == part::repmgr_local ||
           p == part::repmgr_term;
}

}  // namespace

std::vector<part> parts_to_ask(bool uses_repmgr, part_set lacking) {
    std::vector<part> out;
    for (const auto p : all_parts) {
        const bool is_second_choice = p == part::repmgr_table && !lacking.has(part::repmgr_nodes);
        if (lacking.has(p) || is_second_choice || (is_of_repmgr(p) && !uses_repmgr)) {
            continue;
        }
        out.push_back(p);
    }
    return out;
}

std::string batch_of(std::span<const part> parts) {
    std::string out;
    for (const auto p : parts) {
        out += sql_of(p);
        out += ";";
    }
    return out;
}

std::string advice_on(part p, std::string_view sqlstate, std::string_view user) {
    std::string out = "role \"" + std::string{user} + "\" does not see ";
    out += to_string(p);
    const bool is_denied = sqlstate == "42501";
    switch (p) {
        case part::role:
        case part::slots:
            out +=
                "; grant it EXECUTE on pg_control_system(), pg_control_checkpoint() and the "
                "WAL functions, as PostgreSQL does by default";
            break;
        case part::receiver:
        case part::senders: out += "; run GRANT pg_monitor TO \"" + std::string{user} + "\""; break;
        case part::repmgr_nodes:
            out +=
                ", so that nodes cannot be discovered; run conf/monitor.sql in repmgr's database";
            break;
        case part::repmgr_table:
        case part::repmgr_local:
        case part::repmgr_term:
            out += is_denied ? "; run conf/monitor.sql in repmgr's database"
                             : "; is cluster.NAME.monitor_database the one with the extension "
                               "repmgr? If there is none, set discovery = \"static\"";
            break;
    }
    return out + " (SQLSTATE " + std::string{sqlstate} + ")";
}

const char* to_string(part p) noexcept {
    switch (p) {
        case part::role: return "the role of the server";
        case part::receiver: return "pg_stat_wal_receiver";
        case part::senders: return "pg_stat_replication";
        case part::slots: return "pg_replication_slots";
        case part::repmgr_nodes: return "pgweir.repmgr_nodes()";
        case part::repmgr_table: return "repmgr.nodes";
        case part::repmgr_local: return "repmgr.get_local_node_id()";
        case part::repmgr_term: return "repmgr.voting_term";
    }
    return "";
}

}  // namespace pgweir::watch
