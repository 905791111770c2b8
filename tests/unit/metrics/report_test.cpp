// Rows of several workers become one answer.
#include "pgweir/metrics/report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

namespace pgweir::metrics {
namespace {

using testing::ElementsAre;
using testing::Field;

pool_row pool(std::string database, std::string user, unsigned active, std::uint64_t wait_us = 0) {
    pool_row row;
    row.database = std::move(database);
    row.user = std::move(user);
    row.clients_active = active;
    row.servers[static_cast<std::size_t>(server_state::active)] = active;
    row.longest_wait_us = wait_us;
    return row;
}

traffic_row traffic_of(std::string database, std::uint64_t queries, std::uint64_t query_us) {
    traffic_row row;
    row.database = std::move(database);
    row.total.queries = queries * 60;
    row.average.queries = queries;
    row.average.query_us = query_us;
    return row;
}

TEST(report_merge, appends_clients_and_servers) {
    report a, b;
    a.clients.resize(2);
    a.servers.resize(1);
    b.clients.resize(3);
    b.servers.resize(4);
    a.merge(std::move(b));
    EXPECT_EQ(a.clients.size(), 5U);
    EXPECT_EQ(a.servers.size(), 5U);
}

TEST(report_merge, sums_pools_of_the_same_database_and_user) {
    report a, b;
    a.pools = {pool("shop", "anna", 2)};
    b.pools = {pool("shop", "anna", 3)};
    a.merge(std::move(b));
    ASSERT_EQ(a.pools.size(), 1U);
    EXPECT_EQ(a.pools[0].clients_active, 5U);
    EXPECT_EQ(a.pools[0].servers[static_cast<std::size_t>(server_state::active)], 5U);
}

TEST(report_merge, sums_the_servers_of_a_pool_by_node) {
    report a, b;
    a.pools = {pool("shop", "anna", 2)};
    b.pools = {pool("shop", "anna", 3), pool("shop", "anna", 0)};
    b.pools[0].nodes = {{"pg-2", {1}}};
    b.pools[1].nodes = {{"pg-1", {2}}, {"pg-2", {3}}};
    a.merge(std::move(b));
    ASSERT_EQ(a.pools.size(), 1U);
    ASSERT_EQ(a.pools[0].nodes.size(), 2U);
    EXPECT_EQ(a.pools[0].nodes[0].node, "pg-1");
    EXPECT_EQ(a.pools[0].nodes[0].servers[0], 2U);
    EXPECT_EQ(a.pools[0].nodes[1].node, "pg-2");
    EXPECT_EQ(a.pools[0].nodes[1].servers[0], 4U);
}

TEST(report_merge, takes_a_cluster_from_who_decided_and_sums_what_is_counted) {
    cluster_row decided;
    decided.name = "main";
    decided.writes = "serve";
    decided.primary = "pg-1";
    decided.epoch = 3;
    decided.failovers = 2;
    cluster_row counted;
    counted.name = "main";
    counted.held_clients = 1;
    counted.held_bytes = 2;
    counted.in_doubt = 3;
    counted.rolled_back = 4;
    counted.hold_rejected = 5;
    counted.fenced_closed = 6;
    counted.doubts = 7;
    report all;
    all.clusters = {counted};
    for (const auto& row : {decided, counted}) {
        report one;
        one.clusters = {row};
        all.merge(std::move(one));
    }
    ASSERT_EQ(all.clusters.size(), 1U);
    const auto& c = all.clusters[0];
    EXPECT_EQ(c.primary, "pg-1");
    EXPECT_EQ(c.epoch, 3U);
    EXPECT_EQ(c.failovers, 2U);
    EXPECT_EQ(c.held_clients, 2U);
    EXPECT_EQ(c.held_bytes, 4U);
    EXPECT_EQ(c.in_doubt, 6U);
    EXPECT_EQ(c.rolled_back, 8U);
    EXPECT_EQ(c.hold_rejected, 10U);
    EXPECT_EQ(c.fenced_closed, 12U);
    EXPECT_EQ(c.doubts, 14U);
}

TEST(report_merge, sorts_clusters_by_name) {
    report a, b;
    a.clusters.resize(1);
    a.clusters[0].name = "zoo";
    b.clusters.resize(1);
    b.clusters[0].name = "ant";
    a.merge(std::move(b));
    EXPECT_THAT(a.clusters,
                ElementsAre(Field(&cluster_row::name, "ant"), Field(&cluster_row::name, "zoo")));
}

TEST(report_merge, keeps_nodes_and_failovers_in_their_order) {
    report a, b;
    b.nodes.resize(2);
    b.nodes[0].name = "pg-2";
    b.nodes[1].name = "pg-1";
    b.failovers.resize(2);
    b.failovers[0].event = "hold";
    b.failovers[1].event = "grant";
    a.merge(std::move(b));
    EXPECT_THAT(a.nodes,
                ElementsAre(Field(&node_row::name, "pg-2"), Field(&node_row::name, "pg-1")));
    EXPECT_THAT(a.failovers, ElementsAre(Field(&failover_row::event, "hold"),
                                         Field(&failover_row::event, "grant")));
}

TEST(report_merge, sums_memory_of_the_same_kind) {
    report a, b;
    a.memory = {{"client", 400, 2, 0, 800}};
    b.memory = {{"client", 400, 1, 3, 1600}};
    a.merge(std::move(b));
    ASSERT_EQ(a.memory.size(), 1U);
    EXPECT_EQ(a.memory[0].used, 3U);
    EXPECT_EQ(a.memory[0].free, 3U);
    EXPECT_EQ(a.memory[0].total, 2400U);
}

TEST(report_merge, counts_the_servers_that_hold_a_statement_on_any_worker) {
    report a, b;
    a.statements = {{"shop", "anna", "__pgweir_40", "SELECT 1", 0, 0, 9}};
    b.statements = {{"shop", "anna", "__pgweir_40", "SELECT 1", 0, 1, 0},
                    {"shop", "anna", "__pgweir_40", "SELECT 1", 0, 1, 0}};
    a.merge(std::move(b));
    ASSERT_EQ(a.statements.size(), 1U);
    EXPECT_EQ(a.statements[0].servers, 2U);
    EXPECT_EQ(a.statements[0].binds, 9U);
}

TEST(report_merge, keeps_pools_of_different_users_apart_and_sorted) {
    report a, b;
    a.pools = {pool("shop", "zoe", 1), pool("shop", "bob", 1)};
    b.pools = {pool("bank", "zoe", 1), pool("shop", "anna", 1)};
    a.merge(std::move(b));
    EXPECT_THAT(a.pools, ElementsAre(Field(&pool_row::user, "zoe"), Field(&pool_row::user, "anna"),
                                     Field(&pool_row::user, "bob"), Field(&pool_row::user, "zoe")));
}

TEST(report_merge, takes_the_longest_wait) {
    report a, b;
    a.pools = {pool("shop", "anna", 0, 900)};
    b.pools = {pool("shop", "anna", 0, 100)};
    a.merge(std::move(b));
    EXPECT_EQ(a.pools[0].longest_wait_us, 900U);
}

TEST(report_merge, sums_what_is_connected_to_a_database_but_not_its_settings) {
    report a, b;
    a.databases.resize(1);
    a.databases[0].name = "shop";
    a.databases[0].pool_size = 20;
    a.databases[0].current_connections = 3;
    b.databases = a.databases;
    a.merge(std::move(b));
    ASSERT_EQ(a.databases.size(), 1U);
    EXPECT_EQ(a.databases[0].pool_size, 20U);
    EXPECT_EQ(a.databases[0].current_connections, 6U);
}

TEST(report_merge, adds_totals_and_rates) {
    report a, b;
    a.traffics = {traffic_of("shop", 10, 0)};
    b.traffics = {traffic_of("shop", 30, 0)};
    a.merge(std::move(b));
    EXPECT_EQ(a.traffics[0].total.queries, 40U * 60);
    EXPECT_EQ(a.traffics[0].average.queries, 40U);
}

TEST(report_merge, weighs_times_per_item_by_the_items) {
    report a, b;
    a.traffics = {traffic_of("shop", 10, 100)};
    b.traffics = {traffic_of("shop", 30, 200)};
    a.merge(std::move(b));
    EXPECT_EQ(a.traffics[0].average.query_us, 175U);
}

TEST(report_merge, an_idle_worker_does_not_pull_the_mean_down) {
    report a, b;
    a.traffics = {traffic_of("shop", 10, 100)};
    b.traffics = {traffic_of("shop", 0, 0)};
    a.merge(std::move(b));
    EXPECT_EQ(a.traffics[0].average.query_us, 100U);
}

TEST(report_merge, adds_counts_but_every_worker_knows_the_same_users) {
    report a, b;
    a.used_clients = 1;
    a.users = 7;
    b.used_clients = 2;
    b.users = 7;
    a.merge(std::move(b));
    EXPECT_EQ(a.used_clients, 3U);
    EXPECT_EQ(a.users, 7U);
}

TEST(report_merge, with_nothing_changes_nothing) {
    report a;
    a.pools = {pool("shop", "anna", 2)};
    a.merge(report{});
    ASSERT_EQ(a.pools.size(), 1U);
    EXPECT_EQ(a.pools[0].clients_active, 2U);
}

TEST(state_names, of_servers_are_all_different) {
    std::set<std::string> names;
    for (std::size_t i = 0; i < server_state_count; ++i) {
        names.insert(to_string(static_cast<server_state>(i)));
    }
    EXPECT_EQ(names.size(), server_state_count);
}

TEST(state_names, of_clients_are_what_pgbouncer_calls_them) {
    EXPECT_STREQ(to_string(client_state::active), "active");
    EXPECT_STREQ(to_string(client_state::waiting), "waiting");
    EXPECT_STREQ(to_string(client_state::idle), "idle");
}

}  // namespace
}  // namespace pgweir::metrics
