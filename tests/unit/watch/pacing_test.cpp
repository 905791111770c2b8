// When nodes are probed.
#include "watch/pacing.hpp"

#include <gtest/gtest.h>

namespace pgweir::watch {
namespace {

using namespace std::chrono_literals;

constexpr probe_intervals intervals{.check = 1s, .quick = 50ms};
constexpr cluster::time_point begun{100s};

TEST(pacing, a_node_that_was_never_probed_is_probed_now) {
    EXPECT_LT(next_probe(cluster::pace::normal, intervals, cluster::no_time), begun);
}

TEST(pacing, follows_the_pace) {
    EXPECT_EQ(next_probe(cluster::pace::normal, intervals, begun), begun + 1s);
    EXPECT_EQ(next_probe(cluster::pace::quick, intervals, begun), begun + 50ms);
}

// A view may ask for answers at once after each answer.
TEST(pacing, at_once_still_leaves_a_node_some_air) {
    EXPECT_EQ(next_probe(cluster::pace::at_once, intervals, begun), begun + 10ms);
}

}  // namespace
}  // namespace pgweir::watch
