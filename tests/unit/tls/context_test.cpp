// What is wrong with certificates, keys and names of ciphers, and how that is said.
#include "pgweir/tls/context.hpp"

#include "tls/engine_pair.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <string>
#include <sys/stat.h>

namespace pgweir::tls {
namespace {

using s = context_settings;

context_fault fault_of(const context_settings& settings) {
    auto loaded = context::load(settings);
    if (auto* bad = std::get_if<context_fault>(&loaded)) {
        return *bad;
    }
    return {nullptr, "no fault", {}};
}

TEST(context, knows_when_its_certificate_expires) {
    const auto day = std::chrono::hours{24};
    const auto left =
        *must_load(engine_pair::server_settings())->not_after() - std::chrono::system_clock::now();
    EXPECT_LT(left, day + std::chrono::hours{1});  // the clock may have been set meanwhile
    EXPECT_GT(left, day - std::chrono::hours{1});
}

TEST(context, expires_never_without_a_certificate) {
    EXPECT_FALSE(must_load(engine_pair::client_settings())->not_after());
}

TEST(context, says_which_certificate_is_missing) {
    auto settings = engine_pair::server_settings();
    settings.certificate = "/nowhere/server.crt";
    const auto bad = fault_of(settings);
    EXPECT_EQ(bad.setting, &s::certificate);
    EXPECT_EQ(bad.message,
              "could not load server certificate file \"/nowhere/server.crt\": "
              "No such file or directory");
}

TEST(context, says_which_certificate_is_none) {
    auto settings = engine_pair::server_settings();
    settings.certificate = settings.key;
    EXPECT_EQ(fault_of(settings).message,
              "could not load server certificate file \"" + settings.key + "\": no start line");
}

TEST(context, says_which_key_is_missing) {
    auto settings = engine_pair::server_settings();
    settings.key = "/nowhere/server.key";
    const auto bad = fault_of(settings);
    EXPECT_EQ(bad.setting, &s::key);
    EXPECT_EQ(
        bad.message,
        "could not access private key file \"/nowhere/server.key\": No such file or directory");
}

TEST(context, says_that_the_key_is_of_another_certificate) {
    auto settings = engine_pair::server_settings();
    settings.key = engine_pair::home().issue({.common_name = "other"}).key;
    EXPECT_EQ(fault_of(settings).message, "private key file \"" + settings.key +
                                              "\" does not belong to certificate file \"" +
                                              settings.certificate + '"');
}

TEST(context, asks_nobody_for_a_passphrase) {
    auto settings = engine_pair::server_settings();
    settings.key = engine_pair::home().path("locked.key");
    authority::write_locked_key(settings.key, authority::make_key(key_kind::p256).get(), "secret");
    EXPECT_EQ(fault_of(settings).message,
              "private key file \"" + settings.key + "\" requires a passphrase");
}

TEST(context, refuses_a_key_that_others_may_read) {
    auto settings = engine_pair::server_settings();
    settings.key = engine_pair::home().path("open.key");
    authority::write_key(settings.key, authority::make_key(key_kind::p256).get());
    ::chmod(settings.key.c_str(), 0644);
    const auto bad = fault_of(settings);
    EXPECT_EQ(bad.message, "private key file \"" + settings.key + "\" has group or world access");
    EXPECT_NE(bad.hint.find("u=rw (0600)"), std::string::npos);
}

TEST(context, refuses_a_key_that_is_a_folder) {
    auto settings = engine_pair::server_settings();
    settings.key = "/tmp";
    EXPECT_EQ(fault_of(settings).message, "private key file \"/tmp\" is not a regular file");
}

TEST(context, says_which_root_certificates_are_missing) {
    auto settings = engine_pair::client_settings();
    settings.ca = "/nowhere/root.crt";
    const auto bad = fault_of(settings);
    EXPECT_EQ(bad.setting, &s::ca);
    EXPECT_EQ(bad.message,
              "could not load root certificate file \"/nowhere/root.crt\": "
              "No such file or directory");
}

TEST(context, says_which_revocation_list_is_missing) {
    auto settings = engine_pair::client_settings();
    settings.crl = "/nowhere/root.crl";
    EXPECT_EQ(fault_of(settings).setting, &s::crl);
}

TEST(context, trusts_nobody_whom_no_revocation_list_is_of) {
    auto settings = engine_pair::client_settings();
    settings.crl = engine_pair::home().path("empty.crl");
    std::ofstream{settings.crl} << "";
    EXPECT_EQ(fault_of(settings).setting, &s::crl);
}

TEST(context, refuses_ciphers_that_nobody_knows) {
    auto settings = engine_pair::server_settings();
    settings.ciphers = "ROT13";
    EXPECT_EQ(fault_of(settings).setting, &s::ciphers);
}

TEST(context, refuses_cipher_suites_that_nobody_knows) {
    auto settings = engine_pair::server_settings();
    settings.cipher_suites = "TLS_ROT13";
    EXPECT_EQ(fault_of(settings).setting, &s::cipher_suites);
}

TEST(context, refuses_groups_that_nobody_knows) {
    auto settings = engine_pair::server_settings();
    settings.groups = "flatland";
    EXPECT_EQ(fault_of(settings).setting, &s::groups);
}

TEST(context, refuses_a_maximum_below_the_minimum) {
    auto settings = engine_pair::server_settings();
    settings.min_version = version::tls_1_3;
    settings.max_version = version::tls_1_2;
    EXPECT_EQ(fault_of(settings).message, "could not set SSL protocol version range");
}

TEST(context, uses_the_cipher_it_is_told_to) {
    auto settings = engine_pair::server_settings();
    settings.cipher_suites = "TLS_CHACHA20_POLY1305_SHA256";
    engine_pair pair{settings};
    pair.shake();
    EXPECT_EQ(pair.client.security().cipher, "TLS_CHACHA20_POLY1305_SHA256");
}

TEST(context, outlives_its_replacement_for_those_who_began_with_it) {
    auto context = must_load(engine_pair::server_settings());
    engine server{context};
    context.reset();
    engine client{must_load(engine_pair::client_settings())};
    (void)client.handshake({});
    EXPECT_EQ(server.handshake(client.take_output()), engine::progress::more);
}

}  // namespace
}  // namespace pgweir::tls
