// The usual messages, which are taken many at once: all is left as if each had been looked at.
#include "pgweir/protocol/frame.hpp"
#include "pgweir/protocol/frontend_stream.hpp"
#include "pgweir/protocol/ledger.hpp"
#include "pgweir/protocol/session_marks.hpp"
#include "pgweir/protocol/statement_relay.hpp"
#include "protocol/pooled_dialogue.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::protocol {
namespace {

using namespace std::string_literals;
using namespace testing;

const std::string sync = say_sync();

std::string say_describe_portal(std::string_view portal) {
    auto message = say_describe(portal);
    message[header_size] = 'P';
    return message;
}

std::string unnamed_batch(std::string_view text) {
    return say_parse("", text) + say_bind("") + say_describe_portal("") + say_execute();
}

// All that can be told of a ledger.
std::string state_of(ledger l) {
    std::string s;
    l.visit([&s](const ledger::entry& e) {
        s += std::to_string(static_cast<int>(e.what)) + "/" +
             std::to_string(static_cast<int>(e.from)) + "/" +
             std::to_string(static_cast<int>(e.control)) + (e.begun ? "b" : "") +
             (e.failed ? "f" : "") + " ";
        return true;
    });
    const auto settled = l.take_settlement();
    for (const auto n :
         {l.outstanding(), l.boundaries(), l.executing(), std::size_t{l.is_empty()},
          std::size_t{l.needs_sync()}, std::size_t{l.is_copying_in()}, std::size_t{l.is_doubtful()},
          std::size_t{l.has_executed()}, std::size_t{l.has_failed_batch()},
          static_cast<std::size_t>(l.answered_control()), std::size_t{settled.done},
          std::size_t{settled.failed}, std::size_t{settled.skipped}}) {
        s += std::to_string(n) + ",";
    }
    return s;
}

// --- replies

struct owing {
    const char* name;
    std::vector<request> sent;
    std::string_view replies = {};
};

class plain_replies : public ::testing::TestWithParam<owing> {
protected:
    static ledger made() {
        ledger l;
        for (const auto r : GetParam().sent) {
            l.sent(r, origin::client, r == request::parse, transaction_control::commits);
        }
        for (const char type : GetParam().replies) {
            EXPECT_NE(l.received(type), ledger::verdict::violation);
        }
        return l;
    }
};

TEST_P(plain_replies, are_taken_as_by_the_rules) {
    for (int c = 0; c < 256; ++c) {
        const char type = static_cast<char>(c);
        auto plain = made();
        auto ruled = made();
        if (plain.received_plain(type)) {
            // A row is skipped without asking the ledger.
            EXPECT_TRUE(type == 'D' ? ruled.accepts_rows()
                                    : ruled.received(type) == ledger::verdict::ok);
        }
        EXPECT_EQ(state_of(plain), state_of(ruled)) << "type " << c;
    }
}

INSTANTIATE_TEST_SUITE_P(
    any,
    plain_replies,
    ::testing::Values(owing{"nothing", {}},
                      owing{"query", {request::query}},
                      owing{"query_that_has_begun", {request::query}, "T"},
                      owing{"query_that_has_failed", {request::query}, "E"},
                      owing{"function_call", {request::function_call}},
                      owing{"parse", {request::parse, request::parse, request::sync}},
                      owing{"bind", {request::bind, request::execute}},
                      owing{"portal", {request::describe_portal, request::sync}},
                      owing{"statement", {request::describe_statement, request::sync}},
                      owing{"statement_half", {request::describe_statement}, "t"},
                      owing{"execute", {request::execute, request::sync}},
                      owing{"execute_before_late_copy", {request::execute, request::copy_end}},
                      owing{"close", {request::close}},
                      owing{"sync", {request::sync}},
                      owing{"skipped", {request::bind, request::execute}, "E"},
                      owing{"copy", {request::query}, "G"},
                      owing{"copy_of_a_batch", {request::execute, request::sync}, "G"},
                      owing{"copy_that_failed", {request::execute, request::sync}, "GE"},
                      owing{"our_own", {request::known_parse, request::sync}}),
    [](const auto& p) { return p.param.name; });

TEST(plain_replies, do_not_take_what_is_due_to_us) {
    ledger l;
    l.sent(request::parse, origin::pooler);
    EXPECT_FALSE(l.received_plain('1'));
}

// --- requests

// A client on a server, in the middle of nothing.
struct link_to_server {
    std::unique_ptr<client_statements> client;
    server_statements server;
    statement_store store{0};
    metrics::traffic counts;
    session_marks marks;
    ledger owed;
    byte_arena arena;
    std::optional<statement_relay> relay;

    void begin() {
        relay.emplace(statement_relay::link{.client = client,
                                            .server = server,
                                            .store = store,
                                            .settings = nullptr,
                                            .self = 7,
                                            .limit = 200,
                                            .counts = counts,
                                            .follows_transactions = true},
                      marks);
    }
    std::size_t take(std::string_view data) { return relay->pass_plain(data, owed, marks); }
    // The same by the rules alone. REQUIRES: all of it passes as it is.
    void look_at_each(std::string_view data) {
        while (!data.empty()) {
            const auto f = read_frame(data.data());
            const auto head = data.substr(0, f.size);
            const auto s = relay->look(head, f, 'I', owed, marks, arena);
            ASSERT_EQ(s.what, statement_relay::step::kind::pass);
            if (f.type == 'P' || f.type == 'Q') {
                marks.add(names_session_state(head.substr(header_size)));
            }
            data.remove_prefix(f.size);
        }
    }
    void reply(std::string_view types) {
        for (const char type : types) {
            ASSERT_NE(owed.received(type), ledger::verdict::violation) << type;
            if (client) {
                server.finish(owed.take_settlement(), *client, marks);
            }
        }
    }
    // What follows from it for later requests.
    std::string state() const {
        const auto unnamed = client ? std::string{client->unnamed()} : "-";
        std::string s = state_of(owed) + unnamed;
        for (const auto n :
             {std::uint64_t{marks.dirty}, std::uint64_t{marks.permanent},
              std::uint64_t{marks.changes_parsing}, marks.unnamed_owner, marks.unnamed_count,
              server.segment(), std::uint64_t{server.unnamed_is_ours.assumed()},
              std::uint64_t{server.unnamed_is_ours.is_settled()}}) {
            s += "," + std::to_string(n);
        }
        return s;
    }
};

struct said {
    const char* name;
    std::string messages;
    std::string_view replies;
    std::uint64_t unnamed_owner = 0;
};

class plain_requests : public ::testing::TestWithParam<said> {
protected:
    link_to_server plain;
    link_to_server ruled;

    plain_requests() {
        for (auto* each : {&plain, &ruled}) {
            each->marks.unnamed_owner = GetParam().unnamed_owner;
            each->begin();
        }
    }
};

TEST_P(plain_requests, are_all_taken) {
    EXPECT_EQ(plain.take(GetParam().messages), GetParam().messages.size());
}

TEST_P(plain_requests, leave_what_looking_at_each_leaves) {
    (void)plain.take(GetParam().messages);
    ruled.look_at_each(GetParam().messages);
    EXPECT_EQ(plain.state(), ruled.state());
    plain.reply(GetParam().replies);
    ruled.reply(GetParam().replies);
    EXPECT_EQ(plain.state(), ruled.state());
}

// What is noted of texts shows in what is asked of a shared statement behind them.
TEST_P(plain_requests, leave_the_same_to_a_statement_behind_them) {
    const auto behind = say_parse("s", "select 1");
    const auto f = read_frame(behind.data());
    (void)plain.take(GetParam().messages);
    ruled.look_at_each(GetParam().messages);
    const auto after_plain =
        plain.relay->look(behind, f, 'I', plain.owed, plain.marks, plain.arena);
    const auto after_ruled =
        ruled.relay->look(behind, f, 'I', ruled.owed, ruled.marks, ruled.arena);
    EXPECT_EQ(after_plain.what, after_ruled.what);
    EXPECT_EQ(plain.store.made(), ruled.store.made());
    EXPECT_EQ(state_of(plain.owed), state_of(ruled.owed));
}

INSTANTIATE_TEST_SUITE_P(
    any,
    plain_requests,
    ::testing::Values(
        said{"query", say_query("select 1"), "TDCZ"},
        said{"query_that_sets", say_query("select set_config('a', 'b', false)"), "TDCZ"},
        said{"query_with_a_commit_behind", say_query("select 1; commit"), "TDCCZ"},
        said{"query_with_an_end", say_query("Update a set b = 1;"), "CZ"},
        said{"query_of_control", say_query("begin; commit"), "CCZ"},
        said{"query_behind_a_foreign_statement", say_query("select 1"), "TDCZ", 3},
        said{"queries", say_query("begin") + say_query("set a = 1") + say_query("commit"),
             "CZCZCZ"},
        said{"batch", unnamed_batch("select 1") + sync, "12nDCZ"},
        said{"batch_behind_a_foreign_statement", unnamed_batch("select 1") + sync, "12nDCZ", 3},
        said{"batch_of_control", unnamed_batch("commit") + sync, "12nCZ"},
        said{"batch_that_sets", unnamed_batch("set a = 1") + sync, "12nCZ"},
        said{"batch_of_temporary", unnamed_batch("create temp table a ()") + sync, "12nCZ"},
        said{"batch_that_fails", unnamed_batch("select 1") + sync, "1EZ"},
        said{"pipeline",
             unnamed_batch("begin") + unnamed_batch("select 1") + unnamed_batch("commit") + sync,
             "12nC12nDC12nCZ"},
        said{"pipeline_that_fails",
             unnamed_batch("select 1") + unnamed_batch("select 2") + unnamed_batch("select 3") +
                 sync,
             "12nDC1EZ"},
        said{"batches", unnamed_batch("select 1") + sync + unnamed_batch("select 2") + sync,
             "12nDCZ12nDCZ"},
        said{"named_portal_run_again", say_execute("p") + say_describe_portal("p") + sync, "CnZ"},
        said{"syncs", sync + sync, "ZZ"}),
    [](const auto& p) { return p.param.name; });

struct message_that_is_not_plain : ::testing::Test {
    link_to_server here;

    message_that_is_not_plain() { here.begin(); }

    // How much of a batch and `behind` is taken, without the batch.
    std::size_t taken_of(std::string_view behind) {
        const auto before = unnamed_batch("select 1");
        const auto taken = here.take(before + std::string{behind});
        EXPECT_GE(taken, before.size());
        return taken - before.size();
    }
};

TEST_F(message_that_is_not_plain, concerns_a_named_statement) {
    EXPECT_EQ(taken_of(say_parse("s", "select 1")), 0U);
    EXPECT_EQ(taken_of(say_bind("s")), 0U);
    EXPECT_EQ(taken_of(say_describe("s")), 0U);
    EXPECT_EQ(taken_of(say_close("s")), 0U);
}

TEST_F(message_that_is_not_plain, binds_a_named_portal) {
    EXPECT_EQ(taken_of(say_bind("", "p")), 0U);
}

TEST_F(message_that_is_not_plain, describes_or_closes_the_unnamed_statement) {
    EXPECT_EQ(taken_of(say_describe("")), 0U);
    EXPECT_EQ(taken_of(say_close("")), 0U);
}

TEST_F(message_that_is_not_plain, asks_for_what_is_there_or_calls_a_function) {
    EXPECT_EQ(taken_of(say_flush()), 0U);
    EXPECT_EQ(taken_of(say_function_call()), 0U);
}

TEST_F(message_that_is_not_plain, drops_the_unnamed_statement) {
    EXPECT_EQ(taken_of(say_query("select 1")), 0U);
}

TEST_F(message_that_is_not_plain, has_not_come_whole) {
    const auto next = unnamed_batch("select 2");
    for (std::size_t size = 0; size + 1 < say_parse("", "select 2").size(); ++size) {
        EXPECT_EQ(taken_of(next.substr(0, size)), 0U) << size;
    }
}

TEST_F(message_that_is_not_plain, has_a_length_that_lies) {
    for (const char type : {'P', 'B', 'D', 'E', 'S', 'Q'}) {
        for (const char length : {'\0', '\1', '\3', '\x7f'}) {
            EXPECT_EQ(taken_of(std::string{type, '\0', '\0', '\0', length}), 0U)
                << type << static_cast<int>(length);
        }
    }
}

TEST_F(message_that_is_not_plain, is_larger_than_what_is_held) {
    EXPECT_EQ(taken_of(say_parse("", std::string(hold_limit, ' '))), 0U);
}

TEST_F(message_that_is_not_plain, binds_what_an_earlier_batch_has_parsed) {
    (void)here.take(unnamed_batch("select 1") + sync);
    EXPECT_EQ(here.take(say_bind("")), 0U);
}

TEST_F(message_that_is_not_plain, comes_while_names_are_known) {
    const auto named = say_parse("s", "select 1");
    (void)here.relay->look(named, read_frame(named.data()), 'I', here.owed, here.marks, here.arena);
    EXPECT_EQ(here.take(say_parse("", "deallocate s")), 0U);
    EXPECT_EQ(here.take(say_query("deallocate s")), 0U);
}

TEST_F(message_that_is_not_plain, is_skipped) {
    (void)here.take(unnamed_batch("select 1"));
    here.reply("1E");
    EXPECT_EQ(here.take(say_execute()), 0U);
    EXPECT_EQ(here.take(sync), 0U);
}

TEST_F(message_that_is_not_plain, comes_amid_a_copy) {
    (void)here.take(say_query("copy t from stdin"));
    here.reply("G");
    EXPECT_EQ(here.take(sync), 0U);
}

TEST_F(message_that_is_not_plain, might_not_drop_the_statement_of_another) {
    here.marks.unnamed_owner = 3;
    here.begin();
    EXPECT_EQ(here.take(say_execute()), 0U);
    EXPECT_EQ(here.take(say_parse("", "select '\xe4'")), 0U);
    EXPECT_EQ(here.marks.unnamed_owner, 3U);
}

TEST_F(message_that_is_not_plain, would_fill_the_ledger_beyond_its_bound) {
    const auto two = say_execute() + say_describe_portal("");
    std::string many;
    for (std::size_t i = 0; i <= ledger::capacity / 2; ++i) {
        many += two;
    }
    EXPECT_EQ(here.take(many), two.size() * ledger::capacity / 2);
    EXPECT_TRUE(here.owed.is_full());
}

// --- tags

TEST(plain_tag, is_none_that_has_an_effect) {
    for (const auto* tag : {"SET", "RESET", "LISTEN", "UNLISTEN", "PREPARE", "DEALLOCATE",
                            "DEALLOCATE ALL", "DISCARD ALL", "DISCARD TEMP", "DISCARD PLANS",
                            "DISCARD SEQUENCES", "DECLARE CURSOR", "DO", "CALL", "LOAD"}) {
        ASSERT_NE(effect_of_tag(tag), tag_effect::none) << tag;
        EXPECT_FALSE(has_plain_tag(tag + "\0"s)) << tag;
    }
}

TEST(plain_tag, is_that_of_most_statements) {
    for (const auto* tag : {"SELECT 1", "INSERT 0 1", "UPDATE 1", "DELETE 1", "MERGE 1", "BEGIN",
                            "COMMIT", "ROLLBACK"}) {
        ASSERT_EQ(effect_of_tag(tag), tag_effect::none) << tag;
        EXPECT_TRUE(has_plain_tag(tag + "\0"s)) << tag;
    }
}

TEST(plain_tag, is_not_in_a_body_that_is_too_short) {
    for (const auto* body : {"", "S", "SEL", "DO", "C"}) {
        EXPECT_FALSE(has_plain_tag(body)) << body;
    }
}

}  // namespace
}  // namespace pgweir::protocol
