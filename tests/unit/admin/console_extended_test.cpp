// The extended protocol, by PostgreSQL's rules.
#include "admin/console_dialogue.hpp"

#include <gmock/gmock.h>

namespace pgweir::admin {
namespace {

using testing::ElementsAre;

TEST(console_extended, one_unnamed_round) {
    console_client c;
    EXPECT_EQ(types(c.send(parse("", "SHOW VERSION") + bind_to("", "") + describe('P', "") +
                           execute("") + sync())),
              "12TDCZ");
}

TEST(console_extended, execute_alone_sends_no_row_description) {
    console_client c;
    EXPECT_EQ(types(c.send(parse("", "SHOW POOLS") + bind_to("", "") + execute("") + sync())),
              "12CZ");
}

TEST(console_extended, a_described_statement_has_no_parameters_and_its_columns) {
    console_client c;
    const auto replies = c.send(parse("s", "SHOW LISTS") + describe('S', "s") + sync());
    EXPECT_EQ(types(replies), "1tTZ");
    EXPECT_EQ(columns(first(replies, 'T')), "list:25 items:23");
}

TEST(console_extended, a_described_command_has_no_data) {
    console_client c;
    EXPECT_EQ(types(c.send(parse("s", "RELOAD") + describe('S', "s") + sync())), "1tnZ");
}

TEST(console_extended, an_empty_statement_is_an_empty_query) {
    console_client c;
    EXPECT_EQ(
        types(c.send(parse("", "") + bind_to("", "") + describe('P', "") + execute("") + sync())),
        "12nIZ");
}

TEST(console_extended, a_named_statement_serves_again_after_sync) {
    console_client c;
    c.send(parse("s", "SHOW VERSION") + sync());
    EXPECT_EQ(types(c.send(bind_to("", "s") + execute("") + sync())), "2DCZ");
    EXPECT_EQ(types(c.send(bind_to("", "s") + execute("") + sync())), "2DCZ");
}

TEST(console_extended, a_name_cannot_be_given_twice) {
    console_client c;
    EXPECT_EQ(sqlstate(c.send(parse("s", "SHOW LISTS") + parse("s", "SHOW LISTS") + sync())),
              "42P05");
}

TEST(console_extended, a_closed_statement_is_gone_and_its_name_free) {
    console_client c;
    EXPECT_EQ(types(c.send(parse("s", "SHOW LISTS") + close('S', "s") + parse("s", "") + sync())),
              "131Z");
}

TEST(console_extended, closing_what_does_not_exist_is_no_error) {
    console_client c;
    EXPECT_EQ(types(c.send(close('S', "x") + close('P', "x") + sync())), "33Z");
}

TEST(console_extended, closing_a_statement_closes_its_portals) {
    console_client c;
    EXPECT_EQ(sqlstate(c.send(parse("s", "SHOW LISTS") + bind_to("p", "s") + close('S', "s") +
                              execute("p") + sync())),
              "34000");
}

TEST(console_extended, deallocate_forgets_a_statement) {
    console_client c;
    c.send(parse("s", "SHOW LISTS") + sync());
    c.send(query("DEALLOCATE s"));
    EXPECT_EQ(sqlstate(c.send(bind_to("", "s") + sync())), "26000");
}

TEST(console_extended, a_statement_may_deallocate_itself) {
    console_client c;
    EXPECT_EQ(types(c.send(parse("s", "DEALLOCATE s") + bind_to("", "s") + execute("") + sync())),
              "12CZ");
}

TEST(console_extended, discard_all_forgets_all_statements) {
    console_client c;
    c.send(parse("s", "SHOW LISTS") + sync());
    c.send(query("DISCARD ALL"));
    EXPECT_EQ(sqlstate(c.send(bind_to("", "s") + sync())), "26000");
}

TEST(console_extended, a_query_ends_the_unnamed_statement) {
    console_client c;
    c.send(parse("", "SHOW LISTS") + query(""));
    EXPECT_EQ(sqlstate(c.send(bind_to("", "") + sync())), "26000");
}

TEST(console_extended, after_an_error_everything_is_skipped_until_sync) {
    console_client c;
    EXPECT_EQ(types(c.send(parse("", "NONSENSE") + bind_to("", "") + execute("") + query("") +
                           sync() + query(""))),
              "EZIZ");
}

TEST(console_extended, terminate_is_not_skipped) {
    console_client c;
    c.send(parse("", "NONSENSE") + bare('X'));
    EXPECT_TRUE(c.is_closed());
}

TEST(console_extended, a_failed_execute_skips_until_sync) {
    console_client c{config::console_role::stats};
    EXPECT_EQ(
        types(c.send(parse("", "RELOAD") + bind_to("", "") + execute("") + execute("") + sync())),
        "12EZ");
}

TEST(console_extended, flush_has_no_reply_of_its_own) {
    console_client c;
    EXPECT_EQ(types(c.send(parse("", "SHOW LISTS") + bare('H'))), "1");
}

TEST(console_extended, an_unknown_statement_cannot_be_bound) {
    console_client c;
    EXPECT_EQ(sqlstate(c.send(bind_to("", "s") + sync())), "26000");
}

TEST(console_extended, an_unknown_portal_cannot_be_executed) {
    console_client c;
    EXPECT_EQ(sqlstate(c.send(execute("p") + sync())), "34000");
}

TEST(console_extended, an_unknown_portal_cannot_be_described) {
    console_client c;
    EXPECT_EQ(sqlstate(c.send(describe('P', "p") + sync())), "34000");
}

TEST(console_extended, only_statements_and_portals_are_described) {
    console_client c;
    EXPECT_EQ(sqlstate(c.send(describe('x', "p") + sync())), "08P01");
}

TEST(console_extended, a_portal_name_cannot_be_given_twice) {
    console_client c;
    EXPECT_EQ(
        sqlstate(c.send(parse("s", "SHOW LISTS") + bind_to("p", "s") + bind_to("p", "s") + sync())),
        "42P03");
}

TEST(console_extended, several_commands_cannot_be_one_statement) {
    console_client c;
    EXPECT_EQ(sqlstate(c.send(parse("", "SHOW LISTS; SHOW LISTS") + sync())), "42601");
}

TEST(console_extended, there_are_no_parameters_in_the_text) {
    console_client c;
    EXPECT_EQ(sqlstate(c.send(parse("", "SET x = $1") + sync())), "42P02");
}

TEST(console_extended, values_for_parameters_are_refused) {
    console_client c;
    const auto with_value = message('B', [](auto& w) {
        w.put_cstr("").put_cstr("").put_int16(0).put_int16(1).put_int32(1).put_bytes("7");
        w.put_int16(0);
    });
    EXPECT_EQ(sqlstate(c.send(parse("", "SHOW LISTS") + with_value + sync())), "08P01");
}

TEST(console_extended, too_many_statements_are_refused) {
    console_client c;
    for (int i = 0; i < 128; ++i) {
        ASSERT_EQ(types(c.send(parse("s" + std::to_string(i), "SHOW LISTS"))), "1");
    }
    EXPECT_EQ(sqlstate(c.send(parse("one more", "SHOW LISTS"))), "54000");
}

TEST(console_extended, too_many_portals_are_refused) {
    console_client c;
    c.send(parse("s", "SHOW LISTS"));
    for (int i = 0; i < 16; ++i) {
        ASSERT_EQ(types(c.send(bind_to("p" + std::to_string(i), "s"))), "2");
    }
    EXPECT_EQ(sqlstate(c.send(bind_to("one more", "s"))), "54000");
}

TEST(console_extended, sync_ends_portals_outside_a_transaction) {
    console_client c;
    c.send(parse("s", "SHOW LISTS") + bind_to("p", "s") + sync());
    EXPECT_EQ(sqlstate(c.send(execute("p") + sync())), "34000");
}

TEST(console_extended, a_portal_outlives_sync_inside_a_transaction) {
    console_client c;
    c.send(query("BEGIN"));
    c.send(parse("s", "SHOW LISTS") + bind_to("p", "s") + execute("p", 2) + sync());
    EXPECT_EQ(types(c.send(execute("p", 2) + sync())), "DDsZ");
}

TEST(console_extended, rows_come_in_portions) {
    console_client c;
    EXPECT_EQ(types(c.send(parse("", "SHOW LISTS") + bind_to("", "") + execute("", 10) +
                           execute("", 10) + sync())),
              "12"
              "DDDDDDDDDDs"
              "DDDDC"
              "Z");
}

TEST(console_extended, a_full_last_portion_is_suspended_too) {
    console_client c;
    EXPECT_EQ(types(c.send(parse("", "SHOW VERSION") + bind_to("", "") + execute("", 1) +
                           execute("", 1) + sync())),
              "12"
              "Ds"
              "C"
              "Z");
}

TEST(console_extended, a_command_runs_once) {
    console_client c;
    EXPECT_EQ(sqlstate(c.send(parse("", "SET x = 1") + bind_to("", "") + execute("") + execute("") +
                              sync())),
              "55000");
}

TEST(console_extended, begin_shows_in_the_status_after_sync) {
    console_client c;
    EXPECT_EQ(first(c.send(parse("", "BEGIN") + bind_to("", "") + execute("") + sync()), 'Z').body,
              "T");
}

TEST(console_extended, binary_integers_are_four_bytes) {
    console_client c;
    c.report.used_servers = 258;
    const auto all = rows(c.send(parse("", "SHOW LISTS") + bind_to("", "", {1}) + execute("")));
    ASSERT_EQ(all.size(), 14U);
    EXPECT_THAT(all[9], ElementsAre("used_servers", std::string("\0\0\1\2", 4)));
}

TEST(console_extended, formats_can_be_given_for_each_column) {
    console_client c;
    const auto all = rows(c.send(parse("", "SHOW LISTS") + bind_to("", "", {1, 0}) + execute("")));
    ASSERT_FALSE(all.empty());
    EXPECT_THAT(all[0], ElementsAre("databases", "0"));
}

TEST(console_extended, the_described_portal_tells_its_formats) {
    console_client c;
    const auto replies =
        c.send(parse("", "SHOW VERSION") + bind_to("", "", {1}) + describe('P', ""));
    EXPECT_EQ(first(replies, 'T').body.back(), '\1');
}

TEST(console_extended, formats_for_other_columns_are_refused) {
    console_client c;
    EXPECT_EQ(sqlstate(c.send(parse("", "SHOW LISTS") + bind_to("", "", {1, 1, 1}))), "08P01");
}

TEST(console_extended, unknown_formats_are_refused) {
    console_client c;
    EXPECT_EQ(sqlstate(c.send(parse("", "SHOW LISTS") + bind_to("", "", {2}))), "22023");
}

}  // namespace
}  // namespace pgweir::admin
