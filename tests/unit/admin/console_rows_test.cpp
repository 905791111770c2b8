// What the rows of each SHOW say.
#include "admin/console_dialogue.hpp"
#include "pgweir/auth/access_rules.hpp"

#include <gmock/gmock.h>

#include <chrono>
#include <limits>
#include <numeric>

namespace pgweir::admin {
namespace {

using testing::Contains;
using testing::ElementsAre;

std::vector<std::string> only_row(console_client& c, const char* sql) {
    const auto all = rows(c.send(query(sql)));
    if (all.size() != 1) {
        ADD_FAILURE() << all.size() << " rows";
        return std::vector<std::string>(32);
    }
    return all[0];
}

// A pool with another number of servers in each state: 1, 2, 4, ...
metrics::pool_row pool_in_all_states() {
    metrics::pool_row p{"shop", "anna", "transaction", 3, 5, 7, {}, 2'000'345, {}};
    for (std::size_t i = 0; i < p.servers.size(); ++i) {
        p.servers[i] = 1U << i;
    }
    return p;
}

TEST(show_pools_rows, map_our_states_to_pgbouncers) {
    console_client c;
    c.report.pools = {pool_in_all_states()};
    const auto row = only_row(c, "SHOW POOLS");
    EXPECT_EQ(row[6], "4");    // sv_active
    EXPECT_EQ(row[8], "32");   // sv_being_canceled: cancelling
    EXPECT_EQ(row[9], "2");    // sv_idle
    EXPECT_EQ(row[11], "24");  // sv_tested: checking and cleaning
    EXPECT_EQ(row[12], "1");   // sv_login: connecting
}

TEST(show_pools_rows, show_every_permit_once_in_active_idle_and_our_columns) {
    console_client c;
    c.report.pools = {pool_in_all_states()};
    const auto row = only_row(c, "SHOW POOLS");
    int sum = std::stoi(row[6]) + std::stoi(row[9]);
    for (std::size_t i = 17; i < 23; ++i) {
        sum += std::stoi(row[i]);
    }
    EXPECT_EQ(sum, (1 << metrics::server_state_count) - 1);
}

TEST(show_pools_rows, tell_which_nodes_the_servers_of_a_cluster_lead_to) {
    console_client c;
    c.report.pools = {pool_in_all_states()};
    EXPECT_EQ(only_row(c, "SHOW POOLS").back(), "(null)");
    auto& nodes = c.report.pools[0].nodes;
    nodes = {{"pg-1", {1, 2}}, {"pg-2", {}}};
    EXPECT_EQ(only_row(c, "SHOW POOLS").back(), "pg-1=3, pg-2=0");
}

TEST(show_pools_rows, count_clients_between_transactions_as_active) {
    console_client c;
    c.report.pools = {pool_in_all_states()};
    EXPECT_EQ(only_row(c, "SHOW POOLS")[2], "8");
}

TEST(show_pools_rows, split_the_longest_wait_into_seconds_and_the_rest) {
    console_client c;
    c.report.pools = {pool_in_all_states()};
    const auto row = only_row(c, "SHOW POOLS");
    EXPECT_EQ(row[13], "2");
    EXPECT_EQ(row[14], "345");
}

TEST(show_clients_rows, tell_who_waits_and_since_when) {
    console_client c;
    metrics::client_row r;
    r.id = 17;
    r.user = "anna";
    r.database = "shop";
    r.application_name = "till";
    r.state = metrics::client_state::waiting;
    r.address = "127.0.0.1";
    r.port = 4711;
    r.local_address = "127.0.0.2";
    r.local_port = 6432;
    r.connected = std::chrono::system_clock::from_time_t(951'868'799);
    r.last_request = r.connected;
    r.wait_us = 1'000'002;
    r.linked_server = 255;
    r.worker = 3;
    c.report.clients = {r};
    EXPECT_THAT(
        only_row(c, "SHOW CLIENTS"),
        ElementsAre("C", "anna", "shop", "none", "waiting", "127.0.0.1", "4711", "127.0.0.2",
                    "6432", "2000-02-29 23:59:59 UTC", "2000-02-29 23:59:59 UTC", "1", "2", "0",
                    "0x11", "0xff", "0", "", "till", "0", "17", "3"));
}

TEST(show_clients_rows, do_not_pass_on_bytes_that_are_no_utf8_or_control_the_terminal) {
    console_client c;
    c.report.clients.resize(1);
    c.report.clients[0].application_name = "a\xff\x1b[2Jé";
    EXPECT_EQ(only_row(c, "SHOW CLIENTS")[18], "a??[2Jé");
}

TEST(show_clients_rows, wrap_ids_that_do_not_fit_the_column) {
    console_client c;
    c.report.clients.resize(1);
    c.report.clients[0].id = 0x1'8000'0005;
    EXPECT_EQ(only_row(c, "SHOW CLIENTS")[20], "5");
    EXPECT_EQ(only_row(c, "SHOW CLIENTS")[14], "0x180000005");
}

TEST(show_servers_rows, use_pgbouncers_word_for_the_state_and_then_ours) {
    console_client c;
    c.report.servers.resize(1);
    c.report.servers[0].state = metrics::server_state::cleaning;
    const auto row = only_row(c, "SHOW SERVERS");
    EXPECT_EQ(row[4], "tested");
    EXPECT_EQ(row[21], "cleaning");
}

TEST(show_servers_rows, name_the_backend_and_what_links_to_whom) {
    console_client c;
    metrics::server_row r;
    r.id = 5;
    r.linked_client = 6;
    r.backend_pid = 12'345;
    r.close_needed = true;
    c.report.servers = {r};
    const auto row = only_row(c, "SHOW SERVERS");
    EXPECT_EQ(row[13], "1");
    EXPECT_EQ(row[14], "0x5");
    EXPECT_EQ(row[15], "0x6");
    EXPECT_EQ(row[16], "12345");
}

TEST(show_databases_rows, tell_settings_and_connections) {
    console_client c;
    metrics::database_row d;
    d.name = "shop";
    d.host = "db1";
    d.port = 5433;
    d.dbname = "shop_prod";
    d.mode = "session";
    d.pool_size = 20;
    d.min_pool_size = 1;
    d.reserve_size = 2;
    d.server_lifetime_s = 3600;
    d.max_connections = 30;
    d.current_connections = 4;
    d.max_client_connections = 500;
    d.current_client_connections = 60;
    c.report.databases = {d};
    EXPECT_THAT(only_row(c, "SHOW DATABASES"),
                ElementsAre("shop", "db1", "5433", "shop_prod", "(null)", "20", "1", "2", "3600",
                            "session", "(null)", "30", "4", "500", "60", "0", "0"));
}

TEST(show_databases_rows, tell_what_is_paused) {
    console_client c;
    c.report.databases.resize(1);
    c.report.databases[0].is_paused = true;
    EXPECT_EQ(only_row(c, "SHOW DATABASES")[15], "1");
}

TEST(show_clusters_rows, tell_who_is_primary_and_what_became_of_clients) {
    console_client c;
    metrics::cluster_row r;
    r.name = "main";
    r.discovery = "repmgr";
    r.writes = "serve";
    r.cause = "none";
    r.primary = "n2";
    r.epoch = 2;
    r.tli = 3;
    r.system_identifier = 7'391'846'512'345'678'901;
    r.split_brain = true;
    r.since_ms = 4;
    r.lease_ms = 5;
    r.held_clients = 6;
    r.held_bytes = 7;
    r.failovers = 8;
    r.in_doubt = 9;
    r.rolled_back = 10;
    r.hold_rejected = 11;
    r.fenced_closed = 12;
    r.metadata_error = "no space";
    r.unserved_ms = 13;
    r.lease_least_ms = 14;
    r.lease_lapses = 15;
    c.report.clusters = {r};
    EXPECT_THAT(
        only_row(c, "SHOW CLUSTERS"),
        ElementsAre("main", "repmgr", "serve", "none", "n2", "2", "3", "7391846512345678901", "1",
                    "4", "5", "6", "7", "8", "9", "10", "11", "12", "no space", "13", "14", "15"));
}

TEST(show_clusters_rows, show_what_is_not_there_as_null) {
    console_client c;
    c.report.clusters.resize(1);
    const auto row = only_row(c, "SHOW CLUSTER");
    EXPECT_EQ(row[4], "(null)");
    EXPECT_EQ(row[7], "(null)");
    EXPECT_EQ(row[18], "(null)");
    EXPECT_EQ(row[20], "(null)");
}

TEST(show_nodes_rows, tell_the_state_and_its_evidence) {
    console_client c;
    metrics::node_row r;
    r.cluster = "main";
    r.name = "n3";
    r.host = "db3";
    r.port = 5433;
    r.weight = 100;
    r.state = "standby";
    r.reason = "replay_paused";
    r.reads = "none";
    r.contact = "answered";
    r.error = "oops";
    r.tli = 3;
    r.lsn = 0x1'0a00'0628;
    r.lag_bytes = 0;
    r.lag_ms = 20;
    r.system_identifier = 21;
    r.repmgr_id = 3;
    r.repmgr_type = "standby";
    r.repmgr_active = 0;
    r.upstream = "n1";
    r.followers = 1;
    r.sync_state = "quorum";
    r.last_ok_ms = 22;
    r.probe_us = 23;
    r.probes = 24;
    r.probes_failed = 25;
    c.report.nodes = {r};
    EXPECT_THAT(only_row(c, "SHOW NODES"),
                ElementsAre("main", "n3", "db3", "5433", "100", "standby", "replay_paused", "none",
                            "answered", "oops", "3", "1/A000628", "0", "20", "21", "3", "standby",
                            "0", "n1", "1", "quorum", "22", "23", "24", "25"));
}

TEST(show_nodes_rows, show_what_is_not_known_as_null) {
    console_client c;
    c.report.nodes.resize(1);
    const auto row = only_row(c, "SHOW NODES");
    for (const std::size_t i : {6U, 10U, 11U, 12U, 13U, 14U, 15U, 16U, 17U, 18U, 20U, 21U}) {
        EXPECT_EQ(row[i], "(null)") << i;
    }
}

TEST(show_auth_query_rows, tell_where_users_are_looked_up_and_how_it_goes) {
    console_client c;
    c.report.lookups = {{.place = "main",
                         .database = "postgres",
                         .user = "asker",
                         .connections = 1,
                         .waiting = 2,
                         .known = 3,
                         .unknown = 4,
                         .asked = 5,
                         .reused = 6,
                         .failed = 7,
                         .stale = 8,
                         .last_error = {}}};
    EXPECT_THAT(
        only_row(c, "SHOW AUTH_QUERY"),
        ElementsAre("main", "postgres", "asker", "1", "2", "3", "4", "5", "6", "7", "8", "(null)"));
}

TEST(show_failover_log_rows, tell_what_was_decided_and_why) {
    console_client c;
    c.report.failovers = {{std::chrono::system_clock::from_time_t(951'868'799), "main", "grant", 2,
                           "n2 is primary", R"({"n1":{}})"}};
    EXPECT_THAT(only_row(c, "SHOW FAILOVER_LOG"),
                ElementsAre("2000-02-29 23:59:59 UTC", "main", "grant", "2", "n2 is primary",
                            R"({"n1":{}})"));
}

metrics::traffic counting_from(std::uint64_t n) {
    metrics::traffic t;
    t.server_assignments = n;
    t.transactions = n + 1;
    t.queries = n + 2;
    t.bytes_received = n + 3;
    t.bytes_sent = n + 4;
    t.transaction_us = n + 5;
    t.query_us = n + 6;
    t.wait_us = n + 7;
    t.client_parses = n + 8;
    t.server_parses = n + 9;
    t.binds = n + 10;
    t.client_logins = n + 11;
    t.statement_hits = n + 24;
    t.statement_repairs = n + 25;
    t.settings_changes = n + 26;
    t.cleanings = n + 27;
    t.recoveries = n + 28;
    t.moves = n + 29;
    t.cancels = n + 30;
    return t;
}

TEST(show_stats_rows, are_totals_then_averages_in_the_order_of_the_columns) {
    console_client c;
    c.report.traffics = {{"shop", counting_from(1), counting_from(13)}};
    auto row = only_row(c, "SHOW STATS");
    const std::vector<std::string> ours{row.begin() + 25, row.end()};
    row.resize(25);
    for (std::size_t i = 1; i < row.size(); ++i) {
        EXPECT_EQ(row[i], std::to_string(i));
    }
    EXPECT_THAT(ours, ElementsAre("25", "26", "27", "28", "29", "30", "31",  //
                                  "37", "38", "39", "40", "41", "42", "43"));
}

TEST(show_stats_rows, can_be_had_as_totals_only) {
    console_client c;
    c.report.traffics = {{"shop", counting_from(1), counting_from(13)}};
    EXPECT_EQ(only_row(c, "SHOW STATS_TOTALS")[1], "1");
}

TEST(show_stats_rows, can_be_had_as_averages_only) {
    console_client c;
    c.report.traffics = {{"shop", counting_from(1), counting_from(13)}};
    EXPECT_EQ(only_row(c, "SHOW STATS_AVERAGES")[1], "13");
}

TEST(show_stats_rows, are_as_large_as_they_are) {
    console_client c;
    c.report.traffics.resize(1);
    c.report.traffics[0].total.bytes_sent = std::numeric_limits<std::uint64_t>::max();
    EXPECT_EQ(only_row(c, "SHOW STATS_TOTALS")[5], "18446744073709551615");
}

TEST(show_totals_rows, sum_all_databases) {
    console_client c;
    c.report.traffics = {{"bank", counting_from(1), {}}, {"shop", counting_from(100), {}}};
    const auto all = rows(c.send(query("SHOW TOTALS")));
    EXPECT_THAT(all, Contains(ElementsAre("total_xact_count", "103")));
}

TEST(show_totals_rows, are_there_without_any_database) {
    console_client c;
    EXPECT_EQ(rows(c.send(query("SHOW TOTALS"))).size(), 38U);
}

TEST(show_totals_rows, have_ours_behind_those_of_pgbouncer) {
    console_client c;
    c.report.traffics = {{"shop", counting_from(1), {}}};
    EXPECT_THAT(rows(c.send(query("SHOW TOTALS")))[24],
                ElementsAre("total_statement_hit_count", "25"));
}

TEST(show_mem_rows, are_what_the_workers_report) {
    console_client c;
    c.report.memory = {{"buffer_1024", 1024, 3, 2, 5120}};
    EXPECT_THAT(only_row(c, "SHOW MEM"), ElementsAre("buffer_1024", "1024", "3", "2", "5120"));
}

TEST(show_prepared_rows, are_statements_with_who_holds_them) {
    console_client c;
    c.report.statements = {{"shop", "anna", "__pgweir_40", "SELECT $1", 1, 3, 7}};
    EXPECT_THAT(only_row(c, "SHOW PREPARED"),
                ElementsAre("shop", "anna", "__pgweir_40", "SELECT $1", "1", "3", "7"));
}

TEST(show_prepared_rows, are_safe_to_print_whatever_the_client_wrote) {
    console_client c;
    c.report.statements = {{"shop", "anna", "__pgweir_40", "SELECT \x1b\xff", 0, 0, 0}};
    EXPECT_EQ(only_row(c, "SHOW PREPARED")[3], "SELECT ??");
}

TEST(show_lists_rows, count_what_there_is) {
    console_client c;
    c.report.pools.resize(2);
    c.report.used_clients = 3;
    c.report.login_clients = 4;
    c.report.free_servers = 5;
    c.snapshot.databases["shop"] = {};
    const auto all = rows(c.send(query("SHOW LISTS")));
    EXPECT_THAT(all,
                ElementsAre(ElementsAre("databases", "1"), ElementsAre("users", "0"),
                            ElementsAre("peers", "0"), ElementsAre("pools", "2"),
                            ElementsAre("peer_pools", "0"), ElementsAre("free_clients", "0"),
                            ElementsAre("used_clients", "3"), ElementsAre("login_clients", "4"),
                            ElementsAre("free_servers", "5"), ElementsAre("used_servers", "0"),
                            ElementsAre("dns_names", "0"), ElementsAre("dns_zones", "0"),
                            ElementsAre("dns_queries", "0"), ElementsAre("dns_pending", "0")));
}

TEST(show_users_rows, add_up_the_pools_of_a_user) {
    console_client c;
    auto& anna = c.snapshot.users["anna"];
    anna.pool.size = 7;
    anna.max_client_connections = 9;
    c.report.pools = {pool_in_all_states(), pool_in_all_states()};
    c.report.pools[1].database = "bank";
    EXPECT_THAT(only_row(c, "SHOW USERS"),
                ElementsAre("anna", "        7", "", "(null)", "0", "510", "9", "30"));
}

TEST(show_config_rows, are_the_keys_of_the_configuration_in_force) {
    console_client c;
    c.snapshot.keys = {{"listen.port", "6433", "6432", false}, {"pool.size", "9", "20", true}};
    EXPECT_THAT(rows(c.send(query("SHOW CONFIG"))),
                ElementsAre(ElementsAre("listen.port", "6433", "6432", "no"),
                            ElementsAre("pool.size", "9", "20", "yes")));
}

// One file of rules, in memory.
struct rules_in : auth::rule_source {
    std::string text;
    explicit rules_in(std::string t) : text{std::move(t)} {}
    file read(const std::string&) override { return {text, {}, false}; }
    listing list(const std::string&) override { return {}; }
};

TEST(show_hba_rows, are_the_rules_in_the_order_in_which_they_are_tried) {
    rules_in files{
        "# none\n"
        "local all,\"a b\" \"/^a{1,2}$\",NULL trust\n"
        "hostssl all all 10.0.0.0/8 cert clientname=DN\n"
        "hostgssenc all all samenet reject\n"
        "host all all all md5\n"};
    auto parsed = auth::access_rules::parse("/etc/hba", "", files);
    console_client c;
    c.snapshot.access = std::get<0>(parsed);
    EXPECT_THAT(
        rows(c.send(query("SHOW HBA"))),
        ElementsAre(
            ElementsAre("1", "/etc/hba", "2", "local", R"({all,"a b"})", R"({"/^a{1,2}$","NULL"})",
                        "(null)", "(null)", "trust", "(null)", "(null)"),
            ElementsAre("2", "/etc/hba", "3", "hostssl", "{all}", "{all}", "10.0.0.0", "255.0.0.0",
                        "cert", "{clientcert=verify-full,clientname=DN}",
                        "hostssl record cannot match because SSL is disabled"),
            ElementsAre("3", "/etc/hba", "4", "hostgssenc", "{all}", "{all}", "samenet", "(null)",
                        "reject", "(null)",
                        "hostgssenc record cannot match because GSSAPI is not supported by this "
                        "build"),
            ElementsAre("4", "/etc/hba", "5", "host", "{all}", "{all}", "all", "(null)", "md5",
                        "(null)", "(null)")));
}

TEST(show_hba_rows, tell_what_was_refused_without_a_number) {
    console_client c;
    c.snapshot.refused_rules = {{"/etc/hba", 7, "no such method"}, {"/etc/hba", 0, "not there"}};
    EXPECT_THAT(rows(c.send(query("SHOW HBA"))),
                ElementsAre(ElementsAre("(null)", "/etc/hba", "7", "(null)", "(null)", "(null)",
                                        "(null)", "(null)", "(null)", "(null)",
                                        "refused by the last reload, not in force: no such method"),
                            ElementsAre("(null)", "/etc/hba", "(null)", "(null)", "(null)",
                                        "(null)", "(null)", "(null)", "(null)", "(null)",
                                        "refused by the last reload, not in force: not there")));
}

TEST(show_hba_rows, are_none_where_no_rules_decide) {
    EXPECT_THAT(rows(console_client{}.send(query("SHOW HBA"))), testing::IsEmpty());
}

}  // namespace
}  // namespace pgweir::admin
