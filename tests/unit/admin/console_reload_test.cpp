// RELOAD waits for the configuration and says what became of it.
#include "admin/console_dialogue.hpp"

#include <gmock/gmock.h>

namespace pgweir::admin {
namespace {

using testing::HasSubstr;

TEST(console_reload, waits_for_the_outcome) {
    console_client c;
    std::string out;
    EXPECT_EQ(c.session->on_bytes(query("RELOAD"), out).what, local_outcome::kind::wait_for_reload);
    EXPECT_EQ(out, "");
}

TEST(console_reload, names_what_changed) {
    console_client c;
    c.reloaded.changed = {"pool.size", "pool.mode"};
    const auto replies = c.send(query("RELOAD"));
    EXPECT_EQ(types(replies), "NCZ");
    const auto notice = first(replies, 'N');
    EXPECT_EQ(protocol::parse_error(notice.body).detail, "pool.size\npool.mode");
}

TEST(console_reload, names_what_needs_a_restart) {
    console_client c;
    c.reloaded.needs_restart = {"listen.port"};
    const auto notice = first(c.send(query("RELOAD")), 'N');
    EXPECT_THAT(std::string{protocol::parse_error(notice.body).message}, HasSubstr("restart"));
}

TEST(console_reload, says_both) {
    console_client c;
    c.reloaded.changed = {"pool.size"};
    c.reloaded.needs_restart = {"listen.port"};
    EXPECT_EQ(types(c.send(query("RELOAD"))), "NNCZ");
}

TEST(console_reload, says_that_nothing_changed) {
    console_client c;
    const auto notice = first(c.send(query("RELOAD")), 'N');
    EXPECT_EQ(protocol::parse_error(notice.body).message, "nothing changed");
}

TEST(console_reload, lists_all_problems) {
    console_client c;
    c.reloaded.problems = {"a.toml:1:1: no", "a.toml:2:1: never"};
    const auto replies = c.send(query("RELOAD"));
    EXPECT_EQ(types(replies), "EZ");
    const auto error = first(replies, 'E');
    const auto fields = protocol::parse_error(error.body);
    EXPECT_EQ(fields.sqlstate, "F0000");
    EXPECT_EQ(fields.detail, "a.toml:1:1: no\na.toml:2:1: never");
}

TEST(console_reload, that_failed_ends_the_query_it_is_in) {
    console_client c;
    c.reloaded.problems = {"no"};
    EXPECT_EQ(types(c.send(query("RELOAD; SHOW VERSION"))), "EZ");
}

TEST(console_reload, goes_on_with_what_was_sent_meanwhile) {
    console_client c;
    EXPECT_EQ(types(c.send(query("RELOAD") + query("SHOW VERSION"))), "NCZTDCZ");
}

TEST(console_reload, works_in_the_extended_protocol) {
    console_client c;
    EXPECT_EQ(types(c.send(parse("", "RELOAD") + bind_to("", "") + execute("") + sync())), "12NCZ");
}

}  // namespace
}  // namespace pgweir::admin
