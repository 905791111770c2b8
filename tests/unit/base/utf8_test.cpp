// What counts as a character of more than one byte.
#include "pgweir/base/utf8.hpp"

#include <gtest/gtest.h>

namespace pgweir::base {
namespace {

TEST(utf8_sequence_length, is_that_of_the_first_character) {
    EXPECT_EQ(utf8_sequence_length("éx"), 2U);
    EXPECT_EQ(utf8_sequence_length("漢x"), 3U);
    EXPECT_EQ(utf8_sequence_length("🐘x"), 4U);
}

TEST(utf8_sequence_length, is_none_for_what_is_no_such_character) {
    for (const std::string_view s : {"a", "\x80", "\xff", "\xe6\xbc", "\xc0\xaf", "\xe0\x80\xaf",
                                     "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc2\x9b", "\xc3("}) {
        EXPECT_EQ(utf8_sequence_length(s), 0U) << s;
    }
}

}  // namespace
}  // namespace pgweir::base
