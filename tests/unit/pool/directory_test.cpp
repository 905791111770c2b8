// Permits for server connections and slots for clients: who gets one, and who is told of one back.
#include "pgweir/pool/shelf.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace pgweir::pool {
namespace {

using refusal = directory::refusal;

constexpr unsigned any_number = 1'000'000;

struct limits {
    unsigned pool = 2;
    unsigned reserve = 0;
    unsigned minimum = 0;
    unsigned database = 0;
    unsigned user = 0;
};

class directory_test : public ::testing::Test {
protected:
    directory_test() {
        all_.freed = [this](shelf& s) { freed_.push_back(&s); };
    }

    shelf& open(const std::string& database, const std::string& role, limits l = {}) {
        return *held_.emplace_back(open_for_a_moment(database, role, l));
    }
    shelf_ptr open_for_a_moment(const std::string& database,
                                const std::string& role,
                                limits l = {}) {
        config::pool_settings pool;
        pool.size = l.pool;
        pool.reserve_size = l.reserve;
        pool.min_size = l.minimum;
        config::database_settings settings;
        settings.max_server_connections = l.database;
        settings.user = "forced";
        config::user_settings user;
        user.max_server_connections = l.user;
        return all_.open({database, role}, pool, settings, &user);
    }
    permit take(shelf& s, bool use_reserve = false) {
        return all_.take(s, use_reserve, any_number).right;
    }
    refusal why_not(shelf& s, bool use_reserve = false) {
        return all_.take(s, use_reserve, any_number).why;
    }

    // A client of `s` waits on `worker` since `since`.
    static void wait_at(shelf& s, unsigned worker, std::int64_t since) {
        s.board(worker).waiting_since = since;
        s.waiting |= std::uint64_t{1} << worker;
    }

    // A pool with so many servers, idle on a worker.
    shelf& open_with_idle(const std::string& database,
                          const std::string& role,
                          unsigned worker,
                          unsigned idle,
                          limits l = {.pool = 10}) {
        auto& s = open(database, role, l);
        s.board(worker).idle += idle;
        for (unsigned i = 0; i < idle; ++i) {
            rights_.push_back(take(s));
        }
        return s;
    }

    std::vector<shelf*> freed_;
    directory all_;
    std::vector<shelf_ptr> held_;
    std::vector<permit> rights_;
};

TEST_F(directory_test, gives_as_many_permits_as_the_pool_may_have) {
    auto& s = open("shop", "alice");
    const auto first = take(s);
    const auto second = take(s);
    EXPECT_EQ(why_not(s), refusal::pool_full);
}

TEST_F(directory_test, gives_a_permit_that_came_back_to_another) {
    auto& s = open("shop", "alice", {.pool = 1});
    (void)take(s);
    EXPECT_TRUE(take(s));
}

TEST_F(directory_test, counts_a_moved_permit_once) {
    auto& s = open("shop", "alice");
    auto first = take(s);
    const permit moved{std::move(first)};
    EXPECT_EQ(s.size(), 1U);
}

TEST_F(directory_test, counts_none_when_all_came_back) {
    auto& s = open("shop", "alice");
    {
        const auto first = take(s);
        permit second = take(s);
        second = permit{};
    }
    EXPECT_EQ(s.size(), 0U);
}

TEST_F(directory_test, gives_no_permit_of_the_reserve_unless_asked) {
    auto& s = open("shop", "alice", {.pool = 1, .reserve = 1});
    const auto first = take(s);
    EXPECT_FALSE(take(s));
}

TEST_F(directory_test, gives_permits_of_the_reserve_when_asked) {
    auto& s = open("shop", "alice", {.pool = 1, .reserve = 1});
    const auto first = take(s);
    EXPECT_TRUE(take(s, true));
}

TEST_F(directory_test, gives_no_more_than_pool_and_reserve) {
    auto& s = open("shop", "alice", {.pool = 1, .reserve = 1});
    const auto first = take(s);
    const auto second = take(s, true);
    EXPECT_EQ(why_not(s, true), refusal::pool_full);
}

TEST_F(directory_test, bounds_a_database_over_all_its_pools) {
    const auto alice = take(open("shop", "alice", {.database = 1}));
    EXPECT_EQ(why_not(open("shop", "bob", {.database = 1})), refusal::database_full);
}

TEST_F(directory_test, does_not_count_another_database) {
    const auto shop = take(open("shop", "alice", {.database = 1}));
    EXPECT_TRUE(take(open("blog", "alice", {.database = 1})));
}

TEST_F(directory_test, bounds_a_user_over_all_databases) {
    const auto shop = take(open("shop", "alice", {.user = 1}));
    EXPECT_EQ(why_not(open("blog", "alice", {.user = 1})), refusal::user_full);
}

TEST_F(directory_test, counts_a_forced_user_under_its_own_name) {
    const auto shop = take(open("shop", "", {.user = 1}));
    EXPECT_EQ(why_not(open("blog", "forced", {.user = 1})), refusal::user_full);
}

TEST_F(directory_test, does_not_bound_the_reserve_by_less_than_the_database) {
    auto& s = open("shop", "alice", {.pool = 1, .reserve = 5, .database = 1});
    const auto first = take(s);
    EXPECT_EQ(why_not(s, true), refusal::database_full);
}

TEST_F(directory_test, takes_over_new_limits_when_opened_again) {
    auto& s = open("shop", "alice", {.pool = 1});
    const auto first = take(s);
    open("shop", "alice", {.pool = 2});
    EXPECT_TRUE(take(s));
}

TEST_F(directory_test, gives_none_until_a_pool_that_shrank_is_below_its_limit) {
    auto& s = open("shop", "alice", {.pool = 3});
    const auto first = take(s);
    const auto second = take(s);
    (void)take(s);
    open("shop", "alice", {.pool = 2});
    EXPECT_EQ(why_not(s), refusal::pool_full);
}

TEST_F(directory_test, opens_the_same_pool_for_the_same_key) {
    EXPECT_EQ(&open("shop", "alice"), &open("shop", "alice"));
}

// --- the end of a pool

TEST_F(directory_test, ends_a_pool_that_nobody_holds) {
    const std::weak_ptr<shelf> s = open_for_a_moment("shop", "alice");
    all_.sweep();
    EXPECT_TRUE(s.expired());
}

TEST_F(directory_test, keeps_a_pool_that_somebody_holds) {
    auto& s = open("shop", "alice");
    all_.sweep();
    EXPECT_EQ(&open("shop", "alice"), &s);
}

TEST_F(directory_test, keeps_a_pool_that_has_a_permit_out) {
    const std::weak_ptr<shelf> s = open_for_a_moment("shop", "alice");
    const auto right = take(*s.lock());
    all_.sweep();
    EXPECT_FALSE(s.expired());
}

TEST_F(directory_test, keeps_the_limits_of_a_database_while_one_of_its_pools_lives) {
    const auto right = take(open("shop", "alice", {.database = 1}));
    (void)open_for_a_moment("shop", "bob", {.database = 1});
    all_.sweep();
    EXPECT_EQ(why_not(open("shop", "bob", {.database = 1})), refusal::database_full);
}

TEST_F(directory_test, knows_the_servers_of_a_database) {
    const auto first = take(open("shop", "alice"));
    const auto second = take(open("shop", "bob"));
    EXPECT_EQ(all_.use_of("shop").servers, 2U);
}

TEST_F(directory_test, knows_of_no_use_of_an_unknown_database) {
    EXPECT_EQ(all_.use_of("nowhere").servers, 0U);
}

// --- who is told of a permit that came back

TEST_F(directory_test, tells_nobody_when_nobody_waits) {
    (void)take(open("shop", "alice"));
    EXPECT_TRUE(freed_.empty());
}

TEST_F(directory_test, tells_the_pool_whose_permit_came_back) {
    auto& s = open("shop", "alice");
    wait_at(s, 0, 100);
    (void)take(s);
    EXPECT_EQ(freed_, std::vector<shelf*>{&s});
}

TEST_F(directory_test, tells_another_pool_of_the_same_database) {
    auto& s = open("shop", "alice");
    auto& other = open("shop", "bob");
    wait_at(other, 3, 100);
    (void)take(s);
    EXPECT_EQ(freed_, std::vector<shelf*>{&other});
}

TEST_F(directory_test, tells_another_pool_of_the_same_user) {
    auto& s = open("shop", "alice");
    auto& other = open("blog", "alice");
    wait_at(other, 3, 100);
    (void)take(s);
    EXPECT_EQ(freed_, std::vector<shelf*>{&other});
}

TEST_F(directory_test, does_not_tell_a_pool_that_cannot_use_the_permit) {
    auto& s = open("shop", "alice");
    wait_at(open("blog", "bob"), 3, 100);
    (void)take(s);
    EXPECT_TRUE(freed_.empty());
}

TEST_F(directory_test, tells_the_pool_whose_client_waits_longest) {
    auto& s = open("shop", "alice");
    auto& longest = open("shop", "bob");
    wait_at(s, 0, 200);
    wait_at(longest, 5, 100);
    wait_at(open("shop", "carol"), 1, 300);
    (void)take(s);
    EXPECT_EQ(freed_, std::vector<shelf*>{&longest});
}

TEST_F(directory_test, may_be_asked_for_a_permit_while_it_tells_of_one) {
    auto& s = open("shop", "alice", {.pool = 1});
    permit next;
    all_.freed = [this, &next](shelf& waiting) { next = take(waiting); };
    wait_at(s, 0, 100);
    (void)take(s);
    EXPECT_TRUE(next);
    all_.freed = nullptr;
}

// --- who has to give a server up

TEST_F(directory_test, finds_the_pool_of_the_database_with_most_idle_servers) {
    auto& s = open("shop", "alice");
    auto& most = open_with_idle("shop", "bob", 0, 2);
    open_with_idle("shop", "bob", 7, 2);
    open_with_idle("shop", "carol", 0, 3);
    EXPECT_EQ(all_.find_victim(s, refusal::database_full).get(), &most);
}

TEST_F(directory_test, finds_the_pool_of_the_user_with_most_idle_servers) {
    auto& s = open("shop", "alice");
    auto& other = open_with_idle("blog", "alice", 0, 1);
    open_with_idle("shop", "bob", 0, 3);
    EXPECT_EQ(all_.find_victim(s, refusal::user_full).get(), &other);
}

TEST_F(directory_test, finds_no_victim_where_nobody_idles) {
    auto& s = open("shop", "alice");
    const auto right = take(open("shop", "bob"));
    EXPECT_EQ(all_.find_victim(s, refusal::database_full), nullptr);
}

TEST_F(directory_test, does_not_make_a_pool_its_own_victim) {
    auto& s = open_with_idle("shop", "alice", 0, 3);
    EXPECT_EQ(all_.find_victim(s, refusal::database_full), nullptr);
}

TEST_F(directory_test, leaves_a_pool_its_minimum) {
    auto& s = open("shop", "alice");
    open_with_idle("shop", "bob", 0, 3, {.pool = 10, .minimum = 3});
    EXPECT_EQ(all_.find_victim(s, refusal::database_full), nullptr);
}

// --- permits of servers that are closing

TEST_F(directory_test, counts_a_leaving_server_until_it_is_gone) {
    auto& s = open("shop", "alice");
    auto right = take(s);
    right.leave();
    EXPECT_EQ(s.size(), 1U);
}

TEST_F(directory_test, does_not_count_a_leaving_server_among_those_that_stay) {
    auto& s = open("shop", "alice");
    const auto first = take(s);
    auto second = take(s);
    second.leave();
    EXPECT_EQ(s.staying(), 1U);
}

TEST_F(directory_test, counts_a_server_that_leaves_twice_once) {
    auto& s = open("shop", "alice");
    const auto first = take(s);
    auto second = take(s);
    second.leave();
    second.leave();
    EXPECT_EQ(s.staying(), 1U);
}

TEST_F(directory_test, forgets_a_leaving_server_that_is_gone) {
    auto& s = open("shop", "alice");
    const auto first = take(s);
    {
        auto second = take(s);
        second.leave();
    }
    EXPECT_EQ(s.staying(), 1U);
}

TEST_F(directory_test, lets_no_more_leave_than_are_above_the_floor) {
    auto& s = open("shop", "alice", {.pool = 3});
    std::vector<permit> rights;
    unsigned left = 0;
    for (int i = 0; i < 3; ++i) {
        rights.push_back(take(s));
    }
    for (auto& r : rights) {
        left += r.leave_above(2) ? 1 : 0;
    }
    EXPECT_EQ(left, 1U);
}

TEST_F(directory_test, has_no_permit_beyond_the_logins_that_may_be_under_way) {
    auto& s = open("shop", "alice");
    const auto first = take(s);
    EXPECT_EQ(all_.take(s, false, 1).why, refusal::busy);
}

TEST_F(directory_test, does_not_tell_a_pool_that_is_full_itself) {
    auto& s = open("shop", "alice");
    auto& full = open("shop", "bob", {.pool = 1});
    const auto right = take(full);
    wait_at(full, 3, 100);
    (void)take(s);
    EXPECT_TRUE(freed_.empty());
}

TEST_F(directory_test, gives_a_permit_back_to_the_user_it_was_taken_for) {
    shelf_ptr s;
    {
        config::database_settings forced;
        forced.user = "first";
        config::user_settings limited;
        limited.max_server_connections = 1;
        s = all_.open({"shop", ""}, {}, forced, &limited);
        const auto right = take(*s);
        forced.user = "second";
        s = all_.open({"shop", ""}, {}, forced, &limited);
    }
    EXPECT_TRUE(take(*s));
}

TEST_F(directory_test, remembers_the_last_error_of_a_pool) {
    auto& s = open("shop", "alice");
    s.set_last_error("no such database");
    EXPECT_EQ(s.last_error(), "no such database");
}

// --- many threads

TEST_F(directory_test, never_exceeds_its_bounds_for_many_threads) {
    // Room for three in the pool and for four in the database.
    std::vector<shelf*> pools{&open("shop", "alice", {.pool = 3, .database = 4}),
                              &open("shop", "bob", {.pool = 3, .database = 4})};
    all_.freed = [](shelf&) {};
    for (auto* s : pools) {
        wait_at(*s, 0, 100);
    }
    std::atomic<int> held = 0;
    std::atomic<int> most = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            auto& s = *pools[static_cast<std::size_t>(t % 2)];
            for (int i = 0; i < 500; ++i) {
                auto [first, no] = all_.take(s, false, any_number);
                auto [second, neither] = all_.take(s, false, any_number);
                const int mine = (first ? 1 : 0) + (second ? 1 : 0);
                const int now = held.fetch_add(mine) + mine;
                for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {}
                held -= mine;
            }
        });
    }
    for (auto& t : threads) {
        t.join();
    }
    EXPECT_LE(most.load(), 4);
}

TEST_F(directory_test, has_every_permit_back_from_many_threads) {
    auto& s = open("shop", "alice", {.pool = 3});
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 500; ++i) {
                const auto p = take(s);
                (void)open_for_a_moment("shop", std::to_string(i % 20));
                all_.sweep();
            }
        });
    }
    for (auto& t : threads) {
        t.join();
    }
    EXPECT_EQ(s.size() + all_.use_of("shop").servers, 0U);
}

// --- client slots

struct two_accounts {
    std::shared_ptr<account> database = std::make_shared<account>();
    account user;

    two_accounts(unsigned max_database, unsigned max_user) {
        database->max_clients = max_database;
        user.max_clients = max_user;
    }
};

TEST(client_slot, is_not_limited_by_zero) {
    two_accounts a{0, 0};
    EXPECT_EQ(client_slot{}.take(a.database, a.user), client_slot::refusal::none);
}

TEST(client_slot, is_refused_when_the_database_is_full) {
    two_accounts a{1, 0};
    client_slot first;
    (void)first.take(a.database, a.user);
    EXPECT_EQ(client_slot{}.take(a.database, a.user), client_slot::refusal::database_full);
}

TEST(client_slot, is_refused_when_the_user_is_full) {
    two_accounts a{0, 1};
    client_slot first;
    (void)first.take(a.database, a.user);
    EXPECT_EQ(client_slot{}.take(a.database, a.user), client_slot::refusal::user_full);
}

TEST(client_slot, does_not_count_a_client_that_was_refused) {
    two_accounts a{0, 1};
    client_slot first;
    (void)first.take(a.database, a.user);
    (void)client_slot{}.take(a.database, a.user);
    EXPECT_EQ(a.database->clients, 1U);
}

TEST(client_slot, keeps_the_account_of_its_database) {
    two_accounts a{0, 0};
    client_slot slot;
    (void)slot.take(a.database, a.user);
    const std::weak_ptr<account> kept = std::exchange(a.database, nullptr);
    EXPECT_FALSE(kept.expired());
}

TEST(client_slot, comes_back_when_the_client_goes) {
    two_accounts a{1, 1};
    {
        client_slot gone;
        (void)gone.take(a.database, a.user);
    }
    EXPECT_EQ(client_slot{}.take(a.database, a.user), client_slot::refusal::none);
}

TEST(client_slot, is_counted_once_when_it_moves) {
    two_accounts a{0, 0};
    client_slot first;
    (void)first.take(a.database, a.user);
    const client_slot moved{std::move(first)};
    EXPECT_EQ(a.database->clients, 1U);
}

TEST(client_slot, never_exceeds_its_limit_for_many_threads) {
    two_accounts a{3, 0};
    std::atomic<int> held = 0;
    std::atomic<bool> exceeded = false;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 1000; ++i) {
                client_slot s;
                if (s.take(a.database, a.user) == client_slot::refusal::none) {
                    exceeded = exceeded || ++held > 3;
                    --held;
                }
            }
        });
    }
    for (auto& t : threads) {
        t.join();
    }
    EXPECT_FALSE(exceeded);
}

}  // namespace
}  // namespace pgweir::pool
