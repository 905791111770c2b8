// Cancel keys: who is found with which.
#include "pgweir/session/cancel_registry.hpp"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <string>

namespace pgweir::session {
namespace {

class cancel_registry_test : public ::testing::Test {
protected:
    // The registry never looks into a client.
    client& some_client(std::size_t n = 0) { return reinterpret_cast<client&>(places_[n]); }

    struct told {
        cancel_key key;
        std::string secret;
    };
    told add(std::size_t n = 0, bool is_long = false) {
        const auto key = keys_.add(some_client(n), is_long);
        return {key, keys_.secret_of(key)};
    }

    std::array<char, 2> places_{};
    cancel_registry keys_{{.peer = 3, .worker = 5}, {1, 2, 3}};
};

class cancel_registry_of_both : public cancel_registry_test,
                                public ::testing::WithParamInterface<bool> {};

INSTANTIATE_TEST_SUITE_P(sizes, cancel_registry_of_both, ::testing::Bool(), [](const auto& size) {
    return std::string{size.param ? "long_keys" : "short_keys"};
});

TEST_P(cancel_registry_of_both, finds_a_client_by_its_key) {
    const auto [key, secret] = add(0, GetParam());
    EXPECT_EQ(keys_.find(key.pid, secret), &some_client());
}

TEST_P(cancel_registry_of_both, finds_nobody_with_a_secret_that_differs_in_one_byte) {
    const auto [key, secret] = add(0, GetParam());
    for (std::size_t i = 0; i < secret.size(); ++i) {
        auto wrong = secret;
        wrong[i] = static_cast<char>(wrong[i] ^ 1);
        EXPECT_EQ(keys_.find(key.pid, wrong), nullptr) << i;
    }
}

TEST_P(cancel_registry_of_both, finds_nobody_with_a_secret_of_another_size) {
    const auto [key, secret] = add(0, GetParam());
    for (std::size_t size = 0; size < secret.size(); ++size) {
        EXPECT_EQ(keys_.find(key.pid, secret.substr(0, size)), nullptr) << size;
    }
    EXPECT_EQ(keys_.find(key.pid, secret + 'x'), nullptr);
}

TEST_P(cancel_registry_of_both, finds_nobody_with_another_s_secret) {
    const auto first = add(0, GetParam());
    const auto second = add(1, GetParam());
    EXPECT_EQ(keys_.find(first.key.pid, second.secret), nullptr);
}

TEST_P(cancel_registry_of_both, finds_nobody_under_a_slot_it_never_gave_out) {
    const auto [key, secret] = add(0, GetParam());
    EXPECT_EQ(keys_.find(key.pid + 1, secret), nullptr);
}

TEST_P(cancel_registry_of_both, finds_nobody_under_hostile_process_ids) {
    const auto [key, secret] = add(0, GetParam());
    for (const std::int32_t pid : {0, -1, INT32_MIN, INT32_MAX, 5 << 25}) {
        EXPECT_EQ(keys_.find(pid, secret), nullptr) << pid;
    }
}

TEST_P(cancel_registry_of_both, does_not_find_a_client_that_left) {
    const auto [key, secret] = add(0, GetParam());
    keys_.remove(key);
    EXPECT_EQ(keys_.find(key.pid, secret), nullptr);
}

TEST_P(cancel_registry_of_both, does_not_find_the_next_client_of_a_slot_by_the_old_key) {
    const auto [key, secret] = add(0, GetParam());
    keys_.remove(key);
    EXPECT_EQ(add(1, GetParam()).key.pid, key.pid);
    EXPECT_EQ(keys_.find(key.pid, secret), nullptr);
}

TEST_F(cancel_registry_test, gives_keys_of_postgresql_s_sizes) {
    EXPECT_EQ(add(0, false).secret.size(), 4U);
    EXPECT_EQ(add(1, true).secret.size(), 32U);
}

TEST_F(cancel_registry_test, gives_long_keys_that_need_the_seed_to_be_foreseen) {
    const auto [key, secret] = add(0, true);
    cancel_registry other{{.peer = 3, .worker = 5}, {4, 5, 6}};
    const auto same_slot = other.add(some_client(), true);
    EXPECT_EQ(same_slot.pid, key.pid);
    EXPECT_NE(other.secret_of({key.pid, key.secret}).substr(4), secret.substr(4));
}

TEST_F(cancel_registry_test, finds_nobody_in_an_empty_slot_with_the_secret_zero) {
    const auto key = add().key;
    keys_.remove(key);
    EXPECT_EQ(keys_.find(key.pid, std::string(4, '\0')), nullptr);
}

TEST_F(cancel_registry_test, gives_every_client_another_process_id) {
    std::set<std::int32_t> pids;
    for (int i = 0; i < 1000; ++i) {
        pids.insert(add().key.pid);
    }
    EXPECT_EQ(pids.size(), 1000U);
}

TEST_F(cancel_registry_test, gives_every_client_another_secret) {
    std::set<std::int32_t> secrets;
    for (int i = 0; i < 100; ++i) {
        secrets.insert(add().key.secret);
    }
    EXPECT_GT(secrets.size(), 98U);  // two may be the same by chance, seldom
}

TEST_F(cancel_registry_test, gives_out_positive_process_ids) {
    cancel_registry last{{.peer = 31, .worker = 63}, {}};
    EXPECT_GT(last.add(some_client(), false).pid, 0);
}

TEST_F(cancel_registry_test, names_its_pgweir_and_worker_in_the_process_id) {
    EXPECT_EQ(issuer_of(add().key.pid), (key_issuer{.peer = 3, .worker = 5}));
}

TEST(issuer_of, is_nobody_for_process_ids_that_none_gives_out) {
    EXPECT_FALSE(issuer_of(0));
    EXPECT_FALSE(issuer_of(-7));
}

}  // namespace
}  // namespace pgweir::session
