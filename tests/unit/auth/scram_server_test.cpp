// The server's side of SCRAM with the exchange that RFC 7677 section 3 prints.
#include "pgweir/auth/scram_server.hpp"

#include "auth/base64.hpp"

#include <gtest/gtest.h>

namespace pgweir::auth {
namespace {

constexpr std::string_view client_first = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
constexpr std::string_view server_nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr std::string_view server_first =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
constexpr std::string_view client_final =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
constexpr std::string_view server_final = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

using answer = std::variant<std::string, scram_error>;

const scram_keys& pencil_keys() {
    static const scram_keys keys =
        derive_scram_keys("pencil", *base64::decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096);
    return keys;
}

scram_verifier pencil() {
    return to_verifier(pencil_keys(), *base64::decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096);
}

scram_server fresh(bool mock = false) {
    return scram_server{pencil(), std::string{server_nonce}, mock};
}

answer first(std::string_view message) { return fresh().on_client_first(message); }

answer last(std::string_view message) {
    scram_server server = fresh();
    (void)server.on_client_first(client_first);
    return server.on_client_final(message);
}

TEST(scram_server, sends_the_rfc_s_first_message) {
    EXPECT_EQ(first(client_first), answer{std::string{server_first}});
}

TEST(scram_server, sends_the_rfc_s_final_message) {
    EXPECT_EQ(last(client_final), answer{std::string{server_final}});
}

TEST(scram_server, recovers_the_client_key) {
    scram_server server = fresh();
    (void)server.on_client_first(client_first);
    (void)server.on_client_final(client_final);
    EXPECT_EQ(server.client_key(), pencil_keys().client_key);
}

TEST(scram_server, takes_keys_that_come_late) {
    scram_verifier without_keys = pencil();
    without_keys.stored_key = without_keys.server_key = {};
    scram_server server{without_keys, std::string{server_nonce}, false};
    (void)server.on_client_first(client_first);
    server.use_keys(pencil_keys());
    EXPECT_EQ(server.on_client_final(client_final), answer{std::string{server_final}});
}

TEST(scram_server, fails_at_the_end_when_it_is_a_mock) {
    scram_server server = fresh(true);
    (void)server.on_client_first(client_first);
    EXPECT_EQ(server.on_client_final(client_final), answer{scram_error::authentication_failed});
}

TEST(scram_server, gives_no_client_key_when_it_is_a_mock) {
    scram_server server = fresh(true);
    (void)server.on_client_first(client_first);
    (void)server.on_client_final(client_final);
    EXPECT_EQ(server.client_key(), digest{});
}

TEST(scram_server, refuses_another_proof) {
    std::string message{client_final};
    message[message.size() - 5] = 'A';
    EXPECT_EQ(last(message), answer{scram_error::authentication_failed});
}

TEST(scram_server, accepts_a_client_that_could_bind_channels) {
    EXPECT_TRUE(std::holds_alternative<std::string>(first("y,,n=,r=abc")));
}

TEST(scram_server, refuses_channel_binding_with_the_mechanism_that_has_none) {
    EXPECT_EQ(first("p=tls-server-end-point,,n=,r=abc"), answer{scram_error::unwanted_binding});
}

TEST(scram_server, refuses_an_authorization_identity) {
    EXPECT_EQ(first("n,a=root,n=,r=abc"), answer{scram_error::authzid_unsupported});
}

TEST(scram_server, refuses_a_mandatory_extension) {
    EXPECT_EQ(first("n,,m=x,n=,r=abc"), answer{scram_error::extension_unsupported});
}

TEST(scram_server, ignores_optional_extensions) {
    EXPECT_TRUE(std::holds_alternative<std::string>(first("n,,n=,r=abc,x=1,y=2")));
}

TEST(scram_server, refuses_a_nonce_with_control_characters) {
    EXPECT_EQ(first("n,,n=,r=a\nb"), answer{scram_error::unprintable_nonce});
}

TEST(scram_server, refuses_an_empty_nonce) {
    EXPECT_EQ(first("n,,n=,r="), answer{scram_error::malformed});
}

TEST(scram_server, refuses_every_cut_of_the_header_and_user) {
    const std::size_t nonce_at = client_first.find("r=");
    for (std::size_t size = 0; size < nonce_at + 3; ++size) {
        EXPECT_EQ(first(client_first.substr(0, size)), answer{scram_error::malformed}) << size;
    }
}

TEST(scram_server, refuses_every_cut_of_the_final_message) {
    for (std::size_t size = 0; size < client_final.size(); ++size) {
        EXPECT_TRUE(std::holds_alternative<scram_error>(last(client_final.substr(0, size))))
            << size;
    }
}

TEST(scram_server, refuses_every_changed_byte_of_the_final_message) {
    for (std::size_t i = 0; i < client_final.size(); ++i) {
        std::string message{client_final};
        message[i] = static_cast<char>(message[i] ^ 0x04);
        EXPECT_TRUE(std::holds_alternative<scram_error>(last(message))) << i;
    }
}

TEST(scram_server, refuses_another_nonce_at_the_end) {
    EXPECT_EQ(last("c=biws,r=other,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
              answer{scram_error::nonce_mismatch});
}

TEST(scram_server, refuses_a_header_that_changed_between_the_messages) {
    std::string message{client_final};
    message.replace(2, 4, "eSws");
    EXPECT_EQ(last(message), answer{scram_error::channel_binding_mismatch});
}

TEST(scram_server, refuses_attributes_after_the_proof) {
    EXPECT_EQ(last(std::string{client_final} + ",x=1"), answer{scram_error::malformed});
}

TEST(scram_server, refuses_a_final_message_without_a_first) {
    EXPECT_EQ(fresh().on_client_final(client_final), answer{scram_error::malformed});
}

TEST(scram_server, gives_one_try_only) {
    scram_server server = fresh();
    (void)server.on_client_first(client_first);
    (void)server.on_client_final("c=biws");
    EXPECT_EQ(server.on_client_final(client_final), answer{scram_error::malformed});
}

}  // namespace
}  // namespace pgweir::auth
