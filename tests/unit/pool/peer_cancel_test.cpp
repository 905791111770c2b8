// Cancel requests that are passed on say so.
#include "pgweir/pool/peer_cancel.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgweir::pool {
namespace {

TEST(passing_on, is_said_in_front_of_the_key) {
    const protocol::cancel_request request{7, "secret"};
    auto marked = mark_passed_on(request);
    ASSERT_TRUE(marked);
    EXPECT_EQ(marked->pid, 7);
    EXPECT_TRUE(marked->key.ends_with("secret"));
    EXPECT_TRUE(unmark_passed_on(*marked));
    EXPECT_EQ(marked->key, "secret");
}

TEST(passing_on, is_not_assumed_of_keys_of_clients) {
    for (const std::string key : {"", "1234", "\0pgw", "01234567890123456789012345678901"}) {
        protocol::cancel_request request{7, key};
        EXPECT_FALSE(unmark_passed_on(request));
        EXPECT_EQ(request.key, key);
    }
}

TEST(passing_on, needs_a_key_behind_the_mark) {
    auto marked = mark_passed_on({7, ""});
    ASSERT_TRUE(marked);
    EXPECT_FALSE(unmark_passed_on(*marked));
}

TEST(passing_on, is_marked_once_whoever_passes_on_what_is_marked) {
    auto twice = mark_passed_on(*mark_passed_on({7, "secret"}));
    ASSERT_TRUE(twice);
    EXPECT_TRUE(unmark_passed_on(*twice));
    EXPECT_TRUE(unmark_passed_on(*twice));
    EXPECT_FALSE(unmark_passed_on(*twice));
}

TEST(passing_on, does_not_make_a_key_longer_than_the_protocol_allows) {
    EXPECT_FALSE(mark_passed_on({7, std::string(protocol::max_cancel_key, 'x')}));
}

}  // namespace
}  // namespace pgweir::pool
