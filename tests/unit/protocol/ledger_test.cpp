// The ledger alone: which reply is due to which request, its coding in runs and its bounds.
#include "pgweir/protocol/ledger.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace pgweir::protocol {
namespace {

using verdict = ledger::verdict;

struct due {
    const char* name;
    request what;
    std::string_view replies;  // legal as the first reply, besides N, S, A and E
};

constexpr due table[] = {
    {"query", request::query, "DdcHGWCIT"},
    {"function_call", request::function_call, "V"},
    {"parse", request::parse, "1"},
    {"bind", request::bind, "2"},
    {"describe_statement", request::describe_statement, "t"},
    {"describe_portal", request::describe_portal, "Tn"},
    {"execute", request::execute, "DdcHGWCIs"},
    {"close", request::close, "3"},
    {"sync", request::sync, "Z"},
    {"copy_end", request::copy_end, ""},
};

class ledger_owing : public ::testing::TestWithParam<due> {};

TEST_P(ledger_owing, takes_only_what_answers) {
    for (int c = 0; c < 256; ++c) {
        const char type = static_cast<char>(c);
        ledger l;
        l.sent(GetParam().what, origin::client);
        const bool is_legal = GetParam().replies.find(type) != std::string_view::npos ||
                              std::string_view{"NSAE"}.find(type) != std::string_view::npos;
        EXPECT_EQ(l.received(type) != verdict::violation, is_legal) << "type " << c;
    }
}

TEST_P(ledger_owing, agrees_on_rows_with_its_fast_path) {
    ledger l;
    l.sent(GetParam().what, origin::client);
    EXPECT_EQ(l.accepts_rows(), GetParam().replies.find('D') != std::string_view::npos);
}

INSTANTIATE_TEST_SUITE_P(every, ledger_owing, ::testing::ValuesIn(table), [](const auto& d) {
    return d.param.name;
});

void send(ledger& l, request r, std::size_t times = 1, origin o = origin::client) {
    for (std::size_t i = 0; i < times; ++i) {
        l.sent(r, o);
    }
}

TEST(ledger, expects_nothing_at_first) {
    ledger l;
    EXPECT_TRUE(l.is_empty());
    EXPECT_EQ(l.received('Z'), verdict::violation);
}

TEST(ledger, owes_no_reply_while_an_answered_batch_waits_for_its_sync) {
    ledger l;
    send(l, request::parse);
    EXPECT_TRUE(l.owes_reply());
    EXPECT_EQ(l.received('1'), verdict::ok);
    EXPECT_FALSE(l.owes_reply());
    EXPECT_FALSE(l.is_empty());
}

TEST(ledger, takes_no_end_of_a_query_that_was_not_answered) {
    ledger l;
    send(l, request::query);
    EXPECT_EQ(l.received('Z'), verdict::violation);
    EXPECT_EQ(l.received('I'), verdict::ok);
    EXPECT_EQ(l.received('Z'), verdict::ready);
}

TEST(ledger, takes_the_surplus_end_of_a_failed_copy_before_the_answer_to_the_next_query) {
    ledger l;
    send(l, request::query);
    EXPECT_EQ(l.received('G'), verdict::ok);
    send(l, request::sync);  // read after the COPY failed, so it is answered
    send(l, request::copy_end);
    EXPECT_EQ(l.received('E'), verdict::ok);
    EXPECT_EQ(l.received('Z'), verdict::ready);
    send(l, request::query);
    EXPECT_EQ(l.received('Z'), verdict::ready);
    EXPECT_EQ(l.received('C'), verdict::ok);
    EXPECT_EQ(l.received('Z'), verdict::ready);
    EXPECT_TRUE(l.is_empty());
    EXPECT_TRUE(l.is_doubtful());
}

TEST(ledger, wants_rows_only_behind_a_parameter_description) {
    ledger l;
    send(l, request::describe_statement);
    EXPECT_EQ(l.received('T'), verdict::violation);
}

TEST(ledger, takes_one_parameter_description_only) {
    ledger l;
    send(l, request::describe_statement, 2);
    EXPECT_EQ(l.received('t'), verdict::ok);
    EXPECT_EQ(l.received('t'), verdict::violation);
}

TEST(ledger, says_who_gets_the_next_reply) {
    ledger l;
    send(l, request::close, 1, origin::pooler);
    send(l, request::close, 1, origin::client);
    EXPECT_EQ(l.next_origin(), origin::pooler);
    (void)l.received('3');
    EXPECT_EQ(l.next_origin(), origin::client);
}

TEST(ledger, tells_what_the_youngest_request_may_do_to_the_transaction) {
    using control = transaction_control;
    ledger l;
    EXPECT_EQ(l.newest_control(), control::none);
    l.sent(request::query, origin::client, false, control::begins);
    EXPECT_EQ(l.newest_control(), control::begins);
    send(l, request::query);
    EXPECT_EQ(l.newest_control(), control::none);
}

TEST(ledger, tells_nothing_of_a_request_that_has_been_answered) {
    ledger l;
    l.sent(request::query, origin::client, false, transaction_control::begins);
    EXPECT_EQ(l.received('C'), verdict::ok);
    EXPECT_EQ(l.received('Z'), verdict::ready);
    EXPECT_EQ(l.newest_control(), transaction_control::none);
}

TEST(ledger, counts_equal_requests_in_one_run) {
    ledger l;
    send(l, request::execute, 1'000'000);
    EXPECT_FALSE(l.is_full());
    EXPECT_EQ(l.outstanding(), 1'000'000U);
}

TEST(ledger, answers_a_run_one_by_one) {
    ledger l;
    send(l, request::sync, 1000);
    for (int i = 0; i < 1000; ++i) {
        ASSERT_FALSE(l.is_empty());
        ASSERT_EQ(l.received('Z'), verdict::ready);
    }
    EXPECT_TRUE(l.is_empty());
}

TEST(ledger, is_full_at_its_capacity) {
    ledger l;
    for (std::size_t i = 0; i < ledger::capacity; ++i) {
        ASSERT_FALSE(l.is_full());
        l.sent(i % 2 == 0 ? request::bind : request::execute, origin::client);
    }
    EXPECT_TRUE(l.is_full());
}

TEST(ledger, has_room_again_after_a_reply) {
    ledger l;
    for (std::size_t i = 0; i < ledger::capacity; ++i) {
        l.sent(i % 2 == 0 ? request::bind : request::execute, origin::client);
    }
    (void)l.received('2');
    EXPECT_FALSE(l.is_full());
}

TEST(ledger, has_room_again_after_an_error_skipped_everything) {
    ledger l;
    for (std::size_t i = 0; i < ledger::capacity; ++i) {
        l.sent(i % 2 == 0 ? request::bind : request::execute, origin::client);
    }
    (void)l.received('E');
    EXPECT_FALSE(l.is_full());
    EXPECT_EQ(l.outstanding(), 0U);
}

TEST(ledger, records_nothing_while_a_server_skips) {
    ledger l;
    send(l, request::parse);
    (void)l.received('E');
    for (const auto r :
         {request::query, request::function_call, request::parse, request::copy_end}) {
        send(l, r);
    }
    EXPECT_EQ(l.outstanding(), 0U);
    EXPECT_FALSE(l.is_empty());
}

TEST(ledger, refuses_a_command_that_completes_before_its_copy_ended) {
    for (const char type : {'C', 'I', 'Z', 's', 'T', 'G'}) {
        ledger l;
        send(l, request::query);
        (void)l.received('G');
        EXPECT_EQ(l.received(type), verdict::violation) << type;
    }
}

TEST(ledger, doubts_a_server_that_got_a_query_inside_copy) {
    ledger l;
    send(l, request::query);
    (void)l.received('G');
    send(l, request::query);
    EXPECT_TRUE(l.is_doubtful());
}

TEST(ledger, doubts_a_server_that_got_a_query_behind_a_copy_it_did_not_know_of) {
    ledger l;
    send(l, request::query, 2);
    (void)l.received('G');
    EXPECT_TRUE(l.is_doubtful());
}

TEST(ledger, follows_a_million_requests_of_an_endless_pipeline) {
    ledger l;
    send(l, request::parse);
    for (int i = 0; i < 1'000'000; ++i) {
        send(l, request::bind);
        send(l, request::parse);
        ASSERT_EQ(l.received('1'), verdict::ok);
        ASSERT_EQ(l.received('2'), verdict::ok);
    }
    EXPECT_EQ(l.outstanding(), 1U);
}

// --- replies that the server does not send

TEST(known_reply, is_given_in_its_turn) {
    ledger l;
    send(l, request::bind);
    send(l, request::known_parse);
    send(l, request::known_close);
    EXPECT_FALSE(l.next_is_known());
    (void)l.received('2');
    ASSERT_TRUE(l.next_is_known());
    EXPECT_EQ(l.answer_known().front(), '1');
    ASSERT_TRUE(l.next_is_known());
    EXPECT_EQ(l.answer_known().front(), '3');
    EXPECT_FALSE(l.next_is_known());
}

TEST(known_reply, is_a_whole_message) {
    ledger l;
    send(l, request::known_parse);
    EXPECT_EQ(l.answer_known(), std::string_view("1\0\0\0\4", 5));
}

TEST(known_reply, is_taken_from_no_server) {
    for (const char type : {'1', '3', 'Z', 'C'}) {
        ledger l;
        send(l, request::known_parse);
        send(l, request::known_close);
        EXPECT_EQ(l.received(type), verdict::violation) << type;
    }
}

TEST(known_reply, leaves_its_batch_open) {
    ledger l;
    send(l, request::known_parse);
    (void)l.answer_known();
    EXPECT_FALSE(l.owes_reply());
    EXPECT_FALSE(l.is_empty());
}

TEST(known_reply, is_skipped_behind_an_error) {
    ledger l;
    send(l, request::bind);
    send(l, request::known_parse);
    send(l, request::sync);
    (void)l.received('E');
    EXPECT_FALSE(l.next_is_known());
    EXPECT_EQ(l.received('Z'), verdict::ready);
}

// --- outcomes of tracked requests

std::string settled(ledger& l) {
    const auto s = l.take_settlement();
    return std::to_string(s.done) + "/" + std::to_string(s.failed) + "/" +
           std::to_string(s.skipped);
}

TEST(settlement, tells_nothing_of_what_is_not_tracked) {
    ledger l;
    send(l, request::parse);
    (void)l.received('1');
    EXPECT_FALSE(l.take_settlement());
}

TEST(settlement, tells_what_was_done_once) {
    ledger l;
    l.sent(request::parse, origin::client, true);
    (void)l.received('1');
    EXPECT_EQ(settled(l), "1/0/0");
    EXPECT_EQ(settled(l), "0/0/0");
}

TEST(settlement, waits_for_the_last_reply_of_a_request) {
    ledger l;
    l.sent(request::describe_statement, origin::client, true);
    (void)l.received('t');
    EXPECT_EQ(settled(l), "0/0/0");
    (void)l.received('n');
    EXPECT_EQ(settled(l), "1/0/0");
}

TEST(settlement, tells_failed_and_skipped_apart) {
    ledger l;
    for (int i = 0; i < 3; ++i) {
        l.sent(request::parse, origin::client, true);
        l.sent(request::bind, origin::client);
    }
    (void)l.received('E');
    EXPECT_EQ(settled(l), "0/1/2");
}

TEST(settlement, tells_only_skipped_where_the_failed_one_was_not_tracked) {
    ledger l;
    send(l, request::bind);
    l.sent(request::parse, origin::client, true);
    l.sent(request::known_close, origin::client, true);
    send(l, request::sync);
    l.sent(request::parse, origin::client, true);
    (void)l.received('E');
    EXPECT_EQ(settled(l), "0/0/2");
    (void)l.received('Z');
    (void)l.received('1');
    EXPECT_EQ(settled(l), "1/0/0");
}

TEST(settlement, takes_equal_requests_for_different_when_one_is_tracked) {
    ledger l;
    send(l, request::bind);
    l.sent(request::bind, origin::client, true);
    send(l, request::bind);
    (void)l.received('2');
    EXPECT_EQ(settled(l), "0/0/0");
    (void)l.received('2');
    EXPECT_EQ(settled(l), "1/0/0");
    (void)l.received('2');
    EXPECT_EQ(settled(l), "0/0/0");
}

TEST(settlement, of_a_query_comes_with_its_end) {
    ledger l;
    l.sent(request::query, origin::client, true);
    (void)l.received('C');
    EXPECT_EQ(settled(l), "0/0/0");
    (void)l.received('Z');
    EXPECT_EQ(settled(l), "1/0/0");
}

TEST(settlement, of_a_query_that_brought_an_error_is_failed) {
    ledger l;
    l.sent(request::query, origin::client, true);
    l.sent(request::query, origin::client, true);
    for (const char type : {'C', 'E', 'Z'}) {
        (void)l.received(type);
    }
    EXPECT_EQ(settled(l), "0/1/0");
    (void)l.received('C');
    (void)l.received('Z');
    EXPECT_EQ(settled(l), "1/0/0");
}

TEST(settlement, of_a_known_reply_is_done) {
    ledger l;
    l.sent(request::known_parse, origin::client, true);
    (void)l.answer_known();
    EXPECT_EQ(settled(l), "1/0/0");
}

// --- what is outstanding

TEST(boundaries, count_what_is_answered_in_any_case) {
    ledger l;
    send(l, request::query);
    send(l, request::bind, 3);
    send(l, request::sync, 2);
    send(l, request::function_call);
    EXPECT_EQ(l.boundaries(), 4U);
    (void)l.received('C');
    (void)l.received('Z');
    EXPECT_EQ(l.boundaries(), 3U);
    (void)l.received('E');
    (void)l.received('Z');
    EXPECT_EQ(l.boundaries(), 2U);
}

TEST(executing, counts_what_runs_something) {
    ledger l;
    send(l, request::parse);
    send(l, request::execute, 2);
    send(l, request::sync);
    send(l, request::query);
    EXPECT_EQ(l.executing(), 3U);
    (void)l.received('E');
    EXPECT_EQ(l.executing(), 1U);
}

// A COPY FROM STDIN reads up to its end; the Sync in front of that is never answered.
TEST(boundaries, do_not_count_a_sync_inside_a_copy) {
    ledger l;
    send(l, request::execute);
    send(l, request::sync);
    send(l, request::copy_end);
    (void)l.received('G');
    EXPECT_EQ(l.boundaries(), 0U);
}

}  // namespace
}  // namespace pgweir::protocol
