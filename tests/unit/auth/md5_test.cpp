// The md5 method, against what PostgreSQL stores.
#include "pgweir/auth/md5.hpp"

#include "pgweir/auth/random.hpp"
#include "pgweir/auth/secret_kind.hpp"

#include <gtest/gtest.h>

namespace pgweir::auth {
namespace {

TEST(md5_secret, is_the_hash_of_password_and_user) {
    // SELECT 'md5' || md5('secret' || 'alice')
    EXPECT_EQ(md5_secret("alice", "secret"), "md54a0a68b43b6cd5cf266fa02f196e2371");
}

TEST(md5_response, hashes_the_stored_digits_with_the_salt) {
    // SELECT 'md5' || md5(md5('secret' || 'alice') || 'salt')
    EXPECT_EQ(md5_response(md5_secret("alice", "secret"), "salt"),
              "md5986e2194384c07f4fd1df4b1351b3e68");
}

TEST(md5_response, of_what_is_no_md5_secret_is_empty) {
    EXPECT_EQ(md5_response("secret", "salt"), "");
}

TEST(secret_kind, none_is_empty) { EXPECT_EQ(kind_of(""), secret_kind::none); }

TEST(secret_kind, md5_has_32_lower_case_hex_digits) {
    EXPECT_EQ(kind_of("md5d41d8cd98f00b204e9800998ecf8427e"), secret_kind::md5);
}

TEST(secret_kind, md5_in_upper_case_is_a_plain_password) {
    EXPECT_EQ(kind_of("md5D41D8CD98F00B204E9800998ECF8427E"), secret_kind::plain);
}

TEST(secret_kind, md5_cut_short_is_a_plain_password) {
    EXPECT_EQ(kind_of("md5d41d8cd98f00b204e9800998ecf8427"), secret_kind::plain);
}

TEST(secret_kind, a_broken_verifier_is_a_plain_password) {
    EXPECT_EQ(kind_of("SCRAM-SHA-256$4096:x$y:z"), secret_kind::plain);
}

TEST(secret_kind, a_verifier_is_scram) {
    EXPECT_EQ(kind_of("SCRAM-SHA-256$4096:mrkxlxoQGvVDjgLJX2A2kA==$"
                      "q1hjAqriqTxdqBZVKpDQQT/rpsl/L+4wuP7z89aeJpU=:"
                      "JkbS+67jA2Qfs/KK5yk6Obh/XeAIxtWeonHgHl0AkTk="),
              secret_kind::scram);
}

TEST(random_nonce, has_18_bytes_in_base64) { EXPECT_EQ(random_nonce().size(), 24U); }

TEST(random_nonce, never_repeats) { EXPECT_NE(random_nonce(), random_nonce()); }

}  // namespace
}  // namespace pgweir::auth
