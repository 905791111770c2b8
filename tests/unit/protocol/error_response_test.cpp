// Errors as they are written and as they are read, also when cut.
#include "pgweir/protocol/error_response.hpp"

#include "pgweir/protocol/frame.hpp"

#include <gtest/gtest.h>

namespace pgweir::protocol {
namespace {

using namespace std::string_view_literals;

constexpr auto body =
    "SFEHLER\0VERROR\0C42P01\0Mno such table\0Dwhich one\0Hcreate it\0P15\0Fparse.c\0\0"sv;

TEST(error_response, is_written_in_postgresql_s_order) {
    std::string out;
    append_error(out, {"FATAL", "57P01", "bye", "because", "come back"});
    EXPECT_EQ(out, "E\0\0\0\x33SFATAL\0VFATAL\0C57P01\0Mbye\0Dbecause\0Hcome back\0\0"sv);
}

TEST(error_response, leaves_out_empty_detail_and_hint) {
    std::string out;
    append_error(out, {"ERROR", "XX000", "bye"});
    EXPECT_EQ(out, "E\0\0\0\x1fSERROR\0VERROR\0CXX000\0Mbye\0\0"sv);
}

TEST(error_response, always_has_a_message) {
    std::string out;
    append_error(out, {"ERROR", "XX000", ""});
    EXPECT_NE(out.find("M\0\0"sv), std::string::npos);
}

TEST(error_response, ends_a_field_at_a_nul) {
    std::string out;
    append_error(out, {"ERROR", "XX000", "bye\0Cforged"sv});
    EXPECT_EQ(out.find("forged"), std::string::npos);
}

TEST(error_response, is_appended_to_what_is_there) {
    std::string out = "before";
    append_error(out, {});
    EXPECT_EQ(out.substr(0, 7), "beforeE");
}

TEST(error_response, has_the_length_of_its_bytes) {
    std::string out;
    append_error(out, {"ERROR", "XX000", "bye", "because", "come back"});
    EXPECT_EQ(read_frame(out.data()).size, out.size());
}

TEST(notice_response, differs_in_its_type_only) {
    std::string error;
    std::string notice;
    append_error(error, {"WARNING", "01000", "look"});
    append_notice(notice, {"WARNING", "01000", "look"});
    EXPECT_EQ(notice.front(), 'N');
    EXPECT_EQ(notice.substr(1), error.substr(1));
}

TEST(error_fields, are_read) {
    const auto f = parse_error(body);
    EXPECT_EQ(f.sqlstate, "42P01");
    EXPECT_EQ(f.message, "no such table");
    EXPECT_EQ(f.detail, "which one");
    EXPECT_EQ(f.hint, "create it");
}

TEST(error_fields, take_the_severity_that_is_not_translated) {
    EXPECT_EQ(parse_error(body).severity, "ERROR");
}

TEST(error_fields, take_the_severity_that_is_not_translated_in_any_order) {
    EXPECT_EQ(parse_error("VFATAL\0SSCHLIMM\0\0"sv).severity, "FATAL");
}

TEST(error_fields, take_the_translated_severity_of_an_old_server) {
    EXPECT_EQ(parse_error("SFATAL\0C57P01\0\0"sv).severity, "FATAL");
}

TEST(error_fields, stay_empty_when_missing) {
    const auto f = parse_error("Mhello\0\0"sv);
    EXPECT_EQ(f.severity, "");
    EXPECT_EQ(f.sqlstate, "");
    EXPECT_EQ(f.detail, "");
}

TEST(error_fields, end_at_the_terminator) {
    EXPECT_EQ(parse_error("Mhello\0\0Mforged\0\0"sv).message, "hello");
}

TEST(error_fields, survive_a_cut_anywhere) {
    for (std::size_t size = 0; size <= body.size(); ++size) {
        const std::string cut{body.substr(0, size)};  // its own memory: reading past it is seen
        const auto f = parse_error(cut);
        EXPECT_TRUE("42P01"sv.substr(0, f.sqlstate.size()) == f.sqlstate) << size;
    }
}

TEST(error_fields, read_back_what_was_written) {
    std::string out;
    append_error(out, {"ERROR", "25P02", "aborted", "why", "what now"});
    const auto f = parse_error(std::string_view{out}.substr(header_size));
    EXPECT_EQ(f.severity, "ERROR");
    EXPECT_EQ(f.sqlstate, "25P02");
    EXPECT_EQ(f.message, "aborted");
    EXPECT_EQ(f.detail, "why");
    EXPECT_EQ(f.hint, "what now");
}

TEST(error_severity, of_fatal_and_panic_ends_the_connection) {
    EXPECT_TRUE(parse_error("VFATAL\0\0"sv).is_fatal());
    EXPECT_TRUE(parse_error("VPANIC\0\0"sv).is_fatal());
    EXPECT_FALSE(parse_error("VERROR\0\0"sv).is_fatal());
}

}  // namespace
}  // namespace pgweir::protocol
