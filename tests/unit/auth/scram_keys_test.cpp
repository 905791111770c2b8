// Verifiers and keys, against the RFC and against what PostgreSQL 15 stored for the same passwords.
#include "pgweir/auth/scram_keys.hpp"

#include "auth/saslprep.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgweir::auth {
namespace {

constexpr std::string_view pencil =
    "SCRAM-SHA-256$4096:mrkxlxoQGvVDjgLJX2A2kA==$q1hjAqriqTxdqBZVKpDQQT/rpsl/L+4wuP7z89aeJpU=:"
    "JkbS+67jA2Qfs/KK5yk6Obh/XeAIxtWeonHgHl0AkTk=";

scram_verifier made_again(std::string_view password, std::string_view text) {
    const auto verifier = scram_verifier::parse(text);
    return verifier ? make_scram_verifier(password, verifier->salt, verifier->iterations)
                    : scram_verifier{};
}

TEST(scram_verifier, is_written_as_it_was_read) {
    EXPECT_EQ(scram_verifier::parse(pencil).value().to_string(), pencil);
}

TEST(scram_verifier, of_postgresql_is_made_from_the_password) {
    EXPECT_EQ(made_again("pencil", pencil).to_string(), pencil);
}

TEST(scram_verifier, of_another_password_differs) {
    EXPECT_NE(made_again("pencil2", pencil).to_string(), pencil);
}

TEST(scram_verifier, is_not_read_when_anything_is_cut_off) {
    for (std::size_t size = 0; size < pencil.size(); ++size) {
        EXPECT_FALSE(scram_verifier::parse(pencil.substr(0, size))) << size;
    }
}

TEST(scram_verifier, is_not_read_when_something_follows) {
    EXPECT_FALSE(scram_verifier::parse(std::string{pencil} + "="));
}

struct iterations_test : testing::TestWithParam<const char*> {};

TEST_P(iterations_test, are_refused) {
    std::string text{pencil};
    text.replace(text.find("4096"), 4, GetParam());
    EXPECT_FALSE(scram_verifier::parse(text));
}

INSTANTIATE_TEST_SUITE_P(
    bad,
    iterations_test,
    testing::Values("", "0", "-1", "+1", " 1", "1x", "0x10", "99999999999999999999"));

// Made by PostgreSQL 15 with "ALTER ROLE ... PASSWORD".
struct prepared_password {
    const char* name;
    const char* password;
    const char* verifier;
};

void PrintTo(const prepared_password& p, std::ostream* out) { *out << p.name; }

struct saslprep_test : testing::TestWithParam<prepared_password> {};

TEST_P(saslprep_test, agrees_with_postgresql) {
    if (saslprep("\xC2\xAA") != "a") {
        GTEST_SKIP() << "built without libidn";
    }
    EXPECT_EQ(made_again(GetParam().password, GetParam().verifier).to_string(),
              GetParam().verifier);
}

INSTANTIATE_TEST_SUITE_P(
    passwords,
    saslprep_test,
    testing::Values(prepared_password{"soft_hyphen_is_dropped", "I\xC2\xADX",
                                      "SCRAM-SHA-256$4096:nxCdxuUjEOS6et913cHRWA==$"
                                      "yjUojb8emF1bsdKU5df+T3kA7U9YUX7Pok0n6MtZ6ww=:"
                                      "BVCeKaLJAsTPVlGGD1BxOX8MatZW7QPtNxkBmRoXQjw="},
                    prepared_password{"ordinal_becomes_a_letter", "\xC2\xAA",
                                      "SCRAM-SHA-256$4096:Gew5a90ctgyfi2LnfplpeQ==$"
                                      "v1x+6vu7NFFMJSvMiFc74x3LXdyM4LU72yVCRuaVnvg=:"
                                      "cvqK8fjCc0SRjZcmDjsQirb4XvNenxJqzrsCgPIYWM8="},
                    prepared_password{"roman_numeral_becomes_letters", "\xE2\x85\xA8",
                                      "SCRAM-SHA-256$4096:fdIFxoRTpHN9jpJ+0A/Z0w==$"
                                      "M7JjxkuQqc//KmWI24z3SylG218IRT829w9rw691yQU=:"
                                      "gv+0FRVYD6glnzSRuP7owumdMfetcue3TdB1l91H0mY="},
                    prepared_password{"prohibited_accent_stays_raw",
                                      "a\xCD\x81"
                                      "b",
                                      "SCRAM-SHA-256$4096:KJJKAZjSa9EkAoEF1faBng==$"
                                      "ANV8SFq6crxsAuby8YICGTvLyyo9rT+VAtbdiC96kiU=:"
                                      "Hr8Zn5XwmxS/Vr6Op87LMlp554Cds6XE964lgMuEhFw="},
                    prepared_password{"mixed_direction_stays_raw",
                                      "\xD8\xA7"
                                      "1",
                                      "SCRAM-SHA-256$4096:NQPUkrCEg3wMaphhz4uSqw==$"
                                      "jml07tc1AHbIC40U+qZiPqF1c44QZVXPN9e2F347bic=:"
                                      "YM3npZPIR9mZefbibTCF55ZBHKL+i7GLQF0WO2EiRVY="},
                    prepared_password{"no_break_space_becomes_a_space", "p\xC2\xA0q",
                                      "SCRAM-SHA-256$4096:J9pdCSDCQa4dMpWlAeHClQ==$"
                                      "bxHFFqwCWPH2bSN7mNtKCG822bq+5wAEemVNs+Ss6DI=:"
                                      "XTe9UyIjitKY5cjMSl2AuzGYDBW5KbkFRuzIUB5EiVc="},
                    prepared_password{"what_would_become_empty_stays_raw", "\xC2\xAD",
                                      "SCRAM-SHA-256$4096:ElD7RO1X/CA5o3of3h51Zg==$"
                                      "VYAzVjtBo7ppECd8tMgrh6kqRo+HbNjMtYr7n/M/Eh4=:"
                                      "cPti1sCANx5rSq+qPqxhd+eromqK63Vv4dA2ZTAdQhA="},
                    prepared_password{"longest_decomposition_fits", "\xEF\xB7\xBA",
                                      "SCRAM-SHA-256$4096:cc/I6Eu2mYH8CbCVG7qAAw==$"
                                      "ucIQ+WTqRph1UOhVGbIyJCoQD5YGTCSNV2K+fYPXZJA=:"
                                      "FVuVal/D8wqeO/WOVKzf+CY9Pev5YlGlTeAIP6jpDqo="},
                    prepared_password{"umlauts_stay", "p\xC3\xA4ssw\xC3\xB6rd",
                                      "SCRAM-SHA-256$4096:4voFPNRsCGPmhM3ahX7Brg==$"
                                      "oobMecrxn3v1I7xfjf7xBmR7BNH9ylgIGoP2YteWu9A=:"
                                      "B7B6HI9pOI9Dx6gkuK48ll0l4lGIKIZ1Rz/qcGY4Qdc="}),
    [](const auto& test) { return std::string{test.param.name}; });

TEST(saslprep, leaves_ascii_alone_control_characters_too) {
    EXPECT_EQ(saslprep("a\x07 b~"), "a\x07 b~");
}

TEST(saslprep, leaves_alone_what_is_not_utf8) { EXPECT_EQ(saslprep("\xFF\xAA"), "\xFF\xAA"); }

TEST(mock_verifier, has_the_same_salt_each_time_for_one_name) {
    const digest seed{1, 2, 3};
    EXPECT_EQ(mock_verifier("nobody", seed, 4096), mock_verifier("nobody", seed, 4096));
}

TEST(mock_verifier, has_another_salt_for_another_name) {
    const digest seed{1, 2, 3};
    EXPECT_NE(mock_verifier("nobody", seed, 4096).salt, mock_verifier("someone", seed, 4096).salt);
}

TEST(mock_verifier, has_a_salt_that_cannot_be_told_without_the_seed) {
    EXPECT_NE(mock_verifier("nobody", digest{1}, 4096).salt,
              mock_verifier("nobody", digest{2}, 4096).salt);
}

TEST(mock_verifier, has_a_salt_as_long_as_postgresql_s) {
    EXPECT_EQ(mock_verifier("nobody", digest{}, 4096).salt.size(), default_scram_salt_size);
}

}  // namespace
}  // namespace pgweir::auth
