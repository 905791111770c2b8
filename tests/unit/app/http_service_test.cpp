// Which facts of a cluster readiness and metrics go by.
#include "pgweir/app/http_service.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgweir::app {
namespace {

using namespace std::chrono_literals;

const auto now = base::time_point{} + 1h;

class described_cluster : public ::testing::Test {
protected:
    described_cluster() {
        settings_.name = "main";
        published_.nodes = {
            {"pg-1", "a", 5432, 100, std::make_shared<cluster::node_link>(), "10.0.0.1"}};
        published_.summary = "pg-1 primary";
        view().nodes.resize(1);
        published_.unserved_since = now - 1s;
    }
    cluster::cluster_view& view() { return published_.view; }
    void hold(cluster::cause why) {
        view().writes = cluster::write_mode::hold;
        view().why = why;
    }
    void serve(base::duration lease) {
        view().writes = cluster::write_mode::serve;
        view().why = cluster::cause::none;
        view().primary = 0;
        view().epoch = 1;
        view().lease_until = now + lease;
        board_.primary.publish(view(), now, 1s);
    }
    void offer_reads(base::duration lease) {
        view().nodes[0].reads = cluster::read_quality::good;
        published_.nodes[0].link->reads.store({cluster::stamp_of(1, 0), now + lease});
    }
    observe::cluster_facts facts(bool wants_reads = true) {
        board_.publish(std::make_shared<const cluster::published_view>(published_));
        return describe_cluster(settings_, &board_, wants_reads, now);
    }

    config::cluster_settings settings_;
    cluster::published_view published_;
    cluster::board board_;
};

TEST_F(described_cluster, is_not_known_without_a_board_or_a_view) {
    EXPECT_FALSE(describe_cluster(settings_, nullptr, true, now).is_known);
    EXPECT_FALSE(describe_cluster(settings_, &board_, true, now).is_known);
}

TEST_F(described_cluster, is_not_known_while_its_nodes_are_being_asked) {
    hold(cluster::cause::starting);
    EXPECT_FALSE(facts().is_known);
}

TEST_F(described_cluster, serves_writes_under_a_lease) {
    serve(1s);
    EXPECT_TRUE(facts().is_known);
    EXPECT_TRUE(facts().serves_writes);
    EXPECT_EQ(facts().summary, "pg-1 primary");
}

TEST_F(described_cluster, serves_no_writes_once_the_lease_has_run_out) {
    serve(-1s);
    EXPECT_FALSE(facts().serves_writes);
    EXPECT_FALSE(facts().may_serve_soon);
}

TEST_F(described_cluster, may_serve_soon_until_hold_timeout) {
    hold(cluster::cause::no_claimant);
    settings_.hold_timeout = 5s;
    published_.unserved_since = now - 4s;
    EXPECT_TRUE(facts().may_serve_soon);
    published_.unserved_since = now - 5s;
    EXPECT_FALSE(facts().may_serve_soon);
}

TEST_F(described_cluster, may_not_serve_soon_for_longer_because_the_cause_has_changed) {
    hold(cluster::cause::unconfirmed);
    settings_.hold_timeout = 5s;
    published_.unserved_since = now - 5s;
    view().since = now - 1s;
    EXPECT_FALSE(facts().may_serve_soon);
}

TEST_F(described_cluster, may_not_serve_soon_where_nobody_may_wait) {
    hold(cluster::cause::no_claimant);
    settings_.hold_max_clients = 0;
    EXPECT_FALSE(facts().may_serve_soon);
}

TEST_F(described_cluster, may_not_serve_soon_when_waiting_does_not_help) {
    hold(cluster::cause::ambiguous);
    view().writes = cluster::write_mode::reject;
    EXPECT_FALSE(facts().may_serve_soon);
}

TEST_F(described_cluster, serves_reads_from_a_node_with_a_lease_to_those_who_want_them) {
    hold(cluster::cause::no_claimant);
    offer_reads(1s);
    EXPECT_TRUE(facts().serves_reads);
    EXPECT_FALSE(facts(false).serves_reads);
    offer_reads(-1s);
    EXPECT_FALSE(facts().serves_reads);
}

TEST_F(described_cluster, serves_no_reads_from_a_node_that_is_cut) {
    hold(cluster::cause::no_claimant);
    offer_reads(1s);
    view().nodes[0].cut = true;
    EXPECT_FALSE(facts().serves_reads);
}

TEST(scrape_queue_test, asks_once_for_all_who_wait_together) {
    scrape_queue q;
    EXPECT_TRUE(q.join({}, now).must_ask);
    EXPECT_FALSE(q.join({}, now + 1s).must_ask);
    EXPECT_EQ(q.take().size(), 2U);
    EXPECT_TRUE(q.join({}, now + 2s).must_ask);
}

TEST(scrape_queue_test, gives_those_up_whose_report_does_not_come_and_asks_again) {
    scrape_queue q;
    EXPECT_TRUE(q.join({}, now).must_ask);
    const auto next = q.join({}, now + scrape_queue::patience + 1s);
    EXPECT_TRUE(next.must_ask);
    EXPECT_EQ(next.given_up.size(), 1U);
    EXPECT_EQ(q.take().size(), 1U);
}

TEST(scrape_queue_test, turns_away_who_comes_when_it_is_full) {
    scrape_queue q;
    for (std::size_t i = 0; i < scrape_queue::most; ++i) {
        EXPECT_TRUE(q.join({}, now).given_up.empty());
    }
    const auto last = q.join({}, now);
    EXPECT_FALSE(last.must_ask);
    EXPECT_EQ(last.given_up.size(), 1U);
}

// The exporter knows the words that the arbiter uses: a word more would change which samples there
// are from one scrape to the next.
std::size_t samples(const metrics::report& r, const std::string& name) {
    const auto page = observe::to_prometheus(r, {});
    std::size_t count = 0;
    for (auto at = page.find("\n" + name + "{"); at != std::string::npos;
         at = page.find("\n" + name + "{", at + 1)) {
        ++count;
    }
    return count;
}

TEST(exported_states, are_all_states_of_a_node) {
    for (int s = 0; s <= static_cast<int>(cluster::node_state::quarantined); ++s) {
        metrics::report r;
        r.nodes.resize(1);
        r.nodes[0].state = to_string(static_cast<cluster::node_state>(s));
        EXPECT_EQ(samples(r, "pgweir_node_state"),
                  static_cast<std::size_t>(cluster::node_state::quarantined) + 1)
            << r.nodes[0].state;
    }
}

TEST(exported_states, are_all_qualities_of_reads) {
    for (int q = 0; q <= static_cast<int>(cluster::read_quality::good); ++q) {
        metrics::report r;
        r.nodes.resize(1);
        r.nodes[0].reads = to_string(static_cast<cluster::read_quality>(q));
        EXPECT_EQ(samples(r, "pgweir_node_reads"),
                  static_cast<std::size_t>(cluster::read_quality::good) + 1);
    }
}

TEST(exported_states, are_all_modes_of_writes) {
    for (int m = 0; m <= static_cast<int>(cluster::write_mode::reject); ++m) {
        metrics::report r;
        r.clusters.resize(1);
        r.clusters[0].writes = to_string(static_cast<cluster::write_mode>(m));
        EXPECT_EQ(samples(r, "pgweir_cluster_writes"),
                  static_cast<std::size_t>(cluster::write_mode::reject) + 1);
    }
}

}  // namespace
}  // namespace pgweir::app
