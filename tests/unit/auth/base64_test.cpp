// Base64 is strict where OpenSSL's own decoder is not.
#include "auth/base64.hpp"

#include <gtest/gtest.h>

namespace pgweir::auth {
namespace {

TEST(base64, encodes_the_examples_of_rfc_4648) {
    EXPECT_EQ(base64::encode(""), "");
    EXPECT_EQ(base64::encode("f"), "Zg==");
    EXPECT_EQ(base64::encode("fo"), "Zm8=");
    EXPECT_EQ(base64::encode("foo"), "Zm9v");
}

TEST(base64, decodes_the_examples_of_rfc_4648) {
    EXPECT_EQ(base64::decode(""), "");
    EXPECT_EQ(base64::decode("Zg=="), "f");
    EXPECT_EQ(base64::decode("Zm8="), "fo");
    EXPECT_EQ(base64::decode("Zm9v"), "foo");
}

struct bad_base64 : testing::TestWithParam<std::string_view> {};

TEST_P(bad_base64, is_refused) { EXPECT_EQ(base64::decode(GetParam()), std::nullopt); }

INSTANTIATE_TEST_SUITE_P(texts,
                         bad_base64,
                         testing::Values("Z",
                                         "Zg",
                                         "Zg=",
                                         "Z===",
                                         "====",
                                         "Zg==Zg==",
                                         " Zm9v",
                                         "Zm9v\n\n\n\n",
                                         "Zm 9",
                                         "Zm-_",
                                         "Zm9\xFF",
                                         std::string_view{"Zm\0v", 4}));

}  // namespace
}  // namespace pgweir::auth
