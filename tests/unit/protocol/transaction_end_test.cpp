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

}  // namespace
}  // namespace pgweir::protocol
