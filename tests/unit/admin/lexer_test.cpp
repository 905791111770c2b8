// Statements and words of a query's text.
#include "admin/lexer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgweir::admin {
namespace {

// "word show|quoted Shop"; statements are separated by " ; ".
std::string words_of(std::string_view sql) {
    static constexpr const char* kinds[] = {"word",   "quoted",    "string",
                                            "number", "parameter", "symbol"};
    const auto read = read_statements(sql);
    if (const auto* problem = std::get_if<failure>(&read)) {
        return problem->sqlstate + " " + problem->message;
    }
    std::string text;
    for (const auto& words : std::get<std::vector<token_list>>(read)) {
        text += text.empty() ? "" : " ; ";
        bool is_first = true;
        for (const auto& t : words) {
            text += is_first ? "" : "|";
            is_first = false;
            text += kinds[static_cast<std::size_t>(t.what)];
            text += " " + t.text;
        }
    }
    return text;
}

TEST(lexer, folds_words_to_lower_case) {
    EXPECT_EQ(words_of("SHOW Pools"), "word show|word pools");
}

TEST(lexer, keeps_quoted_names_as_written) {
    EXPECT_EQ(words_of("PAUSE \"My \"\"Shop\"\"\""), "word pause|quoted My \"Shop\"");
}

TEST(lexer, takes_quotes_off_strings) {
    EXPECT_EQ(words_of("SET x = 'it''s'"), "word set|word x|symbol =|string it's");
}

TEST(lexer, keeps_dotted_names_whole) {
    EXPECT_EQ(words_of("set pool.size to 5"), "word set|word pool.size|word to|number 5");
}

TEST(lexer, knows_parameters) { EXPECT_EQ(words_of("KILL $12"), "word kill|parameter $12"); }

TEST(lexer, separates_statements_and_drops_empty_ones) {
    EXPECT_EQ(words_of(";a;;b;"), "word a ; word b");
}

TEST(lexer, a_semicolon_in_a_string_separates_nothing) {
    EXPECT_EQ(words_of("a ';'"), "word a|string ;");
}

TEST(lexer, drops_line_comments) { EXPECT_EQ(words_of("a -- b\nc --"), "word a|word c"); }

TEST(lexer, drops_nested_block_comments) {
    EXPECT_EQ(words_of("a /* /* ' */ */ b"), "word a|word b");
}

TEST(lexer, refuses_a_string_without_end) {
    EXPECT_EQ(words_of("a 'b''"), "42601 unterminated quoted string");
}

TEST(lexer, refuses_a_quoted_name_without_end) {
    EXPECT_EQ(words_of("\""), "42601 unterminated quoted identifier");
}

TEST(lexer, refuses_a_comment_without_end) {
    EXPECT_EQ(words_of("a /* /* */"), "42601 unterminated /* comment");
}

TEST(lexer, takes_bytes_beyond_ascii_for_letters) { EXPECT_EQ(words_of("KASSÉ"), "word kassÉ"); }

}  // namespace
}  // namespace pgweir::admin
