// Cancel keys: who is found with which.
#include "pgweir/session/cancel_registry.hpp"

#include <gtest/gtest.h>

#include <array>
#include <set>

namespace pgweir::session {
namespace {

class cancel_registry_test : public ::testing::Test {
protected:
    // The registry never looks into a client.
    client& some_client(std::size_t n = 0) { return reinterpret_cast<client&>(places_[n]); }

    std::array<char, 2> places_{};
    cancel_registry keys_{5};
};

TEST_F(cancel_registry_test, finds_a_client_by_its_key) {
    const auto key = keys_.add(some_client());
    EXPECT_EQ(keys_.find(key), &some_client());
}

TEST_F(cancel_registry_test, finds_nobody_with_a_wrong_secret) {
    const auto key = keys_.add(some_client());
    EXPECT_EQ(keys_.find({key.pid, key.secret ^ 1}), nullptr);
}

TEST_F(cancel_registry_test, finds_nobody_with_another_s_secret) {
    const auto first = keys_.add(some_client(0));
    const auto second = keys_.add(some_client(1));
    EXPECT_EQ(keys_.find({first.pid, second.secret}), nullptr);
}

TEST_F(cancel_registry_test, finds_nobody_under_a_slot_it_never_gave_out) {
    const auto key = keys_.add(some_client());
    EXPECT_EQ(keys_.find({key.pid + 1, key.secret}), nullptr);
}

TEST_F(cancel_registry_test, finds_nobody_under_hostile_process_ids) {
    const auto key = keys_.add(some_client());
    for (const std::int32_t pid : {0, -1, INT32_MIN, INT32_MAX, 5 << 25}) {
        EXPECT_EQ(keys_.find({pid, key.secret}), nullptr) << pid;
    }
}

TEST_F(cancel_registry_test, does_not_find_a_client_that_left) {
    const auto key = keys_.add(some_client());
    keys_.remove(key);
    EXPECT_EQ(keys_.find(key), nullptr);
}

TEST_F(cancel_registry_test, finds_nobody_in_an_empty_slot_with_the_secret_zero) {
    const auto key = keys_.add(some_client());
    keys_.remove(key);
    EXPECT_EQ(keys_.find({key.pid, 0}), nullptr);
}

TEST_F(cancel_registry_test, uses_a_slot_again) {
    const auto first = keys_.add(some_client());
    keys_.remove(first);
    EXPECT_EQ(keys_.add(some_client()).pid, first.pid);
}

TEST_F(cancel_registry_test, does_not_find_the_next_client_of_a_slot_by_the_old_key) {
    const auto first = keys_.add(some_client(0));
    keys_.remove(first);
    (void)keys_.add(some_client(1));
    EXPECT_EQ(keys_.find(first), nullptr);
}

TEST_F(cancel_registry_test, gives_every_client_another_process_id) {
    std::set<std::int32_t> pids;
    for (int i = 0; i < 1000; ++i) {
        pids.insert(keys_.add(some_client()).pid);
    }
    EXPECT_EQ(pids.size(), 1000U);
}

TEST_F(cancel_registry_test, gives_out_positive_process_ids) {
    cancel_registry last{63};
    EXPECT_GT(last.add(some_client()).pid, 0);
}

TEST_F(cancel_registry_test, names_its_worker_in_the_process_id) {
    EXPECT_EQ(worker_of(keys_.add(some_client()).pid), 5U);
}

TEST(worker_of, is_nobody_for_process_ids_that_none_gives_out) {
    EXPECT_FALSE(worker_of(0));
    EXPECT_FALSE(worker_of(-7));
}

}  // namespace
}  // namespace pgweir::session
