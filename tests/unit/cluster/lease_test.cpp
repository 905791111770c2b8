// The lease: which connection may begin a transaction, and until when.
#include "pgweir/cluster/lease.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <set>

namespace pgweir::cluster {
namespace {

using namespace std::chrono_literals;

constexpr time_point at(std::chrono::milliseconds ms) { return time_point{1h} + ms; }

TEST(lease, of_nobody_allows_nothing) {
    EXPECT_FALSE(lease_word{}.allows(grant_stamp::none, at(0ms)));
    EXPECT_FALSE(lease_word{}.allows(stamp_of(1, 0), at(0ms)));
}

TEST(lease, allows_a_connection_of_its_grant_until_its_end) {
    const lease_word w{stamp_of(3, 1), at(2500ms)};
    EXPECT_TRUE(w.allows(stamp_of(3, 1), at(0ms)));
    EXPECT_TRUE(w.allows(stamp_of(3, 1), at(2490ms)));
    EXPECT_FALSE(w.allows(stamp_of(3, 1), at(2500ms)));
    EXPECT_FALSE(w.allows(stamp_of(3, 1), at(60s)));
}

TEST(lease, does_not_allow_a_connection_of_another_epoch) {
    EXPECT_FALSE((lease_word{stamp_of(3, 1), at(2500ms)}.allows(stamp_of(2, 1), at(0ms))));
}

TEST(lease, does_not_allow_a_connection_to_another_node) {
    EXPECT_FALSE((lease_word{stamp_of(3, 1), at(2500ms)}.allows(stamp_of(3, 0), at(0ms))));
}

TEST(lease, lasts_over_the_turn_of_its_clock) {
    // Ticks of 2^20 ns wrap at 2^32 of them.
    const time_point turn{std::chrono::nanoseconds{std::int64_t{1} << 52}};
    const lease_word w{stamp_of(1, 0), turn + 1s};
    EXPECT_TRUE(w.allows(stamp_of(1, 0), turn - 1s));
    EXPECT_TRUE(w.allows(stamp_of(1, 0), turn + 900ms));
    EXPECT_FALSE(w.allows(stamp_of(1, 0), turn + 1s));
}

TEST(lease, of_nobody_runs_at_no_time) {
    // An end of 0 is ahead of half of all times, counted modulo 2^32 ticks.
    for (int days = 0; days < 60; ++days) {
        EXPECT_FALSE(lease_word{}.is_running(time_point{days * 24h})) << days << " days";
    }
}

TEST(lease, allows_nothing_without_a_grant_at_any_time) {
    for (int days = 0; days < 60; ++days) {
        const time_point now{days * 24h};
        for (const auto& w : {lease_word{}, lease_word{grant_stamp::none, now + 1h},
                              shared_lease{}.load(), no_lease.load()}) {
            EXPECT_FALSE(w.allows(grant_stamp::none, now)) << days << " days";
            EXPECT_FALSE(w.allows(w.stamp(), now)) << days << " days";
            EXPECT_FALSE(w.allows(stamp_of(1, 0), now)) << days << " days";
        }
    }
}

TEST(lease, of_a_grant_allows_nobody_without_one) {
    EXPECT_FALSE((lease_word{stamp_of(3, 1), at(2500ms)}.allows(grant_stamp::none, at(0ms))));
}

TEST(grant_stamp_of, a_grant_is_never_none_and_differs_from_its_neighbours) {
    std::set<grant_stamp> seen;
    for (const std::uint64_t epoch : {2U, 3U, 0xfffffeU, 0xffffffU, 0x1000000U}) {
        for (const std::size_t node : {0U, 1U, 255U}) {
            EXPECT_NE(stamp_of(epoch, node), grant_stamp::none);
            EXPECT_TRUE(seen.insert(stamp_of(epoch, node)).second) << epoch << " " << node;
        }
    }
}

TEST(published_lease, is_what_the_view_serves) {
    shared_lease lease;
    cluster_view view;
    view.epoch = 4;
    view.primary = 2;
    view.lease_until = at(1s);
    lease.publish(view);
    EXPECT_TRUE(lease.load().allows(stamp_of(4, 2), at(0ms)));

    view.primary.reset();
    lease.publish(view);
    EXPECT_FALSE(lease.load().allows(stamp_of(4, 2), at(0ms)));
}

}  // namespace
}  // namespace pgweir::cluster
