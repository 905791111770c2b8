// What the watcher decides by itself: who has a board, which orders reach a cluster, and what
// becomes of a state that cannot be read. The nodes are ports of this machine at which nobody
// listens.
#include "pgweir/watch/watcher.hpp"

#include "pgweir/base/log.hpp"
#include "watch/state_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <stdlib.h>
#include <string>

namespace pgweir::watch {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using verb = order::verb;

constexpr std::chrono::seconds patience{30};

class a_watcher : public ::testing::Test {
protected:
    a_watcher() {
        std::string name = ::testing::TempDir() + "watcher-XXXXXX";
        folder_ = ::mkdtemp(name.data());
        base::set_log_level(spdlog::level::off);  // it tells a story each test
    }
    ~a_watcher() override {
        watcher_.stop();
        base::set_log_level(spdlog::level::info);
        std::filesystem::remove_all(folder_);
    }

    using names = std::vector<std::string>;

    std::shared_ptr<const config::snapshot> clusters(const names& all) const {
        auto s = std::make_shared<config::snapshot>();
        s->process.state_dir = folder_;
        for (const auto& name : all) {
            auto& c = s->clusters[name];
            c.name = name;
            for (const auto port : std::array<std::uint16_t, 3>{1, 2, 3}) {
                c.nodes.push_back({"n" + std::to_string(port), "127.0.0.1", port, 100, {}, 0});
            }
        }
        return s;
    }
    std::string state_path(const std::string& cluster) const {
        return folder_ + "/" + cluster + ".cluster";
    }
    void damage(const std::string& cluster) const {
        std::ofstream{state_path(cluster)} << "pgweir-cluster-state 1\nepoch";
    }

    order_outcome tell(verb what, const std::string& cluster, const std::string& node = {}) {
        order o;
        o.what = what;
        o.cluster = cluster;
        o.node = node;
        std::promise<order_outcome> told;
        auto answer = told.get_future();
        watcher_.carry_out(o, [&](order_outcome outcome) { told.set_value(std::move(outcome)); });
        return answer.wait_for(patience) == std::future_status::ready
                   ? answer.get()
                   : order_outcome{
                         .sqlstate = "no answer", .message = {}, .detail = {}, .hint = {}};
    }
    metrics::report report() {
        std::promise<metrics::report> told;
        auto answer = told.get_future();
        watcher_.report([&](metrics::report r) { told.set_value(std::move(r)); });
        return answer.wait_for(patience) == std::future_status::ready ? answer.get()
                                                                      : metrics::report{};
    }

    std::string folder_;
    watcher watcher_;
};

TEST_F(a_watcher, has_a_board_for_each_cluster_that_is_configured) {
    watcher_.configure(clusters({"main", "other"}));
    EXPECT_NE(watcher_.board_of("main"), nullptr);
    EXPECT_NE(watcher_.board_of("main"), watcher_.board_of("other"));
    EXPECT_EQ(watcher_.board_of("mian"), nullptr);
}

TEST_F(a_watcher, keeps_the_board_of_a_cluster_that_leaves_and_comes_back) {
    watcher_.configure(clusters({"main"}));
    const auto board = watcher_.board_of("main");
    watcher_.configure(clusters({}));
    EXPECT_EQ(watcher_.board_of("main"), board);
    watcher_.configure(clusters({"main"}));
    EXPECT_EQ(watcher_.board_of("main"), board);
}

TEST_F(a_watcher, grants_nothing_in_a_cluster_that_has_left) {
    watcher_.configure(clusters({"main"}));
    watcher_.start();
    static_cast<void>(report());
    watcher_.configure(clusters({}));
    static_cast<void>(report());
    const auto view = watcher_.board_of("main")->view();
    ASSERT_NE(view, nullptr);
    EXPECT_THAT(view->nodes, IsEmpty());
    EXPECT_FALSE(view->view.primary);
    EXPECT_EQ(view->summary, "the cluster is not watched any more");
}

TEST_F(a_watcher, refuses_an_order_to_a_cluster_that_there_is_not) {
    watcher_.configure(clusters({"main"}));
    watcher_.start();
    EXPECT_EQ(tell(verb::fence, "mian", "n1").sqlstate, "42704");
    EXPECT_EQ(tell(verb::recheck, "mian").sqlstate, "42704");
    watcher_.configure(clusters({}));
    EXPECT_EQ(tell(verb::fence, "main", "n1").sqlstate, "42704");
}

TEST_F(a_watcher, refuses_an_order_before_its_start_and_after_its_end) {
    watcher_.configure(clusters({"main"}));
    EXPECT_EQ(tell(verb::fence, "main", "n1").sqlstate, "57P03");
    watcher_.start();
    EXPECT_EQ(tell(verb::fence, "main", "n1").sqlstate, "");
    watcher_.stop();
    EXPECT_EQ(tell(verb::fence, "main", "n1").sqlstate, "57P03");
}

TEST_F(a_watcher, takes_a_hint_to_look_at_all_clusters_also_where_there_is_none) {
    EXPECT_EQ(tell(verb::recheck, "").sqlstate, "");
    watcher_.configure(clusters({"main"}));
    watcher_.start();
    EXPECT_EQ(tell(verb::recheck, "").sqlstate, "");
}

TEST_F(a_watcher, refuses_orders_that_the_nodes_do_not_allow) {
    watcher_.configure(clusters({"main"}));
    watcher_.start();
    EXPECT_EQ(tell(verb::fence, "main", "n9").sqlstate, "42704");
    EXPECT_EQ(tell(verb::unfence, "main", "n9").sqlstate, "42704");
    EXPECT_EQ(tell(verb::force_primary, "main", "n1").sqlstate, "55000");
    EXPECT_EQ(tell(verb::switchover_begin, "main").sqlstate, "55000");
    EXPECT_EQ(tell(verb::switchover_end, "main").sqlstate, "55000");
    EXPECT_EQ(tell(verb::forget_cluster, "main").sqlstate, "");
}

TEST_F(a_watcher, writes_down_what_it_is_ordered) {
    watcher_.configure(clusters({"main"}));
    watcher_.start();
    tell(verb::fence, "main", "n2");
    EXPECT_TRUE(load_state(state_path("main")).fenced.contains("n2"));
    tell(verb::unfence, "main", "n2");
    EXPECT_FALSE(load_state(state_path("main")).fenced.contains("n2"));
}

TEST_F(a_watcher, says_when_an_order_would_be_forgotten_by_a_restart) {
    std::filesystem::create_directory(state_path("main") + ".new");  // in the way
    watcher_.configure(clusters({"main"}));
    watcher_.start();
    const auto outcome = tell(verb::fence, "main", "n2");
    EXPECT_EQ(outcome.sqlstate, "58030");
    EXPECT_THAT(outcome.message, HasSubstr("in effect, but a restart would forget it"));
    EXPECT_NE(report().clusters.at(0).metadata_error, "");
}

TEST_F(a_watcher, reports_nothing_before_its_start) {
    watcher_.configure(clusters({"main"}));
    EXPECT_THAT(report().clusters, IsEmpty());
}

TEST_F(a_watcher, reports_each_cluster_with_its_nodes_and_every_cause_and_result) {
    watcher_.configure(clusters({"main", "other"}));
    watcher_.start();
    const auto r = report();
    ASSERT_EQ(r.clusters.size(), 2U);
    EXPECT_EQ(r.nodes.size(), 6U);
    EXPECT_EQ(r.clusters[0].writes, "hold");
    EXPECT_EQ(r.clusters[0].failovers_by_cause.size(), cluster::cause_count);
    EXPECT_EQ(r.nodes[0].probe_results.size(), cluster::contact_count - 1);  // but "not asked"
}

TEST_F(a_watcher, goes_on_with_what_was_known_before) {
    cluster::cluster_state known;
    known.epoch = 7;
    known.max_granted_tli = 3;
    known.granted = "n2";
    ASSERT_EQ(store_state(state_path("main"), known), "");
    watcher_.configure(clusters({"main"}));
    watcher_.start();
    const auto r = report();
    EXPECT_EQ(r.clusters.at(0).epoch, 7U);
    EXPECT_EQ(r.clusters.at(0).tli, 3U);
    EXPECT_EQ(r.clusters.at(0).failovers, 0U);
}

TEST_F(a_watcher, reads_the_state_where_the_cluster_says_it_is) {
    cluster::cluster_state known;
    known.epoch = 7;
    ASSERT_EQ(store_state(folder_ + "/elsewhere", known), "");
    auto s = std::make_shared<config::snapshot>(*clusters({"main"}));
    s->clusters["main"].state_file = folder_ + "/elsewhere";
    watcher_.configure(s);
    watcher_.start();
    EXPECT_EQ(report().clusters.at(0).epoch, 7U);
}

TEST_F(a_watcher, does_not_begin_with_a_state_that_is_damaged) {
    damage("main");
    try {
        watcher_.configure(clusters({"main"}));
        FAIL() << "it takes less than was known for all there is";
    } catch (const std::runtime_error& e) {
        EXPECT_THAT(e.what(), AllOf(HasSubstr("cluster main"), HasSubstr(state_path("main"))));
    }
}

TEST_F(a_watcher, holds_a_cluster_whose_state_is_damaged_when_a_reload_brings_it) {
    watcher_.configure(clusters({"main"}));
    watcher_.start();
    damage("other");
    watcher_.configure(clusters({"main", "other"}));
    const auto r = report();
    ASSERT_EQ(r.clusters.size(), 2U);
    EXPECT_EQ(r.clusters[0].metadata_error, "");
    EXPECT_EQ(r.clusters[1].writes, "hold");
    EXPECT_THAT(r.clusters[1].metadata_error, HasSubstr("other.cluster"));
    EXPECT_EQ(tell(verb::fence, "other", "n1").sqlstate, "58030");
}

TEST_F(a_watcher, takes_up_a_cluster_once_its_state_was_put_right) {
    watcher_.configure(clusters({}));
    watcher_.start();
    damage("main");
    watcher_.configure(clusters({"main"}));
    EXPECT_NE(report().clusters.at(0).metadata_error, "");
    ASSERT_EQ(store_state(state_path("main"), {}), "");
    watcher_.configure(clusters({"main"}));
    EXPECT_EQ(report().clusters.at(0).metadata_error, "");
    EXPECT_EQ(tell(verb::fence, "main", "n1").sqlstate, "");
}

TEST(a_watcher_with_a_listener, tells_it_of_each_view_by_the_name_of_the_cluster) {
    std::promise<std::string> heard;
    auto name = heard.get_future();
    std::atomic<bool> is_told = false;
    watcher w{[&](const std::string& cluster, const cluster::view_ptr& view) {
        if (!is_told.exchange(true)) {
            heard.set_value(cluster + ", " + std::to_string(view->nodes.size()) + " nodes");
        }
    }};
    std::string folder = ::testing::TempDir() + "watcher-XXXXXX";
    ASSERT_NE(::mkdtemp(folder.data()), nullptr);
    auto s = std::make_shared<config::snapshot>();
    s->process.state_dir = folder;
    auto& c = s->clusters["main"];
    c.name = "main";
    c.nodes.push_back({"n1", "127.0.0.1", 1, 100, {}, 0});
    w.configure(s);
    w.start();
    ASSERT_EQ(name.wait_for(patience), std::future_status::ready);
    EXPECT_EQ(name.get(), "main, 1 nodes");
    w.stop();
    std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace pgweir::watch
