// How pgweir logs in, and which servers it does not believe.
#include "pgweir/auth/server_login.hpp"

#include "auth/auth_messages.hpp"
#include "auth/login_dialogue.hpp"
#include "pgweir/auth/md5.hpp"

#include <gtest/gtest.h>

namespace pgweir::auth {
namespace {

using namespace std::string_literals;
using kind = server_login::step::kind;

server_login login(server_credentials who) { return {std::move(who), "client-nonce"}; }

std::string request(auth_code code, std::string_view data = {}) {
    return body(authentication(code, data));
}

const std::string sasl = request(auth_code::sasl, "SCRAM-SHA-256\0\0"s);
const std::string server_first =
    request(auth_code::sasl_continue, "r=client-nonce+more,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=1");

// Keys without the password, for `salt` and this many iterations.
server_credentials with_keys(int iterations) {
    return {"alice", "", derive_scram_keys("pencil", salt, 1), salt, iterations};
}

server_login::failure failure_of(server_credentials who, std::string_view message) {
    server_login l = login(std::move(who));
    EXPECT_EQ(l.on_authentication(message).what, kind::failed);
    return l.why();
}

TEST(server_login, is_done_when_the_server_trusts_it) {
    EXPECT_EQ(login(with_password("")).on_authentication(request(auth_code::ok)).what, kind::ok);
}

TEST(server_login, sends_a_cleartext_password) {
    server_login l = login(with_password("pencil"));
    EXPECT_EQ(l.on_authentication(request(auth_code::cleartext_password)).send,
              "p\0\0\0\x0bpencil\0"s);
}

TEST(server_login, sends_an_md5_response) {
    server_login l = login(with_password("pencil"));
    EXPECT_EQ(body(l.on_authentication(request(auth_code::md5_password, "salt")).send),
              md5_response(md5_secret("alice", "pencil"), "salt") + '\0');
}

TEST(server_login, chooses_scram_without_channel_binding) {
    server_login l = login(with_password("pencil"));
    EXPECT_EQ(l.on_authentication(sasl).send,
              sasl_initial_response("SCRAM-SHA-256", "n,,n=,r=client-nonce"));
}

TEST(server_login, asks_for_the_password_to_be_hashed_with_the_server_s_salt) {
    server_login l = login(with_password("pencil"));
    (void)l.on_authentication(sasl);
    (void)l.on_authentication(server_first);
    EXPECT_EQ(l.request().salt, salt);
}

TEST(server_login, needs_no_hashing_with_keys_for_the_same_salt_and_iterations) {
    server_login l = login(with_keys(1));
    (void)l.on_authentication(sasl);
    EXPECT_EQ(l.on_authentication(server_first).what, kind::send);
}

TEST(server_login, hashes_the_password_when_its_keys_are_for_other_iterations) {
    server_credentials who = with_keys(2);
    who.password = "pencil";
    server_login l = login(std::move(who));
    (void)l.on_authentication(sasl);
    EXPECT_EQ(l.on_authentication(server_first).what, kind::hash);
}

TEST(server_login, names_the_setting_when_its_keys_are_for_other_iterations) {
    server_login l = login(with_keys(2));
    (void)l.on_authentication(sasl);
    (void)l.on_authentication(server_first);
    EXPECT_NE(l.why().hint.find("server_password"), std::string::npos);
}

TEST(server_login, names_the_setting_when_its_keys_are_for_another_salt) {
    server_credentials who = with_keys(1);
    who.keys_salt = "another";
    server_login l = login(std::move(who));
    (void)l.on_authentication(sasl);
    (void)l.on_authentication(server_first);
    EXPECT_NE(l.why().hint.find("server_password"), std::string::npos);
}

TEST(server_login, does_not_believe_a_server_that_skips_its_proof) {
    server_login l = login(with_keys(1));
    (void)l.on_authentication(sasl);
    (void)l.on_authentication(server_first);
    EXPECT_EQ(l.on_authentication(request(auth_code::ok)).what, kind::failed);
}

TEST(server_login, does_not_believe_a_server_that_breaks_scram_off) {
    server_login l = login(with_password("pencil"));
    (void)l.on_authentication(sasl);
    EXPECT_EQ(l.on_authentication(request(auth_code::ok)).what, kind::failed);
}

TEST(server_login, does_not_believe_a_wrong_proof) {
    server_login l = login(with_keys(1));
    (void)l.on_authentication(sasl);
    (void)l.on_authentication(server_first);
    const std::string proof = "v=" + std::string(43, 'A') + '=';
    EXPECT_EQ(l.on_authentication(request(auth_code::sasl_final, proof)).what, kind::failed);
}

TEST(server_login, does_not_send_a_cleartext_password_after_scram_began) {
    server_login l = login(with_password("pencil"));
    (void)l.on_authentication(sasl);
    EXPECT_EQ(l.on_authentication(request(auth_code::cleartext_password)).what, kind::failed);
}

TEST(server_login, does_not_send_its_password_twice) {
    server_login l = login(with_password("pencil"));
    (void)l.on_authentication(request(auth_code::cleartext_password));
    EXPECT_EQ(l.on_authentication(request(auth_code::cleartext_password)).what, kind::failed);
}

TEST(server_login, does_not_hash_for_a_server_that_asks_too_much) {
    server_login l = login(with_password("pencil"));
    (void)l.on_authentication(sasl);
    EXPECT_EQ(l.on_authentication(
                   request(auth_code::sasl_continue, "r=client-nonce+,s=AAAA,i=2000000000"))
                  .what,
              kind::failed);
}

TEST(server_login, stays_failed) {
    server_login l = login(with_password("pencil"));
    (void)l.on_authentication("");
    EXPECT_EQ(l.on_authentication(request(auth_code::ok)).what, kind::failed);
}

TEST(server_login, is_done_once) {
    server_login l = login(with_password("pencil"));
    (void)l.on_authentication(request(auth_code::ok));
    EXPECT_EQ(l.on_authentication(request(auth_code::ok)).what, kind::failed);
}

TEST(server_login, takes_no_keys_it_did_not_ask_for) {
    EXPECT_EQ(login(with_password("pencil")).on_hashed({}).what, kind::failed);
}

TEST(server_login, names_the_setting_when_it_has_no_password) {
    EXPECT_NE(failure_of(with_password(""), request(auth_code::md5_password, "salt"))
                  .hint.find("server_password"),
              std::string::npos);
}

TEST(server_login, cannot_send_an_md5_secret_as_a_cleartext_password) {
    EXPECT_NE(failure_of(with_password(md5_secret("alice", "pencil")),
                         request(auth_code::cleartext_password))
                  .hint.find("server_password"),
              std::string::npos);
}

TEST(server_login, cannot_do_scram_with_an_md5_secret) {
    EXPECT_NE(
        failure_of(with_password(md5_secret("alice", "pencil")), sasl).hint.find("server_password"),
        std::string::npos);
}

TEST(server_login, says_which_mechanism_it_wants) {
    EXPECT_EQ(
        failure_of(with_password("pencil"), request(auth_code::sasl, "OAUTHBEARER\0\0"s)).message,
        "the server offers no SASL mechanism that pgweir supports (SCRAM-SHA-256)");
}

TEST(server_login, refuses_a_mechanism_list_without_an_end) {
    EXPECT_EQ(
        failure_of(with_password("pencil"), request(auth_code::sasl, "SCRAM-SHA-256")).message,
        "the server offers no SASL mechanism that pgweir supports (SCRAM-SHA-256)");
}

TEST(server_login, refuses_an_md5_salt_of_another_size) {
    EXPECT_EQ(failure_of(with_password("pencil"), request(auth_code::md5_password, "sal")).message,
              "the server sent a malformed authentication request");
}

TEST(server_login, names_an_unsupported_method) {
    EXPECT_EQ(failure_of(with_password("pencil"), request(auth_code::gss)).message,
              "the server asks for GSSAPI authentication, which is not supported");
}

TEST(server_login, numbers_an_unknown_method) {
    EXPECT_EQ(failure_of(with_password("pencil"), "\0\0\0\x63"s).message,
              "the server asks for unknown authentication method 99");
}

}  // namespace
}  // namespace pgweir::auth
