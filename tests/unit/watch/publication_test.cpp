// What workers are told, and when.
#include "watch/publication.hpp"

#include <gtest/gtest.h>

namespace pgweir::watch {
namespace {

using namespace std::chrono_literals;
using cluster::time_point;

constexpr lag_limits limits{.bytes = 1'000, .time = 10s};
constexpr time_point alive{100s};

cluster::published_view two_nodes() {
    cluster::published_view out;
    out.view.epoch = 2;
    out.view.writes = cluster::write_mode::serve;
    out.view.why = cluster::cause::none;
    out.view.primary = 0;
    out.view.nodes.resize(2);
    out.view.nodes[0].state = cluster::node_state::primary;
    out.view.nodes[0].reads = cluster::read_quality::good;
    out.view.nodes[1].state = cluster::node_state::standby;
    out.view.nodes[1].reads = cluster::read_quality::good;
    out.view.nodes[1].lag = 600;
    for (const char* name : {"n1", "n2"}) {
        out.nodes.push_back({.name = name,
                             .host = "h",
                             .port = 5432,
                             .weight = 100,
                             .link = std::make_shared<cluster::node_link>(),
                             .address = "10.0.0.1"});
    }
    return out;
}

bool differs_after(void (*change)(cluster::published_view&)) {
    const auto before = two_nodes();
    auto after = before;
    change(after);
    return differs_for_workers(before, after, limits);
}

TEST(publication, the_end_of_the_lease_is_not_told) {
    EXPECT_FALSE(differs_after([](auto& v) { v.view.lease_until = alive; }));
}

TEST(publication, the_pace_of_probes_is_not_told) {
    EXPECT_FALSE(differs_after([](auto& v) { v.view.probes = cluster::pace::quick; }));
}

TEST(publication, a_new_epoch_is_told) {
    EXPECT_TRUE(differs_after([](auto& v) { v.view.epoch = 3; }));
}

TEST(publication, a_hold_is_told) {
    EXPECT_TRUE(differs_after([](auto& v) { v.view.writes = cluster::write_mode::hold; }));
}

TEST(publication, a_switchover_is_told_while_writes_wait_for_another_reason) {
    EXPECT_TRUE(differs_after([](auto& v) { v.view.switchover_until = alive; }));
}

TEST(publication, a_cut_is_told) {
    EXPECT_TRUE(differs_after([](auto& v) { v.view.nodes[1].cut = true; }));
}

TEST(publication, the_quality_of_reads_is_told) {
    EXPECT_TRUE(
        differs_after([](auto& v) { v.view.nodes[1].reads = cluster::read_quality::stale; }));
}

TEST(publication, another_address_is_told) {
    EXPECT_TRUE(differs_after([](auto& v) { v.nodes[1].host = "elsewhere"; }));
    EXPECT_TRUE(differs_after([](auto& v) { v.nodes[1].address = "10.0.0.9"; }));
}

TEST(publication, a_lag_of_the_same_magnitude_is_not_told) {
    EXPECT_FALSE(differs_after([](auto& v) { v.view.nodes[1].lag = 900; }));
}

TEST(publication, a_lag_that_doubles_is_told) {
    EXPECT_TRUE(differs_after([](auto& v) { v.view.nodes[1].lag = 1'200; }));
}

TEST(publication, a_lag_that_passes_the_limit_is_told) {
    EXPECT_TRUE(differs_after([](auto& v) { v.view.nodes[1].lag = 1'001; }));
}

TEST(publication, a_lag_that_is_no_longer_known_is_told) {
    EXPECT_TRUE(differs_after([](auto& v) { v.view.nodes[1].lag.reset(); }));
}

// ---- The words for reads

TEST(publication, a_standby_may_be_read_from_while_its_sign_of_life_lasts) {
    const auto word = read_word(two_nodes().view, 1, alive, 2s);
    EXPECT_TRUE(word.allows(cluster::stamp_of(2, 1), alive + 1s));
    EXPECT_FALSE(word.allows(cluster::stamp_of(2, 1), alive + 2s));
}

TEST(publication, connections_of_the_last_epoch_are_not_read_from) {
    EXPECT_FALSE(read_word(two_nodes().view, 1, alive, 2s).allows(cluster::stamp_of(1, 1), alive));
}

TEST(publication, reads_need_no_grant) {
    auto v = two_nodes();
    v.view.epoch = 0;
    EXPECT_TRUE(read_word(v.view, 1, alive, 2s).allows(cluster::stamp_of(1, 1), alive));
}

TEST(publication, a_node_that_is_cut_is_not_read_from) {
    auto v = two_nodes();
    v.view.nodes[1].cut = true;
    EXPECT_EQ(read_word(v.view, 1, alive, 2s).stamp(), cluster::grant_stamp::none);
}

TEST(publication, a_node_without_reads_is_not_read_from) {
    auto v = two_nodes();
    v.view.nodes[1].reads = cluster::read_quality::none;
    EXPECT_EQ(read_word(v.view, 1, alive, 2s).stamp(), cluster::grant_stamp::none);
}

// ---- Words for people

TEST(publication, a_node_that_does_not_answer_is_described_by_its_last_probe) {
    cluster::node_view down;
    down.state = cluster::node_state::down;
    down.reason = cluster::node_reason::last_probe;
    EXPECT_EQ(describe(down, cluster::contact::refused), "down (refused)");
}

TEST(publication, a_node_that_is_fenced_is_described_by_why) {
    cluster::node_view fenced;
    fenced.state = cluster::node_state::fenced;
    fenced.reason = cluster::node_reason::old_timeline;
    EXPECT_EQ(describe(fenced, cluster::contact::answered), "fenced (old timeline)");
}

}  // namespace
}  // namespace pgweir::watch
