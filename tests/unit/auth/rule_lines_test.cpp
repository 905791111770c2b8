// Lines, quoting, lists and inclusion in files of access rules.
#include "auth/rule_lines.hpp"

#include "auth/rule_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgweir::auth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

// "FILE:LINE a|b,'c'" with quoted tokens in '', or "FILE:LINE ! error".
std::string shown(const rule_line& line) {
    std::string out = line.file + ":" + std::to_string(line.line) + " ";
    if (!line.error.empty()) {
        return out + "! " + line.error;
    }
    for (const auto& f : line.fields) {
        out += &f == line.fields.data() ? "" : "|";
        for (const auto& t : f) {
            out += &t == f.data() ? "" : ",";
            out += t.is_quoted ? "'" + t.text + "'" : t.text;
        }
    }
    return out;
}

std::vector<std::string> lines_of(rule_files files) {
    std::vector<std::string> out;
    for (const auto& line : read_rule_lines("/d/hba", files)) {
        out.push_back(shown(line));
    }
    return out;
}
std::vector<std::string> lines_in(std::string text) {
    return lines_of({{"/d/hba", std::move(text)}});
}

TEST(rule_lines, are_fields_between_blanks) {
    EXPECT_THAT(lines_in("local  all\tall\rtrust\r\n"),
                ElementsAre("/d/hba:1 local|all|all|trust"));
}

TEST(rule_lines, of_nothing_but_blanks_and_comments_are_none) {
    EXPECT_THAT(lines_in("\n  \t\n# host all\n   # x\n"), IsEmpty());
}

TEST(rule_lines, need_no_newline_at_the_end) {
    EXPECT_THAT(lines_in("a b"), ElementsAre("/d/hba:1 a|b"));
}

TEST(rule_lines, end_at_a_comment_even_within_a_word) {
    EXPECT_THAT(lines_in("a b#c d"), ElementsAre("/d/hba:1 a|b"));
}

TEST(rule_lines, keep_a_number_sign_within_quotes) {
    EXPECT_THAT(lines_in("a \"b#c\""), ElementsAre("/d/hba:1 a|'b#c'"));
}

TEST(rule_lines, divide_lists_at_commas) {
    EXPECT_THAT(lines_in("a,b c,d,e"), ElementsAre("/d/hba:1 a,b|c,d,e"));
}

TEST(rule_lines, allow_blanks_behind_a_comma) {
    EXPECT_THAT(lines_in("a, b c"), ElementsAre("/d/hba:1 a,b|c"));
}

TEST(rule_lines, begin_a_new_field_where_a_blank_comes_before_the_comma) {
    EXPECT_THAT(lines_in("a ,b"), ElementsAre("/d/hba:1 a|b"));
}

TEST(rule_lines, take_quotes_for_a_mark_not_a_part_of_the_name) {
    EXPECT_THAT(lines_in("\"all\" \"a b\" \"a,b\""), ElementsAre("/d/hba:1 'all'|'a b'|'a,b'"));
}

TEST(rule_lines, do_not_call_quoted_what_begins_without_a_quote) {
    EXPECT_THAT(lines_in("a\"ll\""), ElementsAre("/d/hba:1 all"));
}

TEST(rule_lines, read_two_quotes_within_quotes_as_one) {
    EXPECT_THAT(lines_in("\"a\"\"b\""), ElementsAre("/d/hba:1 'a\"b'"));
}

TEST(rule_lines, have_an_empty_name_in_empty_quotes) {
    EXPECT_THAT(lines_in("a \"\" b"), ElementsAre("/d/hba:1 a|''|b"));
}

TEST(rule_lines, close_a_quote_at_their_end) {
    EXPECT_THAT(lines_in("a \"b c\nd"), ElementsAre("/d/hba:1 a|'b c'", "/d/hba:2 d"));
}

TEST(rule_lines, go_on_behind_a_backslash) {
    EXPECT_THAT(lines_in("a \\\nb\\\r\nc\nd"), ElementsAre("/d/hba:1 a|bc", "/d/hba:4 d"));
}

TEST(rule_lines, go_on_once_behind_two_backslashes) {
    EXPECT_THAT(lines_in("a\\\\\n\nb"), ElementsAre("/d/hba:1 a\\", "/d/hba:3 b"));
}

TEST(rule_lines, with_a_nul_are_refused) {
    EXPECT_THAT(lines_in(std::string{"a b\0c\nd", 7}),
                ElementsAre("/d/hba:1 ! contains a NUL character", "/d/hba:2 d"));
}

TEST(rule_lines, take_names_from_a_file) {
    EXPECT_THAT(lines_of({{"/d/hba", "a x,@names,y b\n"}, {"/d/names", "p q\n# no\nr,\"s\"\n"}}),
                ElementsAre("/d/hba:1 a|x,p,q,r,'s',y|b"));
}

TEST(rule_lines, take_a_quoted_at_sign_for_a_name) {
    EXPECT_THAT(lines_in("a \"@b\" @"), ElementsAre("/d/hba:1 a|'@b'|@"));
}

TEST(rule_lines, look_for_a_file_beside_the_one_that_names_it) {
    EXPECT_THAT(lines_of({{"/d/hba", "include sub/one\n"},
                          {"/d/sub/one", "a @names @/abs\n"},
                          {"/d/sub/names", "n"},
                          {"/abs", "m"}}),
                ElementsAre("/d/sub/one:1 a|n|m"));
}

TEST(rule_lines, say_which_file_of_names_is_missing) {
    EXPECT_THAT(lines_in("a @gone b"),
                ElementsAre("/d/hba:1 ! could not open file \"/d/gone\": No such file or "
                            "directory"));
}

TEST(rule_lines, refuse_a_file_of_names_without_any) {
    EXPECT_THAT(lines_of({{"/d/hba", "a @names b"}, {"/d/names", "# none\n"}}),
                ElementsAre("/d/hba:1 ! file \"/d/names\" holds no names"));
}

TEST(rule_lines, stand_where_a_file_is_included) {
    EXPECT_THAT(lines_of({{"/d/hba", "a\ninclude b.conf\nc"}, {"/d/b.conf", "\nx\n"}}),
                ElementsAre("/d/hba:1 a", "/d/b.conf:2 x", "/d/hba:3 c"));
}

TEST(rule_lines, refuse_an_include_that_is_missing) {
    EXPECT_THAT(lines_in("include gone\nb"),
                ElementsAre("/d/hba:1 ! could not open file \"/d/gone\": No such file or directory",
                            "/d/hba:2 b"));
}

TEST(rule_lines, go_without_a_file_that_is_included_if_it_exists) {
    EXPECT_THAT(lines_in("include_if_exists gone\nb"), ElementsAre("/d/hba:2 b"));
}

TEST(rule_lines, come_from_a_directory_in_the_order_of_names) {
    EXPECT_THAT(lines_of({{"/d/hba", "include_dir more"},
                          {"/d/more/2.conf", "b"},
                          {"/d/more/1.conf", "a"},
                          {"/d/more/3.off", "c"}}),
                ElementsAre("/d/more/1.conf:1 a", "/d/more/2.conf:1 b"));
}

TEST(rule_lines, refuse_a_directory_that_is_missing) {
    EXPECT_THAT(lines_in("include_dir gone"),
                ElementsAre("/d/hba:1 ! could not open configuration directory \"/d/gone\": No "
                            "such file or directory"));
}

TEST(rule_lines, end_where_a_file_includes_itself) {
    EXPECT_THAT(lines_in("include hba"),
                ElementsAre("/d/hba:1 ! could not open file \"/d/hba\": maximum nesting depth "
                            "exceeded"));
}

TEST(rule_lines, end_where_a_file_includes_itself_many_times) {
    std::string text;
    for (int i = 0; i < 100; ++i) {
        text += "include hba\n";
    }
    EXPECT_THAT(lines_in(text), SizeIs(testing::Lt(200'000)));
}

TEST(rule_lines, say_when_there_is_no_file_at_all) {
    rule_files none{};
    const auto lines = read_rule_lines("/d/hba", none);
    ASSERT_THAT(lines, SizeIs(1));
    EXPECT_EQ(lines[0].line, 0U);
    EXPECT_THAT(lines[0].error, StartsWith("could not open file \"/d/hba\": "));
}

}  // namespace
}  // namespace pgweir::auth
