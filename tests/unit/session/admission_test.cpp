// Who may try to log in, and whom it keeps out when somebody opens many connections.
#include "pgweir/session/admission.hpp"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace pgweir::session {
namespace {

using namespace std::chrono_literals;
using refusal = admission::refusal;

origin from(const std::string& host) { return *origin_of(*net::parse_address(host, 5432)); }

class admission_test : public ::testing::Test {
protected:
    // As many as are let in, of `n` that come at once.
    std::size_t come(const std::string& host, unsigned n) {
        std::size_t in = 0;
        for (unsigned i = 0; i < n; ++i) {
            if (auto t = door_.admit(from(host), now_)) {
                inside_.push_back(std::move(t));
                ++in;
            }
        }
        return in;
    }

    base::time_point now_{1h};
    admission door_;
    std::vector<admission::ticket> inside_;
};

TEST_F(admission_test, lets_in_as_many_as_it_may) {
    door_.configure({.in_all = 3});
    EXPECT_EQ(come("192.0.2.1", 5), 3U);
    EXPECT_EQ(door_.refused(refusal::full), 2U);
    EXPECT_EQ(door_.count(), 3U);
}

TEST_F(admission_test, has_a_place_again_for_each_who_left) {
    door_.configure({.in_all = 3});
    come("192.0.2.1", 3);
    inside_.pop_back();
    EXPECT_EQ(come("192.0.2.1", 3), 1U);
}

TEST_F(admission_test, lets_nobody_use_up_all_places_from_one_address) {
    door_.configure({.in_all = 100, .per_origin = 2});
    EXPECT_EQ(come("192.0.2.1", 50), 2U);
    EXPECT_EQ(door_.refused(refusal::origin_full), 48U);
    EXPECT_EQ(come("192.0.2.2", 1), 1U);
}

TEST_F(admission_test, counts_an_address_down_as_its_clients_leave) {
    door_.configure({.in_all = 100, .per_origin = 2});
    come("192.0.2.1", 2);
    inside_.clear();
    EXPECT_EQ(come("192.0.2.1", 5), 2U);
}

TEST_F(admission_test, does_not_count_by_address_who_is_on_this_machine) {
    door_.configure({.in_all = 100, .per_origin = 1, .rate = 1});
    EXPECT_FALSE(origin_of(*net::parse_address("/run/postgresql", 5432)));
    auto first = door_.admit(std::nullopt, now_);
    auto second = door_.admit(std::nullopt, now_);
    EXPECT_TRUE(first && second);
}

TEST_F(admission_test, lets_an_address_come_no_faster_than_its_rate) {
    door_.configure({.in_all = 100, .rate = 10});
    EXPECT_EQ(come("192.0.2.1", 20), 10U);
    EXPECT_EQ(door_.refused(refusal::too_fast), 10U);
    now_ += 500ms;
    EXPECT_EQ(come("192.0.2.1", 20), 5U);
}

TEST_F(admission_test, saves_no_more_than_a_second_of_the_rate) {
    door_.configure({.in_all = 100, .rate = 10});
    come("192.0.2.1", 1);
    now_ += 1h;
    EXPECT_EQ(come("192.0.2.1", 20), 10U);
}

TEST_F(admission_test, does_not_let_others_pay_for_who_comes_too_fast) {
    door_.configure({.in_all = 100, .rate = 1});
    come("192.0.2.1", 20);
    EXPECT_EQ(come("192.0.2.2", 1), 1U);
}

TEST_F(admission_test, forgets_an_address_that_nobody_comes_from) {
    door_.configure({.in_all = 100});
    come("192.0.2.1", 2);
    inside_.clear();
    EXPECT_EQ(door_.origins(), 0U);
}

TEST_F(admission_test, does_not_remember_addresses_for_their_rate_without_end) {
    door_.configure({.in_all = 100, .rate = 5});
    for (int i = 0; i < 10'000; ++i) {
        now_ += 10ms;
        come("10.0." + std::to_string(i / 250) + '.' + std::to_string(i % 250 + 1), 1);
        inside_.clear();
    }
    EXPECT_LE(door_.origins(), 128U);
}

TEST_F(admission_test, takes_new_limits_from_the_next_on) {
    door_.configure({.in_all = 1});
    come("192.0.2.1", 1);
    door_.configure({.in_all = 2});
    EXPECT_EQ(come("192.0.2.1", 5), 1U);
}

TEST_F(admission_test, keeps_its_counts_when_the_rate_is_switched_off_meanwhile) {
    door_.configure({.in_all = 100, .per_origin = 5, .rate = 5});
    come("192.0.2.1", 3);
    door_.configure({.in_all = 100, .per_origin = 5});
    inside_.clear();
    EXPECT_EQ(come("192.0.2.1", 10), 5U);
}

TEST_F(admission_test, never_lets_in_more_than_it_may_from_many_threads) {
    door_.configure({.in_all = 4, .per_origin = 3});
    std::vector<std::thread> threads;
    std::atomic<bool> exceeded = false;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 2'000; ++i) {
                const auto one = door_.admit(from("192.0.2." + std::to_string(t % 2)), now_);
                exceeded = exceeded || door_.count() > 4;
            }
        });
    }
    for (auto& t : threads) {
        t.join();
    }
    EXPECT_FALSE(exceeded);
    EXPECT_EQ(door_.count(), 0U);
    EXPECT_EQ(door_.origins(), 0U);
}

TEST(origin, is_one_for_all_addresses_of_a_network_that_one_customer_gets) {
    EXPECT_EQ(from("2001:db8:1:2::1"), from("2001:db8:1:2:ffff::9"));
    EXPECT_NE(from("2001:db8:1:2::1"), from("2001:db8:1:3::1"));
}

TEST(origin, is_each_ipv4_address_also_where_it_comes_by_ipv6) {
    EXPECT_NE(from("192.0.2.1"), from("192.0.2.2"));
    EXPECT_EQ(from("::ffff:192.0.2.1"), from("192.0.2.1"));
}

}  // namespace
}  // namespace pgweir::session
