// What servers are sent for their clients' statements, message by message, and error texts.
#include "pgweir/protocol/statement_relay.hpp"

#include "protocol/pooled_dialogue.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

namespace pgweir::protocol {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;
using namespace testing;

const std::string sync = say_sync();
const std::string one = say_parse("s", "select 1");
const std::string two = say_parse("s", "select 2");
const std::string run_s = say_run("s");

// What is sent and heard from here on is looked at.
struct statement_dialogue : ::testing::Test {
    pooled_dialogue d;

    explicit statement_dialogue(const playing& how = {}) : d{how} {}

    // Nobody remembers what was said before.
    void turn(std::size_t client, std::size_t server, std::string_view bytes) {
        (void)d.take_client_heard(client);
        d.turn(client, server, bytes);
        EXPECT_EQ(d.problems, "");
    }
    void before(std::size_t client, std::size_t server, std::string_view bytes) {
        turn(client, server, bytes);
        (void)d.take_heard(server);
    }
    std::string sent(std::size_t server) { return d.take_heard(server); }
    std::string heard(std::size_t client) { return d.take_client_heard(client); }
};

// --- Parse

TEST_F(statement_dialogue, first_parse_goes_out_under_the_shared_name) {
    turn(0, 0, one + sync);
    EXPECT_EQ(sent(0), "P#1 S");
    EXPECT_EQ(heard(0), "1 Z(I)");
}

TEST_F(statement_dialogue, second_client_s_parse_is_answered_without_being_sent) {
    before(0, 0, one + sync);
    turn(1, 0, one + sync);
    EXPECT_EQ(sent(0), "S");
    EXPECT_EQ(heard(1), "1 Z(I)");
}

TEST_F(statement_dialogue, parse_is_sent_where_the_server_lacks_it) {
    before(0, 0, one + sync);
    turn(1, 1, one + sync);
    EXPECT_EQ(sent(1), "P#1 S");
}

TEST_F(statement_dialogue, clients_with_one_name_for_two_texts_do_not_meet) {
    before(0, 0, one + sync);
    before(1, 0, two + sync);
    turn(0, 0, run_s + sync);
    EXPECT_EQ(sent(0), "B#1 E S");
    EXPECT_EQ(heard(0), "2 D(select 1) C Z(I)");
}

TEST_F(statement_dialogue, parse_of_a_taken_name_fails_at_the_server) {
    before(0, 0, one + sync);
    turn(0, 0, two + sync);
    EXPECT_EQ(sent(0), "P#0 P#0 S");  // the decoy, which nobody runs
    EXPECT_EQ(heard(0), "E(42P05) Z(I)");
    EXPECT_NE(d.to_client(0).find("\"s\""), std::string::npos);
}

TEST_F(statement_dialogue, parse_of_a_taken_name_fails_at_any_server) {
    before(0, 0, one + sync);
    turn(0, 1, two + sync);
    EXPECT_EQ(sent(1), "P#0 P#0 S");
    EXPECT_EQ(heard(0), "E(42P05) Z(I)");
}

TEST_F(statement_dialogue, known_parse_is_refused_by_the_server_in_a_failed_transaction) {
    before(0, 0, one + sync);
    before(1, 0, say_query("begin") + say_query("fail"));
    turn(1, 0, one + sync);
    EXPECT_EQ(sent(0), "C#1 P#1 S");
    EXPECT_EQ(heard(1), "E(25P02) Z(E)");
}

TEST_F(statement_dialogue, parse_of_a_changed_session_is_shared_with_nobody) {
    before(0, 0, one + sync);
    before(1, 0, say_query("begin"));
    d.marks(0).add(text_effect::settings);
    turn(1, 0, one + sync);
    EXPECT_EQ(sent(0), "P#2 S");
}

TEST_F(statement_dialogue, parse_behind_what_may_change_the_session_is_shared_with_nobody) {
    before(0, 0, one + sync);
    turn(1, 0, say_query("set role a") + one + sync);
    EXPECT_EQ(sent(0), "Q(set role a) P#2 S");
}

struct parsed_in_a_changed_session : statement_dialogue {
    parsed_in_a_changed_session() {
        before(0, 0, one + sync);
        before(0, 1, say_query("begin"));
        d.marks(1).add(text_effect::settings);
        turn(0, 1, run_s + sync);
        EXPECT_EQ(sent(1), "P#1 B#1 E S");
    }
};

TEST_F(parsed_in_a_changed_session, is_not_parsed_again_there) {
    turn(0, 1, run_s + sync);
    EXPECT_EQ(sent(1), "B#1 E S");
}

TEST_F(parsed_in_a_changed_session, is_parsed_again_for_whoever_is_next) {
    before(0, 1, say_query("commit"));
    turn(0, 1, run_s + sync);
    EXPECT_EQ(sent(1), "C#1 P#1 B#1 E S");
    turn(0, 1, run_s + sync);
    EXPECT_EQ(sent(1), "B#1 E S");
}

TEST_F(parsed_in_a_changed_session, is_not_known_to_who_prepares_it) {
    before(0, 1, say_query("commit"));
    turn(1, 1, one + run_s + sync);
    EXPECT_EQ(sent(1), "C#1 P#1 B#1 E S");
    turn(0, 1, run_s + sync);
    EXPECT_EQ(sent(1), "B#1 E S");
}

TEST_F(parsed_in_a_changed_session, costs_nobody_the_others) {
    before(0, 1, say_parse("t", "select 2") + sync + say_query("commit"));
    EXPECT_EQ(d.postgresql(1).statements.size(), 2U);
}

TEST_F(statement_dialogue, syntax_error_defines_nothing) {
    before(0, 0, say_parse("s", "bad") + sync);
    turn(0, 0, run_s + sync);
    EXPECT_EQ(sent(0), "Bs E S");
    EXPECT_EQ(heard(0), "E(26000) Z(I)");
}

// --- Bind and Describe

TEST_F(statement_dialogue, bind_elsewhere_is_prepared_by_us) {
    before(0, 0, one + sync);
    turn(0, 1, run_s + sync);
    EXPECT_EQ(sent(1), "P#1 B#1 E S");
    EXPECT_EQ(heard(0), "2 D(select 1) C Z(I)");
}

TEST_F(statement_dialogue, describe_elsewhere_is_prepared_by_us) {
    before(0, 0, one + sync);
    turn(0, 1, say_describe("s") + sync);
    EXPECT_EQ(sent(1), "P#1 D#1 S");
    EXPECT_EQ(heard(0), "t T(select 1) Z(I)");
}

TEST_F(statement_dialogue, unknown_names_reach_the_server_which_says_so) {
    turn(0, 0, run_s + sync);
    EXPECT_EQ(sent(0), "Bs E S");
    EXPECT_EQ(heard(0), "E(26000) Z(I)");
    turn(0, 0, say_describe("s") + sync);
    EXPECT_EQ(sent(0), "Ds S");
    EXPECT_EQ(heard(0), "E(26000) Z(I)");
    turn(0, 0, say_close("s") + sync);
    EXPECT_EQ(sent(0), "Cs S");
    EXPECT_EQ(heard(0), "3 Z(I)");
}

TEST_F(statement_dialogue, waits_for_an_earlier_batch_and_goes_on) {
    d.say(0, 0, one + sync + run_s + sync);
    EXPECT_EQ(sent(0), "P#1 S H");
    d.flow();
    EXPECT_EQ(sent(0), "B#1 E S");
    EXPECT_EQ(heard(0), "1 Z(I) 2 D(select 1) C Z(I)");
}

TEST_F(statement_dialogue, does_not_wait_within_a_batch) {
    d.say(0, 0, one + run_s + sync);
    EXPECT_EQ(sent(0), "P#1 B#1 E S");
}

TEST_F(statement_dialogue, does_not_wait_for_what_was_known_before) {
    before(0, 0, one + sync);
    d.say(0, 0, run_s + sync + run_s + sync);
    EXPECT_EQ(sent(0), "B#1 E S B#1 E S");
}

TEST_F(statement_dialogue, error_skips_definitions_behind_it) {
    turn(0, 0, say_run("x") + one + sync);
    EXPECT_EQ(heard(0), "E(26000) Z(I)");
    before(0, 0, sync);
    turn(0, 0, run_s + sync);
    EXPECT_EQ(sent(0), "Bs E S");
}

TEST_F(statement_dialogue, replies_of_ours_stand_in_their_turn) {
    before(0, 0, one + sync);
    turn(1, 0,
         one + say_parse("", "select 2") + say_run("") + say_close("s") + say_parse("t", "b") +
             sync);
    EXPECT_EQ(sent(0), "P B E P#2 S");
    EXPECT_EQ(heard(1), "1 1 2 D(select 2) C 3 1 Z(I)");
}

TEST_F(statement_dialogue, flush_brings_replies_of_ours_at_once) {
    before(0, 0, one + sync);
    d.say(1, 0, one + say_flush());
    EXPECT_EQ(heard(1), "1");
}

// --- Close

TEST_F(statement_dialogue, close_is_answered_without_being_sent) {
    before(0, 0, one + sync);
    before(1, 0, one + sync);
    turn(0, 0, say_close("s") + sync);
    EXPECT_EQ(sent(0), "S");
    EXPECT_EQ(heard(0), "3 Z(I)");
    turn(1, 0, run_s + sync);
    EXPECT_EQ(sent(0), "B#1 E S");
}

TEST_F(statement_dialogue, closed_name_is_unknown_to_the_server) {
    before(0, 0, one + say_close("s") + sync);
    turn(0, 0, run_s + sync);
    EXPECT_EQ(sent(0), "Bs E S");
    EXPECT_EQ(heard(0), "E(26000) Z(I)");
}

// --- behind what may be a COPY, in which PostgreSQL refuses whatever else it is sent

struct behind_a_copy : statement_dialogue {
    const std::string copy = say_parse("", "copy t from stdin") + say_run("");
};

TEST_F(behind_a_copy, close_is_sent_for_postgresql_to_refuse) {
    before(0, 0, one + sync);
    d.say(0, 0, copy + say_close("s") + sync);
    EXPECT_EQ(sent(0), "P B E C__pgweir_none S");
}

TEST_F(behind_a_copy, close_counts_once_postgresql_has_done_it) {
    before(0, 0, one + sync);
    turn(0, 0, copy + say_close("s") + sync);
    EXPECT_EQ(heard(0), "1 2 D(copy t from stdin) C 3 Z(I)");
    turn(0, 0, run_s + sync);
    EXPECT_EQ(heard(0), "E(26000) Z(I)");
}

TEST_F(behind_a_copy, parse_is_not_answered_but_waits) {
    before(0, 0, one + sync);
    d.say(1, 0, copy + one + sync);
    EXPECT_EQ(sent(0), "P B E H");
}

TEST_F(behind_a_copy, parse_is_sent_when_the_copy_is_a_query) {
    before(0, 0, one + sync);
    d.say(1, 0, say_query("copy t from stdin") + one + sync);
    EXPECT_EQ(sent(0), "Q(copy t from stdin) P#2 S");
}

TEST_F(behind_a_copy, parse_is_sent_when_the_copy_was_prepared) {
    before(0, 0, one + sync);
    before(1, 0, say_parse("c", "copy t from stdin") + sync);
    d.say(1, 0, say_run("c") + one + sync);
    EXPECT_EQ(sent(0), "B#2 E P#3 S");
}

// --- the limit of a server

struct limit_of_one : statement_dialogue {
    limit_of_one() : statement_dialogue{playing{.limit = 1}} {}
};

TEST_F(limit_of_one, closes_the_statement_used_least) {
    before(0, 0, one + sync);
    turn(0, 0, say_parse("t", "select 2") + sync);
    EXPECT_EQ(sent(0), "C#1 P#2 S");
    turn(0, 0, run_s + sync);
    EXPECT_EQ(sent(0), "C#2 P#1 B#1 E S");
    EXPECT_EQ(heard(0), "2 D(select 1) C Z(I)");
}

TEST_F(limit_of_one, holds_in_the_middle_of_a_batch) {
    turn(0, 0, one + say_parse("t", "select 2") + run_s + sync);
    EXPECT_EQ(sent(0), "P#1 C#1 P#2 C#2 P#1 B#1 E S");
    EXPECT_EQ(heard(0), "1 1 2 D(select 1) C Z(I)");
    EXPECT_EQ(d.postgresql(0).statements.size(), 1U);
}

struct limit_of_none : statement_dialogue {
    limit_of_none() : statement_dialogue{playing{.limit = 0}} {}
};

TEST_F(limit_of_none, names_pass_as_they_are) {
    turn(0, 0, one + run_s + sync);
    EXPECT_EQ(sent(0), "Ps Bs E S");
    EXPECT_EQ(heard(0), "1 2 D(select 1) C Z(I)");
}

TEST_F(limit_of_none, names_are_removed_behind_the_transaction) {
    turn(0, 0, one + sync);
    EXPECT_TRUE(d.postgresql(0).statements.empty());
}

// --- names like ours

struct names_like_ours : statement_dialogue {
    names_like_ours() : statement_dialogue{playing{.names_may_be_ours = true}} {}
    const std::string ours = "__pgweir_40";
};

TEST_F(names_like_ours, do_not_get_at_ours) {
    before(0, 0, one + sync);
    for (const auto& use : {say_run(ours), say_describe(ours)}) {
        turn(1, 0, use + sync);
        EXPECT_EQ(heard(1), "E(26000) Z(I)");
        EXPECT_NE(d.to_client(1).find("\"__pgweir_40\""), std::string::npos);
    }
    EXPECT_EQ(sent(0), "B__pgweir_none E S D__pgweir_none S");
}

TEST_F(names_like_ours, do_not_close_ours) {
    before(0, 0, one + sync);
    turn(1, 0, say_close(ours) + sync);
    EXPECT_EQ(sent(0), "S");
    EXPECT_EQ(heard(1), "3 Z(I)");
}

TEST_F(names_like_ours, cost_nobody_ours_when_sql_removes_them) {
    before(0, 0, one + sync);
    d.turn(1, 0, say_query("deallocate \"" + ours + "\""));
    d.problems.clear();  // its client never had that name
    (void)sent(0);
    turn(0, 0, run_s + sync);
    EXPECT_EQ(sent(0), "P#1 B#1 E S");
    EXPECT_EQ(heard(0), "2 D(select 1) C Z(I)");
}

TEST_F(names_like_ours, may_be_a_client_s_own) {
    before(0, 0, one + sync);
    turn(1, 0, say_parse(ours, "select 2") + say_run(ours) + sync);
    EXPECT_EQ(heard(1), "1 2 D(select 2) C Z(I)");
}

// --- the unnamed statement

TEST_F(statement_dialogue, unnamed_is_parsed_again_elsewhere) {
    before(0, 0, say_parse("", "a") + sync);
    turn(0, 1, say_run("") + sync);
    EXPECT_EQ(sent(1), "P B E S");
    EXPECT_EQ(heard(0), "2 D(a) C Z(I)");
}

TEST_F(statement_dialogue, unnamed_is_not_parsed_again_where_it_is) {
    before(0, 0, say_parse("", "a") + sync);
    turn(0, 0, say_run("") + sync);
    EXPECT_EQ(sent(0), "B E S");
}

TEST_F(statement_dialogue, unnamed_of_another_is_closed_first) {
    before(0, 0, say_parse("", "a") + sync);
    turn(1, 0, say_run("") + sync);
    EXPECT_EQ(sent(0), "C B E S");
    EXPECT_EQ(heard(1), "E(26000) Z(I)");
}

TEST_F(statement_dialogue, unnamed_is_restored_over_that_of_another) {
    before(0, 0, say_parse("", "a") + sync);
    before(1, 0, say_parse("", "b") + sync);
    turn(0, 0, say_run("") + sync);
    EXPECT_EQ(sent(0), "C P B E S");
    EXPECT_EQ(heard(0), "2 D(a) C Z(I)");
}

TEST_F(statement_dialogue, unnamed_is_dropped_by_a_query_anywhere) {
    before(0, 0, say_parse("", "a") + sync);
    before(0, 1, say_query("select 1"));
    turn(0, 1, say_run("") + sync);
    EXPECT_EQ(heard(0), "E(26000) Z(I)");
}

TEST_F(statement_dialogue, unnamed_is_gone_once_it_was_closed) {
    before(0, 0, say_parse("", "a") + say_close("") + sync);
    turn(0, 1, say_run("") + sync);
    EXPECT_EQ(heard(0), "E(26000) Z(I)");
}

// --- DEALLOCATE

TEST_F(statement_dialogue, deallocate_removes_a_decoy) {
    before(0, 0, one + sync);
    before(1, 0, one + sync);
    turn(0, 0, say_query("deallocate s"));
    EXPECT_EQ(sent(0), "P#0 S Q(DEALLOCATE \"__pgweir_0\")");
    EXPECT_EQ(heard(0), "C Z(I)");
    turn(0, 0, run_s + sync);
    EXPECT_EQ(heard(0), "E(26000) Z(I)");
    turn(1, 0, run_s + sync);
    EXPECT_EQ(heard(1), "2 D(select 1) C Z(I)");
}

TEST_F(statement_dialogue, deallocate_ends_no_batch_that_may_fail) {
    before(0, 0, one + sync);
    turn(0, 0, say_run("x") + say_query("deallocate s") + sync);
    EXPECT_EQ(sent(0), "Bx E P#0 Q(DEALLOCATE \"__pgweir_0\") S");
    EXPECT_EQ(heard(0), "E(26000) Z(I)");
    turn(0, 0, run_s + sync);
    EXPECT_EQ(heard(0), "2 D(select 1) C Z(I)");
}

// Without its own Sync our Parse would let PostgreSQL skip the query, which is then never answered.
TEST_F(statement_dialogue, deallocate_is_answered_when_its_decoy_fails) {
    before(0, 0, one + sync);
    d.postgresql(0).fail_in(1);
    turn(0, 0, say_query("deallocate s"));
    EXPECT_TRUE(heard(0).ends_with(" Z(I)"));
    turn(0, 0, run_s + sync);
    EXPECT_EQ(heard(0), "2 D(select 1) C Z(I)");
}

TEST_F(statement_dialogue, deallocate_in_the_extended_protocol_counts_when_it_is_run) {
    before(0, 0, one + sync);
    turn(0, 0, say_parse("", "deallocate s") + say_bind("") + sync);
    EXPECT_EQ(sent(0), "P#0 P B S");
    turn(0, 0, run_s + sync);
    EXPECT_EQ(heard(0), "2 D(select 1) C Z(I)");
    turn(0, 0, say_run("") + run_s + sync);
    EXPECT_EQ(heard(0), "2 C E(26000) Z(I)");
}

TEST_F(statement_dialogue, deallocate_of_an_unknown_name_passes) {
    before(0, 0, one + sync);
    turn(0, 0, say_query("deallocate t"));
    EXPECT_EQ(sent(0), "Q(deallocate t)");
    EXPECT_EQ(heard(0), "E(26000) Z(I)");
}

TEST_F(statement_dialogue, deallocate_all_is_run_and_forgets_all) {
    before(0, 0, one + sync);
    turn(0, 0, say_query("deallocate all"));
    EXPECT_EQ(sent(0), "Q(deallocate all)");
    turn(0, 0, run_s + sync);
    EXPECT_EQ(heard(0), "E(26000) Z(I)");
}

TEST_F(statement_dialogue, deallocate_all_costs_another_client_a_parse_of_ours) {
    before(0, 0, one + sync);
    before(1, 0, one + sync);
    before(0, 0, say_query("deallocate all"));
    turn(1, 0, run_s + sync);
    EXPECT_EQ(sent(0), "P#1 B#1 E S");
    EXPECT_EQ(heard(1), "2 D(select 1) C Z(I)");
}

TEST_F(statement_dialogue, waits_behind_what_may_deallocate) {
    before(0, 0, one + sync);
    d.say(0, 0, say_query("deallocate all") + run_s + sync);
    EXPECT_EQ(sent(0), "Q(deallocate all) H");
    d.flow();
    EXPECT_EQ(heard(0), "1 Z(I) C Z(I) E(26000) Z(I)");
}

// --- long messages

TEST_F(statement_dialogue, long_parse_ties_the_client_to_its_server) {
    turn(0, 0, say_parse("l", std::string(statement_limit, 'x')) + sync);
    EXPECT_EQ(heard(0), "1 Z(I)");
    EXPECT_TRUE(d.is_served(0));
    turn(0, 0, say_close("l") + sync);
    EXPECT_FALSE(d.is_served(0));
}

TEST_F(statement_dialogue, long_parse_that_failed_ties_nobody) {
    turn(0, 0, say_parse("l", "bad" + std::string(statement_limit, 'x')) + sync);
    EXPECT_EQ(heard(0), "E(42601) Z(I)");
    EXPECT_FALSE(d.is_served(0));
}

TEST_F(statement_dialogue, parse_up_to_the_limit_is_shared) {
    const std::string text(statement_limit - header_size - 5, 'x');
    turn(0, 0, say_parse("l", text) + sync);
    EXPECT_FALSE(d.is_served(0));
    turn(0, 1, say_run("l") + sync);
    EXPECT_EQ(heard(0), "2 D(" + text + ") C Z(I)");
}

// Each message is rewritten in the arena, which holds a few thousand of them.
TEST_F(statement_dialogue, full_arena_is_emptied_and_filled_again) {
    before(0, 0, one + sync);
    std::string batch;
    for (int i = 0; i < 2000; ++i) {
        batch += say_bind("s");
    }
    turn(0, 0, batch + sync);
    std::string due;
    for (int i = 0; i < 2000; ++i) {
        due += "2 ";
    }
    EXPECT_EQ(heard(0), due + "Z(I)");
}

TEST_F(statement_dialogue, portal_name_too_long_for_the_arena_ends_the_client) {
    before(0, 0, one + sync);
    turn(0, 0, say_bind("s", std::string(byte_arena::capacity, 'p')) + sync);
    EXPECT_TRUE(d.is_closed(0));
}

TEST_F(statement_dialogue, portal_name_that_just_fits_is_served) {
    before(0, 0, one + sync);
    const std::string portal(byte_arena::capacity - 64, 'p');
    turn(0, 0, say_bind("s", portal) + say_execute() + sync);
    EXPECT_FALSE(d.is_closed(0));
}

// --- the arena

TEST(byte_arena, keeps_what_was_added_since_a_mark) {
    byte_arena arena;
    arena.add("first");
    const auto mark = arena.mark();
    arena.add_byte('s');
    arena.add("econd");
    EXPECT_EQ(arena.since(mark), "second");
}

TEST(byte_arena, has_room_for_its_capacity) {
    const auto arena = std::make_unique<byte_arena>();
    EXPECT_TRUE(arena->has_room(byte_arena::capacity));
    arena->add(std::string(byte_arena::capacity, 'x'));
    EXPECT_TRUE(arena->has_room(0));
    EXPECT_FALSE(arena->has_room(1));
    arena->clear();
    EXPECT_TRUE(arena->empty());
}

// --- names in errors

std::string error(std::string_view text) {
    std::string out;
    message_writer w{out};
    w.begin('E').put_byte('S').put_cstr("ERROR").put_byte('C').put_cstr("26000");
    w.put_byte('M').put_cstr(text).put_byte('\0').end();
    return out;
}

struct translated_names : ::testing::Test {
    statement_store store{0};
    client_statements client;

    translated_names() {
        const auto what = store.intern({}, "select 1\0\0\0"sv);
        client.find_or_make("mine").what.set(what);
    }
    std::string translated(std::string_view text) const {
        std::string out;
        return translate_names(error(text), client, out) ? out : "untouched " + out;
    }
};

TEST_F(translated_names, are_the_client_s) {
    EXPECT_EQ(translated("\"__pgweir_40\" exists"), error("\"mine\" exists"));
}

TEST_F(translated_names, are_all_that_occur) {
    EXPECT_EQ(translated("__pgweir_40, __pgweir_40."), error("mine, mine."));
}

TEST_F(translated_names, leave_other_errors_untouched) {
    EXPECT_EQ(translated("division by zero"), "untouched ");
}

TEST_F(translated_names, never_show_one_that_is_not_the_client_s) {
    EXPECT_EQ(translated("\"__pgweir_80\""), error("\"\""));
}

TEST_F(translated_names, may_stand_at_the_very_end) {
    const std::string cut = "E\0\0\0\x10M__pgweir_40"s;
    std::string out;
    ASSERT_TRUE(translate_names(cut, client, out));
    EXPECT_EQ(out, "E\0\0\0\x09Mmine"sv);
}

}  // namespace
}  // namespace pgweir::protocol
