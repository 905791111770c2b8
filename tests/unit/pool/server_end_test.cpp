// What a server goes through between two clients, and how it ends.
#include "pool/pool_scene.hpp"

#include <gmock/gmock.h>

namespace pgweir::pool {
namespace {

using ::testing::HasSubstr;

class server_test : public pool_scene {
protected:
    server_test() { pool().size = 1; }

    // A query of its client is on its way to PostgreSQL.
    void ask(customer& c, const std::string& sql) {
        on(c.worker, [&](slice&) {
            std::string bytes;
            protocol::message_writer{bytes}.begin('Q').put_cstr(sql).end();
            c.server->ledger().sent(protocol::request::query, protocol::origin::client);
            EXPECT_TRUE(c.server->channel().send(bytes));
        });
    }
    // Its client takes what PostgreSQL has said.
    void take_replies(customer& c) {
        on(c.worker, [&](slice&) {
            auto& s = *c.server;
            auto data = s.channel().receive().data;
            while (!data.empty()) {
                data.remove_prefix(
                    s.backend().scan(data, s.ledger(), s.marks(), true, s.listener()).size);
            }
        });
    }
};

// --- the permit

class server_end : public server_test {
protected:
    // A server that was told to end.
    server_end() : b_{closing_server()} {}

    backend closing_server() {
        auto [c, b] = served_newcomer();
        break_off(*c);
        return std::move(b);
    }

    backend b_;
};

// It would be taken for the rest of what the client had begun to say.
TEST_F(server_end, is_not_announced_amid_a_message) { EXPECT_FALSE(b_.is_told_to_end()); }

TEST_F(server_end, is_announced_between_messages) {
    b_.end();
    auto [c, b] = served_newcomer();
    on(c->worker, [&, &c = c](slice&) { c->server->marks().permanent = true; });
    give_back(*c);
    EXPECT_TRUE(b.is_told_to_end());
}

TEST_F(server_end, keeps_the_permit_until_the_backend_is_gone) {
    b_.is_told_to_end();
    settle();
    EXPECT_EQ(common().size(), 1U);
    b_.end();
    settle();
    EXPECT_EQ(common().size(), 0U);
}

TEST_F(server_end, makes_who_waits_wait_for_the_backend_s_end) {
    newcomer();
    pass(1s);
    EXPECT_FALSE(postgres_.has_visitor());
    b_.end();
    settle();
    EXPECT_TRUE(postgres_.has_visitor());
}

TEST_F(server_end, gives_the_permit_back_when_a_backend_does_not_end_in_time) {
    pass_in_steps(pool().server_close_timeout - 100ms);
    EXPECT_EQ(common().size(), 1U);
    pass_in_steps(200ms);
    EXPECT_EQ(common().size(), 0U);
}

TEST_F(server_end, does_not_count_what_a_backend_still_says) {
    b_.send(done());
    settle();
    EXPECT_EQ(common().size(), 1U);
    b_.end();
    settle();
    EXPECT_EQ(common().size(), 0U);
}

// --- what comes from a server that nobody asked anything

class idle_server : public server_test {
protected:
    idle_server() : b_{free_server()} {}

    backend free_server() {
        auto [c, b] = served_newcomer();
        give_back(*c);
        return std::move(b);
    }

    backend b_;
};

class unasked : public idle_server, public ::testing::WithParamInterface<message> {};

TEST_P(unasked, reply_closes_it) {
    b_.send({GetParam()});
    settle();
    EXPECT_EQ(count(state::closing), 1U);
}

INSTANTIATE_TEST_SUITE_P(any,
                         unasked,
                         ::testing::Values(message{'Z', "I"},
                                           message{'C', std::string{"SELECT 1\0", 9}},
                                           message{'D', std::string(2, '\0')},
                                           message{'1', ""},
                                           message{'R', int32(0)},
                                           message{'?', ""}),
                         [](const auto& i) { return "n" + std::to_string(i.index); });

TEST_F(idle_server, is_closed_with_the_end_of_its_backend) {
    b_.send({error("57P01", "terminating connection due to administrator command")});
    settle();
    EXPECT_EQ(count(state::idle), 0U);
}

TEST_F(idle_server, stays_when_told_of_a_parameter) {
    b_.send({parameter("TimeZone", "Europe/Paris")});
    settle();
    EXPECT_EQ(newcomer().server->parameters().value_of("TimeZone"), "Europe/Paris");
}

TEST_F(idle_server, stays_when_told_a_notice_in_parts) {
    const auto bytes = bytes_of({{'N', error("00000", "hear, hear").body}});
    b_.send_bytes(bytes.substr(0, 7));
    settle();
    b_.send_bytes(bytes.substr(7));
    settle();
    EXPECT_EQ(count(state::idle), 1U);
}

TEST_F(idle_server, that_answers_a_check_with_more_than_was_asked_is_closed) {
    pass(pool().server_check_delay);
    newcomer();
    EXPECT_EQ(b_.read()->type, 'S');
    b_.send({{'C', std::string{"SELECT 1\0", 9}}, {'Z', "I"}});
    settle();
    EXPECT_EQ(count(state::closing), 1U);
}

// --- cleaning

class server_cleaning : public server_test {};

TEST_F(server_cleaning, is_spared_a_server_that_was_left_clean) {
    const auto [c, b] = served_newcomer();
    auto& next = newcomer();
    give_back(*c);
    EXPECT_TRUE(b.hears_nothing());
    EXPECT_TRUE(next.is_served());
}

TEST_F(server_cleaning, comes_before_the_next_client) {
    auto [c, b] = served_newcomer();
    auto& next = newcomer();
    give_back(*c, true);
    EXPECT_FALSE(next.is_served());
    EXPECT_THAT(b.read_query(), HasSubstr("RESET ALL"));
    b.send(done());
    settle();
    EXPECT_TRUE(next.is_served());
}

TEST_F(server_cleaning, happens_once) {
    auto [c, b] = served_newcomer();
    give_back(*c, true);
    b.read_query();
    b.send(done());
    settle();
    give_back(newcomer());
    EXPECT_TRUE(b.hears_nothing());
}

TEST_F(server_cleaning, happens_after_each_client_where_that_is_configured) {
    pool().clean = config::cleaning::always;
    auto [c, b] = served_newcomer();
    give_back(*c);
    EXPECT_THAT(b.read_query(), HasSubstr("DEALLOCATE ALL"));
}

TEST_F(server_cleaning, that_fails_closes_the_server) {
    auto [c, b] = served_newcomer();
    auto& next = newcomer();
    give_back(*c, true);
    b.read_query();
    b.send(failed("25P02"));
    settle();
    EXPECT_EQ(count(state::closing), 1U);
    EXPECT_FALSE(next.is_served());
}

TEST_F(server_cleaning, that_takes_too_long_closes_the_server) {
    auto [c, b] = served_newcomer();
    give_back(*c, true);
    pass(pool().server_connect_timeout + 40ms);
    EXPECT_EQ(count(state::closing), 1U);
}

TEST_F(server_cleaning, begins_with_a_rollback_of_what_is_open) {
    auto [c, b] = served_newcomer();
    ask(*c, "begin");
    b.read_query();
    b.send(done("BEGIN", 'T'));
    settle();
    take_replies(*c);
    give_back(*c);
    EXPECT_EQ(b.read_query(), "ROLLBACK");
}

// --- a client that leaves in the middle of its query

class server_recovery : public server_test {
protected:
    // A server whose client left while its query ran, and the connection of the cancel request.
    server_recovery() : b_{abandoned_server()}, cancel_{postgres_.accept()} {}

    backend abandoned_server() {
        auto [c, b] = served_newcomer();
        ask(*c, "select pg_sleep(3600)");
        b.read_query();
        give_back(*c);
        return std::move(b);
    }

    backend b_;
    backend cancel_;
};

TEST_F(server_recovery, cancels_the_query) {
    // PostgreSQL docs 55.7, CancelRequest: the code, the backend's process and its key.
    EXPECT_EQ(cancel_.read_startup(),
              int32(16) + int32(1234 << 16 | 5678) + int32(77) + int32(4711));
    EXPECT_EQ(count(state::cancelling), 1U);
}

TEST_F(server_recovery, cleans_the_server_for_the_next_client) {
    auto& next = newcomer();
    cancel_.read_startup();
    cancel_.end();
    b_.send(failed("57014"));
    settle();
    EXPECT_THAT(b_.read_query(), HasSubstr("RESET ALL"));
    b_.send(done());
    settle();
    EXPECT_TRUE(next.is_served());
}

TEST_F(server_recovery, waits_until_the_cancel_request_has_had_its_effect) {
    b_.send(done());
    settle();
    EXPECT_EQ(count(state::cancelling), 1U);
    cancel_.end();
    settle();
    EXPECT_EQ(count(state::cleaning), 1U);
}

TEST_F(server_recovery, is_given_up_after_server_close_timeout) {
    cancel_.read_startup();
    cancel_.end();
    for (auto left = base::duration{pool().server_close_timeout}; left >= -100ms; left -= 100ms) {
        pass(100ms);
        while (postgres_.has_visitor()) {  // it is cancelled again and again
            postgres_.accept();
        }
        settle();
    }
    EXPECT_EQ(count(state::closing), 1U);
}

TEST_F(server_recovery, of_a_reply_that_nobody_is_owed_closes_the_server) {
    b_.send({{'1', ""}});
    settle();
    EXPECT_EQ(count(state::closing), 1U);
}

}  // namespace
}  // namespace pgweir::pool
