// The client's side of SCRAM, towards our own server's side and towards hostile servers.
#include "pgweir/auth/scram_client.hpp"

#include "pgweir/auth/scram_server.hpp"

#include <gtest/gtest.h>

namespace pgweir::auth {
namespace {

const std::string salt = "0123456789abcdef";

// One iteration: these tests are about the messages.
scram_keys keys_of(std::string_view password) { return derive_scram_keys(password, salt, 1); }

struct exchange {
    scram_client client{"client-nonce"};
    scram_server server{make_scram_verifier("pencil", salt, 1), "server-nonce", false};
    std::string server_first =
        std::get<std::string>(server.on_client_first(client.first_message()));

    std::string proof(std::string_view password) {
        EXPECT_EQ(client.on_server_first(server_first), std::nullopt);
        return client.final_message(keys_of(password));
    }
};

std::optional<scram_error> hear(std::string_view server_first) {
    scram_client client{"client-nonce"};
    return client.on_server_first(server_first);
}

TEST(scram_client, leaves_the_user_name_to_the_startup_packet) {
    EXPECT_EQ(scram_client{"abc"}.first_message(), "n,,n=,r=abc");
}

TEST(scram_client, learns_the_salt) {
    exchange e;
    (void)e.client.on_server_first(e.server_first);
    EXPECT_EQ(e.client.salt(), salt);
}

TEST(scram_client, learns_the_iterations) {
    EXPECT_EQ(hear("r=client-nonce+x,s=AAAA,i=1000000"), std::nullopt);
}

TEST(scram_client, convinces_a_server_that_knows_the_password) {
    exchange e;
    EXPECT_TRUE(std::holds_alternative<std::string>(e.server.on_client_final(e.proof("pencil"))));
}

TEST(scram_client, does_not_convince_with_another_password) {
    exchange e;
    const std::string proof = e.proof("crayon");
    EXPECT_TRUE(std::holds_alternative<scram_error>(e.server.on_client_final(proof)));
}

TEST(scram_client, believes_a_server_that_knows_the_password) {
    exchange e;
    const std::string proof = e.proof("pencil");
    EXPECT_TRUE(e.client.verify_server_final(std::get<0>(e.server.on_client_final(proof))));
}

TEST(scram_client, believes_no_changed_and_no_cut_signature) {
    exchange e;
    const std::string proof = e.proof("pencil");
    const std::string right = std::get<0>(e.server.on_client_final(proof));
    for (std::size_t i = 0; i < right.size(); ++i) {
        std::string changed = right;
        changed[i] = static_cast<char>(changed[i] ^ 0x04);
        EXPECT_FALSE(e.client.verify_server_final(changed)) << i;
        EXPECT_FALSE(e.client.verify_server_final(right.substr(0, i))) << i;
    }
}

TEST(scram_client, believes_nobody_before_it_sent_its_proof) {
    EXPECT_FALSE(scram_client{"abc"}.verify_server_final("v="));
}

TEST(scram_client, takes_an_error_for_a_failure) {
    exchange e;
    (void)e.proof("pencil");
    EXPECT_FALSE(e.client.verify_server_final("e=invalid-proof"));
}

TEST(scram_client, refuses_a_nonce_that_does_not_begin_with_its_own) {
    EXPECT_EQ(hear("r=other,s=AAAA,i=4096"), scram_error::nonce_mismatch);
}

TEST(scram_client, refuses_a_nonce_that_adds_nothing) {
    EXPECT_EQ(hear("r=client-nonce,s=AAAA,i=4096"), scram_error::nonce_mismatch);
}

TEST(scram_client, refuses_no_iterations) {
    EXPECT_EQ(hear("r=client-nonce+,s=AAAA,i=0"), scram_error::iterations_refused);
}

TEST(scram_client, refuses_iterations_that_would_burn_cpu) {
    EXPECT_EQ(hear("r=client-nonce+,s=AAAA,i=1000001"), scram_error::iterations_refused);
}

TEST(scram_client, refuses_iterations_beyond_any_integer) {
    EXPECT_EQ(hear("r=client-nonce+,s=AAAA,i=99999999999999999999"),
              scram_error::iterations_refused);
}

TEST(scram_client, refuses_iterations_that_are_no_number) {
    EXPECT_EQ(hear("r=client-nonce+,s=AAAA,i=4096x"), scram_error::malformed);
}

TEST(scram_client, refuses_an_empty_salt) {
    EXPECT_EQ(hear("r=client-nonce+,s=,i=4096"), scram_error::malformed);
}

TEST(scram_client, refuses_a_salt_that_is_not_base64) {
    EXPECT_EQ(hear("r=client-nonce+,s=A A=,i=4096"), scram_error::malformed);
}

TEST(scram_client, refuses_a_mandatory_extension) {
    EXPECT_EQ(hear("m=x,r=client-nonce+,s=AAAA,i=4096"), scram_error::extension_unsupported);
}

TEST(scram_client, refuses_giant_messages) {
    EXPECT_EQ(hear("r=client-nonce+,s=" + std::string(1U << 20, 'A') + ",i=4096"),
              scram_error::malformed);
}

TEST(scram_client, hears_the_first_message_once) {
    exchange e;
    (void)e.client.on_server_first(e.server_first);
    EXPECT_EQ(e.client.on_server_first(e.server_first), scram_error::malformed);
}

}  // namespace
}  // namespace pgweir::auth
