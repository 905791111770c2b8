// How a client is let in or refused: messages, texts and codes.
#include "pgweir/auth/client_login.hpp"

#include "auth/auth_messages.hpp"
#include "auth/login_dialogue.hpp"
#include "pgweir/auth/md5.hpp"

#include <gtest/gtest.h>

namespace pgweir::auth {
namespace {

using namespace std::string_literals;
using kind = client_login::step::kind;

client_login login(method how, credentials who) { return {how, std::move(who), seed, entropy()}; }

const std::string sasl_request = authentication(auth_code::sasl, "SCRAM-SHA-256\0\0"s);

// SASLInitialResponse with this client-first-message.
std::string initial(std::string_view message) {
    return body(sasl_initial_response(scram_mechanism, message));
}

// The refusal of one message after start().
refusal refused(method how, char type, std::string_view message) {
    client_login l = login(how, known("pencil"));
    (void)l.start();
    EXPECT_EQ(l.on_message(type, message).what, kind::refused);
    return l.why();
}

TEST(client_login, trusts_known_users_at_once) {
    client_login l = login(method::trust, known(""));
    EXPECT_EQ(l.start().send, authentication(auth_code::ok));
}

TEST(client_login, does_not_trust_unknown_users) {
    client_login l = login(method::trust, unknown());
    EXPECT_EQ(l.start().what, kind::refused);
}

TEST(client_login, says_under_trust_that_there_is_no_such_role) {
    client_login l = login(method::trust, unknown());
    (void)l.start();
    EXPECT_EQ(l.why().sqlstate, "28000");
    EXPECT_EQ(l.why().message, "role \"alice\" does not exist");
}

TEST(client_login, asks_for_a_cleartext_password) {
    client_login l = login(method::password, known("pencil"));
    EXPECT_EQ(l.start().send, "R\0\0\0\x08\0\0\0\x03"s);
}

TEST(client_login, asks_for_md5_with_its_salt) {
    client_login l = login(method::md5, known("pencil"));
    EXPECT_EQ(l.start().send, "R\0\0\0\x0c\0\0\0\x05salt"s);
}

TEST(client_login, asks_for_scram) {
    client_login l = login(method::scram_sha_256, known("pencil"));
    EXPECT_EQ(l.start().send, "R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"s);
}

TEST(client_login, asks_for_scram_under_md5_when_the_secret_is_a_verifier) {
    client_login l = login(method::md5, known(verifier_of("pencil")));
    EXPECT_EQ(l.start().send, sasl_request);
}

TEST(client_login, asks_unknown_users_what_it_asks_known_ones) {
    client_login l = login(method::scram_sha_256, unknown());
    EXPECT_EQ(l.start().send, sasl_request);
}

TEST(client_login, shows_unknown_users_the_same_salt_each_time) {
    client_login a = login(method::scram_sha_256, unknown());
    client_login b = login(method::scram_sha_256, unknown());
    (void)a.start();
    (void)b.start();
    EXPECT_EQ(a.on_message('p', initial("n,,n=,r=abc")).send,
              b.on_message('p', initial("n,,n=,r=abc")).send);
}

TEST(client_login, shows_no_difference_between_a_plain_secret_and_an_unknown_user) {
    client_login a = login(method::scram_sha_256, known("pencil"));
    client_login b = login(method::scram_sha_256, unknown());
    (void)a.start();
    (void)b.start();
    EXPECT_EQ(a.on_message('p', initial("n,,n=,r=abc")).send,
              b.on_message('p', initial("n,,n=,r=abc")).send);
}

TEST(client_login, hashes_a_plain_secret_only_after_the_client_s_proof) {
    client_login l = login(method::scram_sha_256, known("pencil"));
    (void)l.start();
    (void)l.on_message('p', initial("n,,n=,r=abc"));
    EXPECT_EQ(l.on_message('p', "c=biws,r=abcserver-nonce,p=AAAA").what, kind::hash);
}

TEST(client_login, asks_for_the_configured_secret_to_be_hashed) {
    client_login l = login(method::scram_sha_256, known("pencil"));
    (void)l.start();
    (void)l.on_message('p', initial("n,,n=,r=abc"));
    (void)l.on_message('p', "c=biws,r=abcserver-nonce,p=AAAA");
    EXPECT_EQ(l.request().password, "pencil");
}

TEST(client_login, does_not_hash_when_a_verifier_is_given) {
    credentials who = known("pencil");
    who.verifier = make_scram_verifier("pencil", salt, 1);
    client_login l = login(method::scram_sha_256, who);
    (void)l.start();
    (void)l.on_message('p', initial("n,,n=,r=abc"));
    EXPECT_EQ(l.on_message('p', "c=biws,r=abcserver-nonce,p=AAAA").what, kind::refused);
}

TEST(client_login, fails_scram_at_its_end_when_the_secret_is_md5) {
    dialogue d{method::scram_sha_256, known(md5_secret("alice", "pencil")),
               with_password("pencil")};
    d.run();
    EXPECT_EQ(d.door.why().message, "password authentication failed for user \"alice\"");
}

TEST(client_login, hashes_for_unknown_users_as_for_known_ones) {
    client_login l = login(method::password, unknown());
    (void)l.start();
    EXPECT_EQ(l.on_message('p', "pencil\0"s).what, kind::hash);
}

TEST(client_login, refuses_an_unknown_user_whatever_the_keys) {
    client_login l = login(method::password, unknown());
    (void)l.start();
    (void)l.on_message('p', "pencil\0"s);
    EXPECT_EQ(l.on_hashed({}).what, kind::refused);
}

TEST(client_login, keeps_no_keys_of_a_refused_client) {
    client_login l = login(method::password, known(verifier_of("pencil")));
    (void)l.start();
    (void)l.on_message('p', "crayon\0"s);
    (void)l.on_hashed({});
    EXPECT_FALSE(l.client_key() || l.verifier());
}

TEST(client_login, ends_scram_with_its_proof_and_ok_in_one_go) {
    dialogue d{method::scram_sha_256, known(verifier_of("pencil")), with_password("pencil")};
    d.run();
    // SASL, initial response, continue, response, final, ok.
    EXPECT_EQ(d.messages, 6U);
}

TEST(client_login, lets_the_first_scram_message_come_late) {
    client_login l = login(method::scram_sha_256, known("pencil"));
    (void)l.start();
    const auto step = l.on_message('p', "SCRAM-SHA-256\0\xff\xff\xff\xff"s);
    EXPECT_EQ(step.send, authentication(auth_code::sasl_continue));
}

TEST(client_login, goes_on_when_the_first_scram_message_came_late) {
    client_login l = login(method::scram_sha_256, known("pencil"));
    (void)l.start();
    (void)l.on_message('p', "SCRAM-SHA-256\0\xff\xff\xff\xff"s);
    EXPECT_EQ(l.on_message('p', "n,,n=,r=abc").what, kind::read_more);
}

TEST(client_login, refuses_an_empty_password) {
    EXPECT_EQ(refused(method::password, 'p', "\0"s).message, "empty password returned by client");
}

TEST(client_login, refuses_an_empty_password_with_28P01) {
    EXPECT_EQ(refused(method::password, 'p', "\0"s).sqlstate, "28P01");
}

TEST(client_login, refuses_a_password_packet_without_any_byte) {
    EXPECT_EQ(refused(method::password, 'p', "").message, "invalid password packet size");
}

TEST(client_login, refuses_a_password_with_a_nul_inside) {
    EXPECT_EQ(refused(method::md5, 'p', "a\0b\0"s).message, "invalid password packet size");
}

TEST(client_login, refuses_messages_longer_than_any_token) {
    EXPECT_EQ(refused(method::password, 'p', std::string(65536, 'x')).message,
              "invalid message length");
}

TEST(client_login, refuses_another_message_than_a_password) {
    EXPECT_EQ(refused(method::password, 'Q', "SELECT 1\0"s).message,
              "expected password response, got message type 81");
}

TEST(client_login, refuses_another_message_than_a_sasl_response) {
    EXPECT_EQ(refused(method::scram_sha_256, 'Q', "SELECT 1\0"s).message,
              "expected SASL response, got message type 81");
}

TEST(client_login, refuses_another_mechanism) {
    EXPECT_EQ(refused(method::scram_sha_256, 'p', "SCRAM-SHA-1\0\0\0\0\0"s).message,
              "client selected an invalid SASL authentication mechanism");
}

TEST(client_login, refuses_a_length_beyond_the_message) {
    EXPECT_EQ(refused(method::scram_sha_256, 'p', "SCRAM-SHA-256\0\x7f\xff\xff\xffn"s).message,
              "insufficient data left in message");
}

TEST(client_login, refuses_bytes_after_the_sasl_data) {
    EXPECT_EQ(refused(method::scram_sha_256, 'p', initial("n,,n=,r=abc") + "x").message,
              "invalid message format");
}

TEST(client_login, refuses_malformed_scram_with_08P01) {
    EXPECT_EQ(refused(method::scram_sha_256, 'p', initial("")).sqlstate, "08P01");
}

TEST(client_login, refuses_an_authorization_identity_with_0A000) {
    EXPECT_EQ(refused(method::scram_sha_256, 'p', initial("n,a=root,n=,r=x")).sqlstate, "0A000");
}

TEST(client_login, hears_nothing_after_it_refused) {
    client_login l = login(method::password, known("pencil"));
    (void)l.start();
    (void)l.on_message('p', "crayon\0"s);
    EXPECT_EQ(l.on_message('p', "pencil\0"s).what, kind::refused);
}

TEST(client_login, hears_nothing_while_it_waits_for_keys) {
    client_login l = login(method::password, known(verifier_of("pencil")));
    (void)l.start();
    (void)l.on_message('p', "pencil\0"s);
    EXPECT_EQ(l.on_message('p', "pencil\0"s).what, kind::refused);
}

TEST(client_login, takes_no_keys_it_did_not_ask_for) {
    client_login l = login(method::password, known("pencil"));
    (void)l.start();
    EXPECT_EQ(l.on_hashed({}).what, kind::refused);
}

// --- who is unknown looks like the others

credentials unknown_among(likeness others) { return {"alice", "", false, std::nullopt, others}; }

// "i=..." of the server-first-message.
std::string iterations_told(credentials who) {
    client_login l = login(method::scram_sha_256, std::move(who));
    (void)l.start();
    const auto first = body(l.on_message('p', initial("n,,n=,r=abc")).send);
    return first.substr(first.rfind("i="));
}

TEST(client_login, gives_unknown_users_the_iteration_count_of_others) {
    EXPECT_EQ(iterations_told(unknown_among({7'000, true})), "i=7000");
}

TEST(client_login, gives_users_without_a_password_the_iteration_count_of_others) {
    credentials who = known("");
    who.others.iterations = 7'000;
    EXPECT_EQ(iterations_told(who), "i=7000");
}

TEST(client_login, does_not_hash_a_plain_secret_as_often_as_those_of_others) {
    credentials who = known("pencil");
    who.others.iterations = 7'000;
    EXPECT_EQ(iterations_told(who), "i=4096");
}

TEST(client_login, asks_unknown_users_for_scram_under_md5_where_others_are) {
    client_login l = login(method::md5, unknown_among({4096, true}));
    EXPECT_EQ(l.start().send, sasl_request);
}

TEST(client_login, asks_users_without_a_password_for_scram_under_md5_where_others_are) {
    credentials who = known("");
    who.others.scram = true;
    client_login l = login(method::md5, who);
    EXPECT_EQ(l.start().send, sasl_request);
}

TEST(client_login, hashes_for_unknown_users_as_often_as_for_others) {
    client_login l = login(method::password, unknown_among({7'000, true}));
    (void)l.start();
    (void)l.on_message('p', "pencil\0"s);
    EXPECT_EQ(l.request().iterations, 7'000);
}

// --- what a client gave away

TEST(client_login, tells_a_password_that_was_sent_in_clear_and_right) {
    for (const auto& secret : {"pencil"s, md5_secret("alice", "pencil")}) {
        client_login l = login(method::password, known(secret));
        (void)l.start();
        (void)l.on_message('p', "pencil\0"s);
        EXPECT_EQ(l.password().reveal(), "pencil");
    }
}

TEST(client_login, tells_a_password_that_fits_a_verifier) {
    client_login l = login(method::password, known(verifier_of("pencil")));
    (void)l.start();
    (void)l.on_message('p', "pencil\0"s);
    (void)l.on_hashed(dialogue::hashed(l.request()));
    EXPECT_EQ(l.password().reveal(), "pencil");
}

TEST(client_login, keeps_no_password_that_is_wrong) {
    client_login l = login(method::password, known("pencil"));
    (void)l.start();
    (void)l.on_message('p', "crayon\0"s);
    EXPECT_TRUE(l.password().empty());
}

}  // namespace
}  // namespace pgweir::auth
