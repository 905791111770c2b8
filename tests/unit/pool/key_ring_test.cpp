// Keys that are derived elsewhere, once, and keys that clients gave away.
#include "pgweir/pool/key_ring.hpp"

#include "net/sockets.hpp"

#include <gtest/gtest.h>

#include <ctime>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace pgweir::pool {
namespace {

class key_ring_test : public ::testing::Test {
protected:
    auth::scram_keys derive(const auth::hash_request& request) {
        std::promise<auth::scram_keys> answer;
        EXPECT_TRUE(
            ring_.derive(request, worker_.loop, [&](const auto& keys) { answer.set_value(keys); }));
        const auto keys = answer.get_future().get();
        worker_.call([] {});  // until the answer has been given
        return keys;
    }

    net::loop_thread worker_;
    key_ring ring_{2};
    key_ring::interest alice_ = ring_.hold("alice");
};

double cpu_seconds() {
    timespec t{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

TEST_F(key_ring_test, derives_what_scram_says) {
    EXPECT_EQ(derive({"pencil", "salt", 10}), auth::derive_scram_keys("pencil", "salt", 10));
}

TEST_F(key_ring_test, answers_on_the_loop_that_asked) {
    std::promise<std::thread::id> where;
    ASSERT_TRUE(ring_.derive({"pencil", "salt", 1}, worker_.loop,
                             [&](const auto&) { where.set_value(std::this_thread::get_id()); }));
    const auto asked = where.get_future().get();
    EXPECT_EQ(worker_.call([] { return std::this_thread::get_id(); }), asked);
}

TEST_F(key_ring_test, gives_the_same_answer_again) {
    const auto first = derive({"pencil", "salt", 10});
    EXPECT_EQ(derive({"pencil", "salt", 10}), first);
}

TEST_F(key_ring_test, pays_for_the_same_keys_once) {
    const auth::hash_request dear{"pencil", "salt", 100'000};
    const auto start = cpu_seconds();
    (void)derive(dear);
    const auto first = cpu_seconds() - start;
    for (int i = 0; i < 10; ++i) {
        (void)derive(dear);
    }
    EXPECT_LT(cpu_seconds() - start - first, first);
}

TEST_F(key_ring_test, tells_passwords_apart) {
    (void)derive({"pencil", "salt", 10});
    EXPECT_EQ(derive({"crayon", "salt", 10}), auth::derive_scram_keys("crayon", "salt", 10));
}

TEST_F(key_ring_test, tells_iterations_apart) {
    (void)derive({"pencil", "salt", 10});
    EXPECT_EQ(derive({"pencil", "salt", 11}), auth::derive_scram_keys("pencil", "salt", 11));
}

TEST_F(key_ring_test, does_not_take_the_end_of_a_salt_for_the_begin_of_a_password) {
    (void)derive({"pencil", "salt", 10});
    EXPECT_EQ(derive({"tpencil", "sal", 10}), auth::derive_scram_keys("tpencil", "sal", 10));
}

TEST_F(key_ring_test, answers_many_threads) {
    constexpr int each = 50;
    int answers = 0;  // the loop's thread only
    int wrong = 0;
    std::promise<void> all;
    const auto expected = auth::derive_scram_keys("pencil3", "salt", 1);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < each; ++i) {
                const auto n = std::to_string(i % 5);
                ASSERT_TRUE(ring_.derive({"pencil" + n, "salt", 1}, worker_.loop,
                                         [&, is_third = n == "3"](const auth::scram_keys& keys) {
                                             wrong += is_third != (keys == expected);
                                             if (++answers == 4 * each) {
                                                 all.set_value();
                                             }
                                         }));
            }
        });
    }
    for (auto& t : threads) {
        t.join();
    }
    all.get_future().wait();
    EXPECT_EQ(worker_.call([&wrong] { return wrong; }), 0);
}

TEST_F(key_ring_test, knows_nothing_of_a_user_who_never_came) {
    EXPECT_FALSE(ring_.recall("alice"));
}

TEST_F(key_ring_test, recalls_what_a_user_proved) {
    const auto keys = auth::derive_scram_keys("pencil", "salt", 1);
    ring_.remember("alice", {keys, "salt", 1});
    EXPECT_EQ(ring_.recall("alice")->keys, keys);
}

TEST_F(key_ring_test, recalls_the_last_proof) {
    ring_.remember("alice", {{}, "old", 1});
    ring_.remember("alice", {{}, "new", 1});
    EXPECT_EQ(ring_.recall("alice")->salt, "new");
}

TEST_F(key_ring_test, does_not_mix_up_users) {
    ring_.remember("alice", {{}, "salt", 1});
    EXPECT_FALSE(ring_.recall("bob"));
}

TEST_F(key_ring_test, forgets_what_nobody_needs_any_more) {
    ring_.remember("alice", {{}, "salt", 1});
    alice_ = {};
    EXPECT_FALSE(ring_.recall("alice"));
    alice_ = ring_.hold("alice");
    EXPECT_FALSE(ring_.recall("alice"));
}

TEST_F(key_ring_test, keeps_what_somebody_else_still_needs) {
    auto other = ring_.hold("alice");
    ring_.remember("alice", {{}, "salt", 1});
    alice_ = {};
    EXPECT_TRUE(ring_.recall("alice"));
}

TEST_F(key_ring_test, keeps_what_is_handed_on) {
    ring_.remember("alice", {{}, "salt", 1});
    auto other = std::move(alice_);
    alice_ = std::move(other);
    alice_ = ring_.hold("alice");
    EXPECT_TRUE(ring_.recall("alice"));
}

TEST_F(key_ring_test, learns_nothing_of_whom_nobody_needs) {
    ring_.remember("bob", {{}, "salt", 1});
    const auto bob = ring_.hold("bob");
    EXPECT_FALSE(ring_.recall("bob"));
}

key_ring::proven checked_with(std::uint64_t serial, std::string salt, const char* secret = "") {
    return {{}, std::move(salt), 1, base::secret{secret}, serial};
}

TEST_F(key_ring_test, does_not_go_back_to_an_older_password) {
    ring_.remember("alice", checked_with(2, "new"));
    ring_.remember("alice", checked_with(1, "old"));
    EXPECT_EQ(ring_.recall("alice")->salt, "new");
}

TEST_F(key_ring_test, goes_on_to_a_newer_password) {
    ring_.remember("alice", checked_with(1, "old", "pencil"));
    ring_.remember("alice", checked_with(2, "new"));
    EXPECT_EQ(ring_.recall("alice")->salt, "new");
    EXPECT_TRUE(ring_.recall("alice")->secret.empty());
}

TEST_F(key_ring_test, keeps_what_another_login_with_the_same_password_did_not_show) {
    ring_.remember("alice", {{}, {}, 0, base::secret{"pencil"}, 1});
    ring_.remember("alice", checked_with(1, "salt"));
    EXPECT_EQ(ring_.recall("alice")->secret.reveal(), "pencil");
    EXPECT_EQ(ring_.recall("alice")->salt, "salt");
}

}  // namespace
}  // namespace pgweir::pool
