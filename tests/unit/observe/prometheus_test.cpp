// What Prometheus reads of a report.
#include "pgweir/observe/prometheus.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace pgweir::observe {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::vector<std::string> lines_of(const metrics::report& r, const process_figures& p = {}) {
    std::istringstream page{to_prometheus(r, p)};
    std::vector<std::string> lines;
    for (std::string line; std::getline(page, line);) {
        lines.push_back(line);
    }
    return lines;
}

// The lines of one metric, HELP and TYPE among them.
std::vector<std::string> metric(const std::string& name, const metrics::report& r) {
    std::vector<std::string> found;
    for (const auto& line : lines_of(r)) {
        if (line.starts_with(name + "{") || line.starts_with(name + " ") ||
            line.find(" " + name + " ") != std::string::npos) {
            found.push_back(line);
        }
    }
    return found;
}

metrics::report one_pool(const std::string& database) {
    metrics::report r;
    r.pools.resize(1);
    auto& p = r.pools[0];
    p.database = database;
    p.user = "anna";
    p.clients_active = 3;
    p.clients_idle = 2;
    p.clients_waiting = 1;
    p.servers[static_cast<std::size_t>(metrics::server_state::active)] = 3;
    p.longest_wait_us = 1'500'000;
    return r;
}

metrics::report one_cluster() {
    metrics::report r;
    r.clusters.resize(1);
    auto& c = r.clusters[0];
    c.name = "main";
    c.writes = "hold";
    c.cause = "no claimant";
    c.epoch = 4;
    c.tli = 7;
    c.split_brain = true;
    c.since_ms = 500;
    c.unserved_ms = 2'500;
    c.lease_ms = 0;
    c.lease_least_ms = 1'200;
    c.lease_lapses = 2;
    c.held_clients = 11;
    c.held_bytes = 12;
    c.failovers = 3;
    c.failovers_by_cause = {{"suspect", 2}, {"switchover", 1}};
    c.failover_times.classes[5] = 3;
    c.failover_times.sum_us = 2'500'000;
    c.hold_times.classes[0] = 1;
    c.hold_times.classes[1] = 2;
    c.hold_times.classes.back() = 4;
    c.hold_times.sum_us = 500'000'000;
    c.in_doubt = 13;
    c.rolled_back = 14;
    c.hold_rejected = 15;
    c.fenced_closed = 16;
    c.doubts = 17;
    return r;
}

metrics::report one_node() {
    metrics::report r;
    r.nodes.resize(1);
    auto& n = r.nodes[0];
    n.cluster = "main";
    n.name = "pg-1";
    n.state = "standby";
    n.reads = "good";
    n.tli = 7;
    n.lag_bytes = 4096;
    n.lag_ms = 30;
    n.followers = 2;
    n.last_ok_ms = 100;
    n.probe_us = 850;
    n.probe_results = {{"answered", 19}, {"refused", 1}};
    return r;
}

TEST(prometheus, every_metric_has_help_and_type_before_its_samples) {
    EXPECT_THAT(
        metric("pgweir_pool_longest_wait_seconds", one_pool("shop")),
        ElementsAre(StartsWith("# HELP pgweir_pool_longest_wait_seconds How long"),
                    "# TYPE pgweir_pool_longest_wait_seconds gauge",
                    R"(pgweir_pool_longest_wait_seconds{database="shop",user="anna"} 1.5)"));
}

TEST(prometheus, metric_without_a_sample_is_left_out) {
    EXPECT_THAT(lines_of({}), Not(Contains(HasSubstr("pgweir_pool"))));
}

TEST(prometheus, clients_of_a_pool_are_counted_by_state) {
    EXPECT_THAT(
        metric("pgweir_pool_clients", one_pool("shop")),
        AllOf(Contains(R"(pgweir_pool_clients{database="shop",user="anna",state="active"} 3)"),
              Contains(R"(pgweir_pool_clients{database="shop",user="anna",state="idle"} 2)"),
              Contains(R"(pgweir_pool_clients{database="shop",user="anna",state="waiting"} 1)")));
}

TEST(prometheus, servers_of_a_pool_are_counted_by_every_state) {
    const auto lines = metric("pgweir_pool_servers", one_pool("shop"));
    EXPECT_EQ(lines.size(), 2 + metrics::server_state_count);
    EXPECT_THAT(
        lines,
        AllOf(Contains(R"(pgweir_pool_servers{database="shop",user="anna",state="active"} 3)"),
              Contains(R"(pgweir_pool_servers{database="shop",user="anna",state="closing"} 0)")));
}

TEST(prometheus, servers_of_a_pool_of_a_cluster_are_counted_by_node) {
    auto r = one_pool("shop");
    auto& p = r.pools[0];
    p.nodes = {{"pg-1", {}}, {"pg-2", {}}};
    p.nodes[1].servers = p.servers;
    const auto lines = metric("pgweir_pool_servers", r);
    EXPECT_EQ(lines.size(), 2 + 2 * metrics::server_state_count);
    EXPECT_THAT(
        lines,
        Contains(
            R"(pgweir_pool_servers{database="shop",user="anna",node="pg-2",state="active"} 3)"));
}

TEST(prometheus, traffic_is_counted_and_its_times_are_in_seconds) {
    metrics::report r;
    r.traffics.resize(1);
    r.traffics[0].database = "shop";
    r.traffics[0].total.queries = 18'446'744'073'709'551'615U;
    r.traffics[0].total.query_us = 18'446'744'073'709'551'615U;
    EXPECT_THAT(metric("pgweir_queries_total", r),
                Contains(R"(pgweir_queries_total{database="shop"} 18446744073709551615)"));
    EXPECT_THAT(
        metric("pgweir_query_seconds_total", r),
        AllOf(Contains("# TYPE pgweir_query_seconds_total counter"),
              Contains(R"(pgweir_query_seconds_total{database="shop"} 18446744073709.551615)")));
}

TEST(prometheus, small_times_keep_their_zeros) {
    auto r = one_pool("shop");
    r.pools[0].longest_wait_us = 50;
    EXPECT_THAT(metric("pgweir_pool_longest_wait_seconds", r), Contains(HasSubstr("} 0.00005")));
}

TEST(prometheus, certificates_tell_when_they_expire) {
    metrics::report r;
    r.certificates = {{"client_tls", "/etc/pgweir/server.crt",
                       std::chrono::system_clock::from_time_t(1'900'000'000)}};
    EXPECT_THAT(metric("pgweir_certificate_not_after_seconds", r),
                Contains("pgweir_certificate_not_after_seconds{section=\"client_tls\","
                         "file=\"/etc/pgweir/server.crt\"} 1900000000"));
}

TEST(prometheus, memory_is_shown_by_kind) {
    metrics::report r;
    r.memory = {{"client", 400, 2, 1, 800}};
    EXPECT_THAT(lines_of(r),
                AllOf(Contains(R"(pgweir_memory_bytes{kind="client"} 800)"),
                      Contains(R"(pgweir_memory_objects{kind="client",state="used"} 2)"),
                      Contains(R"(pgweir_memory_objects{kind="client",state="free"} 1)")));
}

TEST(prometheus, process_is_described) {
    process_figures p;
    p.version = "0.1.0";
    p.workers = 2;
    p.clients = 10;
    p.login_clients = 3;
    p.max_clients = 100;
    p.max_login_clients = 50;
    p.refused_full = 5;
    p.refused_address_full = 6;
    p.refused_too_fast = 7;
    p.cpu_us = 2'250'000;
    p.resident_bytes = 4096;
    p.max_descriptors = 1024;
    p.started = 1'700'000'000;
    EXPECT_THAT(
        lines_of({}, p),
        AllOf(Contains(R"(pgweir_build_info{version="0.1.0"} 1)"), Contains("pgweir_workers 2"),
              Contains("pgweir_clients 10"), Contains("pgweir_login_clients 3"),
              Contains("pgweir_max_clients 100"), Contains("pgweir_max_login_clients 50"),
              Contains(R"(pgweir_refused_connections_total{reason="full"} 5)"),
              Contains(R"(pgweir_refused_connections_total{reason="address_full"} 6)"),
              Contains(R"(pgweir_refused_connections_total{reason="too_fast"} 7)"),
              Contains("process_cpu_seconds_total 2.25"),
              Contains("process_resident_memory_bytes 4096"), Contains("process_max_fds 1024"),
              Contains("process_start_time_seconds 1700000000")));
}

TEST(prometheus, cluster_is_described) {
    EXPECT_THAT(lines_of(one_cluster()),
                AllOf(Contains(R"(pgweir_cluster_writes{cluster="main",mode="serve"} 0)"),
                      Contains(R"(pgweir_cluster_writes{cluster="main",mode="hold"} 1)"),
                      Contains(R"(pgweir_primary_epoch{cluster="main"} 4)"),
                      Contains(R"(pgweir_primary_timeline{cluster="main"} 7)"),
                      Contains(R"(pgweir_split_brain{cluster="main"} 1)"),
                      Contains(R"(pgweir_no_primary_seconds{cluster="main"} 2.5)"),
                      Contains(R"(pgweir_lease_least_seconds{cluster="main"} 1.2)"),
                      Contains(R"(pgweir_lease_lapses_total{cluster="main"} 2)"),
                      Contains(R"(pgweir_held_clients{cluster="main"} 11)"),
                      Contains(R"(pgweir_held_bytes{cluster="main"} 12)"),
                      Contains(R"(pgweir_failover_total{cluster="main",cause="suspect"} 2)"),
                      Contains(R"(pgweir_failover_total{cluster="main",cause="switchover"} 1)"),
                      Contains(R"(pgweir_failover_seconds_count{cluster="main"} 3)"),
                      Contains(R"(pgweir_failover_seconds_sum{cluster="main"} 2.5)"),
                      Contains(R"(pgweir_in_doubt_total{cluster="main"} 13)"),
                      Contains(R"(pgweir_rolled_back_total{cluster="main"} 14)"),
                      Contains(R"(pgweir_hold_rejected_total{cluster="main"} 15)"),
                      Contains(R"(pgweir_fenced_conn_closed_total{cluster="main"} 16)"),
                      Contains(R"(pgweir_primary_doubts_total{cluster="main"} 17)")));
}

TEST(prometheus, lease_of_which_nothing_is_known_is_left_out) {
    auto r = one_cluster();
    r.clusters[0].lease_least_ms = -1;
    EXPECT_THAT(lines_of(r), Not(Contains(HasSubstr("pgweir_lease_least_seconds"))));
}

TEST(prometheus, buckets_of_a_histogram_hold_what_is_below_their_bounds) {
    std::vector<std::string> lines;
    for (const auto& line : lines_of(one_cluster())) {
        if (line.find("pgweir_hold_seconds") != std::string::npos) {
            lines.push_back(line);
        }
    }
    ASSERT_EQ(lines.size(), 2 + base::histogram_bounds_ms.size() + 3);
    EXPECT_EQ(lines[1], "# TYPE pgweir_hold_seconds histogram");
    EXPECT_EQ(lines[2], R"(pgweir_hold_seconds_bucket{cluster="main",le="0.01"} 1)");
    EXPECT_EQ(lines[3], R"(pgweir_hold_seconds_bucket{cluster="main",le="0.05"} 3)");
    EXPECT_EQ(lines[13], R"(pgweir_hold_seconds_bucket{cluster="main",le="120"} 3)");
    EXPECT_EQ(lines[14], R"(pgweir_hold_seconds_bucket{cluster="main",le="+Inf"} 7)");
    EXPECT_EQ(lines[15], R"(pgweir_hold_seconds_sum{cluster="main"} 500)");
    EXPECT_EQ(lines[16], R"(pgweir_hold_seconds_count{cluster="main"} 7)");
}

TEST(prometheus, state_file_that_cannot_be_written_is_shown) {
    auto r = one_cluster();
    EXPECT_THAT(metric("pgweir_state_file_failed", r), Contains(HasSubstr("} 0")));
    r.clusters[0].metadata_error = "No space left on device";
    EXPECT_THAT(metric("pgweir_state_file_failed", r), Contains(HasSubstr("} 1")));
}

TEST(prometheus, node_is_described) {
    EXPECT_THAT(
        lines_of(one_node()),
        AllOf(Contains(R"(pgweir_node_state{cluster="main",node="pg-1",state="standby"} 1)"),
              Contains(R"(pgweir_node_state{cluster="main",node="pg-1",state="primary"} 0)"),
              Contains(R"(pgweir_node_reads{cluster="main",node="pg-1",quality="good"} 1)"),
              Contains(R"(pgweir_timeline{cluster="main",node="pg-1"} 7)"),
              Contains(R"(pgweir_replay_lag_bytes{cluster="main",node="pg-1"} 4096)"),
              Contains(R"(pgweir_replay_lag_seconds{cluster="main",node="pg-1"} 0.03)"),
              Contains(R"(pgweir_node_followers{cluster="main",node="pg-1"} 2)"),
              Contains(R"(pgweir_node_silence_seconds{cluster="main",node="pg-1"} 0.1)"),
              Contains(R"(pgweir_probe_seconds{cluster="main",node="pg-1"} 0.00085)"),
              Contains(R"(pgweir_probes_total{cluster="main",node="pg-1",result="answered"} 19)"),
              Contains(R"(pgweir_probes_total{cluster="main",node="pg-1",result="refused"} 1)")));
}

TEST(prometheus, what_is_not_known_of_a_node_is_left_out) {
    auto r = one_node();
    r.nodes[0].tli = 0;
    r.nodes[0].lag_bytes = -1;
    r.nodes[0].lag_ms = -1;
    r.nodes[0].last_ok_ms = -1;
    const auto lines = lines_of(r);
    for (const auto* name :
         {"pgweir_timeline", "pgweir_replay_lag_bytes", "pgweir_replay_lag_seconds",
          "pgweir_node_silence_seconds", "pgweir_probe_seconds"}) {
        EXPECT_THAT(lines, Not(Contains(HasSubstr(name)))) << name;
    }
}

TEST(prometheus, state_that_is_not_in_the_list_is_shown_as_well) {
    auto r = one_node();
    r.nodes[0].state = "confused";
    EXPECT_THAT(metric("pgweir_node_state", r),
                Contains(R"(pgweir_node_state{cluster="main",node="pg-1",state="confused"} 1)"));
}

TEST(prometheus, quotes_and_backslashes_in_names_are_escaped) {
    EXPECT_THAT(metric("pgweir_pool_longest_wait_seconds", one_pool("a\"b\\c")),
                Contains(HasSubstr(R"(database="a\"b\\c")")));
}

TEST(prometheus, line_breaks_and_wrong_bytes_in_names_are_shown_as_numbers) {
    EXPECT_THAT(metric("pgweir_pool_longest_wait_seconds", one_pool("a\nb\xff\xc0\xaf\x7f")),
                Contains(HasSubstr(R"(database="a\\x0ab\\xff\\xc0\\xaf\\x7f")")));
}

TEST(prometheus, names_in_any_script_are_kept) {
    EXPECT_THAT(metric("pgweir_pool_longest_wait_seconds", one_pool("a é 漢 🐘")),
                Contains(HasSubstr(R"(database="a é 漢 🐘")")));
}

TEST(prometheus, no_metric_is_written_twice) {
    auto r = one_pool("shop");
    r.traffics.resize(1);
    r.memory.resize(1);
    r.clusters = one_cluster().clusters;
    r.nodes = one_node().nodes;
    std::set<std::string> seen;
    for (const auto& line : lines_of(r)) {
        EXPECT_TRUE(seen.insert(line).second) << line;
    }
}

}  // namespace
}  // namespace pgweir::observe
