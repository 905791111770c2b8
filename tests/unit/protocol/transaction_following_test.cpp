// What each request may do to the transaction is known as long as it is outstanding.
#include "pgweir/protocol/frontend_stream.hpp"
#include "protocol/dialogue.hpp"
#include "protocol/pooled_dialogue.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

namespace pgweir::protocol {
namespace {

using namespace testing;

// A client of a cluster linked to a server, of which the ledger is enough.
class followed : public ::testing::Test {
protected:
    explicit followed(std::size_t limit = 200, bool is_followed = true) : limit_{limit} {
        link(is_followed);
    }

    void link(bool is_followed) {
        stream_.begin_link({.client = client_,
                            .server = server_,
                            .store = store_,
                            .settings = nullptr,
                            .self = 1,
                            .limit = limit_,
                            .counts = counts_,
                            .follows_transactions = is_followed},
                           marks_);
    }
    void send(std::string_view data) {
        using stop = frontend_stream::stop;
        for (auto why = stop::edit; why == stop::edit;) {
            const auto step = stream_.scan(data, 'T', owed, marks_, arena_);
            why = step.why;
            ASSERT_TRUE(why == stop::edit || why == stop::more);
            data.remove_prefix(step.forward + step.skip);
            arena_.clear();
        }
    }
    void reply(std::string_view types) {
        for (const char type : types) {
            ASSERT_NE(owed.received(type), ledger::verdict::violation);
            if (client_ != nullptr) {
                server_.finish(owed.take_settlement(), *client_, marks_);
            }
        }
    }
    // A letter for each outstanding that runs something.
    std::string controls() {
        std::string all;
        owed.visit([&](const ledger::entry& e) {
            if (e.what == request::query || e.what == request::execute) {
                constexpr std::string_view letters{"-()<*?"};
                all += letters[static_cast<std::size_t>(e.control)];
            }
            return true;
        });
        return all;
    }

    ledger owed;

private:
    std::unique_ptr<client_statements> client_;
    server_statements server_;
    statement_store store_{0};
    session_marks marks_;
    metrics::traffic counts_;
    byte_arena arena_;
    frontend_stream stream_;
    std::size_t limit_;
};

TEST_F(followed, queries) {
    send(say_query("BEGIN") + say_query("SELECT 1") + say_query("COMMIT") + say_query("ROLLBACK") +
         say_query("SELECT 1; COMMIT"));
    EXPECT_EQ(controls(), "(-)<*");
}

TEST_F(followed, long_queries_that_are_not_seen_whole) {
    const std::string filler(2 * hold_limit, ' ');
    for (const std::string text : {"SELECT 1", "COMMIT"}) {
        const auto query = say_query(text + filler);
        send(query.substr(0, hold_limit));
        send(query.substr(hold_limit));
    }
    EXPECT_EQ(controls(), "?*");
}

TEST_F(followed, unnamed_statements) {
    send(say_parse("", "BEGIN") + say_run("") + say_parse("", "SELECT 1") + say_run("") +
         say_sync() + say_parse("", "COMMIT") + say_run("") + say_sync());
    EXPECT_EQ(controls(), "(-)");
}

TEST_F(followed, an_unnamed_statement_that_was_parsed_before) {
    send(say_parse("", "COMMIT") + say_sync());
    reply("1Z");
    send(say_run("") + say_sync());
    EXPECT_EQ(controls(), ")");
}

TEST_F(followed, an_unnamed_statement_that_was_parsed_on_another_server) {
    send(say_parse("", "COMMIT") + say_sync());
    reply("1Z");
    link(true);
    send(say_run("") + say_sync());
    EXPECT_EQ(controls(), ")");
}

TEST_F(followed, named_statements) {
    send(say_parse("b", "BEGIN") + say_parse("c", "COMMIT") + say_parse("s", "SELECT 1") +
         say_run("b") + say_run("s") + say_run("c") + say_sync());
    EXPECT_EQ(controls(), "(-)");
}

TEST_F(followed, a_portal_that_is_run_later) {
    send(say_parse("c", "COMMIT") + say_bind("c", "p") + say_parse("s", "SELECT 1") + say_run("s") +
         say_execute("p") + say_sync());
    EXPECT_EQ(controls(), "-)");
}

TEST_F(followed, portals_with_names_taken_together) {
    send(say_parse("b", "BEGIN") + say_parse("c", "COMMIT") + say_bind("b", "p") +
         say_bind("c", "q") + say_execute("p") + say_execute("q") + say_sync());
    EXPECT_EQ(controls(), "**");
}

TEST_F(followed, a_cursor_beside_a_portal_that_ends_the_transaction) {
    send(say_parse("s", "SELECT 1") + say_parse("c", "COMMIT") + say_bind("s", "p") +
         say_bind("c", "q") + say_execute("p") + say_sync());
    EXPECT_EQ(controls(), "*");
}

TEST_F(followed, a_named_statement_that_is_too_long_to_be_kept) {
    send(say_parse("c", "COMMIT --" + std::string(statement_limit, ' ')) + say_run("c") +
         say_sync());
    EXPECT_EQ(controls(), ")");
}

TEST_F(followed, what_was_answered) {
    send(say_parse("", "BEGIN") + say_run("") + say_parse("", "SELECT 1") + say_run("") +
         say_sync());
    EXPECT_EQ(owed.answered_control(), transaction_control::none);
    reply("12C");
    EXPECT_EQ(owed.answered_control(), transaction_control::begins);
    reply("12CZ");
    EXPECT_EQ(owed.answered_control(), transaction_control::none);
}

struct followed_without_sharing : followed {
    followed_without_sharing() : followed{0} {}
};

TEST_F(followed_without_sharing, statements_with_names) {
    send(say_parse("s", "SELECT 1") + say_run("s") + say_parse("c", "COMMIT") + say_run("c") +
         say_sync());
    EXPECT_EQ(controls(), "-*");
}

TEST_F(followed_without_sharing, a_statement_with_a_name) {
    send(say_parse("c", "COMMIT") + say_run("c") + say_sync());
    EXPECT_EQ(controls(), ")");
}

TEST_F(followed_without_sharing, statements_with_names_taken_together) {
    send(say_parse("b", "BEGIN") + say_parse("c", "COMMIT") + say_run("b") + say_sync());
    EXPECT_EQ(controls(), "*");
}

struct not_followed : followed {
    not_followed() : followed{200, false} {}
};

TEST_F(not_followed, statements_are_not_looked_at) {
    send(say_parse("c", "COMMIT") + say_run("c") + say_parse("", "COMMIT") + say_run("") +
         say_sync());
    EXPECT_EQ(controls(), "--");
}

TEST_F(not_followed, queries_are_not_looked_at) {
    send(say_query("COMMIT"));
    EXPECT_EQ(controls(), "-");
}

}  // namespace
}  // namespace pgweir::protocol
