// What failures of the monitor's connection are taken for.
#include "pgweir/watch/refusal.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgweir::watch {

using cluster::contact;

inline void PrintTo(contact c, std::ostream* out) { *out << to_string(c); }

namespace {

// As libpq 15 words them.
const std::string where = R"(connection to server at "127.0.0.1", port 5432 failed: )";

TEST(refusal, nobody_listens) {
    const auto r = read_refusal(where +
                                "Connection refused\n\tIs the server running on that host and "
                                "accepting TCP/IP connections?\n");
    EXPECT_EQ(r.result, contact::refused);
}

TEST(refusal, too_many_clients_is_alive) {
    const auto r = read_refusal(where +
                                "FATAL:  53300: sorry, too many clients already\n"
                                "LOCATION:  InitProcess, proc.c:361\n");
    EXPECT_EQ(r.result, contact::full);
    EXPECT_EQ(r.sqlstate, "53300");
}

TEST(refusal, its_language_does_not_matter) {
    const auto r = read_refusal(where +
                                "SCHWERWIEGEND:  53300: tut mir leid, schon zu viele Verbindungen\n"
                                "ORT:  InitProcess, proc.c:361\n");
    EXPECT_EQ(r.result, contact::full);
}

TEST(refusal, starting_up) {
    EXPECT_EQ(read_refusal(where + "FATAL:  57P03: the database system is starting up\n").result,
              contact::starting_up);
}

TEST(refusal, a_wrong_password_is_alive_and_denied) {
    EXPECT_EQ(read_refusal(where + "FATAL:  28P01: password authentication failed for user \"m\"\n")
                  .result,
              contact::denied);
}

TEST(refusal, a_password_that_is_asked_for_and_not_configured_is_denied) {
    EXPECT_EQ(read_refusal(where + "fe_sendauth: no password supplied\n", true).result,
              contact::denied);
}

TEST(refusal, a_method_that_libpq_does_not_know_is_denied) {
    EXPECT_EQ(read_refusal(where + "authentication method 42 not supported\n").result,
              contact::denied);
}

// Whoever answers so may not be the node.
TEST(refusal, a_server_without_the_tls_that_is_required_proves_nothing) {
    const auto r = read_refusal(where + "server does not support SSL, but SSL was required\n");
    EXPECT_EQ(r.result, contact::silent);
    EXPECT_TRUE(r.is_about_tls);
}

TEST(refusal, a_certificate_that_nobody_knows_proves_nothing) {
    const auto r = read_refusal(where + "SSL error: certificate verify failed\n");
    EXPECT_EQ(r.result, contact::silent);
    EXPECT_TRUE(r.is_about_tls);
}

TEST(refusal, a_connection_that_ends_under_tls_is_not_about_tls) {
    const auto r = read_refusal("SSL SYSCALL error: EOF detected\n");
    EXPECT_EQ(r.result, contact::reset);
    EXPECT_FALSE(r.is_about_tls);
}

// sslmode=prefer asks again without TLS.
TEST(refusal, an_error_that_is_said_with_and_without_tls_is_one) {
    const std::string once = where + "FATAL:  57P03: the database system is starting up\n";
    EXPECT_EQ(read_refusal(once + once).result, contact::starting_up);
}

TEST(refusal, a_connection_that_is_reset) {
    EXPECT_EQ(read_refusal("could not receive data from server: Connection reset by peer\n").result,
              contact::reset);
}

TEST(refusal, a_connection_that_ends) {
    EXPECT_EQ(read_refusal("server closed the connection unexpectedly\n\tThis probably means the "
                           "server terminated abnormally\n\tbefore or while processing the "
                           "request.\n")
                  .result,
              contact::reset);
}

TEST(refusal, an_administrator_who_ends_the_connection) {
    EXPECT_EQ(contact_of_sqlstate("57P01"), contact::reset);
}

// The kernel gave up on an open connection: that proves no more than silence does.
TEST(refusal, a_connection_that_times_out_is_silence) {
    EXPECT_EQ(read_refusal("could not receive data from server: Connection timed out\n").result,
              contact::silent);
}

TEST(refusal, an_unreachable_network_is_silence) {
    EXPECT_EQ(
        read_refusal(where + "No route to host\n\tIs the server running on that host?\n").result,
        contact::silent);
}

// Neither may renew the lease of a primary whose address leads elsewhere now.
TEST(refusal, what_is_no_postgresql_is_silence) {
    EXPECT_EQ(read_refusal(where + "expected authentication request from server, but received H\n")
                  .result,
              contact::silent);
}

// A text that only looks like a code: a database of this name does not exist.
TEST(refusal, a_code_is_only_read_at_its_place) {
    const auto r = read_refusal(where + "FATAL:  3D000: database \":  53300: \" does not exist\n");
    EXPECT_EQ(r.sqlstate, "3D000");
    EXPECT_EQ(r.result, contact::denied);
}

TEST(refusal, its_text_is_one_line_without_the_source) {
    const auto r =
        read_refusal(where + "FATAL:  53300: too many\nHINT:  \x09wait\nLOCATION:  p.c:1\n");
    EXPECT_EQ(r.text, where + "FATAL:  53300: too many HINT:  \x09wait");
}

TEST(refusal, its_text_is_bounded) {
    EXPECT_LE(read_refusal(std::string(1'000'000, 'x')).text.size(), 300U);
}

}  // namespace
}  // namespace pgweir::watch
