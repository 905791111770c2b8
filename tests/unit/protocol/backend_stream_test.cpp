// What a server sends: holding, streaming, whose it is, and bodies that lie.
#include "pgweir/protocol/backend_stream.hpp"

#include "pgweir/protocol/frame.hpp"
#include "protocol/dialogue.hpp"

#include <gtest/gtest.h>

namespace pgweir::protocol {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;
using testing::client_message;
using testing::message;
using testing::relay;
using testing::server_message;
using stop = backend_stream::stop;

// A server that owes these requests.
relay owing(std::initializer_list<request> requests, origin o = origin::client) {
    relay r;
    for (const auto what : requests) {
        r.owed.sent(what, o);
    }
    return r;
}

TEST(backend_stream, settles_at_the_last_ready) {
    auto r = owing({request::query, request::query});
    r.server(server_message('C') + server_message('Z'));
    EXPECT_EQ(r.settled, 0);
    r.server(server_message('C') + server_message('Z'));
    EXPECT_EQ(r.settled, 1);
}

TEST(backend_stream, keeps_the_transaction_status) {
    for (const char status : {'I', 'T', 'E'}) {
        auto r = owing({request::sync});
        r.server(message('Z', {&status, 1}));
        EXPECT_EQ(r.server_stream.status(), status);
    }
}

TEST(backend_stream, refuses_a_status_that_does_not_exist) {
    for (const auto body : {"X"sv, "i"sv, "\0"sv, ""sv, "II"sv}) {
        auto r = owing({request::sync});
        r.server(message('Z', body));
        EXPECT_EQ(r.server_stop, stop::violation) << body;
    }
}

TEST(backend_stream, refuses_a_length_that_does_not_count_itself) {
    for (const auto lie : {"D\0\0\0\0"sv, "D\0\0\0\3"sv, "D\xff\xff\xff\xff"sv, "D\x80\0\0\0"sv}) {
        auto r = owing({request::query});
        r.server(lie);
        EXPECT_EQ(r.server_stop, stop::violation);
    }
}

TEST(backend_stream, takes_the_largest_row_postgresql_can_build) {
    auto r = owing({request::query});
    r.server("D\x40\0\0\2"sv);
    EXPECT_NE(r.server_stop, stop::violation);
}

TEST(backend_stream, streams_a_row_from_its_header) {
    auto r = owing({request::query});
    const auto row = message('D', std::string(1'000'000, 'x'));
    r.server(std::string_view{row}.substr(0, 10));
    EXPECT_EQ(r.to_client.size(), 10U);
    EXPECT_FALSE(r.server_stream.at_boundary());
    r.server(std::string_view{row}.substr(10));
    EXPECT_EQ(r.to_client, row);
    EXPECT_TRUE(r.server_stream.at_boundary());
}

TEST(backend_stream, holds_what_it_must_see_whole) {
    for (const char type : {'Z', 'C', 'S', 'E'}) {
        auto r = owing({request::query});
        const auto m = server_message(type);
        for (std::size_t size = 1; size < m.size(); ++size) {
            auto cut = owing({request::query});
            cut.server(std::string_view{m}.substr(0, size));
            EXPECT_EQ(cut.server_stop, stop::held) << type << size;
            EXPECT_EQ(cut.to_client, "");
        }
    }
}

TEST(backend_stream, streams_a_large_error_and_reads_its_start) {
    const auto error =
        message('E', "SERROR\0VERROR\0C22P02\0M"s + std::string(100'000, 'x') + "\0\0"s);
    auto r = owing({request::query});
    r.server(std::string_view{error}.substr(0, peek_size));
    EXPECT_EQ(r.to_client.size(), peek_size);
    r.server(std::string_view{error}.substr(peek_size));
    EXPECT_EQ(r.to_client, error);
    EXPECT_EQ(r.heard, "ERROR 22P02;");
}

TEST(backend_stream, streams_a_large_notice) {
    const auto notice = message('N', std::string(100'000, 'x'));
    auto r = owing({request::query});
    r.server(std::string_view{notice}.substr(0, 100));
    EXPECT_EQ(r.to_client.size(), 100U);
}

// --- parameters

TEST(parameter_status, is_told) {
    relay r;
    r.server(server_message('S'));
    EXPECT_EQ(r.heard, "TimeZone=UTC;");
}

TEST(parameter_status, marks_the_session_of_a_client) {
    relay r;
    r.server(server_message('S'));
    EXPECT_TRUE(r.marks.dirty);
}

TEST(parameter_status, marks_nothing_without_a_client) {
    relay r;
    r.has_client = false;
    r.server(server_message('S'));
    EXPECT_FALSE(r.marks.dirty);
}

TEST(parameter_status, without_its_terminators_is_a_violation) {
    for (const auto body : {""sv, "TimeZone"sv, "TimeZone\0"sv, "TimeZone\0UTC"sv}) {
        relay r;
        r.server(message('S', body));
        EXPECT_EQ(r.server_stop, stop::violation) << body;
    }
}

TEST(parameter_status, may_be_empty) {
    relay r;
    r.server(message('S', "\0\0"sv));
    EXPECT_EQ(r.heard, "=;");
}

// Its end is not at hand and it is too long to wait for: the server cannot be known any more.
TEST(parameter_status, too_long_to_hold_costs_the_server_not_the_client) {
    const auto status = message('S', "search_path\0"s + std::string(100'000, 'x') + '\0');
    relay r;
    r.server(std::string_view{status}.substr(0, 2 * peek_size));
    r.server(std::string_view{status}.substr(2 * peek_size));
    EXPECT_EQ(r.to_client, status);
    EXPECT_TRUE(r.marks.permanent);
}

// --- errors

TEST(backend_error, is_told) {
    auto r = owing({request::query});
    r.server(server_message('E'));
    EXPECT_EQ(r.heard, "ERROR 22012;");
}

TEST(backend_error, without_a_client_is_for_the_pooler) {
    auto r = owing({request::query}, origin::pooler);
    r.has_client = false;
    r.server(server_message('E'));
    EXPECT_EQ(r.heard, "ERROR 22012 for the pooler;");
}

TEST(backend_error, without_fields_is_harmless) {
    for (const auto body : {""sv, "\0"sv, "S"sv, "SERROR"sv, "\0\0\0"sv}) {
        auto r = owing({request::query});
        r.server(message('E', body) + server_message('Z'));
        EXPECT_TRUE(r.is_idle()) << body;
    }
}

// --- command tags

TEST(command_tag, of_a_client_marks_the_session) {
    auto r = owing({request::query});
    r.server(message('C', "SET\0"sv));
    EXPECT_TRUE(r.marks.dirty);
}

TEST(command_tag, of_load_makes_the_session_useless) {
    auto r = owing({request::query});
    r.server(message('C', "LOAD\0"sv));
    EXPECT_TRUE(r.marks.permanent);
}

TEST(command_tag, marks_the_session_although_the_client_has_left) {
    auto r = owing({request::query, request::query});
    r.has_client = false;
    r.server(message('C', "PREPARE\0"sv) + server_message('Z') + message('C', "LOAD\0"sv));
    EXPECT_TRUE(r.marks.dirty);
    EXPECT_TRUE(r.marks.has_statements);
    EXPECT_TRUE(r.marks.permanent);
}

TEST(command_tag, tells_what_may_have_taken_settings_back) {
    for (const auto tag : {"RESET\0"sv, "DISCARD ALL\0"sv}) {
        auto r = owing({request::query});
        r.server(message('C', tag));
        EXPECT_TRUE(r.marks.resets) << tag;
    }
}

TEST(command_tag, of_set_takes_nothing_back) {
    auto r = owing({request::query});
    r.server(message('C', "SET\0"sv));
    EXPECT_FALSE(r.marks.resets);
}

TEST(command_tag, without_its_terminator_is_harmless) {
    auto r = owing({request::query});
    r.server(message('C', "SET"sv) + message('C', ""sv) + server_message('Z'));
    EXPECT_TRUE(r.is_idle());
}

TEST(command_tag, of_deallocate_all_is_told) {
    for (const auto tag : {"DEALLOCATE ALL\0"sv, "DISCARD ALL\0"sv}) {
        auto r = owing({request::query});
        r.server(message('C', tag));
        EXPECT_EQ(r.heard, "deallocated;");
    }
}

TEST(command_tag, of_prepare_leaves_a_name_of_the_client) {
    auto r = owing({request::query});
    r.server(message('C', "PREPARE\0"sv));
    EXPECT_TRUE(r.marks.has_statements);
}

TEST(command_tag, of_a_lock_leaves_the_meaning_of_texts_alone) {
    auto r = owing({request::query});
    r.server(message('C', "LISTEN\0"sv));
    EXPECT_TRUE(r.marks.dirty);
    EXPECT_FALSE(r.marks.changes_parsing);
}

// --- replies that the server does not send

TEST(known_reply, stands_where_its_request_stood) {
    auto r = owing({request::bind, request::known_parse, request::known_close, request::sync});
    r.server(server_message('2') + server_message('Z'));
    EXPECT_EQ(r.to_client, server_message('2') + server_message('1') + server_message('3') +
                               server_message('Z'));
}

TEST(known_reply, does_not_cut_a_message_that_streams) {
    const auto columns = message('T', std::string(100, 'x'));
    for (std::size_t at = header_size; at < columns.size(); ++at) {
        auto r = owing({request::describe_portal, request::known_parse, request::sync});
        r.server(std::string_view{columns}.substr(0, at));
        r.server(columns.substr(at) + server_message('Z'));
        ASSERT_EQ(r.to_client, columns + server_message('1') + server_message('Z')) << at;
    }
}

TEST(known_reply, is_asked_for_before_the_server_s_next) {
    auto r = owing({request::known_parse, request::sync});
    backend_stream stream;
    const auto step = stream.scan(server_message('Z'), r.owed, r.marks, true, r);
    EXPECT_EQ(step.why, stop::known);
    EXPECT_EQ(step.size, 0U);
}

TEST(backend_error, that_names_a_statement_of_ours_is_shown) {
    auto r = owing({request::bind});
    backend_stream stream;
    const auto note = server_message('N');
    const auto error = message('E', "SERROR\0VERROR\0C26000\0Mno \"__pgweir_1\"\0\0"sv);
    const auto step = stream.scan(note + error + note, r.owed, r.marks, true, r);
    EXPECT_EQ(step.why, stop::named);
    EXPECT_EQ(step.size, note.size() + error.size());
    EXPECT_EQ(step.error, error.size());
}

// --- the end of a query

TEST(backend_error, that_is_fatal_is_held_where_the_client_goes_on) {
    auto r = owing({request::query});
    r.server_stream.hold_fatal(true);
    const auto rows = server_message('T') + server_message('D');
    const auto fatal = server_message('!');
    const auto step = r.server_stream.scan(rows + fatal, r.owed, r.marks, true, r);
    EXPECT_EQ(step.why, stop::fatal);
    EXPECT_EQ(step.size, rows.size());
    EXPECT_EQ(step.error, fatal.size());
    EXPECT_FALSE(r.owed.front().failed);
}

TEST(backend_error, that_is_fatal_is_held_for_its_end) {
    auto r = owing({request::query});
    r.server_stream.hold_fatal(true);
    const auto fatal = server_message('!');
    const auto cut = std::string_view{fatal}.substr(0, fatal.size() - 1);
    EXPECT_EQ(r.server_stream.scan(cut, r.owed, r.marks, true, r).why, stop::held);
}

TEST(backend_error, that_is_not_fatal_is_passed_on_all_the_same) {
    auto r = owing({request::query});
    r.server_stream.hold_fatal(true);
    r.server(server_message('E') + server_message('Z'));
    EXPECT_EQ(r.to_client, server_message('E') + server_message('Z'));
}

TEST(ready_for_query, is_reported_with_its_status_while_more_is_owed) {
    auto r = owing({request::query, request::query});
    r.server(server_message('C') + server_message('z'));
    EXPECT_EQ(r.server_stop, stop::ready);
    EXPECT_EQ(r.server_stream.status(), 'T');
}

TEST(ready_for_query, is_reported_before_what_follows_it) {
    ledger owed;
    session_marks marks;
    relay r;
    backend_stream stream;
    owed.sent(request::query, origin::client);
    owed.sent(request::query, origin::client);
    const auto one = server_message('C') + server_message('z');
    const auto step =
        stream.scan(one + server_message('C') + server_message('Z'), owed, marks, true, r);
    EXPECT_EQ(step.why, stop::ready);
    EXPECT_EQ(step.size, one.size());
}

// --- whose it is

TEST(reply_to_the_pooler, is_swallowed_in_front_of_the_client_s) {
    relay r;
    r.marks.unnamed_owner = 7;
    r.link();
    r.client(client_message('B') + client_message('S'));
    const auto own = server_message('E') + server_message('Z');
    r.server(server_message('3') + own);
    EXPECT_EQ(r.to_client, own);
    EXPECT_TRUE(r.is_idle());
}

TEST(reply_to_the_pooler, is_swallowed_wherever_the_bytes_are_cut) {
    const auto own =
        server_message('N') + server_message('2') + server_message('C') + server_message('Z');
    const auto all = server_message('3') + own;
    for (std::size_t at = 0; at <= all.size(); ++at) {
        relay r;
        r.marks.unnamed_owner = 7;
        r.link();
        r.client(client_message('B') + client_message('E') + client_message('S'));
        r.server(std::string_view{all}.substr(0, at));
        r.server(std::string_view{all}.substr(at));
        ASSERT_EQ(r.to_client, own) << at;
        ASSERT_TRUE(r.is_idle());
    }
}

TEST(reply_to_the_pooler, does_not_hide_an_asynchronous_message) {
    relay r;
    r.marks.unnamed_owner = 7;
    r.link();
    r.client(client_message('B') + client_message('S'));
    const auto note = server_message('A');
    const auto own = server_message('2') + server_message('Z');
    r.server(note + server_message('3') + own);
    EXPECT_EQ(r.to_client, note + own);
}

TEST(server_without_a_client, keeps_everything_to_itself) {
    auto r = owing({request::query}, origin::pooler);
    r.has_client = false;
    for (const char type : "TDDNSCZ"sv) {
        r.server(server_message(type));
    }
    EXPECT_EQ(r.to_client, "");
    EXPECT_TRUE(r.is_idle());
}

TEST(server_without_a_client, may_say_only_what_nobody_asked_for) {
    for (int c = 0; c < 256; ++c) {
        const char type = static_cast<char>(c);
        relay r;
        r.has_client = false;
        r.server(server_message(type));
        EXPECT_EQ(r.server_stop == stop::violation,
                  type != '!' && (type == '\0' || "NSAE"sv.find(type) == std::string_view::npos))
            << c;
    }
}

}  // namespace
}  // namespace pgweir::protocol
