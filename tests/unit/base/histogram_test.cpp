// Durations by class.
#include "pgweir/base/histogram.hpp"

#include <gtest/gtest.h>

namespace pgweir::base {
namespace {

using namespace std::chrono_literals;

TEST(duration_histogram, counts_a_duration_in_the_class_whose_bound_it_does_not_pass) {
    duration_histogram h;
    h.add(10ms);
    h.add(10ms + 1us);
    EXPECT_EQ(h.read().classes[0], 1U);
    EXPECT_EQ(h.read().classes[1], 1U);
}

TEST(duration_histogram, counts_what_passes_every_bound_in_the_last_class) {
    duration_histogram h;
    h.add(120s);
    h.add(1h);
    const auto classes = h.read().classes;
    EXPECT_EQ(classes[classes.size() - 2], 1U);
    EXPECT_EQ(classes.back(), 1U);
}

TEST(duration_histogram, sums_up_in_microseconds) {
    duration_histogram h;
    h.add(1'500us);
    h.add(2s);
    EXPECT_EQ(h.read().sum_us, 2'001'500U);
}

TEST(duration_histogram, takes_a_negative_duration_for_none) {
    duration_histogram h;
    h.add(-1s);
    EXPECT_EQ(h.read().classes[0], 1U);
    EXPECT_EQ(h.read().sum_us, 0U);
}

}  // namespace
}  // namespace pgweir::base
