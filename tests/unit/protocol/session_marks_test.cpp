// Signs of session state in command tags and in SQL text, whole and in pieces.
#include "pgweir/protocol/session_marks.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace pgweir::protocol {
namespace {

struct tag {
    const char* text;
    tag_effect effect;
};

class tag_that_leaves_state : public ::testing::TestWithParam<tag> {};
class tag_that_leaves_nothing : public ::testing::TestWithParam<const char*> {};

TEST_P(tag_that_leaves_state, tells_what_it_is) {
    EXPECT_EQ(effect_of_tag(GetParam().text), GetParam().effect) << GetParam().text;
}

TEST_P(tag_that_leaves_nothing, marks_nothing) {
    EXPECT_EQ(effect_of_tag(GetParam()), tag_effect::none);
}

INSTANTIATE_TEST_SUITE_P(tags,
                         tag_that_leaves_state,
                         ::testing::Values(tag{"SET", tag_effect::settings},
                                           tag{"RESET", tag_effect::reset},
                                           tag{"LISTEN", tag_effect::dirty},
                                           tag{"UNLISTEN", tag_effect::dirty},
                                           tag{"PREPARE", tag_effect::prepared},
                                           tag{"DEALLOCATE", tag_effect::removed},
                                           tag{"DEALLOCATE ALL", tag_effect::deallocated},
                                           tag{"DECLARE CURSOR", tag_effect::dirty},
                                           tag{"DO", tag_effect::prepared},
                                           tag{"CALL", tag_effect::prepared},
                                           tag{"DISCARD", tag_effect::dirty},
                                           tag{"DISCARD ALL", tag_effect::deallocated},
                                           tag{"DISCARD TEMP", tag_effect::dirty},
                                           tag{"DISCARD PLANS", tag_effect::dirty},
                                           tag{"DISCARD SEQUENCES", tag_effect::dirty}));
INSTANTIATE_TEST_SUITE_P(tags,
                         tag_that_leaves_nothing,
                         ::testing::Values("",
                                           "SELECT 1",
                                           "SELECT 0",
                                           "INSERT 0 1",
                                           "UPDATE 3",
                                           "DELETE 0",
                                           "BEGIN",
                                           "COMMIT",
                                           "ROLLBACK",
                                           "SAVEPOINT",
                                           "RELEASE",
                                           "SET CONSTRAINTS",
                                           "PREPARE TRANSACTION",
                                           "COMMIT PREPARED",
                                           "CREATE TABLE",
                                           "CLOSE CURSOR",
                                           "FETCH 5",
                                           "MOVE 5",
                                           "COPY 7",
                                           "LOCK TABLE",
                                           "NOTIFY",
                                           "CREATE INDEX",
                                           "DROP TABLE",
                                           "set",
                                           "S",
                                           "D",
                                           "L"));

TEST(tag_of_load, cannot_be_cleaned) { EXPECT_EQ(effect_of_tag("LOAD"), tag_effect::permanent); }

class text_that_names_state : public ::testing::TestWithParam<const char*> {};
class text_that_names_nothing : public ::testing::TestWithParam<const char*> {};

bool names_state(std::string_view sql) { return names_session_state(sql) != text_effect::none; }

TEST_P(text_that_names_state, is_seen) { EXPECT_TRUE(names_state(GetParam())); }

TEST_P(text_that_names_state, is_seen_in_upper_case) {
    std::string upper{GetParam()};
    for (char& c : upper) {
        c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    EXPECT_TRUE(names_state(upper)) << upper;
}

TEST_P(text_that_names_state, is_seen_in_mixed_case) {
    std::string mixed{GetParam()};
    for (std::size_t i = 0; i < mixed.size(); i += 2) {
        mixed[i] = static_cast<char>(std::toupper(static_cast<unsigned char>(mixed[i])));
    }
    EXPECT_TRUE(names_state(mixed)) << mixed;
}

TEST_P(text_that_names_state, is_seen_at_any_place_among_other_text) {
    for (std::size_t n = 0; n < 64; ++n) {
        const auto text = std::string(n, ' ') + GetParam() + std::string(n, ';');
        ASSERT_TRUE(names_state(text)) << n;
    }
}

TEST_P(text_that_names_state, is_seen_across_a_seam_anywhere) {
    const std::string text =
        "select 'some text in front of it'; " + std::string{GetParam()} + "; end";
    for (std::size_t at = 0; at <= text.size(); ++at) {
        session_probe probe;
        (void)probe.feed(std::string_view{text}.substr(0, at));
        ASSERT_NE(probe.feed(std::string_view{text}.substr(at)), text_effect::none) << at;
    }
}

TEST_P(text_that_names_state, is_seen_in_pieces_of_any_size) {
    const std::string text =
        "select 'some text in front of it'; " + std::string{GetParam()} + "; end";
    for (std::size_t size = 1; size < 40; ++size) {
        session_probe probe;
        auto found = text_effect::none;
        for (std::size_t at = 0; at < text.size(); at += size) {
            found = probe.feed(std::string_view{text}.substr(at, size));
        }
        ASSERT_NE(found, text_effect::none) << size;
    }
}

TEST_P(text_that_names_nothing, is_not_suspected) { EXPECT_FALSE(names_state(GetParam())); }

INSTANTIATE_TEST_SUITE_P(texts,
                         text_that_names_state,
                         ::testing::Values("select set_config('a.b', 'c', false)",
                                           "select pg_catalog.set_config($1,$2,$3)",
                                           "select \"set_config\"('a', 'b', false)",
                                           "select pg_advisory_lock(1)",
                                           "select pg_try_advisory_lock_shared(1)",
                                           "select pg_advisory_xact_lock(1)",
                                           "create temp table t (a int)",
                                           "create temporary table t (a int)",
                                           "create local temp table t (a int)",
                                           "create temp\ttable t (a int)",
                                           "select 1 into temp t",
                                           "select 1 into temporary table t",
                                           "create/**/temp/**/table t()",
                                           "create or replace temp view v as select 1",
                                           "create table pg_temp.t (a int)",
                                           "create table \"pg_temp\".t (a int)",
                                           "create table pg_temp_3.t (a int)",
                                           "create table u&\"pg\\005ftemp\".t (a int)",
                                           "select u&\"set\\005fconfig\"('a', 'b', false)",
                                           "temp",
                                           "temporary",
                                           "update pg_settings set setting = 1",
                                           "select nextval('s')",
                                           "select setseed(0.5)"));
INSTANTIATE_TEST_SUITE_P(texts,
                         text_that_names_nothing,
                         ::testing::Values("",
                                           "select 1",
                                           "select temperature from weather",
                                           "select temp_readings from t",
                                           "select room_temp from t",
                                           "insert into attempts values (1)",
                                           "select contempt from t",
                                           "select template from pg_database",
                                           "update t set config = 1",
                                           "select temp1, temp$ from t",
                                           "select advice from t",
                                           "select u & 1",
                                           "select 'simple', 'example', 'computer'",
                                           "select setsee from events where seeds",
                                           "select \xc3\xa4temp\xc3\xa4 from t",
                                           "select temporaryx from t"));

struct known_effect {
    const char* sql;
    text_effect effect;
};

// Locks and nextval leave the meaning of other texts alone.
TEST(effect_of_text, tells_what_may_change_the_meaning_of_others) {
    for (const auto& [sql, effect] :
         {known_effect{"select pg_advisory_lock(1)", text_effect::dirty},
          known_effect{"select nextval('s')", text_effect::dirty},
          known_effect{"select setseed(0.5)", text_effect::dirty},
          known_effect{"select set_config('a.b', 'c', false)", text_effect::settings},
          known_effect{"create temp table t ()", text_effect::settings},
          known_effect{"update pg_settings set setting = 1", text_effect::settings},
          known_effect{"select nextval('s') into temp t", text_effect::settings}}) {
        EXPECT_EQ(names_session_state(sql), effect) << sql;
    }
}

TEST(session_probe, tells_the_strongest_of_all_pieces) {
    session_probe probe;
    (void)probe.feed("create temp table t ()");
    EXPECT_EQ(probe.feed("select nextval('s')"), text_effect::settings);
}

TEST(session_probe, forgets_at_restart) {
    session_probe probe;
    (void)probe.feed("create temp table t ()");
    probe.restart();
    EXPECT_EQ(probe.feed("select 1"), text_effect::none);
}

TEST(session_probe, joins_nothing_across_a_restart) {
    session_probe probe;
    (void)probe.feed("select set_con");
    probe.restart();
    EXPECT_EQ(probe.feed("fig"), text_effect::none);
}

TEST(session_probe, remembers_until_restart) {
    session_probe probe;
    (void)probe.feed("create temp table t ()");
    EXPECT_EQ(probe.feed("select 1"), text_effect::settings);
}

}  // namespace
}  // namespace pgweir::protocol
