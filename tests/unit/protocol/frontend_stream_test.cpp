// What a client may pass on: holding, streaming, limits, marks, foreign statements, a full ledger.
#include "pgweir/protocol/frontend_stream.hpp"

#include "pgweir/protocol/frame.hpp"
#include "protocol/dialogue.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace pgweir::protocol {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;
using testing::client_message;
using testing::message;
using testing::relay;
using testing::server_message;
using stop = frontend_stream::stop;

std::string header(char type, std::uint32_t length) {
    std::string out{type};
    out.append(4, '\0');
    base::store_be32(out.data() + 1, length);
    return out;
}

std::string query(std::string_view sql) { return message('Q', std::string{sql} + '\0'); }

std::string parse(std::string_view name, std::string_view sql) {
    return message('P', std::string{name} + '\0' + std::string{sql} + "\0\0\0"s);
}

// Where the stream of a session is after one look at `data`.
struct seen {
    ledger owed;
    session_marks marks;
    byte_arena arena;
    frontend_stream stream;
    frontend_stream::step step;

    explicit seen(std::string_view data) {
        stream.begin_session();
        step = stream.scan(data, 'I', owed, marks, arena);
    }
};

// --- limits

TEST(frontend_limits, let_data_be_as_long_as_in_postgresql) {
    for (const char type : {'Q', 'P', 'B', 'F', 'd'}) {
        EXPECT_NE(seen{header(type, 0x3fff'fffe)}.step.why, stop::violation) << type;
        EXPECT_EQ(seen{header(type, 0x3fff'ffff)}.step.why, stop::violation) << type;
    }
}

TEST(frontend_limits, let_small_messages_be_as_long_as_in_postgresql) {
    for (const char type : {'C', 'D', 'E', 'H', 'S', 'c', 'f'}) {
        EXPECT_EQ(seen{header(type, 10'000)}.step.why, stop::held) << type;
        EXPECT_EQ(seen{header(type, 10'001)}.step.why, stop::violation) << type;
    }
}

TEST(frontend_limits, refuse_a_length_that_does_not_count_itself) {
    for (const std::uint32_t length : {0U, 1U, 2U, 3U, 0x8000'0000U, 0xffff'ffffU}) {
        const seen s{header('Q', length)};
        EXPECT_EQ(s.step.why, stop::violation) << length;
        EXPECT_EQ(violation_text(header('Q', length)), "invalid message length");
    }
}

TEST(frontend_limits, refuse_an_unknown_type_by_its_first_byte) {
    for (int c = 0; c < 256; ++c) {
        const char type = static_cast<char>(c);
        const bool is_known =
            type != '\0' && "QPBFdCDEHSXcf"sv.find(type) != std::string_view::npos;
        const seen s{std::string_view{&type, 1}};
        EXPECT_EQ(s.step.why, is_known ? stop::held : stop::violation) << c;
    }
}

TEST(frontend_limits, name_the_violation_of_a_type) {
    EXPECT_EQ(violation_text("!"), "invalid frontend message type 33");
}

TEST(frontend_limits, pass_on_what_stands_before_a_violation) {
    const auto sync = client_message('S');
    const seen s{sync + "!"};
    EXPECT_EQ(s.step.forward, sync.size());
    EXPECT_EQ(s.step.why, stop::violation);
}

// --- holding and streaming

TEST(frontend_stream, holds_a_message_up_to_the_limit_until_it_is_whole) {
    const auto q = message('Q', std::string(hold_limit - header_size, 'x'));
    for (const std::size_t size : {std::size_t{1}, header_size, peek_size, q.size() - 1}) {
        const seen s{std::string_view{q}.substr(0, size)};
        EXPECT_EQ(s.step.why, stop::held);
        EXPECT_EQ(s.step.forward, 0U);
        EXPECT_TRUE(s.owed.is_empty());
    }
}

TEST(frontend_stream, passes_a_held_message_on_at_once_when_it_is_whole) {
    const auto q = message('Q', std::string(hold_limit - header_size, 'x'));
    const seen s{q};
    EXPECT_EQ(s.step.forward, q.size());
    EXPECT_TRUE(s.stream.at_boundary());
}

TEST(frontend_stream, streams_a_larger_message_once_its_start_is_seen) {
    const auto q = message('Q', std::string(hold_limit, 'x'));
    EXPECT_EQ(seen{std::string_view{q}.substr(0, peek_size - 1)}.step.why, stop::held);
    const seen s{std::string_view{q}.substr(0, peek_size)};
    EXPECT_EQ(s.step.forward, peek_size);
    EXPECT_FALSE(s.stream.at_boundary());
    EXPECT_EQ(s.owed.outstanding(), 1U);
}

TEST(frontend_stream, streams_copy_data_from_its_header) {
    const auto d = message('d', std::string(100, 'x'));
    EXPECT_EQ(seen{std::string_view{d}.substr(0, 4)}.step.why, stop::held);
    EXPECT_EQ(seen{std::string_view{d}.substr(0, 6)}.step.forward, 6U);
}

TEST(frontend_stream, is_the_same_wherever_large_messages_are_cut) {
    const auto all = query(std::string(hold_limit + 77, 'x')) + client_message('S') +
                     message('d', std::string(hold_limit, 'y')) +
                     parse("", std::string(2 * hold_limit, 'z')) + client_message('S');
    relay whole;
    whole.client(all);
    EXPECT_EQ(whole.to_server, all);
    for (std::size_t at = 0; at < all.size(); at += 97) {
        relay r;
        r.client(std::string_view{all}.substr(0, at));
        r.client(std::string_view{all}.substr(at));
        ASSERT_EQ(r.outcome(), whole.outcome()) << at;
    }
}

TEST(frontend_stream, says_goodbye_behind_what_came_before) {
    const auto sync = client_message('S');
    const seen s{sync + client_message('X') + sync};
    EXPECT_EQ(s.step.why, stop::terminate);
    EXPECT_EQ(s.step.forward, sync.size());
    EXPECT_EQ(s.owed.outstanding(), 1U);
}

TEST(frontend_stream, stops_at_a_full_ledger_and_goes_on_when_there_is_room) {
    std::string batch;
    for (std::size_t i = 0; i < ledger::capacity / 2 + 1; ++i) {
        batch += client_message('B') + client_message('E');
    }
    relay r;
    r.client(batch);
    EXPECT_EQ(r.client_stop, stop::full);
    EXPECT_TRUE(r.owed.is_full());
    for (std::size_t i = 0; i < 10; ++i) {
        r.server(server_message('2') + server_message('C'));
    }
    r.client("");
    EXPECT_EQ(r.client_stop, stop::more);
    EXPECT_EQ(r.to_server, batch);
}

TEST(frontend_stream, never_stops_within_a_message_for_a_full_ledger) {
    relay r;
    std::string batch;
    for (std::size_t i = 0; i < ledger::capacity / 2 - 1; ++i) {
        batch += client_message('B') + client_message('E');
    }
    const auto last = message('B', std::string(hold_limit, 'x'));
    r.client(batch + client_message('P') + last.substr(0, peek_size));
    EXPECT_TRUE(r.owed.is_full());
    r.client(last.substr(peek_size));
    EXPECT_EQ(r.client_stop, stop::more);
    EXPECT_TRUE(r.client_stream.at_boundary());
}

// --- marks

struct text_case {
    std::string_view sql;
    bool is_dirty;
};

TEST(frontend_marks, see_session_state_in_queries_and_statements) {
    for (const auto& [sql, is_dirty] :
         {text_case{"select set_config('a.b', 'c', false)", true}, text_case{"select 1", false}}) {
        EXPECT_EQ(seen{query(sql)}.marks.dirty, is_dirty) << sql;
        EXPECT_EQ(seen{parse("", sql)}.marks.dirty, is_dirty) << sql;
    }
}

TEST(frontend_marks, see_a_named_statement) {
    EXPECT_TRUE(seen{parse("s1", "select 1")}.marks.dirty);
}

// It may call set_config or an advisory lock by its OID.
TEST(frontend_marks, see_a_function_call) { EXPECT_TRUE(seen{client_message('F')}.marks.dirty); }

TEST(frontend_marks, see_session_state_across_every_cut_of_a_streamed_query) {
    const std::string filler(hold_limit, ' ');
    const auto q = query(filler + "select set_config('a.b', 'c', false)" + filler);
    for (std::size_t at = filler.size(); at < filler.size() + 50; ++at) {
        relay r;
        r.client(std::string_view{q}.substr(0, at));
        r.client(std::string_view{q}.substr(at, 3));
        r.client(std::string_view{q}.substr(at + 3));
        ASSERT_TRUE(r.marks.dirty) << at;
    }
}

TEST(frontend_marks, do_not_join_the_texts_of_two_messages) {
    EXPECT_FALSE(seen{query("select set_con") + query("fig")}.marks.dirty);
}

TEST(frontend_marks, do_not_look_into_bound_values) {
    EXPECT_FALSE(seen{message('B', "\0\0\0\0\0\1\0\0\0\x0aset_config\0\0"sv)}.marks.dirty);
}

// --- the unnamed statement of somebody else

// A server, which serves one client after the other.
struct shared_server {
    ledger owed;
    session_marks marks;
    server_statements held;
};

// A client, which is served by one server after the other.
class served_client {
public:
    frontend_stream stream;

    explicit served_client(std::uint64_t id) : id_{id} {}

    // All that is sent before the first reply comes: our insertions, and the last step.
    frontend_stream::step say(shared_server& server, std::string_view data) {
        stream.begin_link({.client = statements_,
                           .server = server.held,
                           .store = store_,
                           .settings = nullptr,
                           .self = id_,
                           .limit = 200,
                           .counts = counted_},
                          server.marks);
        return scan(server, data);
    }
    frontend_stream::step scan(shared_server& server, std::string_view data) {
        return stream.scan(data, 'I', server.owed, server.marks, arena_);
    }
    void hear(shared_server& server, std::string_view replies) {
        for (const char type : replies) {
            ASSERT_NE(server.owed.received(type), ledger::verdict::violation) << type;
            if (const auto settled = server.owed.take_settlement()) {
                server.held.finish(settled, *statements_, server.marks);
            }
        }
    }

private:
    const std::uint64_t id_;
    std::unique_ptr<client_statements> statements_;
    statement_store store_{0};
    byte_arena arena_;
    metrics::traffic counted_;
};

constexpr auto close_unnamed = "C\0\0\0\6S\0"sv;

struct foreign : ::testing::Test {
    shared_server server;
    served_client other{2};
    served_client client{1};

    foreign() { leave(); }

    // Another client left its unnamed statement here.
    void leave() {
        (void)other.say(server, client_message('P') + client_message('S'));
        other.hear(server, "1Z");
    }
};

TEST_F(foreign, statement_is_closed_before_it_could_be_used) {
    for (const char first : {'B', 'D', 'p', 'E', 'C'}) {
        server.marks.unnamed_owner = 2;
        const auto step = client.say(server, client_message(first));
        EXPECT_EQ(step.why, stop::edit) << first;
        EXPECT_EQ(step.bytes, close_unnamed) << first;
        EXPECT_EQ(step.forward + step.skip, 0U);
    }
}

TEST_F(foreign, statement_is_left_alone_by_what_opens_no_batch) {
    for (const char first : {'S', 'F', 'H', 'c', 'd', 'f'}) {
        EXPECT_EQ(client.say(server, client_message(first)).why, stop::more) << first;
        EXPECT_EQ(server.marks.unnamed_owner, 2U) << first;
    }
}

TEST_F(foreign, statement_is_closed_behind_what_opens_no_batch) {
    const std::string before = client_message('d') + client_message('S');
    const auto step = client.say(server, before + client_message('B'));
    EXPECT_EQ(step.bytes, close_unnamed);
    EXPECT_EQ(step.forward, before.size());
}

TEST_F(foreign, statement_is_closed_before_a_named_one_is_parsed) {
    EXPECT_EQ(client.say(server, parse("s1", "select 1")).bytes, close_unnamed);
}

TEST_F(foreign, statement_is_replaced_by_our_own) {
    EXPECT_EQ(client.say(server, client_message('P')).why, stop::more);
    EXPECT_EQ(server.marks.unnamed_owner, 1U);
}

TEST_F(foreign, statement_is_dropped_by_a_query) {
    const auto step = client.say(server, client_message('Q') + client_message('B'));
    EXPECT_EQ(step.why, stop::more);
}

TEST_F(foreign, statement_is_closed_once) {
    const auto bind = client_message('B');
    (void)client.say(server, bind);
    EXPECT_EQ(client.scan(server, bind + bind).why, stop::more);
}

TEST_F(foreign, statement_closed_is_owed_to_the_pooler) {
    (void)client.say(server, client_message('B'));
    EXPECT_EQ(server.owed.next_origin(), origin::pooler);
    EXPECT_EQ(server.owed.received('3'), ledger::verdict::ok);
}

TEST(own_unnamed_statement, is_left_to_its_client_in_the_next_transaction) {
    shared_server server;
    served_client client{1};
    (void)client.say(server, client_message('P') + client_message('S'));
    client.hear(server, "1Z");
    EXPECT_EQ(client.say(server, client_message('B')).why, stop::more);
}

// Parsed on one server, then again on another: the first one's is not what the client means now.
TEST(own_unnamed_statement, is_closed_and_parsed_anew_where_it_is_not_the_newest) {
    shared_server servers[2];
    served_client client{1};
    const std::string newest = parse("", "select 2");
    for (const auto i : {0, 1}) {
        (void)client.say(servers[i], (i == 0 ? client_message('P') : newest) + client_message('S'));
        client.hear(servers[i], "1Z");
    }
    EXPECT_EQ(client.say(servers[0], client_message('B')).bytes, close_unnamed);
    EXPECT_EQ(client.scan(servers[0], client_message('B')).bytes, newest);
    EXPECT_EQ(client.scan(servers[0], client_message('B')).why, stop::more);
    EXPECT_EQ(client.say(servers[1], client_message('B')).why, stop::more);
}

// --- before there is a server

struct first_case {
    std::string_view letters;
    first_message what;
    std::size_t skipped;  // messages
};

TEST(first_look, tells_what_a_client_needs) {
    for (const auto& c : {first_case{"", first_message::incomplete, 0},
                          first_case{"Q", first_message::needs_server, 0},
                          first_case{"S", first_message::needs_server, 0},
                          first_case{"X", first_message::terminate, 0},
                          first_case{"H", first_message::ignorable, 1},
                          first_case{"ddcfH", first_message::ignorable, 5},
                          first_case{"dcQ", first_message::needs_server, 2},
                          first_case{"cX", first_message::terminate, 1}}) {
        std::string bytes;
        std::size_t skip = 0;
        for (std::size_t i = 0; i < c.letters.size(); ++i) {
            bytes += client_message(c.letters[i]);
            skip = i + 1 == c.skipped ? bytes.size() : skip;
        }
        const auto look = look_at_first(bytes);
        EXPECT_EQ(look.what, c.what) << c.letters;
        EXPECT_EQ(look.skip, skip) << c.letters;
    }
}

TEST(first_look, waits_for_the_whole_of_a_small_message) {
    const auto q = query("select 1");
    for (std::size_t size = 0; size < q.size(); ++size) {
        EXPECT_EQ(look_at_first(std::string_view{q}.substr(0, size)).what,
                  first_message::incomplete);
    }
}

TEST(first_look, waits_for_the_start_of_a_large_message) {
    const auto q = query(std::string(hold_limit, 'x'));
    EXPECT_EQ(look_at_first(std::string_view{q}.substr(0, peek_size - 1)).what,
              first_message::incomplete);
    EXPECT_EQ(look_at_first(std::string_view{q}.substr(0, peek_size)).what,
              first_message::needs_server);
}

TEST(first_look, drops_ignorable_messages_in_front_of_an_incomplete_one) {
    const auto late = client_message('c');
    const auto look = look_at_first(late + "Q\0"s);
    EXPECT_EQ(look.what, first_message::incomplete);
    EXPECT_EQ(look.skip, late.size());
}

TEST(first_look, sees_violations) {
    EXPECT_EQ(look_at_first("!").what, first_message::violation);
    EXPECT_EQ(look_at_first("Q\0\0\0\3"sv).what, first_message::violation);
}

}  // namespace
}  // namespace pgweir::protocol
