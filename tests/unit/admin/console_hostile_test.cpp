// Whatever bytes come, the console answers or closes.
#include "admin/console_dialogue.hpp"

#include <gmock/gmock.h>

#include <random>

namespace pgweir::admin {
namespace {

std::string header(char type, std::uint32_t length) {
    std::string bytes(5, type);
    base::store_be32(bytes.data() + 1, length);
    return bytes;
}

void expect_fatal(console_client& c, const std::vector<reply>& replies) {
    const auto error = first(replies, 'E');
    EXPECT_EQ(protocol::parse_error(error.body).severity, "FATAL");
    EXPECT_EQ(protocol::parse_error(error.body).sqlstate, "08P01");
    EXPECT_TRUE(c.is_closed());
}

// Every message there is, with replies of every kind.
const std::string conversation =
    query("SHOW HELP; SHOW LISTS") + query("BEGIN") + query("\"") + parse("s", "SHOW POOLS") +
    bind_to("p", "s", {1}) + describe('S', "s") + describe('P', "p") + execute("p", 1) +
    execute("p") + close('P', "p") + close('S', "s") + bare('H') + parse("", "RELOAD") +
    bind_to("", "") + execute("") + sync() + query("COMMIT") +
    message('F', [](auto& w) { w.put_int32(0); }) + query("SET x TO 'y'") + bare('X');

console_client busy_console() {
    console_client c;
    c.report.pools.resize(3);
    return c;
}

TEST(console_hostile, an_unknown_message_type_closes) {
    console_client c;
    expect_fatal(c, c.send("z"));
}

TEST(console_hostile, a_password_after_login_closes) {
    console_client c;
    expect_fatal(c, c.send(message('p', [](auto& w) { w.put_cstr("secret"); })));
}

TEST(console_hostile, a_startup_packet_in_the_middle_closes) {
    console_client c;
    expect_fatal(c, c.send(std::string_view{"\0\0\0\x8\x4\xd2\x16\x2f", 8}));
}

TEST(console_hostile, a_length_below_its_own_size_closes) {
    console_client c;
    expect_fatal(c, c.send(header('Q', 3)));
}

TEST(console_hostile, a_giant_length_closes_before_the_bytes_come) {
    console_client c;
    expect_fatal(c, c.send(header('Q', 0x7fffffff)));
}

TEST(console_hostile, the_largest_length_word_closes) {
    console_client c;
    expect_fatal(c, c.send(header('P', 0xffffffff)));
}

TEST(console_hostile, a_message_at_the_limit_is_read) {
    console_client c;
    const std::string spaces(64 * 1024 - 6, ' ');
    EXPECT_EQ(types(c.send(query(spaces))), "IZ");
}

TEST(console_hostile, a_message_beyond_the_limit_closes) {
    console_client c;
    const std::string spaces(64 * 1024 - 5, ' ');
    expect_fatal(c, c.send(query(spaces)));
}

TEST(console_hostile, nothing_is_answered_after_the_close) {
    console_client c;
    c.send("z");
    EXPECT_TRUE(c.send(query("SHOW VERSION")).empty());
    EXPECT_TRUE(c.is_closed());
}

TEST(console_hostile, a_query_without_end_is_an_error_and_no_more) {
    console_client c;
    EXPECT_EQ(types(c.send(message('Q', [](auto& w) { w.put_bytes("SHOW VERSION"); }))), "EZ");
    EXPECT_FALSE(c.is_closed());
}

TEST(console_hostile, a_query_with_a_nul_inside_is_an_error) {
    console_client c;
    EXPECT_EQ(types(c.send(message('Q', [](auto& w) { w.put_cstr("SHOW").put_cstr("x"); }))), "EZ");
}

TEST(console_hostile, an_error_quotes_only_printable_and_little_of_its_input) {
    console_client c;
    const auto error = first(c.send(query("x\x1b\xff" + std::string(10'000, 'a'))), 'E');
    const auto text = std::string{protocol::parse_error(error.body).message};
    EXPECT_LT(text.size(), 120U);
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
}

TEST(console_hostile, too_many_words_are_refused) {
    console_client c;
    std::string words = "SET";
    for (int i = 0; i < 100; ++i) {
        words += " x";
    }
    EXPECT_EQ(sqlstate(c.send(query(words))), "54001");
}

TEST(console_hostile, counts_that_lie_are_errors) {
    console_client c;
    const auto lying = message('B', [](auto& w) {
        w.put_cstr("").put_cstr("").put_int16(-1).put_int16(32'767).put_int16(-5);
    });
    EXPECT_EQ(sqlstate(c.send(parse("", "SHOW LISTS") + lying + sync())), "08P01");
}

TEST(console_hostile, a_parameter_with_a_negative_length_is_an_error) {
    console_client c;
    const auto lying = message('B', [](auto& w) {
        w.put_cstr("").put_cstr("").put_int16(0).put_int16(1).put_int32(-2).put_int16(0);
    });
    EXPECT_EQ(sqlstate(c.send(parse("", "SHOW LISTS") + lying + sync())), "08P01");
}

TEST(console_hostile, where_the_bytes_are_cut_does_not_matter) {
    const auto whole = busy_console().send(conversation);
    for (std::size_t at = 1; at < conversation.size(); ++at) {
        auto c = busy_console();
        auto replies = c.send(conversation.substr(0, at));
        for (auto& r : c.send(conversation.substr(at))) {
            replies.push_back(std::move(r));
        }
        ASSERT_EQ(types(replies), types(whole)) << "cut at " << at;
        ASSERT_TRUE(c.is_closed());
    }
}

TEST(console_hostile, a_conversation_that_breaks_off_just_waits) {
    for (std::size_t size = 0; size < conversation.size(); ++size) {
        auto c = busy_console();
        c.send(conversation.substr(0, size));
        ASSERT_EQ(c.last.what, local_outcome::kind::wait_for_input) << "after " << size;
    }
}

TEST(console_hostile, a_body_cut_at_any_offset_is_an_answered_error) {
    for (const auto& whole : {parse("s", "SHOW POOLS"), bind_to("p", "s", {1, 1}),
                              describe('S', "s"), execute("p", 1), close('S', "s")}) {
        for (std::size_t size = 5; size < whole.size(); ++size) {
            console_client c;
            auto cut = whole.substr(0, size);
            base::store_be32(cut.data() + 1, static_cast<std::uint32_t>(size - 1));
            ASSERT_EQ(types(c.send(cut + sync())), "EZ") << whole[0] << " cut at " << size;
        }
    }
}

TEST(console_hostile, flipped_bytes_never_leave_it_without_an_answer) {
    std::mt19937 random{42};
    for (int round = 0; round < 3'000; ++round) {
        auto bytes = conversation;
        for (int i = 0; i < 4; ++i) {
            bytes[random() % bytes.size()] = static_cast<char>(random());
        }
        auto c = busy_console();
        c.send(bytes);
        ASSERT_TRUE(c.is_closed() || c.last.what == local_outcome::kind::wait_for_input);
    }
}

TEST(console_hostile, input_during_a_wait_is_kept) {
    console_client c;
    std::string out;
    ASSERT_EQ(c.session->on_bytes(query("SHOW POOLS"), out).what,
              local_outcome::kind::wait_for_report);
    EXPECT_EQ(c.session->on_bytes(query("SHOW VERSION"), out).what,
              local_outcome::kind::wait_for_report);
    EXPECT_EQ(out, "");
    EXPECT_EQ(types(c.send("")), "TCZTDCZ");
}

TEST(console_hostile, a_report_that_nobody_asked_for_is_ignored) {
    console_client c;
    std::string out;
    EXPECT_EQ(c.session->on_report(c.report, c.snapshot, out).what,
              local_outcome::kind::wait_for_input);
    EXPECT_EQ(out, "");
}

}  // namespace
}  // namespace pgweir::admin
