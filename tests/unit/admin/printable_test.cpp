// What is left of text that others chose.
#include "admin/printable.hpp"

#include <gtest/gtest.h>

namespace pgweir::admin {
namespace {

std::string printable(std::string_view text) {
    std::string out;
    append_printable(out, text);
    return out;
}

TEST(printable, keeps_text_in_any_script) { EXPECT_EQ(printable("a é 漢 🐘"), "a é 漢 🐘"); }

TEST(printable, replaces_control_characters) {
    EXPECT_EQ(printable("a\x1b\n\x7f"
                        "b"),
              "a???b");
}

TEST(printable, replaces_c1_control_characters) { EXPECT_EQ(printable("\xc2\x9b"), "??"); }

TEST(printable, replaces_bytes_that_start_nothing) { EXPECT_EQ(printable("\x80\xff"), "??"); }

TEST(printable, replaces_sequences_that_are_cut) { EXPECT_EQ(printable("\xe6\xbc"), "??"); }

TEST(printable, replaces_overlong_forms) { EXPECT_EQ(printable("\xc0\xaf\xe0\x80\xaf"), "?????"); }

TEST(printable, replaces_surrogates) { EXPECT_EQ(printable("\xed\xa0\x80"), "???"); }

TEST(printable, replaces_what_is_beyond_unicode) {
    EXPECT_EQ(printable("\xf4\x90\x80\x80"), "????");
}

TEST(printable, an_excerpt_is_short_and_shows_that_it_is_one) {
    EXPECT_EQ(excerpt(std::string(1'000, 'a')), std::string(64, 'a') + "...");
}

}  // namespace
}  // namespace pgweir::admin
