// The columns that PgBouncer's users parse: names, types and order of every SHOW.
#include "admin/console_dialogue.hpp"

namespace pgweir::admin {
namespace {

std::string columns_of(const char* sql) {
    return columns(first(console_client{}.send(query(sql)), 'T'));
}

TEST(console_columns, of_version) { EXPECT_EQ(columns_of("SHOW VERSION"), "version:25"); }

TEST(console_columns, of_databases) {
    EXPECT_EQ(columns_of("SHOW DATABASES"),
              "name:25 host:25 port:23 database:25 force_user:25 pool_size:23 min_pool_size:23 "
              "reserve_pool_size:23 server_lifetime:23 pool_mode:25 load_balance_hosts:25 "
              "max_connections:23 current_connections:23 max_client_connections:23 "
              "current_client_connections:23 paused:23 disabled:23");
}

TEST(console_columns, of_pools_end_with_our_states_and_the_nodes) {
    EXPECT_EQ(columns_of("SHOW POOLS"),
              "database:25 user:25 cl_active:23 cl_waiting:23 cl_active_cancel_req:23 "
              "cl_waiting_cancel_req:23 sv_active:23 sv_active_cancel:23 sv_being_canceled:23 "
              "sv_idle:23 sv_used:23 sv_tested:23 sv_login:23 maxwait:23 maxwait_us:23 "
              "pool_mode:25 load_balance_hosts:25 "
              "sv_connecting:23 sv_checking:23 sv_cleaning:23 sv_cancelling:23 sv_moving:23 "
              "sv_closing:23 nodes:25");
}

constexpr auto connection =
    "type:25 user:25 database:25 replication:25 state:25 addr:25 port:23 local_addr:25 "
    "local_port:23 connect_time:25 request_time:25 wait:23 wait_us:23 close_needed:23 ptr:25 "
    "link:25 remote_pid:23 tls:25 application_name:25 prepared_statements:23 id:23";

TEST(console_columns, of_clients_end_with_the_worker) {
    EXPECT_EQ(columns_of("SHOW CLIENTS"), std::string{connection} + " worker:23");
}

TEST(console_columns, of_servers_end_with_our_state_and_the_worker) {
    EXPECT_EQ(columns_of("SHOW SERVERS"), std::string{connection} + " permit_state:25 worker:23");
}

// What we count behind PgBouncer's columns.
std::string sharing(const std::string& prefix) {
    std::string all;
    for (const auto* name : {"statement_hit", "statement_repair", "settings_change", "server_clean",
                             "server_recovery", "server_move", "cancel"}) {
        all += " " + prefix + name + "_count:1700";
    }
    return all;
}

TEST(console_columns, of_stats) {
    EXPECT_EQ(columns_of("SHOW STATS"),
              "database:25 total_server_assignment_count:1700 total_xact_count:1700 "
              "total_query_count:1700 total_received:1700 total_sent:1700 total_xact_time:1700 "
              "total_query_time:1700 total_wait_time:1700 total_client_parse_count:1700 "
              "total_server_parse_count:1700 total_bind_count:1700 total_client_login_count:1700 "
              "avg_server_assignment_count:1700 avg_xact_count:1700 avg_query_count:1700 "
              "avg_recv:1700 avg_sent:1700 avg_xact_time:1700 avg_query_time:1700 "
              "avg_wait_time:1700 avg_client_parse_count:1700 avg_server_parse_count:1700 "
              "avg_bind_count:1700 avg_client_login_count:1700" +
                  sharing("total_") + sharing("avg_"));
}

constexpr auto unprefixed =
    "database:25 server_assignment_count:1700 xact_count:1700 query_count:1700 "
    "bytes_received:1700 bytes_sent:1700 xact_time:1700 query_time:1700 wait_time:1700 ";

TEST(console_columns, of_stats_totals) {
    EXPECT_EQ(columns_of("SHOW STATS_TOTALS"),
              std::string{unprefixed} +
                  "client_parse_count:1700 server_parse_count:1700 "
                  "bind_count:1700 client_login_count:1700" +
                  sharing(""));
}

TEST(console_columns, of_stats_averages) {
    EXPECT_EQ(columns_of("SHOW STATS_AVERAGES"),
              std::string{unprefixed} +
                  "avg_client_parse_count:1700 avg_server_parse_count:1700 "
                  "avg_bind_count:1700 avg_client_login_count:1700" +
                  sharing("avg_"));
}

TEST(console_columns, of_clusters) {
    const auto* const expected =
        "name:25 discovery:25 writes:25 cause:25 primary:25 epoch:20 tli:20 system_identifier:20 "
        "split_brain:23 since_ms:20 lease_ms:20 held_clients:20 held_bytes:20 failovers:20 "
        "in_doubt:20 rolled_back:20 hold_rejected:20 fenced_closed:20 metadata_error:25 "
        "unserved_ms:20 lease_least_ms:20 lease_lapses:20";
    EXPECT_EQ(columns_of("SHOW CLUSTERS"), expected);
    EXPECT_EQ(columns_of("SHOW CLUSTER"), expected);
}

TEST(console_columns, of_nodes) {
    EXPECT_EQ(columns_of("SHOW NODES"),
              "cluster:25 name:25 host:25 port:23 weight:23 state:25 reason:25 reads:25 "
              "contact:25 error:25 tli:20 lsn:25 lag_bytes:20 lag_ms:20 system_identifier:20 "
              "repmgr_id:23 repmgr_type:25 repmgr_active:23 upstream:25 followers:23 "
              "sync_state:25 last_ok_ms:20 probe_us:20 probes:20 probes_failed:20");
}

TEST(console_columns, of_look_ups) {
    EXPECT_EQ(columns_of("SHOW AUTH_QUERY"),
              "place:25 database:25 user:25 connections:23 waiting:20 known:20 unknown:20 "
              "asked:20 reused:20 failed:20 stale:20 last_error:25");
}

TEST(console_columns, of_the_failover_log) {
    EXPECT_EQ(columns_of("SHOW FAILOVER_LOG"),
              "time:25 cluster:25 event:25 epoch:20 text:25 evidence:25");
}

TEST(console_columns, of_memory) {
    EXPECT_EQ(columns_of("SHOW MEM"), "name:25 size:23 used:23 free:23 memtotal:20");
}

TEST(console_columns, of_prepared_statements) {
    EXPECT_EQ(columns_of("SHOW PREPARED"),
              "database:25 user:25 name:25 query:25 parameter_types:23 servers:23 bind_count:1700");
}

TEST(console_columns, of_totals) { EXPECT_EQ(columns_of("SHOW TOTALS"), "name:25 value:1700"); }

TEST(console_columns, of_lists) { EXPECT_EQ(columns_of("SHOW LISTS"), "list:25 items:23"); }

TEST(console_columns, of_users) {
    EXPECT_EQ(columns_of("SHOW USERS"),
              "name:25 pool_size:25 reserve_pool_size:25 pool_mode:25 max_user_connections:23 "
              "current_connections:23 max_user_client_connections:23 "
              "current_client_connections:23");
}

TEST(console_columns, of_config) {
    EXPECT_EQ(columns_of("SHOW CONFIG"), "key:25 value:25 default:25 changeable:25");
}

TEST(console_columns, of_a_session_parameter_are_named_after_it) {
    EXPECT_EQ(columns_of("SHOW client_encoding"), "client_encoding:25");
}

}  // namespace
}  // namespace pgweir::admin
