// The first packet: lengths, requests, parameters, options; whole, cut and hostile.
#include "pgweir/protocol/startup.hpp"

#include "pgweir/base/byte_order.hpp"
#include "pgweir/protocol/message_writer.hpp"

#include <gtest/gtest.h>

namespace pgweir::protocol {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;
using settings = std::vector<std::pair<std::string, std::string>>;

std::string packet(std::uint32_t code, std::string_view body) {
    std::string out;
    message_writer w{out};
    w.begin_untyped().put_int32(static_cast<std::int32_t>(code)).put_bytes(body).end();
    return out;
}

std::string startup(std::string_view parameters, std::uint32_t version = protocol_3_0) {
    return packet(version, parameters);
}

startup_message accepted(std::string_view parameters) {
    const auto parsed = parse_startup(startup(parameters));
    const auto* m = std::get_if<startup_message>(&parsed);
    EXPECT_NE(m, nullptr) << parameters;
    return m != nullptr ? *m : startup_message{};
}

std::string refusal_of(std::string_view whole) {
    const auto parsed = parse_startup(whole);
    const auto* e = std::get_if<startup_error>(&parsed);
    return e != nullptr ? e->sqlstate + " " + e->message : "accepted";
}

constexpr std::uint32_t cancel = 80877102;
constexpr std::uint32_t ssl = 80877103;
constexpr std::uint32_t gssenc = 80877104;

TEST(startup_length, is_between_what_a_code_and_what_postgresql_allows) {
    for (std::uint32_t n = 0; n < 20'000; ++n) {
        // MAX_STARTUP_PACKET_LENGTH does not count the length word.
        ASSERT_EQ(startup_length(n), n >= 8 && n <= 10'004 ? n : 0) << n;
    }
}

TEST(startup_length, of_a_negative_word_is_impossible) {
    for (const std::uint32_t n : {0x7fff'ffffU, 0x8000'0000U, 0xffff'ffffU, 0x8000'0008U}) {
        EXPECT_EQ(startup_length(n), 0U);
    }
}

TEST(startup_packet, asks_for_encryption) {
    EXPECT_TRUE(std::holds_alternative<ssl_request>(parse_startup(packet(ssl, ""))));
    EXPECT_TRUE(std::holds_alternative<gssenc_request>(parse_startup(packet(gssenc, ""))));
}

TEST(startup_packet, carries_a_cancel_key) {
    const auto parsed = parse_startup(packet(cancel, "\0\0\x01\x02\xff\xff\xff\xfe"sv));
    ASSERT_TRUE(std::holds_alternative<cancel_request>(parsed));
    EXPECT_EQ(std::get<cancel_request>(parsed).pid, 0x102);
    EXPECT_EQ(std::get<cancel_request>(parsed).key, "\xff\xff\xff\xfe");
}

TEST(startup_packet, carries_a_cancel_key_of_any_size_that_postgresql_takes) {
    for (std::size_t size = 1; size <= 256; ++size) {
        const auto parsed = parse_startup(packet(cancel, "\0\0\0\1"s + std::string(size, 'k')));
        ASSERT_TRUE(std::holds_alternative<cancel_request>(parsed)) << size;
        EXPECT_EQ(std::get<cancel_request>(parsed).key, std::string(size, 'k'));
    }
}

TEST(startup_packet, is_dropped_without_a_word_when_a_cancel_key_has_another_size) {
    for (const auto size : std::initializer_list<std::size_t>{0, 1, 2, 3, 4, 261, 262, 1000}) {
        EXPECT_EQ(refusal_of(packet(cancel, std::string(size, 'k'))), " ") << size;
    }
}

TEST(startup_packet, is_dropped_without_a_word_when_an_encryption_request_has_a_body) {
    EXPECT_EQ(refusal_of(packet(ssl, "x")), " ");
    EXPECT_EQ(refusal_of(packet(gssenc, "x")), " ");
}

TEST(startup_packet, is_refused_when_its_length_word_lies) {
    auto p = startup("user\0alice\0\0"sv);
    for (int by : {-1, 1}) {
        auto lie = p;
        lie[3] = static_cast<char>(lie[3] + by);
        EXPECT_EQ(refusal_of(lie), "08P01 invalid length of startup packet");
    }
}

TEST(startup_packet, is_refused_when_too_short_for_a_code) {
    for (std::size_t size = 0; size < 8; ++size) {
        EXPECT_EQ(refusal_of(std::string(size, '\0')), "08P01 invalid length of startup packet");
    }
}

TEST(startup_packet, of_another_major_version_is_refused_in_postgresql_s_words) {
    EXPECT_EQ(refusal_of(startup("user\0alice\0\0"sv, 2U << 16)),
              "0A000 unsupported frontend protocol 2.0: server supports 3.0 to 3.2");
    EXPECT_EQ(refusal_of(startup("user\0alice\0\0"sv, (4U << 16) | 7)),
              "0A000 unsupported frontend protocol 4.7: server supports 3.0 to 3.2");
}

TEST(startup_packet, of_a_newer_minor_version_is_accepted) {
    const auto parsed = parse_startup(startup("user\0alice\0\0"sv, protocol_3_0 + 2));
    ASSERT_TRUE(std::holds_alternative<startup_message>(parsed));
    EXPECT_EQ(std::get<startup_message>(parsed).minor, 2);
}

TEST(startup_message, names_user_and_database) {
    const auto m = accepted("user\0alice\0database\0shop\0\0"sv);
    EXPECT_EQ(m.user, "alice");
    EXPECT_EQ(m.database, "shop");
}

TEST(startup_message, means_the_database_of_the_user_s_name_without_another) {
    EXPECT_EQ(accepted("user\0alice\0\0"sv).database, "alice");
    EXPECT_EQ(accepted("database\0\0user\0alice\0\0"sv).database, "alice");
}

TEST(startup_message, needs_a_user) {
    const auto words = "28000 no PostgreSQL user name specified in startup packet";
    EXPECT_EQ(refusal_of(startup("\0"sv)), words);
    EXPECT_EQ(refusal_of(startup("database\0shop\0\0"sv)), words);
    EXPECT_EQ(refusal_of(startup("user\0\0\0"sv)), words);
}

TEST(startup_message, keeps_settings_in_their_order) {
    EXPECT_EQ(accepted("b\0001\0user\0alice\0a\0002\0\0"sv).settings,
              (settings{{"b", "1"}, {"a", "2"}}));
}

TEST(startup_message, keeps_the_last_value_of_a_repeated_name) {
    const auto m = accepted("user\0bob\0a\0001\0a\0002\0user\0alice\0b\0003\0\0"sv);
    EXPECT_EQ(m.user, "alice");
    EXPECT_EQ(m.settings, (settings{{"a", "2"}, {"b", "3"}}));
}

TEST(startup_message, keeps_protocol_options_apart) {
    const auto m = accepted("user\0alice\0_pq_.compression\0on\0\0"sv);
    EXPECT_EQ(m.protocol_options, std::vector<std::string>{"_pq_.compression"});
    EXPECT_TRUE(m.settings.empty());
}

TEST(startup_message, leaves_options_as_they_are) {
    EXPECT_EQ(accepted("user\0alice\0options\0-c a=b\0\0"sv).options, "-c a=b");
}

TEST(startup_message, understands_every_spelling_of_replication) {
    for (const auto value : {"true", "T", "tru", "yes", "Y", "on", "ON", "1", "database"}) {
        EXPECT_TRUE(accepted("user\0alice\0replication\0"s.append(value) + "\0\0"s).replication)
            << value;
    }
    for (const auto value : {"false", "F", "no", "N", "off", "OF", "0"}) {
        EXPECT_FALSE(accepted("user\0alice\0replication\0"s.append(value) + "\0\0"s).replication)
            << value;
    }
}

TEST(startup_message, is_refused_when_replication_is_no_boolean) {
    for (const auto value : {"", "o", "maybe", "2", "truely", "databases"}) {
        EXPECT_EQ(
            refusal_of(startup("user\0alice\0replication\0"s.append(value) + "\0\0"s)),
            "22023 invalid value for parameter \"replication\": \"" + std::string{value} + "\"");
    }
}

TEST(startup_message, is_refused_when_its_parameters_are_cut_anywhere) {
    const auto parameters = "user\0alice\0database\0shop\0application_name\0test\0\0"sv;
    for (std::size_t size = 0; size < parameters.size(); ++size) {
        // A length word of its own, so that only the layout is wrong.
        EXPECT_EQ(refusal_of(startup(parameters.substr(0, size))).substr(0, 27),
                  "08P01 invalid startup packe")
            << size;
    }
}

TEST(startup_message, is_refused_when_the_packet_is_cut_anywhere) {
    const auto whole = startup("user\0alice\0database\0shop\0\0"sv);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        const auto cut = whole.substr(0, size);  // its own memory: reading past it is seen
        EXPECT_EQ(refusal_of(cut), "08P01 invalid length of startup packet") << size;
    }
}

TEST(startup_message, is_refused_with_bytes_behind_its_end) {
    EXPECT_EQ(refusal_of(startup("user\0alice\0\0x"sv)),
              "08P01 invalid startup packet layout: expected terminator as last byte");
}

TEST(startup_message, may_be_as_long_as_postgresql_allows) {
    const auto whole = startup("user\0alice\0filler\0"s + std::string(9975, 'x') + "\0\0"s);
    EXPECT_EQ(whole.size(), 10'003U);
    EXPECT_EQ(refusal_of(whole), "accepted");
}

TEST(options, without_words_are_no_settings) {
    EXPECT_TRUE(parse_options("").settings.empty());
    EXPECT_EQ(parse_options(" \t\n ").error, "");
}

TEST(options, are_written_in_three_ways) {
    EXPECT_EQ(parse_options("-c a=1 -cb=2 --c=3").settings,
              (settings{{"a", "1"}, {"b", "2"}, {"c", "3"}}));
}

TEST(options, take_a_dash_in_a_name_for_an_underscore) {
    EXPECT_EQ(parse_options("--search-path=a-b").settings, (settings{{"search_path", "a-b"}}));
}

TEST(options, keep_an_equals_sign_in_a_value) {
    EXPECT_EQ(parse_options("-c a=b=c").settings, (settings{{"a", "b=c"}}));
}

TEST(options, may_set_to_nothing) {
    EXPECT_EQ(parse_options("-c a=").settings, (settings{{"a", ""}}));
}

TEST(options, keep_what_a_backslash_protects) {
    EXPECT_EQ(parse_options(R"(-c a=b\ c\\d\e)").settings, (settings{{"a", R"(b c\de)"}}));
}

TEST(options, ignore_a_backslash_at_the_end) {
    EXPECT_EQ(parse_options(R"(-c a=b\)").settings, (settings{{"a", "b"}}));
}

TEST(options, are_separated_by_any_white_space) {
    EXPECT_EQ(parse_options("\t-c\n\v\f\r a=1").settings, (settings{{"a", "1"}}));
}

TEST(options, of_other_kinds_are_refused) {
    for (const auto text : {"a=1", "-e", "-S 1024", "-", "-C a=1"}) {
        EXPECT_EQ(
            parse_options(text).error.substr(0, 51),
            "invalid command-line argument for server process: " + std::string{text}.substr(0, 1))
            << text;
    }
}

TEST(options, need_a_value_in_postgresql_s_words) {
    EXPECT_EQ(parse_options("-c geqo").error, "-c geqo requires a value");
    EXPECT_EQ(parse_options("--geqo").error, "--geqo requires a value");
}

TEST(options, need_a_name) {
    for (const auto text : {"-c", "--", "-c =1", "--=1"}) {
        EXPECT_NE(parse_options(text).error, "") << text;
    }
}

std::string negotiated(std::uint16_t minor, const std::vector<std::string>& unknown = {}) {
    std::string out;
    append_negotiate_version(out, minor, unknown);
    return out;
}

TEST(negotiate_version, names_what_we_do_not_know_and_keeps_the_version) {
    EXPECT_EQ(negotiated(0, {"_pq_.a", "_pq_.b"}),
              "v\0\0\0\x1a\0\x03\0\0\0\0\0\x02_pq_.a\0_pq_.b\0"sv);
    EXPECT_EQ(negotiated(2, {"_pq_.a"}), "v\0\0\0\x13\0\x03\0\x02\0\0\0\x01_pq_.a\0"sv);
}

TEST(negotiate_version, names_our_newest_version_to_who_asks_for_more) {
    for (const auto minor : std::initializer_list<std::uint16_t>{3, 9999, 65535}) {
        EXPECT_EQ(negotiated(minor), "v\0\0\0\x0c\0\x03\0\x02\0\0\0\0"sv) << minor;
    }
}

TEST(negotiate_version, is_not_said_where_all_is_understood) {
    for (const auto minor : std::initializer_list<std::uint16_t>{0, 1, 2}) {
        EXPECT_EQ(negotiated(minor), "") << minor;
    }
}

}  // namespace
}  // namespace pgweir::protocol
