// How many idle servers a pool keeps, and for how long.
#include "pool/pool_scene.hpp"

#include <gmock/gmock.h>

#include <set>

namespace pgweir::pool {
namespace {

using ::testing::AllOf;
using ::testing::Ge;
using ::testing::Le;
using ::testing::SizeIs;

class slice_retire : public pool_scene {
protected:
    slice_retire() {
        pool().server_idle_timeout = {};
        pool().server_lifetime = {};
    }

    // Idle servers; PostgreSQL's sides of them.
    std::vector<backend> idle_servers(unsigned number) {
        std::vector<customer*> users;
        std::vector<backend> sides;
        for (unsigned i = 0; i < number; ++i) {
            auto [c, b] = served_newcomer();
            users.push_back(c);
            sides.push_back(std::move(b));
        }
        for (auto* c : users) {
            give_back(*c);
        }
        return sides;
    }
    unsigned idle() { return count(state::idle); }
};

TEST_F(slice_retire, never_happens_to_a_server_without_limits) {
    const auto sides = idle_servers(2);
    pass_in_steps(100h, 1h);
    EXPECT_EQ(idle(), 2U);
}

TEST_F(slice_retire, ends_a_server_that_nobody_used_for_server_idle_timeout) {
    pool().server_idle_timeout = 600s;
    const auto sides = idle_servers(1);
    pass_in_steps(599s, 1s);
    EXPECT_EQ(idle(), 1U);
    pass_in_steps(3s, 1s);
    EXPECT_EQ(idle(), 0U);
}

TEST_F(slice_retire, counts_the_idle_time_from_the_last_use) {
    pool().server_idle_timeout = 600s;
    pool().server_check_delay = 3600s;
    const auto sides = idle_servers(1);
    pass_in_steps(500s, 1s);
    auto& c = newcomer();
    give_back(c);
    pass_in_steps(500s, 1s);
    EXPECT_EQ(idle(), 1U);
}

TEST_F(slice_retire, leaves_min_size_servers_that_nobody_uses) {
    pool().server_idle_timeout = 600s;
    pool().min_size = 2;
    const auto sides = idle_servers(3);
    pass_in_steps(700s, 1s);
    EXPECT_EQ(idle(), 2U);
}

TEST_F(slice_retire, ends_a_server_in_the_last_third_of_its_lifetime) {
    pool().server_lifetime = 1000s;
    const auto sides = idle_servers(1);
    pass_in_steps(699s, 1s);
    EXPECT_EQ(idle(), 1U);
    pass_in_steps(303s, 1s);
    EXPECT_EQ(idle(), 0U);
}

TEST_F(slice_retire, spreads_the_ends_of_servers_that_were_made_together) {
    pool().server_lifetime = 1000s;
    const auto begin = net::manual_clock::now();
    std::set<base::time_point> ends;
    std::vector<backend> sides;
    for (int i = 0; i < 8; ++i) {
        auto [c, b] = served_newcomer();
        ends.insert(c->server->expires());
        sides.push_back(std::move(b));
    }
    EXPECT_THAT(ends, SizeIs(8));
    EXPECT_THAT(*ends.begin(), Ge(begin + 700s));
    EXPECT_THAT(*ends.rbegin(), Le(begin + 1000s));
}

TEST_F(slice_retire, lets_a_client_finish_on_a_server_past_its_lifetime) {
    pool().server_lifetime = 1000s;
    const auto [c, b] = served_newcomer();
    pass_in_steps(1002s, 1s);
    EXPECT_EQ(count(state::active), 1U);
    give_back(*c);
    EXPECT_EQ(count(state::closing), 1U);
}

TEST_F(slice_retire, shrinks_a_pool_whose_size_a_reload_lowers) {
    pool().size = 5;
    const auto sides = idle_servers(5);
    pool().size = 2;
    reload();
    EXPECT_EQ(idle(), 2U);
}

TEST_F(slice_retire, ends_idle_servers_of_a_target_that_a_reload_replaces) {
    const auto sides = idle_servers(2);
    database().dbname = "other";
    reload();
    EXPECT_EQ(idle(), 0U);
}

TEST_F(slice_retire, ends_a_lent_server_of_a_target_that_a_reload_replaces_once_it_is_back) {
    const auto [c, b] = served_newcomer();
    database().dbname = "other";
    reload();
    EXPECT_EQ(count(state::active), 1U);
    give_back(*c);
    EXPECT_EQ(count(state::closing), 1U);
}

// --- the minimum

class slice_minimum : public slice_retire {
protected:
    slice_minimum() { pool().min_size = 2; }
};

TEST_F(slice_minimum, is_connected_without_a_client) {
    on(0, [](slice&) {});
    pass(1100ms);
    auto b1 = postgres_.let_in();
    auto b2 = postgres_.let_in();
    settle();
    EXPECT_EQ(idle(), 2U);
    pass(1100ms);
    EXPECT_FALSE(postgres_.has_visitor());
}

TEST_F(slice_minimum, counts_the_servers_that_serve_clients) {
    const auto [c1, b1] = served_newcomer();
    const auto [c2, b2] = served_newcomer();
    pass(1100ms);
    EXPECT_FALSE(postgres_.has_visitor());
}

TEST_F(slice_minimum, is_made_up_for_when_a_server_dies) {
    auto sides = idle_servers(2);
    sides[0].end();
    settle();
    EXPECT_EQ(idle(), 1U);
    pass(1100ms);
    auto b = postgres_.let_in();
    settle();
    EXPECT_EQ(idle(), 2U);
}

TEST_F(slice_minimum, does_not_count_a_server_that_is_closing) {
    const auto sides = idle_servers(2);
    break_off(newcomer());
    EXPECT_EQ(count(state::closing), 1U);
    pass(1100ms);
    EXPECT_TRUE(postgres_.has_visitor());
}

class slice_minimum_of_two_workers : public pool_scene {
protected:
    slice_minimum_of_two_workers() : pool_scene{2} { pool().size = 3; }
};

TEST_F(slice_minimum_of_two_workers, is_kept_where_the_pool_is_at_home) {
    pool().min_size = 1;
    const auto home = slices::homes_of({"shop", "alice"}, pool().size, 2).front();
    on(0, [](slice&) {});
    on(1, [](slice&) {});
    pass(1100ms);
    EXPECT_EQ(count(state::connecting, home), 1U);
    EXPECT_EQ(count(state::connecting, 1 - home), 0U);
}

}  // namespace
}  // namespace pgweir::pool
