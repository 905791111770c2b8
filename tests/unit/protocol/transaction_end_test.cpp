// What a statement does to its transaction block is read from its text.
#include "pgweir/protocol/transaction_end.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace pgweir::protocol {
namespace {

using verb = transaction_verb;

struct spelling {
    std::string_view text;
    verb what;
};

TEST(statement_look, knows_every_spelling_of_the_grammar) {
    constexpr spelling all[] = {
        {"ROLLBACK", verb::rollback},
        {"rollback work", verb::rollback},
        {"Rollback Transaction", verb::rollback},
        {"ROLLBACK AND NO CHAIN", verb::rollback},
        {"ROLLBACK TRANSACTION AND NO CHAIN;", verb::rollback},
        {"ABORT", verb::rollback},
        {"abort work and no chain", verb::rollback},
        {"ROLLBACK AND CHAIN", verb::rollback_and_chain},
        {"ABORT TRANSACTION AND CHAIN", verb::rollback_and_chain},
        {"COMMIT", verb::commit},
        {"COMMIT WORK AND NO CHAIN", verb::commit},
        {"END", verb::commit},
        {"END TRANSACTION", verb::commit},
        {"COMMIT AND CHAIN", verb::commit_and_chain},
        {"END WORK AND CHAIN", verb::commit_and_chain},
        {"PREPARE TRANSACTION 'a;''b'", verb::prepare_transaction},
        {"PREPARE TRANSACTION E'a\\';'", verb::prepare_transaction},
        {"PREPARE TRANSACTION U&'a'", verb::prepare_transaction},
        {"PREPARE TRANSACTION $a$b;$c$d$a$", verb::prepare_transaction},
        {"prepare transaction $$$$", verb::prepare_transaction},
        {"BEGIN", verb::begin},
        {"BEGIN WORK ISOLATION LEVEL SERIALIZABLE, READ ONLY", verb::begin},
        {"START TRANSACTION READ WRITE", verb::begin},
        {"SAVEPOINT a", verb::savepoint},
        {"RELEASE SAVEPOINT a", verb::release},
        {"RELEASE a", verb::release},
        {"ROLLBACK TO a", verb::rollback_to},
        {"ROLLBACK WORK TO SAVEPOINT a", verb::rollback_to},
    };
    for (const auto& s : all) {
        EXPECT_EQ(look_at_statement(s.text).verb, s.what) << s.text;
        EXPECT_EQ(look_at_statement(s.text).rest, "") << s.text;
    }
}

TEST(statement_look, takes_nothing_else_for_it) {
    for (const std::string_view text : {"SELECT 1",
                                        "COMMIT PREPARED 'x'",
                                        "ROLLBACK PREPARED 'x'",
                                        "PREPARE a AS SELECT 1",
                                        "PREPARE TRANSACTION",
                                        "PREPARE TRANSACTION x",
                                        "PREPARE TRANSACTION 'x' y",
                                        "COMMITTED",
                                        "ROLLBACKS",
                                        "END_",
                                        "commit1",
                                        "COMMIT $1",
                                        "COMMIT a",
                                        "COMMIT AND",
                                        "COMMIT AND CHAIN a",
                                        "COMMIT AND NO",
                                        "ROLLBACK WORK WORK",
                                        "ROLLBACK (",
                                        "START",
                                        "\"rollback\"",
                                        "(rollback)",
                                        "'rollback'",
                                        "- rollback",
                                        "/ rollback",
                                        "SELECT 1; ROLLBACK"}) {
        EXPECT_EQ(look_at_statement(text).verb, verb::other) << text;
    }
}

TEST(statement_look, skips_blanks_comments_and_empty_statements) {
    for (const std::string_view text :
         {" \t\r\n\fROLLBACK", "-- a\nROLLBACK", "-- a\rROLLBACK", "/* a */ROLLBACK",
          "/* /* */ */ROLLBACK", "/**/ROLLBACK/**/", "/***/ROLLBACK", "ROLLBACK--", "ROLLBACK/*",
          "ROLLBACK/* /* */", ";;ROLLBACK", "; /* ; */ ROLLBACK ; ;", "ROLLBACK/**/WORK--;\n;"}) {
        const auto look = look_at_statement(text);
        EXPECT_EQ(look.verb, verb::rollback) << text;
        EXPECT_EQ(look.rest, "") << text;
    }
}

TEST(statement_look, finds_nothing_in_nothing) {
    for (const std::string_view text :
         {"", " ", ";", " ; -- a", "--", "/*", "/*/", "/* ROLLBACK", "-- ROLLBACK", ";;"}) {
        EXPECT_EQ(look_at_statement(text).verb, verb::empty) << text;
    }
}

TEST(statement_look, returns_what_is_behind) {
    EXPECT_EQ(look_at_statement("ROLLBACK; SELECT 1").rest, "SELECT 1");
    EXPECT_EQ(look_at_statement(";COMMIT;;/* */SELECT 1; SELECT 2").rest, "SELECT 1; SELECT 2");
    EXPECT_EQ(look_at_statement("BEGIN READ ONLY; SELECT 1").rest, "SELECT 1");
    EXPECT_EQ(look_at_statement("PREPARE TRANSACTION ';';x").rest, "x");
    EXPECT_EQ(look_at_statement("ROLLBACK AND CHAIN;x").rest, "x");
}

struct controlling {
    std::string_view text;
    transaction_control what;
};

TEST(control_of_a_text, is_exact_for_single_statements) {
    using control = transaction_control;
    constexpr controlling all[] = {
        {"BEGIN", control::begins},
        {"start transaction read only;", control::begins},
        {"COMMIT", control::commits},
        {" /* a; */ end ; ", control::commits},
        {"PREPARE TRANSACTION 'a'", control::commits},
        {"ROLLBACK", control::rolls_back},
        {"abort work", control::rolls_back},
        {"COMMIT AND CHAIN", control::mixed},
        {"ROLLBACK AND CHAIN", control::mixed},
        {"", control::none},
        {";", control::none},
        {"s", control::none},
        {"SELECT 1", control::none},
        {"select 1;", control::none},
        {"SELECT 1; -- COMMIT", control::none},
        {"SAVEPOINT a", control::none},
        {"RELEASE a", control::none},
        {"ROLLBACK TO a", control::none},
        {"COMMIT PREPARED 'a'", control::none},
        {"PREPARE a AS SELECT 1", control::none},
        {"CALL p()", control::none},
        {"-- COMMIT", control::none},
    };
    for (const auto& a : all) {
        EXPECT_EQ(control_of(a.text), a.what) << a.text;
    }
}

TEST(control_of_a_text, finds_it_behind_other_statements) {
    for (const std::string_view text :
         {"SELECT 1; COMMIT", "COMMIT; SELECT 1", "BEGIN; SELECT 1; COMMIT", "SELECT ';'; BEGIN",
          "SELECT 1;/* */ ; end", "SELECT $a$;$a$; ROLLBACK", "SELECT \";\"; COMMIT; SELECT 2",
          "SELECT E'\\';'; COMMIT", "SELECT 'a''b;'; ABORT", "SELECT a$b; COMMIT",
          "SELECT $1;COMMIT", "CREATE TABLE t (); PREPARE TRANSACTION 'a'",
          "SELECT 1; SELECT 2; START TRANSACTION"}) {
        EXPECT_EQ(control_of(text), transaction_control::mixed) << text;
    }
}

// Where a string constant ends may depend on settings.
TEST(control_of_a_text, believes_no_string_to_hide_a_commit) {
    for (const std::string_view text :
         {"SELECT '; COMMIT'", "DO $$ BEGIN; SELECT 1; END $$", "SELECT 'a\\''; COMMIT; SELECT '",
          "SELECT ';/* */COMMIT'", "SELECT '; prepare'"}) {
        EXPECT_EQ(control_of(text), transaction_control::may_commit) << text;
    }
}

TEST(control_of_a_text, takes_no_word_for_another) {
    for (const std::string_view text :
         {"SELECT 1; SELECT 2", "SELECT ';begin'", "DO $$ declare x int; begin x := 1; $$",
          "SELECT 1; ending", "SELECT 1; SAVEPOINT a", "SELECT 'a; b'", "BEGINNING; SELECT 1"}) {
        EXPECT_EQ(control_of(text), transaction_control::none) << text;
    }
}

TEST(control_of_a_text, may_be_anything_where_its_end_is_not_in_sight) {
    EXPECT_EQ(study_beginning("INSERT INTO t VALUES ("), transaction_control::may_commit);
    EXPECT_EQ(study_beginning("COMMIT /* "), transaction_control::mixed);
    EXPECT_EQ(study_beginning("BEGIN; INSERT"), transaction_control::mixed);
    EXPECT_EQ(study_beginning("SELECT '; COMMIT; "), transaction_control::may_commit);
}

TEST(control_of_a_text, is_the_same_by_the_short_way) {
    for (const std::string_view word :
         {"abort", "begin", "commit", "end", "rollback", "start transaction", "select 1",
          "prepare transaction 'a'", "insert", "stop", "sTART transaction", "@", "(select 1)"}) {
        EXPECT_EQ(control_of(word), study_control(word)) << word;
    }
}

// Were it in proportion to the square of it, this would take minutes.
// Were it in proportion to the square of it, this would take minutes.
TEST(control_of_a_text, takes_time_in_proportion_to_its_length) {
    for (const std::string_view piece : {";/* ", "';/* ", "$a ;$b \"", ";commit/* ", ";begin_ ",
                                         "$a$;$b$ ", "e';\\", ";--", "a;"}) {
        std::string hostile = "select";
        while (hostile.size() < 300'000) {
            hostile += piece;
        }
        EXPECT_NE(control_of(hostile), transaction_control::begins) << piece;
    }
}

}  // namespace
}  // namespace pgweir::protocol
