// A server of its own for one client, with a startup packet of its own: replication.
#include "pool/pool_scene.hpp"

#include <gmock/gmock.h>

namespace pgweir::pool {
namespace {

using ::testing::HasSubstr;

class dedicated_server : public pool_scene {
protected:
    explicit dedicated_server(unsigned workers = 1) : pool_scene{workers} { pool().size = 1; }

    customer& dialer(unsigned worker = 0) {
        auto& c = new_customer(worker);
        on(worker, [&c](slice& s) { s.dial(c, {{"replication", "database"}}); });
        settle();
        return c;
    }
};

TEST_F(dedicated_server, is_logged_in_with_what_its_client_asked_for) {
    auto& c = dialer();
    auto b = postgres_.accept();
    EXPECT_THAT(b.read_startup(), HasSubstr(std::string{"replication\0database\0", 21}));
    b.send(welcome());
    settle();
    EXPECT_TRUE(c.is_served());
}

TEST_F(dedicated_server, counts_in_the_pool) {
    dialer();
    newcomer();
    EXPECT_EQ(common().size(), 1U);
}

TEST_F(dedicated_server, ends_with_its_client) {
    auto& c = dialer();
    auto b = postgres_.let_in();
    settle();
    auto& waiting = newcomer();
    give_back(c);
    EXPECT_TRUE(b.is_told_to_end());
    EXPECT_FALSE(waiting.is_served());
}

TEST_F(dedicated_server, is_closed_when_its_client_left_while_it_logged_in) {
    auto& c = dialer();
    auto b = postgres_.accept();
    leave_queue(c);
    b.log_in();
    EXPECT_TRUE(b.is_told_to_end());
}

TEST_F(dedicated_server, takes_the_place_of_an_idle_one) {
    auto [old, b] = served_newcomer();
    give_back(*old);
    auto& c = dialer();
    EXPECT_TRUE(b.is_told_to_end());
    b.end();
    settle();
    auto own = postgres_.let_in();
    settle();
    EXPECT_TRUE(c.is_served());
}

TEST_F(dedicated_server, waits_while_all_others_are_in_use) {
    auto [other, b] = served_newcomer();
    auto& c = dialer();
    EXPECT_TRUE(b.hears_nothing());
    give_back(*other);
    pass(60ms);
    EXPECT_TRUE(b.is_told_to_end());
    b.end();
    settle();
    auto own = postgres_.let_in();
    settle();
    EXPECT_TRUE(c.is_served());
}

TEST_F(dedicated_server, that_is_refused_is_refused_to_its_client_alone) {
    pool().size = 2;
    auto& c = dialer();
    auto& waiting = newcomer();
    auto b = postgres_.accept();
    b.read_startup();
    b.send({error("42501", "must be superuser or replication role to start walsender")});
    settle();
    ASSERT_TRUE(c.refusal);
    EXPECT_EQ(c.refusal->sqlstate, "42501");
    EXPECT_FALSE(waiting.refusal);
    EXPECT_EQ(common().failures.load(), 0U);
}

TEST_F(dedicated_server, that_never_comes_is_told_to_its_client_when_all_servers_end) {
    auto& c = dialer();
    on(0, [](slice& s) { s.close_all(); });
    ASSERT_TRUE(c.refusal);
    EXPECT_EQ(c.refusal->sqlstate, "57P01");
}

class dedicated_server_of_two_workers : public dedicated_server {
protected:
    dedicated_server_of_two_workers() : dedicated_server{2} {}
};

TEST_F(dedicated_server_of_two_workers, takes_the_place_of_an_idle_one_of_another_worker) {
    auto [old, b] = served_newcomer(0);
    give_back(*old);
    auto& c = dialer(1);
    EXPECT_TRUE(b.is_told_to_end());
    b.end();
    pass(60ms);
    auto own = postgres_.let_in();
    settle();
    EXPECT_TRUE(c.is_served());
}

}  // namespace
}  // namespace pgweir::pool
