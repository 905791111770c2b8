// When connections to PostgreSQL are made, and what happens when they fail.
#include "pool/pool_scene.hpp"

#include <gmock/gmock.h>

namespace pgweir::pool {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;

class slice_connect : public pool_scene {};

TEST_F(slice_connect, is_not_done_for_nobody) {
    on(0, [](slice&) {});
    pass(1h);
    EXPECT_FALSE(postgres_.has_visitor());
}

TEST_F(slice_connect, is_done_once_for_each_waiter) {
    newcomer();
    newcomer();
    EXPECT_EQ(count(state::connecting), 2U);
    EXPECT_EQ(common().size(), 2U);
}

TEST_F(slice_connect, stops_at_the_pool_s_size) {
    pool().size = 2;
    for (int i = 0; i < 5; ++i) {
        newcomer();
    }
    pass_in_steps(1s);
    EXPECT_EQ(common().size(), 2U);
}

TEST_F(slice_connect, has_no_more_logins_under_way_than_it_may) {
    pool().max_parallel_connects = 2;
    for (int i = 0; i < 5; ++i) {
        newcomer();
    }
    EXPECT_EQ(count(state::connecting), 2U);
    auto b = postgres_.let_in();
    settle();
    EXPECT_EQ(count(state::connecting), 2U);
    EXPECT_EQ(common().size(), 3U);
}

TEST_F(slice_connect, opens_the_reserve_for_those_who_have_waited_long) {
    pool().size = 1;
    pool().reserve_size = 1;
    const auto [c, b] = served_newcomer();
    auto& waiting = newcomer();
    pass_in_steps(pool().reserve_after - 50ms);
    EXPECT_EQ(common().size(), 1U);
    pass_in_steps(200ms);
    EXPECT_EQ(common().size(), 2U);
    auto extra = postgres_.let_in();
    settle();
    EXPECT_TRUE(waiting.is_served());
}

TEST_F(slice_connect, gives_up_a_login_that_takes_too_long) {
    auto& c = newcomer();
    auto b = postgres_.accept();
    b.read_startup();
    pass(pool().server_connect_timeout + 40ms);
    EXPECT_TRUE(b.is_told_to_end());
    EXPECT_THAT(common().last_error(), HasSubstr("server_connect_timeout"));
    EXPECT_FALSE(c.refusal);
}

// --- failures

class slice_failure : public pool_scene {
protected:
    slice_failure() { pool().size = 2; }

    // The next to connect is told `why` while logging in.
    void refuse(std::string_view sqlstate, std::string_view why) {
        auto b = postgres_.accept();
        b.read_startup();
        b.send({error(sqlstate, why)});
        b.is_told_to_end();
        settle();
    }
    // How much time passes before the next attempt.
    base::duration time_to_next_attempt() {
        const auto begin = net::manual_clock::now();
        while (!postgres_.has_visitor() && net::manual_clock::now() < begin + 1min) {
            pass(10ms);
        }
        return net::manual_clock::now() - begin;
    }
};

TEST_F(slice_failure, that_waiting_does_not_cure_reaches_all_who_wait) {
    auto& first = newcomer();
    auto& second = newcomer();
    auto& third = newcomer();
    refuse("28P01", "password authentication failed for user \"alice\"");
    for (auto* c : {&first, &second, &third}) {
        ASSERT_TRUE(c->refusal);
        EXPECT_EQ(c->refusal->sqlstate, "28P01");
        EXPECT_EQ(c->refusal->message, "password authentication failed for user \"alice\"");
    }
}

TEST_F(slice_failure, that_may_pass_is_kept_from_those_who_wait) {
    auto& c = newcomer();
    refuse("57P03", "the database system is starting up");
    EXPECT_FALSE(c.refusal);
    time_to_next_attempt();
    auto b = postgres_.let_in();
    settle();
    EXPECT_TRUE(c.is_served());
}

TEST_F(slice_failure, of_one_login_is_no_reason_to_give_up_while_another_server_lives) {
    const auto [c, b] = served_newcomer();
    auto& waiting = newcomer();
    refuse("28P01", "the password was changed");
    EXPECT_FALSE(waiting.refusal);
    give_back(*c);
    EXPECT_TRUE(waiting.is_served());
}

TEST_F(slice_failure, makes_the_next_attempt_wait) {
    newcomer();
    refuse("57P03", "the database system is starting up");
    settle();
    EXPECT_FALSE(postgres_.has_visitor());
    EXPECT_EQ(common().size(), 0U);
}

TEST_F(slice_failure, makes_the_next_attempt_wait_longer_each_time_up_to_a_second) {
    newcomer();
    std::vector<base::duration> waits;
    for (int i = 0; i < 12; ++i) {
        refuse("57P03", "the database system is starting up");
        waits.push_back(time_to_next_attempt());
    }
    EXPECT_THAT(waits.front(), Le(100ms));
    EXPECT_THAT((std::vector(waits.begin() + 8, waits.end())), Each(AllOf(Ge(500ms), Le(1100ms))));
}

TEST_F(slice_failure, is_forgotten_with_the_next_success) {
    newcomer();
    for (int i = 0; i < 8; ++i) {
        refuse("57P03", "the database system is starting up");
        time_to_next_attempt();
    }
    auto b = postgres_.let_in();
    settle();
    EXPECT_EQ(common().last_error(), "");
    newcomer();
    refuse("57P03", "the database system is starting up");
    EXPECT_THAT(time_to_next_attempt(), Le(100ms));
}

TEST_F(slice_failure, of_several_logins_of_one_round_counts_once) {
    newcomer();
    newcomer();
    auto b1 = postgres_.accept();
    auto b2 = postgres_.accept();
    b1.end();
    b2.end();
    settle();
    EXPECT_EQ(common().failures.load(), 1U);
}

TEST_F(slice_failure, of_several_logins_of_one_round_reports_the_last) {
    newcomer();
    newcomer();
    refuse("57P03", "the database system is starting up");
    refuse("53300", "sorry, too many clients already");
    EXPECT_EQ(common().last_error(), "sorry, too many clients already");
}

TEST_F(slice_failure, of_the_address_is_told_with_the_address) {
    postgres_.stop();
    newcomer();
    EXPECT_THAT(common().last_error(), HasSubstr(postgres_.folder()));
    EXPECT_EQ(common().size(), 0U);
}

TEST_F(slice_failure, of_the_address_is_over_when_postgresql_is_there) {
    postgres_.stop();
    auto& c = newcomer();
    postgres_.start();
    time_to_next_attempt();
    auto b = postgres_.let_in();
    settle();
    EXPECT_TRUE(c.is_served());
}

TEST_F(slice_failure, does_not_delay_a_target_that_a_reload_brings) {
    scripted_postgres moved;
    newcomer();
    for (int i = 0; i < 8; ++i) {
        refuse("57P03", "the database system is starting up");
        time_to_next_attempt();
    }
    database().host = moved.folder();
    reload();
    EXPECT_TRUE(moved.has_visitor());
}

// --- a login that ends anywhere

struct way {
    const char* name;
    postgres (*server)();
};

class login_cut : public pool_scene, public ::testing::WithParamInterface<way> {
protected:
    // A login of which PostgreSQL sends only the first `most` messages before it is gone. True when
    // these were all.
    bool log_in(std::size_t most) {
        auto b = postgres_.accept();
        auto how = GetParam().server();
        auto sent = b.read_startup();
        std::size_t count = 0;
        for (;;) {
            for (const auto& m : how(sent)) {
                if (count++ == most) {
                    return false;
                }
                b.send({m});
                if (m.type == 'Z') {
                    return true;
                }
            }
            sent = bytes_of({*b.read()});
        }
    }
};

TEST_P(login_cut, after_any_message_leaves_no_permit) {
    newcomer();
    std::size_t cut = 0;
    for (; !log_in(cut); ++cut) {
        settle();
        ASSERT_EQ(common().size(), 0U) << "after " << cut << " messages";
        ASSERT_EQ(common().connecting.load(), 0U) << "after " << cut << " messages";
        pass(2s);  // longer than any wait for the next attempt
    }
    EXPECT_GE(cut, welcome().size());
}

INSTANTIATE_TEST_SUITE_P(slice_connect,
                         login_cut,
                         ::testing::Values(way{"trust", trusting},
                                           way{"cleartext", asking_for_cleartext},
                                           way{"md5", asking_for_md5},
                                           way{"scram", asking_for_scram}),
                         [](const auto& i) { return i.param.name; });

TEST_F(slice_connect, that_ends_after_any_byte_leaves_no_permit) {
    newcomer();
    const auto all = bytes_of(welcome());
    for (std::size_t cut = 0; cut < all.size(); ++cut) {
        auto b = postgres_.accept();
        b.read_startup();
        b.send_bytes(all.substr(0, cut));
        b.end();
        settle();
        ASSERT_EQ(common().size(), 0U) << "after " << cut << " bytes";
        pass(2s);
    }
}

}  // namespace
}  // namespace pgweir::pool
