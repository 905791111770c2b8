// The inbox of what workers smell.
#include "watch/smell_inbox.hpp"

#include <gtest/gtest.h>

namespace pgweir::watch {
namespace {

using namespace std::chrono_literals;
using cluster::smell;

constexpr base::time_point at{100s};

class smell_inbox_test : public ::testing::Test {
protected:
    int wakes_ = 0;
    smell_inbox inbox_{[this] { ++wakes_; }};
};

TEST_F(smell_inbox_test, wakes_once_until_somebody_has_looked) {
    inbox_.put("n1", smell::lost, at);
    inbox_.put("n2", smell::lost, at);
    EXPECT_EQ(wakes_, 1);
    static_cast<void>(inbox_.take());
    inbox_.put("n1", smell::lost, at);
    EXPECT_EQ(wakes_, 2);
}

TEST_F(smell_inbox_test, keeps_the_newest_of_each_node) {
    inbox_.put("n1", smell::lost, at + 1s);
    inbox_.put("n1", smell::going, at);
    const auto c = inbox_.take();
    ASSERT_EQ(c.entries.size(), 1U);
    EXPECT_EQ(c.entries[0].smelled, at + 1s);
    EXPECT_EQ(c.entries[0].in_recovery, base::no_time);
}

TEST_F(smell_inbox_test, remembers_that_a_node_said_it_is_in_recovery) {
    inbox_.put("n1", smell::in_recovery, at);
    inbox_.put("n1", smell::lost, at + 1s);
    EXPECT_EQ(inbox_.take().entries[0].in_recovery, at);
}

TEST_F(smell_inbox_test, takes_what_any_client_can_bring_about_now_and_then) {
    inbox_.put("n1", smell::read_only, at);
    EXPECT_EQ(inbox_.take().entries.size(), 1U);
    inbox_.put("n1", smell::read_only, at + smell_inbox::between_read_only - 1ms);
    EXPECT_TRUE(inbox_.take().entries.empty());
    inbox_.put("n1", smell::read_only, at + smell_inbox::between_read_only);
    EXPECT_EQ(inbox_.take().entries.size(), 1U);
    EXPECT_EQ(wakes_, 2);
}

TEST_F(smell_inbox_test, takes_other_smells_however_often_they_come) {
    inbox_.put("n1", smell::read_only, at);
    static_cast<void>(inbox_.take());
    inbox_.put("n1", smell::going, at + 1ms);
    EXPECT_EQ(inbox_.take().entries.size(), 1U);
}

TEST_F(smell_inbox_test, is_empty_once_taken) {
    inbox_.put("n1", smell::lost, at);
    static_cast<void>(inbox_.take());
    EXPECT_TRUE(inbox_.take().entries.empty());
}

TEST_F(smell_inbox_test, does_not_grow_without_end) {
    for (int i = 0; i < 1'000; ++i) {
        inbox_.put("n" + std::to_string(i), smell::lost, at);
    }
    const auto c = inbox_.take();
    EXPECT_LE(c.entries.size(), 256U);
    EXPECT_TRUE(c.is_incomplete);
}

}  // namespace
}  // namespace pgweir::watch
