// A client whose transaction was lost is answered as PostgreSQL answers in a failed one.
#include "pgweir/protocol/failed_transaction.hpp"

#include "pgweir/protocol/message_writer.hpp"
#include "protocol/dialogue.hpp"
#include "protocol/failed_scene.hpp"
#include "protocol/pooled_dialogue.hpp"

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::protocol {
namespace {

using namespace testing;
using event = failed_transaction::event;

std::string describe_portal(std::string_view name = {}) {
    return message('D', "P" + std::string{name} + '\0');
}
std::string close_portal(std::string_view name = {}) {
    return message('C', "P" + std::string{name} + '\0');
}
std::string bind_one_parameter() { return message('B', "\0\0\0\0\0\1\0\0\0\1x\0\0"sv); }

std::string lost_error() {
    std::string out;
    append_error(out, {.sqlstate = "08006", .message = "the server is gone"});
    return out;
}

struct dialogue {
    const char* name;
    std::string bytes;
    std::string_view answer;

    friend void PrintTo(const dialogue& d, std::ostream* out) { *out << d.name; }
};

class answered : public ::testing::TestWithParam<dialogue> {
protected:
    // With a statement that was prepared before the transaction failed.
    static std::string play(const std::vector<std::string_view>& pieces,
                            failed_transaction::loss what) {
        failed_scene s{std::move(what)};
        lost_statements before{
            {.client = s.client, .store = s.store, .settings = nullptr, .are_shared = true}};
        EXPECT_TRUE(before.define("old", say_parse("old", "SELECT 1")));
        for (const auto piece : pieces) {
            s.send(piece);
        }
        return s.outcome();
    }
    static void expect_the_same_however_cut(const dialogue& d, failed_transaction::loss what) {
        const std::string_view all{d.bytes};
        EXPECT_EQ(play({all}, what), d.answer);
        std::vector<std::string_view> bytes;
        for (std::size_t at = 0; at < all.size(); ++at) {
            ASSERT_EQ(play({all.substr(0, at), all.substr(at)}, what), d.answer) << at;
            bytes.push_back(all.substr(at, 1));
        }
        EXPECT_EQ(play(bytes, what), d.answer);
    }
};

class answered_like_postgresql : public answered {};

TEST_P(answered_like_postgresql, however_its_bytes_are_cut) {
    expect_the_same_however_cut(GetParam(), {});
}

std::string rollback_parsed() { return say_parse("", "ROLLBACK"); }
std::string select_parsed() { return say_parse("", "SELECT 1"); }

// What PostgreSQL 15 answers in a failed transaction in which these were sent.
INSTANTIATE_TEST_SUITE_P(
    recorded,
    answered_like_postgresql,
    ::testing::Values(
        dialogue{"rollback", say_query("ROLLBACK"), "ROLLBACK ZI"},
        dialogue{"rollback_in_any_dress", say_query("/* a /* b */ */ -- c\n rollBACK  work ; ;"),
                 "ROLLBACK ZI"},
        dialogue{"abort", say_query("abort transaction"), "ROLLBACK ZI"},
        dialogue{"rollback_and_no_chain", say_query("ROLLBACK AND NO CHAIN"), "ROLLBACK ZI"},
        dialogue{"commit", say_query("COMMIT"), "ROLLBACK ZI"},
        dialogue{"end", say_query("end"), "ROLLBACK ZI"},
        dialogue{"prepare_transaction", say_query("PREPARE TRANSACTION 'x'"), "ROLLBACK ZI"},
        dialogue{"select", say_query("SELECT 1"), "25P02 ZE"},
        dialogue{"begin", say_query("BEGIN"), "25P02 ZE"},
        dialogue{"savepoint", say_query("SAVEPOINT b"), "25P02 ZE"},
        dialogue{"release", say_query("RELEASE a"), "25P02 ZE"},
        dialogue{"commit_prepared", say_query("COMMIT PREPARED 'x'"), "25P02 ZE"},
        dialogue{"nothing", say_query(""), "I ZE"},
        dialogue{"only_a_comment", say_query(" -- hello"), "I ZE"},
        dialogue{"select_then_rollback_in_one_string", say_query("SELECT 1; ROLLBACK"), "25P02 ZE"},
        dialogue{"several_queries",
                 say_query("SELECT 1") + say_query("SELECT 2") + say_query("ROLLBACK"),
                 "25P02 ZE 25P02 ZE ROLLBACK ZI"},
        dialogue{"function_call", say_function_call(), "25P02 ZE"},
        dialogue{"sync", say_sync(), "ZE"},
        dialogue{"flush", say_flush() + say_sync(), "ZE"},
        dialogue{"late_copy_data", client_message('d') + client_message('c') + say_sync(), "ZE"},
        dialogue{"batch",
                 select_parsed() + say_bind("") + describe_portal() + say_execute() + say_sync(),
                 "25P02 ZE"},
        dialogue{"batch_then_rollback", select_parsed() + say_sync() + say_query("ROLLBACK"),
                 "25P02 ZE ROLLBACK ZI"},
        dialogue{"query_behind_a_failed_parse",
                 select_parsed() + say_query("ROLLBACK") + say_sync(), "25P02 ZE"},
        dialogue{"function_call_behind_a_failed_parse",
                 select_parsed() + say_function_call() + say_sync(), "25P02 ZE"},
        dialogue{"rollback_as_a_batch",
                 rollback_parsed() + say_bind("") + describe_portal() + say_execute() + say_sync(),
                 "1 2 n ROLLBACK ZI"},
        dialogue{"rollback_as_a_batch_without_describe",
                 rollback_parsed() + say_run("") + say_sync(), "1 2 ROLLBACK ZI"},
        dialogue{"commit_as_a_batch", say_parse("", "COMMIT") + say_run("") + say_sync(),
                 "1 2 ROLLBACK ZI"},
        dialogue{"rollback_step_by_step",
                 rollback_parsed() + say_sync() + say_bind("") + say_sync(), "1 ZE 2 ZE"},
        dialogue{"rollback_in_flushed_steps",
                 rollback_parsed() + say_flush() + say_bind("") + say_flush() + say_execute() +
                     say_flush() + say_sync(),
                 "1 2 ROLLBACK ZI"},
        dialogue{"rollback_with_a_described_statement",
                 rollback_parsed() + say_describe("") + say_run("") + say_sync(),
                 "1 t n 2 ROLLBACK ZI"},
        dialogue{"rollback_with_a_name",
                 say_parse("r", "ROLLBACK") + say_sync() + say_run("r") + say_sync(),
                 "1 ZE 2 ROLLBACK ZI"},
        dialogue{"rollback_with_a_named_portal",
                 rollback_parsed() + say_bind("", "p") + describe_portal("p") + say_execute("p") +
                     say_sync(),
                 "1 2 n ROLLBACK ZI"},
        dialogue{"name_taken", say_parse("r", "ROLLBACK") + say_parse("r", "ROLLBACK") + say_sync(),
                 "1 42P05 ZE"},
        dialogue{
            "name_freed",
            say_parse("r", "ROLLBACK") + say_close("r") + say_parse("r", "ROLLBACK") + say_sync(),
            "1 3 1 ZE"},
        dialogue{"portal_taken",
                 rollback_parsed() + say_bind("", "p") + say_bind("", "p") + say_sync(),
                 "1 2 42P03 ZE"},
        dialogue{"portal_freed",
                 rollback_parsed() + say_bind("", "p") + close_portal("p") + say_bind("", "p") +
                     say_sync(),
                 "1 2 3 2 ZE"},
        dialogue{"unnamed_portal_twice",
                 rollback_parsed() + say_bind("") + say_run("") + say_sync(), "1 2 2 ROLLBACK ZI"},
        dialogue{"portals_outlive_a_sync",
                 rollback_parsed() + say_bind("", "p") + say_sync() + say_execute("p") + say_sync(),
                 "1 2 ZE ROLLBACK ZI"},
        dialogue{"closed_and_used",
                 say_parse("r", "ROLLBACK") + say_close("r") + say_bind("r") + say_sync(),
                 "1 3 26000 ZE"},
        dialogue{"closed",
                 say_close("") + say_close("nosuch") + close_portal() + close_portal("nosuch") +
                     say_sync(),
                 "3 3 3 3 ZE"},
        dialogue{"closed_behind_rollback",
                 say_parse("r", "ROLLBACK") + say_run("r") + say_close("r") + close_portal() +
                     say_sync(),
                 "1 2 ROLLBACK 3 3 ZI"},
        dialogue{"no_such_statement", say_run("nosuch") + say_sync(), "26000 ZE"},
        dialogue{"no_such_statement_described", say_describe("nosuch") + say_sync(), "26000 ZE"},
        dialogue{"no_unnamed_statement", say_bind("") + say_sync(), "26000 ZE"},
        dialogue{"unnamed_statement_dropped_by_a_failed_parse",
                 rollback_parsed() + select_parsed() + say_sync() + say_bind("") + say_sync(),
                 "1 25P02 ZE 26000 ZE"},
        dialogue{"unnamed_statement_dropped_by_a_query",
                 rollback_parsed() + say_sync() + say_query("SELECT 1") + say_bind("") + say_sync(),
                 "1 ZE 25P02 ZE 26000 ZE"},
        dialogue{"bind_with_a_parameter", rollback_parsed() + bind_one_parameter() + say_sync(),
                 "1 08P01 ZE"},
        dialogue{"older_statement_bound", say_bind("old") + say_sync(), "25P02 ZE"},
        dialogue{"older_statement_described", say_describe("old") + say_sync(), "25P02 ZE"},
        dialogue{"empty_statement", say_parse("", "") + say_sync() + say_bind("") + say_sync(),
                 "1 ZE 25P02 ZE"},
        dialogue{"two_commands_in_a_parse", say_parse("", "ROLLBACK;SELECT 1") + say_sync(),
                 "42601 ZE"},
        dialogue{"empty_commands_in_a_parse",
                 say_parse("", "ROLLBACK;;") + say_run("") + say_sync(), "1 2 ROLLBACK ZI"},
        dialogue{"wrong_kind_described", message('D', "X\0"sv) + say_sync(), "08P01 ZE"},
        dialogue{"wrong_kind_closed", message('C', "X\0"sv) + say_sync(), "08P01 ZE"},
        dialogue{"bare_syncs", say_sync() + say_sync(), "ZE ZE"}),
    [](const auto& d) { return d.param.name; });

class answered_unlike_postgresql : public answered {};

TEST_P(answered_unlike_postgresql, however_its_bytes_are_cut) {
    expect_the_same_however_cut(GetParam(), {});
}

INSTANTIATE_TEST_SUITE_P(
    known,
    answered_unlike_postgresql,
    ::testing::Values(
        dialogue{"no_sql", say_query("asdf"), "25P02 ZE"},
        dialogue{"savepoints_are_gone", say_query("ROLLBACK TO a"), "25P02 ZE"},
        dialogue{"savepoints_are_gone_for_a_batch",
                 say_parse("", "ROLLBACK TO SAVEPOINT a") + say_run("") + say_sync(), "25P02 ZE"},
        dialogue{"rollback_and_chain", say_query("ROLLBACK AND CHAIN"), "0A000 ZE"},
        dialogue{"commit_and_chain", say_query("COMMIT AND CHAIN; SELECT 1"), "0A000 ZE"},
        dialogue{"rollback_and_chain_as_a_batch",
                 say_parse("", "ABORT WORK AND CHAIN") + say_run("") + say_sync(), "1 2 0A000 ZE"},
        dialogue{"portal_from_before", say_execute("nosuch") + say_sync(), "25P02 ZE"},
        dialogue{"portal_from_before_described", describe_portal("nosuch") + say_sync(),
                 "25P02 ZE"}),
    [](const auto& d) { return d.param.name; });

class leaves_with_more : public answered {};

TEST_P(leaves_with_more, for_a_server) { expect_the_same_however_cut(GetParam(), {}); }

INSTANTIATE_TEST_SUITE_P(
    behind_the_end,
    leaves_with_more,
    ::testing::Values(
        dialogue{"more_in_one_string", say_query("ROLLBACK;\nSELECT 1"), "ROLLBACK -> Q"},
        dialogue{"more_behind_a_commit", say_query("COMMIT; SELECT 1; SELECT 2"), "ROLLBACK -> Q"},
        dialogue{"next_query", say_query("ROLLBACK") + say_query("SELECT 1"), "ROLLBACK ZI -> Q"},
        dialogue{"both", say_query("ROLLBACK; SELECT 1") + say_query("SELECT 2"), "ROLLBACK -> QQ"},
        dialogue{"rest_of_the_batch",
                 rollback_parsed() + say_run("") + select_parsed() + say_run("") + say_sync(),
                 "1 2 ROLLBACK -> PBES"},
        dialogue{"query_in_the_batch", rollback_parsed() + say_run("") + say_query("SELECT 1"),
                 "1 2 ROLLBACK -> Q"}),
    [](const auto& d) { return d.param.name; });

// The client was idle in its transaction when the server was lost.
class told_of_the_loss : public answered {};

TEST_P(told_of_the_loss, by_the_first_answer_that_can) {
    expect_the_same_however_cut(GetParam(), {.error = lost_error()});
}

INSTANTIATE_TEST_SUITE_P(
    once,
    told_of_the_loss,
    ::testing::Values(
        dialogue{"queries", say_query("SELECT 1") + say_query("SELECT 2"), "08006 ZE 25P02 ZE"},
        dialogue{"rollback", say_query("ROLLBACK"), "ROLLBACK ZI"},
        dialogue{"rollback_as_a_batch", rollback_parsed() + say_run("") + say_sync(),
                 "1 2 ROLLBACK ZI"},
        dialogue{"commit", say_query("COMMIT") + say_query("SELECT 1"), "08006 ZI -> Q"},
        dialogue{"commit_and_more", say_query("COMMIT; SELECT 1"), "08006 ZI"},
        dialogue{"prepare_transaction", say_query("PREPARE TRANSACTION 'x'"), "08006 ZI"},
        dialogue{"commit_as_a_batch",
                 say_parse("", "COMMIT") + say_run("") + say_query("SELECT 1") + say_sync(),
                 "1 2 08006 ZI"},
        dialogue{"commit_and_chain", say_query("COMMIT AND CHAIN"), "08006 ZE"},
        dialogue{"batch", select_parsed() + say_run("") + say_sync() + say_query("COMMIT"),
                 "08006 ZE ROLLBACK ZI"},
        dialogue{"function_call", say_function_call(), "08006 ZE"},
        dialogue{"nothing_asked", say_query(""), "08006 ZE"},
        dialogue{"no_such_statement", say_bind("nosuch") + say_sync(), "08006 ZE"},
        dialogue{"portal", say_execute("c") + say_sync(), "08006 ZE"},
        // A client that tidies up looks at no answer: what then looks like success must not be.
        dialogue{"commit_behind_a_close", say_close("old") + say_sync() + say_query("COMMIT"),
                 "3 ZE 08006 ZI"},
        dialogue{"commit_behind_a_sync", say_sync() + say_query("COMMIT"), "ZE 08006 ZI"}),
    [](const auto& d) { return d.param.name; });

// All that was sent of a batch without a transaction block was answered; its Sync was still to
// come.
class open_batch_that_was_lost : public answered {};

TEST_P(open_batch_that_was_lost, fails_by_its_next_message) {
    expect_the_same_however_cut(GetParam(), {.is_block = false, .error = lost_error()});
}

INSTANTIATE_TEST_SUITE_P(
    by,
    open_batch_that_was_lost,
    ::testing::Values(
        dialogue{"sync", say_sync(), "08006 ZI"},
        dialogue{"execute", say_execute() + say_query("SELECT 1") + say_sync(), "08006 ZI"},
        dialogue{"rollback", rollback_parsed() + say_run("") + say_sync(), "08006 ZI"},
        dialogue{"close", say_close("old") + say_sync(), "08006 ZI"},
        dialogue{"query", say_query("ROLLBACK") + say_query("SELECT 1"), "08006 ZI -> Q"},
        dialogue{"function_call", say_function_call(), "08006 ZI"}),
    [](const auto& d) { return d.param.name; });

// The error has been sent, the Sync of its batch not yet read.
TEST(lost_batch, is_skipped_to_its_sync) {
    failed_scene block{{.is_skipping = true}};
    block.send(say_execute() + say_query("ROLLBACK") + say_sync() + say_query("SELECT 1"));
    EXPECT_EQ(block.outcome(), "ZE 25P02 ZE");

    failed_scene single{{.is_block = false, .is_skipping = true}};
    single.send(say_execute() + say_query("ROLLBACK") + say_sync() + say_query("SELECT 1"));
    EXPECT_EQ(single.outcome(), "ZI -> Q");
}

TEST(lost_message, is_swallowed_to_its_end) {
    failed_scene block{{.remain = 1000}};
    block.send(std::string(999, 'Q'));
    EXPECT_EQ(block.last, event::more);
    block.send("Q" + say_query("SELECT 1"));
    EXPECT_EQ(block.outcome(), "25P02 ZE");

    failed_scene single{{.is_block = false, .remain = 1000}};
    single.send(std::string(999, 'Q'));
    EXPECT_EQ(single.last, event::more);
    single.send("Q" + say_query("SELECT 1"));
    EXPECT_EQ(single.outcome(), " -> Q");
}

TEST(failed_transaction, passes_the_rest_of_a_string_on_as_a_query) {
    failed_scene s{{}};
    s.send(say_query("ROLLBACK /* ; */ ; ; -- ;\nSELECT ';'; SELECT 2"));
    EXPECT_EQ(s.machine.take_rest(), say_query("SELECT ';'; SELECT 2"));
}

TEST(failed_transaction, keeps_what_was_prepared_for_other_servers) {
    failed_scene s{{}};
    s.send(say_parse("r", "ROLLBACK") + say_parse("", "COMMIT") + say_sync());
    ASSERT_NE(s.client, nullptr);
    ASSERT_NE(s.client->find("r"), nullptr);
    EXPECT_EQ(s.client->find("r")->what.assumed()->text(), "ROLLBACK");
    EXPECT_EQ(s.client->unnamed(), say_parse("", "COMMIT"));
}

TEST(failed_transaction, refuses_a_name_that_would_be_lost) {
    std::unique_ptr<client_statements> client;
    statement_store store{0};
    lost_statements known{
        {.client = client, .store = store, .settings = nullptr, .are_shared = false}};
    failed_transaction machine{{}};
    std::string out;
    EXPECT_EQ(machine.scan(say_parse("r", "ROLLBACK") + say_sync(), known, out).what, event::more);
    EXPECT_EQ(words_of(out), "25P02 ZE");
}

TEST(failed_transaction, says_goodbye) {
    failed_scene s{{.error = lost_error()}};
    s.send(message('X'));
    EXPECT_EQ(s.last, event::terminate);
}

TEST(failed_transaction, notices_a_goodbye_in_a_skipped_batch) {
    failed_scene s{{.is_skipping = true}};
    s.send(say_execute() + message('X'));
    EXPECT_EQ(s.last, event::terminate);
}

TEST(failed_transaction, notices_what_is_no_message) {
    for (const std::string_view lie : {"?\0\0\0\4"sv, "Q\0\0\0\0"sv, "Q\0\0\0\3"sv,
                                       "P\xff\xff\xff\xff"sv, "S\x40\0\0\0"sv, "p"sv}) {
        failed_scene s{{}};
        s.send(lie);
        EXPECT_EQ(s.last, event::violation);
    }
}

TEST(failed_transaction, answers_a_malformed_message_with_an_error) {
    for (const std::string& bad :
         {message('P', "name"), message('P', "\0ROLLBACK\0\0\1"sv), message('B', "\0\0\0\1"sv),
          message('D', "S"), message('E', "\0"sv), message('C'), message('D')}) {
        failed_scene s{{}};
        s.send(bad + say_sync());
        EXPECT_EQ(s.outcome(), "08P01 ZE");
    }
    failed_scene s{{}};
    s.send(message('Q', "ROLLBACK"));
    EXPECT_EQ(s.outcome(), "08P01 ZE");
}

TEST(failed_transaction, neither_keeps_nor_obeys_what_is_too_long_to_look_at) {
    const auto query = say_query("ROLLBACK --" + std::string(hold_limit, 'x'));
    failed_scene s{{}};
    s.send(query.substr(0, 1000));
    EXPECT_EQ(s.last, event::more);  // and not held
    s.send(query.substr(1000));
    EXPECT_EQ(s.outcome(), "25P02 ZE");

    failed_scene batch{{}};
    batch.send(say_parse("", "ROLLBACK --" + std::string(hold_limit, 'x')) + say_run("") +
               say_sync());
    EXPECT_EQ(batch.outcome(), "25P02 ZE");
}

TEST(failed_transaction, answers_a_long_query_behind_its_last_byte) {
    const auto query = say_query(std::string(2 * hold_limit, 'x'));
    failed_scene s{{}};
    s.send(query.substr(0, query.size() - 1));
    EXPECT_EQ(words_of(s.out), "25P02");
    s.send(query.substr(query.size() - 1));
    EXPECT_EQ(words_of(s.out), "25P02 ZE");
}

TEST(failed_transaction, has_room_for_few_portals) {
    failed_scene s{{}};
    s.send(rollback_parsed());
    for (int i = 0; i != 16; ++i) {
        s.send(say_bind("", "portal" + std::to_string(i)));
    }
    EXPECT_FALSE(words_of(s.out).ends_with("25P02"));
    s.send(say_bind("", "one too many"));
    EXPECT_TRUE(words_of(s.out).ends_with("25P02"));
}

}  // namespace
}  // namespace pgweir::protocol
