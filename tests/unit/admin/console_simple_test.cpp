// The simple protocol: a Query is answered statement by statement and ends in ReadyForQuery.
#include "admin/console_dialogue.hpp"

#include <gmock/gmock.h>

namespace pgweir::admin {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(console_simple, version_is_one_row) {
    console_client c;
    const auto replies = c.send(query("SHOW VERSION"));
    EXPECT_EQ(types(replies), "TDCZ");
    EXPECT_THAT(rows(replies), ElementsAre(ElementsAre("pgweir " PGWEIR_VERSION)));
}

TEST(console_simple, a_table_ends_with_the_tag_show) {
    console_client c;
    EXPECT_EQ(first(c.send(query("SHOW POOLS")), 'C').body, std::string("SHOW\0", 5));
}

TEST(console_simple, case_comments_and_semicolons_do_not_matter) {
    console_client c;
    EXPECT_EQ(types(c.send(query(" /* a /* b */ */ sHoW -- x\n vErSiOn ;; "))), "TDCZ");
}

TEST(console_simple, a_quoted_name_is_the_name) {
    console_client c;
    EXPECT_EQ(types(c.send(query("show \"version\""))), "TDCZ");
}

TEST(console_simple, a_quoted_verb_is_no_verb) {
    console_client c;
    EXPECT_EQ(sqlstate(c.send(query("\"show\" version"))), "42601");
}

TEST(console_simple, nothing_is_an_empty_query) {
    console_client c;
    EXPECT_EQ(types(c.send(query(""))), "IZ");
}

TEST(console_simple, a_lone_semicolon_is_an_empty_query) {
    console_client c;
    EXPECT_EQ(types(c.send(query(";"))), "IZ");
}

TEST(console_simple, a_comment_is_an_empty_query) {
    console_client c;
    EXPECT_EQ(types(c.send(query("-- ping"))), "IZ");
}

TEST(console_simple, several_statements_are_answered_in_turn) {
    console_client c;
    EXPECT_EQ(types(c.send(query("SHOW VERSION; SHOW LISTS; BEGIN"))), "TDCTDDDDDDDDDDDDDDCCZ");
}

TEST(console_simple, an_error_ends_the_query_it_is_in) {
    console_client c{config::console_role::stats};
    EXPECT_EQ(types(c.send(query("SHOW VERSION; RELOAD; SHOW VERSION"))), "TDCEZ");
}

TEST(console_simple, nothing_runs_of_a_text_that_does_not_parse) {
    console_client c;
    EXPECT_EQ(types(c.send(query("SHOW VERSION; NONSENSE"))), "EZ");
}

TEST(console_simple, pipelined_queries_are_all_answered) {
    console_client c;
    EXPECT_EQ(types(c.send(query("SHOW VERSION") + query("SHOW POOLS") + query("SHOW VERSION"))),
              "TDCZTCZTDCZ");
}

TEST(console_simple, an_unknown_verb_names_show_help) {
    console_client c;
    const auto replies = c.send(query("FROBNICATE now"));
    EXPECT_EQ(types(replies), "EZ");
    const auto error = first(replies, 'E');
    const auto fields = protocol::parse_error(error.body);
    EXPECT_EQ(fields.sqlstate, "42601");
    EXPECT_THAT(std::string{fields.hint}, HasSubstr("SHOW HELP"));
}

TEST(console_simple, an_unknown_show_is_a_syntax_error) {
    console_client c;
    EXPECT_EQ(sqlstate(c.send(query("SHOW nonsense"))), "42601");
}

TEST(console_simple, a_lone_show_is_a_syntax_error) {
    console_client c;
    EXPECT_EQ(sqlstate(c.send(query("SHOW"))), "42601");
}

TEST(console_simple, a_table_takes_no_arguments) {
    console_client c;
    EXPECT_EQ(sqlstate(c.send(query("SHOW POOLS shop"))), "42601");
}

TEST(console_simple, a_verb_of_pgbouncer_that_is_lacking_says_so) {
    console_client c;
    EXPECT_EQ(sqlstate(c.send(query("SUSPEND"))), "0A000");
}

TEST(console_simple, a_show_of_pgbouncer_that_is_lacking_says_so) {
    console_client c;
    EXPECT_EQ(sqlstate(c.send(query("SHOW FDS"))), "0A000");
}

TEST(console_simple, help_lists_the_verbs_in_a_notice) {
    console_client c;
    const auto replies = c.send(query("SHOW HELP"));
    EXPECT_EQ(types(replies), "NCZ");
    const auto notice = first(replies, 'N');
    EXPECT_THAT(std::string{protocol::parse_error(notice.body).detail}, HasSubstr("SHOW POOLS"));
}

TEST(console_simple, begin_and_commit_show_in_the_status) {
    console_client c;
    EXPECT_EQ(first(c.send(query("BEGIN")), 'Z').body, "T");
    EXPECT_EQ(first(c.send(query("SHOW VERSION")), 'Z').body, "T");
    EXPECT_EQ(first(c.send(query("COMMIT")), 'Z').body, "I");
}

TEST(console_simple, an_error_does_not_fail_the_transaction) {
    console_client c;
    c.send(query("BEGIN"));
    EXPECT_EQ(first(c.send(query("NONSENSE")), 'Z').body, "T");
}

TEST(console_simple, rollback_has_its_own_tag) {
    console_client c;
    c.send(query("START TRANSACTION READ ONLY"));
    EXPECT_EQ(first(c.send(query("ROLLBACK")), 'C').body, std::string("ROLLBACK\0", 9));
}

TEST(console_simple, a_commit_of_nothing_warns) {
    console_client c;
    EXPECT_EQ(types(c.send(query("COMMIT"))), "NCZ");
}

TEST(console_simple, rollback_to_a_savepoint_is_refused) {
    console_client c;
    c.send(query("BEGIN"));
    const auto replies = c.send(query("ROLLBACK TO x"));
    EXPECT_EQ(sqlstate(replies), "0A000");
    EXPECT_EQ(first(replies, 'Z').body, "T");
}

TEST(console_simple, set_is_ignored_with_a_notice) {
    console_client c;
    const auto replies = c.send(query("SET extra_float_digits = 3"));
    EXPECT_EQ(types(replies), "NCZ");
    EXPECT_EQ(first(replies, 'C').body, std::string("SET\0", 4));
}

TEST(console_simple, session_parameters_can_be_shown) {
    console_client c;
    EXPECT_THAT(rows(c.send(query("SHOW DateStyle"))), ElementsAre(ElementsAre("ISO")));
}

TEST(console_simple, the_isolation_level_can_be_shown_in_sql) {
    console_client c;
    EXPECT_THAT(rows(c.send(query("SHOW TRANSACTION ISOLATION LEVEL"))),
                ElementsAre(ElementsAre("read committed")));
}

TEST(console_simple, a_table_asks_for_its_parts_only) {
    console_client c;
    c.send(query("SHOW POOLS; SHOW STATS; SHOW CONFIG"));
    EXPECT_THAT(c.asked_for, ElementsAre(4U, 16U, 0U));
}

TEST(console_simple, terminate_closes_without_a_word) {
    console_client c;
    EXPECT_TRUE(c.send(bare('X')).empty());
    EXPECT_TRUE(c.is_closed());
}

TEST(console_simple, terminate_behind_a_query_closes_after_its_answer) {
    console_client c;
    EXPECT_EQ(types(c.send(query("SHOW POOLS") + bare('X'))), "TCZ");
    EXPECT_TRUE(c.is_closed());
}

TEST(console_simple, a_function_call_is_refused) {
    console_client c;
    EXPECT_EQ(types(c.send(message('F', [](auto& w) { w.put_int32(1); }))), "EZ");
}

TEST(console_simple, what_is_left_of_a_copy_is_ignored) {
    console_client c;
    EXPECT_EQ(types(c.send(bare('d') + bare('c') + query(""))), "IZ");
}

TEST(console_welcome, tells_drivers_what_they_need) {
    console_client c;
    std::string out;
    c.session->welcome(out);
    std::vector<std::string> parameters;
    for (const auto& r : split(out)) {
        parameters.emplace_back(r.body.data() + std::string_view{r.body.data()}.size() + 1);
    }
    EXPECT_THAT(parameters, ElementsAre(PGWEIR_VERSION "/pgweir", "UTF8", "UTF8", "ISO", "GMT",
                                        "on", "on", "on", "postgres", "off", "off"));
}

TEST(console_service, serves_two_names) {
    const console_service service;
    EXPECT_TRUE(service.serves("pgweir"));
    EXPECT_TRUE(service.serves("pgbouncer"));
    EXPECT_FALSE(service.serves("postgres"));
}

}  // namespace
}  // namespace pgweir::admin
