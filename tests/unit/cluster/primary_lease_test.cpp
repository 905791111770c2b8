// When a broken connection suspends the primary, and for how long.
#include "pgweir/cluster/primary_lease.hpp"

#include <gtest/gtest.h>

namespace pgweir::cluster {
namespace {

using namespace std::chrono_literals;

constexpr time_point at(std::chrono::milliseconds ms) { return time_point{1h} + ms; }
constexpr auto first = stamp_of(1, 0);
constexpr auto second = stamp_of(2, 1);

class doubted_lease : public ::testing::Test {
protected:
    doubted_lease() { publish(0ms); }

    bool publish(std::chrono::milliseconds now) {
        view_.lease_until = at(now + 2500ms);
        return lease_.publish(view_, at(now), 2500ms);
    }
    [[nodiscard]] bool serves(grant_stamp stamp, std::chrono::milliseconds now) const {
        return lease_.load().allows(stamp, at(now));
    }

    cluster_view view_ = [] {
        cluster_view v;
        v.epoch = 1;
        v.primary = 0;
        return v;
    }();
    primary_lease lease_;
};

TEST_F(doubted_lease, allows_nothing_from_the_break_on) {
    ASSERT_TRUE(serves(first, 10ms));
    EXPECT_TRUE(lease_.doubt(first, at(10ms)));
    EXPECT_FALSE(serves(first, 10ms));
}

TEST_F(doubted_lease, is_not_renewed_by_other_evidence) {
    lease_.doubt(first, at(10ms));
    publish(15ms);
    EXPECT_FALSE(serves(first, 15ms));
}

TEST_F(doubted_lease, comes_back_when_the_node_has_let_somebody_in_since) {
    lease_.doubt(first, at(10ms));
    EXPECT_TRUE(lease_.dispel(at(11ms), at(13ms)));
    publish(13ms);
    EXPECT_TRUE(serves(first, 13ms));
}

TEST_F(doubted_lease, is_not_helped_by_who_was_let_in_before) {
    lease_.doubt(first, at(10ms));
    EXPECT_FALSE(lease_.dispel(at(10ms), at(13ms)));
    publish(13ms);
    EXPECT_FALSE(serves(first, 13ms));
}

TEST_F(doubted_lease, wants_an_answer_to_the_breaks_that_follow_soon) {
    lease_.doubt(first, at(10ms));
    EXPECT_FALSE(lease_.doubt(first, at(20ms)));
    EXPECT_FALSE(lease_.dispel(at(15ms), at(21ms)));
    EXPECT_TRUE(lease_.dispel(at(22ms), at(24ms)));
}

TEST_F(doubted_lease, wants_no_answer_to_breaks_without_end) {
    lease_.doubt(first, at(10ms));
    lease_.doubt(first, at(10ms) + primary_lease::renewable + 1ms);
    EXPECT_TRUE(lease_.dispel(at(11ms), at(40ms)));
}

TEST_F(doubted_lease, is_not_doubted_again_at_once) {
    lease_.doubt(first, at(10ms));
    lease_.dispel(at(11ms), at(13ms));
    publish(13ms);
    EXPECT_FALSE(lease_.doubt(first, at(14ms)));
    EXPECT_TRUE(serves(first, 14ms));
    EXPECT_TRUE(lease_.doubt(first, at(13ms) + primary_lease::rest));
}

TEST_F(doubted_lease, does_not_care_for_connections_of_another_grant) {
    EXPECT_FALSE(lease_.doubt(second, at(10ms)));
    EXPECT_FALSE(lease_.doubt(grant_stamp::none, at(10ms)));
    EXPECT_TRUE(serves(first, 10ms));
}

TEST_F(doubted_lease, is_as_good_as_new_with_the_next_grant) {
    lease_.doubt(first, at(10ms));
    view_.epoch = 2;
    view_.primary = 1;
    EXPECT_TRUE(publish(12ms));
    EXPECT_TRUE(serves(second, 12ms));
    EXPECT_FALSE(lease_.is_doubted());
    EXPECT_TRUE(lease_.doubt(second, at(13ms)));
}

TEST_F(doubted_lease, stays_doubted_while_the_primary_is_not_served) {
    lease_.doubt(first, at(10ms));
    view_.primary.reset();
    publish(12ms);
    view_.primary = 0;
    publish(14ms);
    EXPECT_FALSE(serves(first, 14ms));
}

TEST_F(doubted_lease, goes_on_after_a_while_if_the_evidence_says_so) {
    lease_.doubt(first, at(10ms));
    EXPECT_FALSE(publish(2509ms));
    EXPECT_FALSE(serves(first, 2509ms));
    EXPECT_TRUE(publish(2510ms));
    EXPECT_TRUE(serves(first, 2510ms));
}

TEST_F(doubted_lease, that_has_ended_serves_nobody) {
    lease_.end();
    EXPECT_FALSE(serves(first, 10ms));
}

}  // namespace
}  // namespace pgweir::cluster
