// Who gets a server next, on one worker.
#include "pool/pool_scene.hpp"

namespace pgweir::pool {
namespace {

class slice_queue : public pool_scene {
protected:
    slice_queue() { pool().size = 1; }
};

TEST_F(slice_queue, serves_a_client_when_its_server_is_logged_in) {
    auto& c = newcomer();
    auto b = postgres_.accept();
    EXPECT_FALSE(c.is_served());
    b.log_in();
    settle();
    EXPECT_TRUE(c.is_served());
}

TEST_F(slice_queue, lends_an_idle_server_at_once) {
    const auto [c, b] = served_newcomer();
    give_back(*c);
    const bool at_once = on(0, [&, c = c](slice& s) {
        return static_cast<bool>(c->server = s.acquire(*c, all_.settings.none()));
    });
    EXPECT_TRUE(at_once);
}

TEST_F(slice_queue, lends_the_server_that_was_used_last) {
    pool().size = 2;
    const auto [first, b1] = served_newcomer();
    const auto [second, b2] = served_newcomer();
    auto* const warm = first->server.get();
    give_back(*second);
    give_back(*first);
    EXPECT_EQ(newcomer().server.get(), warm);
}

TEST_F(slice_queue, lends_an_idle_server_that_has_the_settings_asked_for) {
    pool().size = 2;
    const auto paris = all_.settings.intern({{"timezone", "Europe/Paris"}});
    auto& first = newcomer(0, paris);
    auto b1 = postgres_.let_in();
    b1.read_query();
    b1.send(done());
    settle();
    const auto [second, b2] = served_newcomer();
    auto* const set = first.server.get();
    give_back(first);
    give_back(*second);
    EXPECT_EQ(newcomer(0, paris).server.get(), set);
}

TEST_F(slice_queue, serves_the_oldest_waiter_first) {
    const auto [c, b] = served_newcomer();
    auto& older = newcomer();
    auto& younger = newcomer();
    give_back(*c);
    EXPECT_TRUE(older.is_served());
    EXPECT_FALSE(younger.is_served());
    give_back(older);
    EXPECT_TRUE(younger.is_served());
}

TEST_F(slice_queue, passes_over_a_waiter_that_has_left) {
    const auto [c, b] = served_newcomer();
    auto& impatient = newcomer();
    auto& patient = newcomer();
    leave_queue(impatient);
    give_back(*c);
    EXPECT_FALSE(impatient.is_served());
    EXPECT_TRUE(patient.is_served());
}

TEST_F(slice_queue, forgets_a_waiter_that_died) {
    const auto [c, b] = served_newcomer();
    on(0, [this](slice& s) {
        customer mortal;
        EXPECT_FALSE(s.acquire(mortal, all_.settings.none()));
    });
    auto& next = newcomer();
    give_back(*c);
    EXPECT_TRUE(next.is_served());
}

TEST_F(slice_queue, keeps_a_server_that_nobody_waits_for_any_more) {
    auto& c = newcomer();
    auto b = postgres_.accept();
    leave_queue(c);
    b.log_in();
    settle();
    EXPECT_EQ(count(state::idle), 1U);
}

TEST_F(slice_queue, serves_any_number_of_clients_that_give_their_server_back_at_once) {
    const auto [c, b] = served_newcomer();
    unsigned served = 0;
    std::vector<customer> crowd(10'000);
    on(0, [&](slice& s) {
        for (auto& each : crowd) {
            each.once_served = [&] {
                ++served;
                each.server.release(true, false, false);
            };
            EXPECT_FALSE(s.acquire(each, all_.settings.none()));
        }
    });
    give_back(*c);
    EXPECT_EQ(served, crowd.size());
}

TEST_F(slice_queue, refuses_those_who_wait_for_a_database_that_is_removed) {
    const auto [c, b] = served_newcomer();
    auto& waiting = newcomer();
    snapshot_.databases.clear();
    reload();
    ASSERT_TRUE(waiting.refusal);
    EXPECT_EQ(waiting.refusal->sqlstate, "3D000");
    EXPECT_TRUE(c->is_served());
}

// --- a server that was idle for long

class slice_check : public slice_queue {
protected:
    // A server idle for longer than it is trusted, and a client that asks for one.
    slice_check() : b_{served_by()}, first_{newcomer()} {}

    backend served_by() {
        auto [c, b] = served_newcomer();
        give_back(*c);
        pass(pool().server_check_delay);
        return std::move(b);
    }

    backend b_;
    customer& first_;
};

TEST_F(slice_check, comes_before_it_is_lent) {
    EXPECT_EQ(b_.read()->type, 'S');
    EXPECT_FALSE(first_.is_served());
    b_.send({{'Z', "I"}});
    settle();
    EXPECT_TRUE(first_.is_served());
}

TEST_F(slice_check, lets_no_newcomer_overtake) {
    b_.read();
    auto& second = newcomer();
    b_.send({{'Z', "I"}});
    settle();
    EXPECT_TRUE(first_.is_served());
    EXPECT_FALSE(second.is_served());
}

TEST_F(slice_check, that_finds_it_dead_gets_the_waiter_another) {
    b_.end();
    settle();
    auto next = postgres_.let_in();
    settle();
    EXPECT_TRUE(first_.is_served());
}

TEST_F(slice_check, gives_up_a_server_that_does_not_answer) {
    pass(pool().server_connect_timeout + 40ms);
    b_.read();
    EXPECT_TRUE(b_.is_told_to_end());
    EXPECT_FALSE(first_.is_served());
}

// --- a server that is given the client's settings first

class slice_preparation : public slice_queue {
protected:
    // A client with settings waits while they are set.
    slice_preparation()
        : first_{newcomer(0, all_.settings.intern({{"timezone", "Europe/Paris"}}))},
          b_{postgres_.let_in()},
          query_{b_.read_query()} {}

    customer& first_;
    backend b_;
    std::string query_;
};

TEST_F(slice_preparation, sets_what_the_client_asked_for) {
    EXPECT_NE(query_.find("Europe/Paris"), std::string::npos);
    EXPECT_FALSE(first_.is_served());
    b_.send(done());
    settle();
    EXPECT_TRUE(first_.is_served());
}

TEST_F(slice_preparation, leaves_the_server_to_others_when_the_client_leaves_meanwhile) {
    leave_queue(first_);
    auto& second = newcomer(0, all_.settings.intern({{"timezone", "Europe/Paris"}}));
    b_.send(done());
    settle();
    EXPECT_TRUE(second.is_served());
}

TEST_F(slice_preparation, keeps_its_place_for_a_client_whose_server_breaks) {
    auto& second = newcomer();
    b_.end();
    settle();
    auto next = postgres_.let_in();
    next.read_query();
    next.send(done());
    settle();
    EXPECT_TRUE(first_.is_served());
    EXPECT_FALSE(second.is_served());
}

TEST_F(slice_preparation, that_postgresql_refuses_is_refused_to_the_client) {
    b_.send(failed("22023"));
    settle();
    ASSERT_TRUE(first_.refusal);
    EXPECT_EQ(first_.refusal->sqlstate, "22023");
}

TEST_F(slice_preparation, that_postgresql_refuses_leaves_a_server_that_is_cleaned) {
    b_.send(failed("22023"));
    EXPECT_NE(b_.read_query().find("RESET ALL"), std::string::npos);
    b_.send(done());
    settle();
    EXPECT_EQ(count(state::idle), 1U);
}

}  // namespace
}  // namespace pgweir::pool
