// What sslmode decides at each step, as libpq would.
#include "pool/encryption.hpp"

#include <gtest/gtest.h>

namespace pgweir::pool {
namespace {

using config::tls_mode;
using step = encryption::step;

constexpr tls_mode every[] = {tls_mode::disable, tls_mode::allow,     tls_mode::prefer,
                              tls_mode::require, tls_mode::verify_ca, tls_mode::verify_full};

TEST(encryption, is_asked_for_where_it_is_preferred_or_required) {
    for (const auto mode : every) {
        encryption e{mode};
        EXPECT_EQ(e.begin(false), mode >= tls_mode::prefer ? step::ask : step::plain)
            << config::to_string(mode);
    }
}

TEST(encryption, is_not_asked_for_over_a_unix_socket) {
    for (const auto mode : every) {
        encryption e{mode};
        EXPECT_EQ(e.begin(true), step::plain) << config::to_string(mode);
    }
}

TEST(encryption, begins_once_the_server_agrees) {
    encryption e{tls_mode::prefer};
    (void)e.begin(false);
    EXPECT_EQ(e.on_answer('S', false), step::shake);
}

TEST(encryption, refuses_bytes_behind_the_servers_consent) {
    encryption e{tls_mode::prefer};
    (void)e.begin(false);
    EXPECT_EQ(e.on_answer('S', true), step::failed);
    EXPECT_EQ(e.why(), "received unencrypted data after SSL response");
}

TEST(encryption, is_done_without_where_it_is_only_preferred) {
    encryption e{tls_mode::prefer};
    (void)e.begin(false);
    EXPECT_EQ(e.on_answer('N', false), step::plain);
}

TEST(encryption, is_not_done_without_where_it_is_required) {
    for (const auto mode : {tls_mode::require, tls_mode::verify_ca, tls_mode::verify_full}) {
        encryption e{mode};
        (void)e.begin(false);
        EXPECT_EQ(e.on_answer('N', false), step::failed) << config::to_string(mode);
        EXPECT_EQ(e.why(), "server does not support SSL, but SSL was required");
    }
}

TEST(encryption, believes_no_error_in_place_of_an_answer) {
    encryption e{tls_mode::prefer};
    (void)e.begin(false);
    EXPECT_EQ(e.on_answer('E', true), step::failed);
    EXPECT_EQ(e.why(), "server sent an error response during SSL exchange");
}

TEST(encryption, takes_no_other_byte_for_an_answer) {
    for (int c = 0; c < 256; ++c) {
        encryption e{tls_mode::require};
        (void)e.begin(false);
        const auto is = e.on_answer(static_cast<char>(c), false);
        EXPECT_EQ(is == step::failed, c != 'S') << c;
    }
}

TEST(encryption, is_given_up_where_the_server_insists_on_plain_text) {
    encryption e{tls_mode::prefer};
    (void)e.begin(false);
    (void)e.on_answer('S', false);
    EXPECT_TRUE(e.tries_again("28000"));
    EXPECT_EQ(e.begin(false), step::plain);
}

TEST(encryption, is_given_up_where_the_handshake_fails_and_it_is_only_preferred) {
    encryption e{tls_mode::prefer};
    (void)e.begin(false);
    (void)e.on_answer('S', false);
    EXPECT_TRUE(e.tries_again({}));
}

TEST(encryption, is_tried_where_the_server_insists_on_it) {
    encryption e{tls_mode::allow};
    (void)e.begin(false);
    EXPECT_TRUE(e.tries_again("28000"));
    EXPECT_EQ(e.begin(false), step::ask);
}

TEST(encryption, is_tried_the_other_way_only_once) {
    for (const auto mode : {tls_mode::allow, tls_mode::prefer}) {
        encryption e{mode};
        (void)e.begin(false);
        (void)e.tries_again("28000");
        (void)e.begin(false);
        EXPECT_FALSE(e.tries_again("28000")) << config::to_string(mode);
    }
}

TEST(encryption, does_not_repeat_a_wrong_password) {
    for (const auto mode : {tls_mode::allow, tls_mode::prefer}) {
        encryption e{mode};
        (void)e.begin(false);
        EXPECT_FALSE(e.tries_again("28P01")) << config::to_string(mode);
    }
}

TEST(encryption, stays_as_it_is_once_the_login_goes_on) {
    for (const auto mode : {tls_mode::allow, tls_mode::prefer}) {
        encryption e{mode};
        (void)e.begin(false);
        e.settle();
        EXPECT_FALSE(e.tries_again("28000")) << config::to_string(mode);
    }
}

TEST(encryption, is_never_given_up_where_it_is_required) {
    for (const auto mode : {tls_mode::require, tls_mode::verify_ca, tls_mode::verify_full}) {
        encryption e{mode};
        (void)e.begin(false);
        (void)e.on_answer('S', false);
        EXPECT_FALSE(e.tries_again("28000")) << config::to_string(mode);
        EXPECT_FALSE(e.tries_again({})) << config::to_string(mode);
    }
}

}  // namespace
}  // namespace pgweir::pool
