// Prepared statements of clients that share servers, played whole, in pieces, late, and with errors
// anywhere: each client must see what a session of its own would have shown it.
#include "protocol/pooled_dialogue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::protocol {
namespace {

using namespace std::string_literals;
using namespace testing;

struct part {
    std::size_t client;
    std::size_t server;
    std::string bytes;
};

struct scene {
    std::string_view name;
    std::vector<part> parts;
    std::size_t limit = 200;

    friend void PrintTo(const scene& s, std::ostream* out) { *out << s.name; }
};

const std::string sync = say_sync();
const std::string one = say_parse("s", "select 1");
const std::string two = say_parse("s", "select 2");
const std::string run_s = say_run("s");

std::vector<scene> scenes() {
    return {
        {"parse_and_run", {{0, 0, one + sync}, {0, 0, run_s + sync}}},
        {"parse_and_run_in_one_batch", {{0, 0, one + say_describe("s") + run_s + sync}}},
        {"run_on_another_server", {{0, 0, one + sync}, {0, 1, run_s + run_s + sync}}},
        {"two_clients_with_one_text",
         {{0, 0, one + sync}, {1, 0, one + run_s + sync}, {0, 0, run_s + sync}}},
        {"two_clients_with_one_name",
         {{0, 0, one + sync}, {1, 0, two + run_s + sync}, {0, 0, run_s + sync}}},
        {"known_parse_between_others",
         {{0, 0, one + sync},
          {1, 0,
           say_parse("", "a") + say_run("") + one + say_run("") + run_s + say_parse("t", "b") +
               say_run("t") + sync}}},
        {"known_parse_behind_a_describe",
         {{0, 0, one + sync},
          {1, 0, say_parse("", "a") + say_describe("") + one + say_flush() + sync}}},
        {"known_parse_alone", {{0, 0, one + sync}, {1, 0, one + say_flush()}, {1, 0, sync}}},
        {"parse_of_a_taken_name", {{0, 0, one + sync}, {0, 0, two + sync}, {0, 0, run_s + sync}}},
        {"parse_of_a_taken_name_elsewhere",
         {{0, 0, one + sync}, {0, 1, one + run_s + sync}, {0, 1, run_s + sync}}},
        {"parse_of_a_taken_name_in_one_batch", {{0, 0, one + two + run_s + sync + run_s + sync}}},
        {"parse_again_behind_close",
         {{0, 0, one + sync}, {0, 0, say_close("s") + two + run_s + sync}, {0, 1, run_s + sync}}},
        {"close", {{0, 0, one + sync}, {0, 0, say_close("s") + sync}, {0, 0, run_s + sync}}},
        {"close_twice", {{0, 0, one + say_close("s") + say_close("s") + sync + run_s + sync}}},
        {"unknown_names",
         {{0, 0, run_s + sync},
          {0, 0, say_describe("s") + sync},
          {0, 0, say_close("s") + sync},
          {0, 0, say_query("deallocate s")}}},
        {"name_of_63_bytes_and_more",
         {{0, 0, say_parse(std::string(70, 'n'), "select 1") + sync},
          {0, 1, say_run(std::string(63, 'n') + "other") + sync},
          {0, 0, say_parse(std::string(63, 'n'), "select 2") + sync},
          {0, 0, say_close(std::string(64, 'n')) + sync}}},
        {"syntax_error", {{0, 0, say_parse("s", "bad") + run_s + sync}, {0, 0, run_s + sync}}},
        {"error_skips_a_definition",
         {{0, 0, say_parse("", "fail") + say_run("") + one + sync}, {0, 0, run_s + sync}}},
        {"error_skips_a_known_definition",
         {{1, 0, one + sync},
          {0, 0, say_parse("", "fail") + say_run("") + one + sync},
          {0, 0, run_s + sync}}},
        {"error_skips_a_close",
         {{0, 0, one + sync},
          {0, 0, say_parse("", "fail") + say_run("") + say_close("s") + sync},
          {0, 1, run_s + sync}}},
        {"error_skips_a_deallocate",
         {{0, 0, one + sync},
          {0, 0, say_parse("", "fail") + say_run("") + say_query("deallocate s") + sync},
          {0, 1, run_s + sync}}},
        {"error_in_one_batch_of_three",
         {{0, 0,
           one + run_s + sync + say_run("t") + say_parse("u", "select 3") + sync + run_s + sync},
          {0, 1, say_run("u") + sync}}},
        {"later_batch_depends_on_an_earlier_one",
         {{0, 0, one + sync + run_s + sync + say_close("s") + sync + run_s + sync}}},
        {"definition_skipped_then_defined_again",
         {{0, 0, say_run("x") + one + sync + two + sync + run_s + sync}}},
        {"query_between_batches", {{0, 0, one + say_query("select 3") + run_s + sync}}},
        {"function_call_between_batches", {{0, 0, one + say_function_call() + run_s + sync}}},
        {"transaction",
         {{0, 0, say_query("begin") + one + run_s + sync},
          {0, 0, run_s + sync},
          {0, 0, say_query("commit")},
          {0, 1, run_s + sync}}},
        {"known_parse_in_a_failed_transaction",
         {{1, 0, one + sync},
          {0, 0, say_query("begin") + say_query("fail")},
          {0, 0, one + sync},
          {0, 0, say_query("rollback")},
          {0, 0, run_s + sync}}},
        {"known_parse_behind_what_may_fail_a_transaction",
         {{1, 0, one + sync}, {0, 0, say_query("begin") + say_query("fail") + one + sync}}},
        {"close_in_a_failed_transaction",
         {{0, 0, one + sync},
          {0, 0, say_query("begin") + say_query("fail") + say_close("s") + sync},
          {0, 0, say_query("rollback")},
          {0, 0, run_s + sync}}},
        {"commit_by_a_statement",
         {{0, 0, say_parse("b", "begin") + say_parse("c", "commit") + sync},
          {0, 1, say_run("b") + one + run_s + say_run("c") + sync},
          {0, 0, say_run("b") + sync},
          {0, 0, say_run("c") + sync}}},
        {"limit_of_one",
         {{0, 0, one + say_parse("t", "select 2") + sync},
          {0, 0, run_s + say_run("t") + run_s + sync},
          {0, 0, run_s + sync + say_run("t") + sync + run_s + sync}},
         1},
        {"limit_of_two_with_two_clients",
         {{0, 0, one + say_parse("t", "a") + say_parse("u", "b") + sync},
          {1, 0, say_parse("v", "c") + one + sync},
          {0, 0, run_s + say_run("t") + say_run("u") + sync},
          {1, 0, say_run("v") + run_s + sync}},
         2},
        {"unnamed", {{0, 0, say_parse("", "a") + say_run("") + sync}, {0, 0, say_run("") + sync}}},
        {"unnamed_on_another_server",
         {{0, 0, say_parse("", "a") + sync},
          {0, 1, say_run("") + sync},
          {0, 0, say_describe("") + say_run("") + sync}}},
        {"unnamed_of_another_client",
         {{0, 0, say_parse("", "a") + sync},
          {1, 0, say_run("") + sync},
          {1, 0, say_parse("", "b") + say_run("") + sync},
          {0, 0, say_run("") + sync},
          {1, 0, say_run("") + sync}}},
        {"unnamed_dropped_by_a_query",
         {{0, 0, say_parse("", "a") + sync},
          {0, 0, say_query("select 2")},
          {0, 0, say_run("") + sync},
          {0, 1, say_run("") + sync}}},
        {"unnamed_dropped_by_a_query_elsewhere",
         {{0, 0, say_parse("", "a") + sync},
          {0, 1, say_query("select 2")},
          {0, 0, say_run("") + sync}}},
        {"unnamed_dropped_by_a_query_of_another",
         {{0, 0, say_parse("", "a") + sync},
          {1, 0, say_query("select 2")},
          {0, 0, say_run("") + sync}}},
        {"unnamed_of_another_behind_a_parse_that_is_not_read",
         {{0, 0, say_parse("", "a") + sync}, {1, 0, "P\0\0\0\6\0b"s + sync + say_run("") + sync}}},
        {"unnamed_of_another_behind_a_query_that_is_not_read",
         {{0, 0, say_parse("", "a") + sync}, {1, 0, "Q\0\0\0\5b"s + say_run("") + sync}}},
        {"unnamed_closed",
         {{0, 0, say_parse("", "a") + sync}, {0, 0, say_close("") + say_run("") + sync}}},
        {"unnamed_closed_elsewhere",
         {{0, 0, say_parse("", "a") + sync},
          {0, 1, say_close("") + sync},
          {0, 0, say_run("") + sync}}},
        {"unnamed_that_failed",
         {{0, 0, say_parse("", "a") + sync},
          {0, 0, say_parse("", "bad") + sync},
          {0, 0, say_run("") + sync},
          {0, 1, say_run("") + sync}}},
        {"unnamed_behind_a_query_that_is_not_read",
         {{0, 0, say_parse("", "a") + sync},
          {0, 0, say_query("\xff")},
          {0, 0, say_run("") + sync},
          {0, 1, say_query("\xff") + say_run("") + sync}}},
        {"unnamed_behind_a_query_that_is_malformed",
         {{0, 0, say_parse("", "a") + sync},
          {0, 1, "Q\0\0\0\5b"s},
          {0, 0, say_run("") + sync},
          {0, 1, say_run("") + sync}}},
        {"unnamed_behind_a_parse_that_is_not_read",
         {{0, 0, say_parse("", "a") + sync},
          {0, 0, say_parse("", "\xff") + sync},
          {0, 0, say_run("") + sync},
          {0, 1, say_parse("", "\xff") + sync + say_run("") + sync}}},
        {"unnamed_behind_a_parse_that_is_malformed",
         {{0, 0, say_parse("", "a") + sync},
          {0, 1, "P\0\0\0\6\0b"s + sync},
          {0, 0, say_run("") + sync},
          {0, 1, say_run("") + sync}}},
        {"unnamed_skipped",
         {{0, 0, say_parse("", "a") + sync},
          {0, 0, say_run("x") + say_parse("", "b") + sync},
          {0, 0, say_run("") + sync},
          {0, 1, say_run("") + sync}}},
        {"unnamed_one_after_the_other",
         {{0, 0,
           say_parse("", "a") + say_run("") + say_parse("", "b") + say_run("") + sync +
               say_parse("", "c") + sync + say_run("") + sync},
          {0, 1, say_run("") + sync}}},
        {"unnamed_pipelined_behind_a_query",
         {{0, 0, say_parse("", "a") + sync},
          {0, 0, say_query("select 2") + say_parse("", "b") + sync},
          {0, 1, say_run("") + sync}}},
        {"deallocate",
         {{0, 0, one + sync},
          {1, 0, one + sync},
          {0, 0, say_query("deallocate s")},
          {0, 0, run_s + sync},
          {1, 0, run_s + sync}}},
        {"deallocate_elsewhere",
         {{0, 0, one + sync}, {0, 1, say_query("DEALLOCATE S")}, {0, 0, run_s + sync}}},
        {"deallocate_and_go_on",
         {{0, 0, one + sync + say_query("deallocate s") + two + run_s + sync}}},
        {"deallocate_with_a_limit_of_one",
         {{0, 0, one + sync}, {0, 0, say_query("deallocate s")}, {0, 0, run_s + sync}},
         1},
        {"deallocate_extended_with_a_limit_of_one",
         {{0, 0, one + sync},
          {0, 0,
           say_parse("", "deallocate s") + say_bind("") + say_parse("t", "a") + say_execute() +
               sync},
          {0, 0, run_s + sync},
          {0, 0, say_run("t") + sync}},
         1},
        {"deallocate_twice",
         {{0, 0, one + sync}, {0, 0, say_query("deallocate s") + say_query("deallocate s")}}},
        {"deallocate_quoted",
         {{0, 0, say_parse("S", "a") + one + sync},
          {0, 0, say_query("deallocate \"S\"")},
          {0, 0, run_s + sync},
          {0, 0, say_run("S") + sync}}},
        {"deallocate_extended",
         {{0, 0, one + sync},
          {0, 0, say_parse("", "deallocate s") + say_run("") + sync},
          {0, 0, run_s + sync}}},
        {"deallocate_extended_by_a_portal",
         {{0, 0, one + sync},
          {0, 0,
           say_parse("", "deallocate s") + say_bind("", "p") + say_parse("", "a") +
               say_bind("", "q") + say_execute("q") + say_execute("p") + sync},
          {0, 0, run_s + sync}}},
        {"deallocate_extended_not_run",
         {{0, 0, one + sync},
          {0, 0, say_parse("", "deallocate s") + say_bind("") + sync},
          {0, 0, run_s + sync}}},
        {"deallocate_extended_in_two_batches",
         {{0, 0, one + say_parse("t", "b") + sync},
          {0, 0, say_parse("", "deallocate s") + sync + say_run("") + run_s + sync},
          {0, 0, say_parse("", "deallocate t") + sync},
          {0, 1, say_run("") + sync},
          {0, 1, say_run("") + sync}}},
        {"deallocate_all_parsed_before_there_is_a_name",
         {{0, 0, say_parse("", "deallocate all") + one + say_run("") + one + run_s + sync}}},
        {"deallocate_all_extended_in_two_batches",
         {{0, 0, one + sync},
          {0, 0, say_parse("", "deallocate all") + sync},
          {0, 0, say_run("") + two + run_s + sync}}},
        {"deallocate_extended_run_again",
         {{0, 0, one + sync},
          {0, 0, say_parse("", "deallocate s") + say_run("") + say_close("") + sync},
          {0, 0, say_query("begin")},
          {0, 0, one + say_parse("", "deallocate s") + say_run("") + sync},
          {0, 0, say_run("") + sync}}},
        {"deallocate_extended_and_bound_when_it_is_gone",
         {{0, 0, one + sync + say_query("begin")},
          {0, 0, say_parse("", "deallocate s") + say_run("") + say_close("") + sync},
          {0, 0, say_run("") + sync}}},
        {"deallocate_extended_closed_and_bound",
         {{0, 0, one + sync},
          {0, 0, say_parse("", "deallocate s") + sync + say_close("") + say_run("") + sync},
          {0, 0, run_s + sync}}},
        {"deallocate_extended_of_a_name_that_was_closed",
         {{0, 0, one + sync},
          {0, 0,
           say_parse("", "deallocate s") + say_bind("") + say_close("s") + say_execute() + sync}}},
        {"deallocate_extended_skipped",
         {{0, 0, one + say_parse("", "a") + sync},
          {0, 0, say_run("x") + say_parse("", "deallocate s") + sync + say_run("") + sync},
          {0, 0, run_s + sync}}},
        {"deallocate_extended_by_an_old_portal_behind_a_bind_that_failed",
         {{0, 0, one + sync + say_query("begin")},
          {0, 0, say_parse("", "deallocate s") + say_bind("", "p") + sync},
          {0, 0, say_query("savepoint a") + say_parse("", "a") + say_bind("", "p") + sync},
          {0, 0, say_query("rollback to a") + say_execute("p") + sync},
          {0, 0, say_query("commit")},
          {0, 0, run_s + sync}}},
        {"deallocate_extended_whose_bind_failed",
         {{0, 0, one + sync + say_query("begin")},
          {0, 0, say_parse("", "a") + say_bind("", "p") + sync + say_query("savepoint a")},
          {0, 0, say_parse("", "deallocate s") + say_bind("", "p") + sync},
          {0, 0, say_query("rollback to a") + say_execute("p") + run_s + sync}}},
        {"deallocate_extended_by_two_portals",
         {{0, 0, one + say_parse("t", "b") + sync},
          {0, 0,
           say_parse("", "deallocate s") + say_bind("", "p") + say_parse("", "deallocate t") +
               say_bind("", "q") + say_execute("p") + say_execute("q") + sync},
          {0, 0, run_s + sync},
          {0, 0, say_run("t") + sync}}},
        {"deallocate_extended_whose_execute_was_skipped",
         {{0, 0, one + sync + say_query("begin")},
          {0, 0, say_parse("", "deallocate s") + say_bind("", "p") + sync},
          {0, 0, say_query("savepoint a") + say_run("x") + say_execute("p") + sync},
          {0, 0, say_query("rollback to a") + say_execute("p") + run_s + sync}}},
        {"deallocate_extended_in_a_savepoint_that_was_rolled_back",
         {{0, 0, one + sync + say_query("begin") + say_query("savepoint a")},
          {0, 0, say_parse("", "deallocate s") + say_bind("", "p") + sync},
          {0, 0, say_query("rollback to a") + say_execute("p") + sync + say_query("rollback")},
          {0, 0, run_s + sync}}},
        {"deallocate_in_a_failed_transaction",
         {{0, 0, one + sync},
          {0, 0, say_query("begin") + say_query("fail")},
          {0, 0, say_query("deallocate s")},
          {0, 0, say_query("rollback")},
          {0, 0, run_s + sync}}},
        {"deallocate_all",
         {{0, 0, one + sync},
          {1, 0, one + sync},
          {0, 0, say_query("deallocate all")},
          {0, 0, run_s + sync},
          {1, 0, run_s + sync},
          {1, 1, run_s + sync}}},
        {"deallocate_all_and_go_on",
         {{0, 0, one + sync + say_query("deallocate all") + two + run_s + sync}}},
        {"deallocate_all_extended",
         {{0, 0, one + say_parse("", "deallocate all") + say_run("") + run_s + sync},
          {0, 1, one + run_s + sync}}},
        {"deallocate_all_by_a_named_statement",
         {{0, 0, one + say_parse("d", "deallocate all") + sync},
          {0, 0, say_run("d") + run_s + sync},
          {0, 0, say_run("d") + sync}}},
        {"discard_all", {{0, 0, one + sync}, {0, 0, say_query("DISCARD ALL") + run_s + sync}}},
        {"long_parse",
         {{0, 0, say_parse("l", std::string(statement_limit, 'x')) + sync},
          {0, 1, say_run("l") + sync},
          {0, 0, say_close("l") + sync},
          {0, 1, say_run("l") + sync}}},
        {"long_parse_that_fails",
         {{0, 0, say_parse("l", "bad" + std::string(statement_limit, 'x')) + sync},
          {0, 1, say_run("l") + sync}}},
        {"long_unnamed",
         {{0, 0, say_parse("", std::string(hold_limit + 1, 'x')) + say_run("") + sync}}},
        {"many_names_for_one_text",
         {{0, 0, one + say_parse("t", "select 1") + say_parse("u", "select 1") + sync},
          {0, 0, say_parse("t", "select 2") + sync},
          {0, 1, run_s + say_run("t") + say_run("u") + sync},
          {0, 1, say_parse("u", "select 1") + sync}}},
    };
}

// What the scene shows to each client.
std::string shown(pooled_dialogue& d) {
    std::string all;
    for (std::size_t i = 0; i < d.clients(); ++i) {
        all += d.to_client(i) + "\n";
    }
    return all + d.problems;
}

class statement_scene : public ::testing::TestWithParam<scene> {
protected:
    playing how{.limit = GetParam().limit};

    void play(pooled_dialogue& d) const {
        for (const auto& p : GetParam().parts) {
            d.turn(p.client, p.server, p.bytes);
        }
    }
    [[nodiscard]] std::string whole() const {
        pooled_dialogue d{how};
        play(d);
        return shown(d);
    }
};

TEST_P(statement_scene, is_what_a_session_of_ones_own_shows) {
    pooled_dialogue d{how};
    play(d);
    for (std::size_t i = 0; i < d.clients(); ++i) {
        postgresql_model own;
        std::string heard;
        for (const auto& p : GetParam().parts) {
            heard += p.client == i ? own.hear(p.bytes) : std::string{};
        }
        EXPECT_EQ(d.to_client(i), heard) << "client " << i;
    }
}

TEST_P(statement_scene, leaves_all_agreed) {
    pooled_dialogue d{how};
    play(d);
    d.check_beliefs();
    EXPECT_EQ(d.problems, "");
}

TEST_P(statement_scene, is_the_same_wherever_a_turn_is_cut) {
    const auto expected = whole();
    const auto& parts = GetParam().parts;
    for (std::size_t at = 0; at < parts.size(); ++at) {
        const auto& p = parts[at];
        // Of a long text a few places tell as much as all.
        const auto step = std::max<std::size_t>(1, p.bytes.size() / 400);
        for (std::size_t cut = 1; cut < p.bytes.size(); cut += step) {
            for (const bool flows : {false, true}) {
                pooled_dialogue d{how};
                for (std::size_t i = 0; i < parts.size(); ++i) {
                    const auto& now = parts[i];
                    const std::string_view bytes{now.bytes};
                    if (i == at) {
                        d.say(now.client, now.server, bytes.substr(0, cut));
                        flows ? d.flow() : void();
                    }
                    d.turn(now.client, now.server, bytes.substr(i == at ? cut : 0));
                }
                ASSERT_EQ(shown(d), expected) << "part " << at << " cut at " << cut;
            }
        }
    }
}

TEST_P(statement_scene, is_the_same_in_whatever_pieces_replies_come) {
    const auto expected = whole();
    for (const std::size_t piece : {1, 2, 3, 5, 7, 11, 40}) {
        auto cut = how;
        cut.reply_piece = piece;
        pooled_dialogue d{cut};
        play(d);
        EXPECT_EQ(shown(d), expected) << piece;
    }
}

// A pipeline: nothing is answered before a client has said all that it says in a row.
TEST_P(statement_scene, is_the_same_when_replies_come_late) {
    const auto& parts = GetParam().parts;
    pooled_dialogue d{how};
    for (std::size_t i = 0; i < parts.size(); ++i) {
        d.say(parts[i].client, parts[i].server, parts[i].bytes);
        if (i + 1 == parts.size() || parts[i + 1].client != parts[i].client) {
            d.flow();
        }
    }
    EXPECT_EQ(shown(d), whole());
    d.check_beliefs();
    EXPECT_EQ(d.problems, "");
}

TEST_P(statement_scene, leaves_all_agreed_after_an_error_anywhere) {
    pooled_dialogue sound{how};
    play(sound);
    for (std::size_t server = 0; server < sound.servers(); ++server) {
        const auto most = sound.postgresql(server).fallible();
        for (std::size_t n = 1; n <= most; ++n) {
            pooled_dialogue d{how};
            d.postgresql(server).fail_in(n);
            play(d);
            d.postgresql(server).fail_in(0);
            d.check_beliefs();
            ASSERT_EQ(d.problems, "") << "error " << n << " of server " << server;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(shared_servers,
                         statement_scene,
                         ::testing::ValuesIn(scenes()),
                         [](const auto& s) { return std::string{s.param.name}; });

}  // namespace
}  // namespace pgweir::protocol
