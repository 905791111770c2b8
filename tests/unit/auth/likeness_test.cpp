// What an unknown user has to look like.
#include "pgweir/auth/likeness.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgweir::auth {
namespace {

const std::string md5 = "md5" + std::string(32, '0');

std::string verifier(int iterations) {
    return scram_verifier{iterations, "salt", {}, {}}.to_string();
}

TEST(census, of_nobody_is_what_postgresql_does_by_itself) {
    const census all;
    EXPECT_TRUE(all.empty());
    EXPECT_EQ(all.most(), (likeness{4096, false}));
}

TEST(census, finds_the_most_common_iteration_count) {
    census all;
    all.add(verifier(4096));
    all.add(verifier(10'000));
    all.add(verifier(10'000));
    EXPECT_EQ(all.most().iterations, 10'000);
}

TEST(census, takes_a_plain_secret_for_one_of_the_default_count) {
    census all;
    all.add("pencil");
    all.add("crayon");
    all.add(verifier(10'000));
    EXPECT_EQ(all.most().iterations, 4096);
}

TEST(census, says_scram_when_most_have_a_verifier) {
    census all;
    all.add(md5);
    all.add(verifier(4096));
    EXPECT_FALSE(all.most().scram);
    all.add(verifier(4096));
    EXPECT_TRUE(all.most().scram);
}

TEST(census, does_not_count_who_has_no_password) {
    census all;
    all.add("");
    EXPECT_TRUE(all.empty());
}

TEST(census, forgets_who_is_taken_out) {
    census all;
    all.add(verifier(10'000));
    all.remove(verifier(10'000));
    EXPECT_TRUE(all.empty());
    EXPECT_EQ(all.most(), likeness{});
}

}  // namespace
}  // namespace pgweir::auth
