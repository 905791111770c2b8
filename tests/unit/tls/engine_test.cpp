// The dialogue of two engines: handshakes, records, and everything that may go wrong with them.
#include "pgweir/tls/engine.hpp"

#include "tls/chatty_client.hpp"
#include "tls/engine_pair.hpp"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace pgweir::tls {
namespace {

using progress = engine::progress;
using condition = engine::condition;

std::string pattern(std::size_t size) {
    std::string out(size, '\0');
    for (std::size_t i = 0; i < size; ++i) {
        out[i] = static_cast<char>('a' + i % 23);
    }
    return out;
}

context_settings limited(context_settings s, version v) {
    s.min_version = s.max_version = v;
    return s;
}

// A pair after its handshake.
std::unique_ptr<engine_pair> connected(
    const context_settings& server = engine_pair::server_settings(),
    const context_settings& client = engine_pair::client_settings()) {
    auto pair = std::make_unique<engine_pair>(server, client);
    pair->shake();
    if (!pair->is_done()) {
        throw std::runtime_error{std::string{pair->server.error()} +
                                 std::string{pair->client.error()}};
    }
    return pair;
}

// --- the handshake

TEST(engine, agrees_with_its_peer) {
    engine_pair pair;
    EXPECT_EQ(pair.shake(), std::pair(progress::done, progress::done));
}

TEST(engine, agrees_when_the_handshake_comes_byte_by_byte) {
    engine_pair pair;
    EXPECT_EQ(pair.shake(1), std::pair(progress::done, progress::done));
}

TEST(engine, speaks_tls_1_3_with_whoever_does) {
    EXPECT_EQ(connected()->server.security().version, "TLSv1.3");
}

TEST(engine, speaks_tls_1_2_with_whoever_speaks_nothing_newer) {
    const auto pair = connected(engine_pair::server_settings(),
                                limited(engine_pair::client_settings(), version::tls_1_2));
    EXPECT_EQ(pair->server.security().version, "TLSv1.2");
}

// What is left for the server once it has answered the client's greeting.
engine::step step_behind_first_answer(const context_settings& server,
                                      const context_settings& client) {
    engine_pair pair{server, client};
    (void)pair.client.handshake({});
    (void)pair.server.handshake(pair.client.take_output());
    return pair.server.next_step();
}

TEST(engine, has_a_light_step_left_once_it_has_answered) {
    EXPECT_EQ(
        step_behind_first_answer(engine_pair::server_settings(), engine_pair::client_settings()),
        engine::step::light);
}

TEST(engine, has_no_light_step_where_the_client_chooses_another_group) {
    auto server = engine_pair::server_settings();
    server.groups = "P-384";  // so that the client has to begin again
    EXPECT_NE(step_behind_first_answer(server, engine_pair::client_settings()),
              engine::step::light);
}

TEST(engine, has_a_heavy_step_where_the_secret_is_still_to_be_agreed_upon) {
    EXPECT_EQ(step_behind_first_answer(engine_pair::server_settings(),
                                       limited(engine_pair::client_settings(), version::tls_1_2)),
              engine::step::heavy);
}

TEST(engine, has_a_heavy_step_where_it_verifies_the_client) {
    auto server = engine_pair::server_settings();
    server.peer = verification::if_given;
    server.ca = engine_pair::home().file();
    EXPECT_EQ(step_behind_first_answer(server, engine_pair::client_settings()),
              engine::step::heavy);
}

// --- the first step, with little effort

engine::step first_step_with(key_kind key) {
    return engine_pair{engine_pair::server_settings(key)}.server.next_step();
}

TEST(engine, cannot_tell_the_first_step_of_a_quick_key) {
    EXPECT_EQ(first_step_with(key_kind::p256), engine::step::depends);
    EXPECT_EQ(first_step_with(key_kind::ed25519), engine::step::depends);
}

TEST(engine, has_a_heavy_first_step_where_signing_is_slow) {
    EXPECT_EQ(first_step_with(key_kind::rsa), engine::step::heavy);
    EXPECT_EQ(first_step_with(key_kind::p384), engine::step::heavy);
}

TEST(engine, has_a_heavy_first_step_as_a_client) {
    EXPECT_EQ(engine_pair{}.client.next_step(), engine::step::heavy);
}

// The server's part of a handshake whose first step it takes with little effort, in one piece or
// not: what that said, and what both say in the end.
struct easy_start {
    progress first = progress::more;
    std::pair<progress, progress> end;
};
easy_start started_with_little(const context_settings& server,
                               const context_settings& client,
                               std::string_view behind_greeting = {}) {
    engine_pair pair{server, client};
    pair.client_is = pair.client.handshake({});
    const auto greeting = pair.client.take_output() + std::string{behind_greeting};
    easy_start seen;
    seen.first = pair.server.handshake(greeting, engine::effort::little);
    pair.to_client = pair.server.take_output();
    if (seen.first == progress::heavy) {
        EXPECT_EQ(pair.to_client, "");
        pair.server_is = pair.server.handshake({});
        pair.to_client = pair.server.take_output();
    } else {
        pair.server_is = seen.first;
    }
    seen.end = pair.carry();
    return seen;
}
constexpr auto both_done = std::pair(progress::done, progress::done);

TEST(engine, takes_a_quick_greeting_with_little_effort) {
    const auto seen =
        started_with_little(engine_pair::server_settings(), engine_pair::client_settings());
    EXPECT_EQ(seen.first, progress::more);
    EXPECT_EQ(seen.end, both_done);
}

TEST(engine, goes_on_later_with_a_greeting_that_asks_for_more) {
    const auto seen =
        started_with_little(engine_pair::server_settings(), engine_pair::slow_client_settings());
    EXPECT_EQ(seen.first, progress::heavy);
    EXPECT_EQ(seen.end, both_done);
}

TEST(engine, goes_on_later_where_the_group_would_be_chosen_afterwards) {
    const auto seen = started_with_little(
        engine_pair::server_settings(), limited(engine_pair::client_settings(), version::tls_1_2));
    EXPECT_EQ(seen.first, progress::heavy);
    EXPECT_EQ(seen.end, both_done);
}

TEST(engine, goes_on_later_where_the_server_speaks_nothing_newer) {
    const auto seen = started_with_little(limited(engine_pair::server_settings(), version::tls_1_2),
                                          engine_pair::client_settings());
    EXPECT_EQ(seen.first, progress::heavy);
    EXPECT_EQ(seen.end, both_done);
}

TEST(engine, keeps_what_stands_behind_a_greeting_for_later) {
    // A ChangeCipherSpec, which means nothing any more (RFC 8446, section 5).
    const auto seen =
        started_with_little(engine_pair::server_settings(), engine_pair::slow_client_settings(),
                            std::string_view{"\x14\3\3\0\1\1", 6});
    EXPECT_EQ(seen.first, progress::heavy);
    EXPECT_EQ(seen.end, both_done);
}

// A server that has none of the client's first shares, and asks for another greeting.
context_settings asking_server() {
    auto settings = engine_pair::server_settings();
    settings.groups = "P-384";
    return settings;
}

TEST(engine, asks_for_another_greeting_with_little_effort) {
    engine_pair pair{asking_server()};
    (void)pair.client.handshake({});
    EXPECT_EQ(pair.server.handshake(pair.client.take_output(), engine::effort::little),
              progress::more);
    EXPECT_TRUE(pair.server.has_output());
    EXPECT_EQ(pair.server.next_step(), engine::step::heavy);
}

TEST(engine, weighs_a_second_greeting_that_came_with_the_first) {
    engine_pair pair{asking_server()};
    (void)pair.client.handshake({});
    auto greetings = pair.client.take_output();
    (void)pair.server.handshake(greetings);
    (void)pair.client.handshake(pair.server.take_output());
    greetings += pair.client.take_output();
    engine another{pair.server.shared()};
    EXPECT_EQ(another.handshake(greetings, engine::effort::little), progress::heavy);
    EXPECT_NE(another.take_output(), "");
    EXPECT_EQ(another.handshake({}), progress::more);
}

// Adds to the big-endian number of `size` bytes at `at`.
void grow(std::string& bytes, std::size_t at, std::size_t size, std::size_t by) {
    for (std::size_t i = at + size; i-- > at && by != 0; by >>= 8U) {
        by += static_cast<unsigned char>(bytes[i]);
        bytes[i] = static_cast<char>(by & 0xffU);
    }
}

// A greeting (RFC 8446, section 4.1.2) with one extension more, which nobody knows, of `size`
// bytes.
std::string with_extension(std::string greeting, std::size_t size) {
    std::size_t at = 5 + 4 + 2 + 32;  // the record's header, the message's, version, random
    const auto skip = [&](std::size_t size_of_size) {
        std::size_t length = 0;
        for (std::size_t i = 0; i < size_of_size; ++i) {
            length = length << 8U | static_cast<unsigned char>(greeting[at + i]);
        }
        at += size_of_size + length;
    };
    skip(1);  // session
    skip(2);  // suites
    skip(1);  // compression
    std::string more{"\xfa\xfa\0\0", 4};
    grow(more, 2, 2, size);
    more.append(size, 'x');
    for (const auto& [where, width] :
         {std::pair{std::size_t{3}, std::size_t{2}}, {6, 3}, {at, 2}}) {
        grow(greeting, where, width, more.size());
    }
    return greeting + more;
}

progress with_little_effort(std::size_t size_of_extension) {
    engine_pair pair;
    (void)pair.client.handshake({});
    return pair.server.handshake(with_extension(pair.client.take_output(), size_of_extension),
                                 engine::effort::little);
}

TEST(engine, goes_on_later_with_a_greeting_that_is_very_long) {
    EXPECT_EQ(with_little_effort(100), progress::more);
    EXPECT_EQ(with_little_effort(3000), progress::heavy);
}

TEST(engine, refuses_what_is_no_tls_with_little_effort_too) {
    engine_pair pair;
    EXPECT_EQ(pair.server.handshake("GET / HTTP/1.1\r\n\r\n", engine::effort::little),
              progress::failed);
}

// --- the suite

TEST(engine, chooses_the_cheapest_suite_where_nothing_is_said) {
    EXPECT_EQ(connected()->server.security().cipher, "TLS_AES_128_GCM_SHA256");
}

TEST(engine, chooses_the_suite_that_it_is_told_to_choose) {
    auto server = engine_pair::server_settings();
    server.cipher_suites = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256";
    EXPECT_EQ(connected(server)->server.security().cipher, "TLS_AES_256_GCM_SHA384");
}

TEST(engine, chooses_another_suite_where_the_client_has_no_cheaper_one) {
    auto client = engine_pair::client_settings();
    client.cipher_suites = "TLS_AES_256_GCM_SHA384";
    EXPECT_EQ(connected(engine_pair::server_settings(), client)->server.security().cipher,
              "TLS_AES_256_GCM_SHA384");
}

// --- its own certificate

TEST(engine, completes_its_chain_from_those_whom_it_trusts) {
    authority between{"Example Intermediate", engine_pair::home()};
    const auto own =
        between.issue({.common_name = "localhost", .alternative_names = "DNS:localhost"});
    const context_settings server{.side = role::server,
                                  .peer = verification::if_given,
                                  .certificate = own.certificate,
                                  .key = own.key,
                                  .ca = between.file()};
    EXPECT_EQ(connected(server)->client.error(), "");
}

TEST(engine, fails_at_a_chain_that_it_cannot_complete) {
    authority between{"Example Intermediate", engine_pair::home()};
    const auto own =
        between.issue({.common_name = "localhost", .alternative_names = "DNS:localhost"});
    const context_settings server{
        .side = role::server, .certificate = own.certificate, .key = own.key};
    engine_pair pair{server};
    EXPECT_EQ(pair.shake().second, progress::failed);
}

// --- the handshake going wrong

TEST(engine, refuses_a_version_below_its_minimum) {
    auto settings = engine_pair::server_settings();
    settings.min_version = version::tls_1_3;
    engine_pair pair{settings, limited(engine_pair::client_settings(), version::tls_1_2)};
    EXPECT_EQ(pair.shake().first, progress::failed);
    EXPECT_EQ(pair.server.error(), "unsupported protocol");
}

TEST(engine, tells_the_peer_why_it_refuses) {
    auto settings = engine_pair::server_settings();
    settings.min_version = version::tls_1_3;
    engine_pair pair{settings, limited(engine_pair::client_settings(), version::tls_1_2)};
    pair.shake();
    EXPECT_EQ(pair.client.error(), "tlsv1 alert protocol version");
}

TEST(engine, refuses_bytes_that_are_no_tls) {
    engine_pair pair;
    EXPECT_EQ(pair.server.handshake("GET / HTTP/1.1\r\n\r\n"), progress::failed);
    EXPECT_EQ(pair.server.error(), "http request");
}

TEST(engine, refuses_a_startup_packet_where_a_handshake_is_due) {
    engine_pair pair;
    EXPECT_EQ(pair.server.handshake(std::string("\0\0\0\x08\0\3\0\0", 8)), progress::failed);
}

TEST(engine, needs_more_for_half_a_greeting) {
    engine_pair pair;
    (void)pair.client.handshake({});
    const auto hello = pair.client.take_output();
    EXPECT_EQ(pair.server.handshake(std::string_view{hello}.substr(0, hello.size() / 2)),
              progress::more);
}

TEST(engine, survives_a_greeting_with_any_byte_broken) {
    engine_pair first;
    (void)first.client.handshake({});
    const auto hello = first.client.take_output();
    const auto context = must_load(engine_pair::server_settings());
    for (std::size_t at = 0; at < hello.size(); ++at) {
        auto broken = hello;
        broken[at] = static_cast<char>(broken[at] ^ 0x55);
        engine server{context};
        EXPECT_NE(server.handshake(broken), progress::done) << at;
    }
}

TEST(engine, offers_no_session_tickets) {
    const auto pair = connected();
    EXPECT_EQ(pair->to_client, "");
}

TEST(engine, keeps_what_came_behind_the_handshake) {
    engine_pair pair;
    (void)pair.client.handshake({});
    (void)pair.server.handshake(pair.client.take_output());
    ASSERT_EQ(pair.client.handshake(pair.server.take_output()), progress::done);
    const auto finished = pair.client.take_output();
    ASSERT_EQ(pair.server.handshake(finished + engine_pair::encrypted(pair.client, "startup")),
              progress::done);
    EXPECT_TRUE(pair.server.has_pending());
    EXPECT_EQ(engine_pair::decrypted(pair.server, {}).text, "startup");
}

TEST(engine, agrees_on_the_name_of_the_protocol) {
    EXPECT_TRUE(connected()->server.security().has_alpn);
}

// --- certificates

TEST(engine, tells_nothing_of_a_peer_without_a_certificate) {
    EXPECT_FALSE(connected()->server.security().has_peer_certificate);
}

context_settings asks_for_certificates(verification how) {
    auto settings = engine_pair::server_settings();
    settings.peer = how;
    settings.ca = engine_pair::home().file();
    return settings;
}
context_settings shows(const identity& own) {
    auto settings = engine_pair::client_settings();
    settings.certificate = own.certificate;
    settings.key = own.key;
    return settings;
}

TEST(engine, tells_the_common_name_of_its_peer) {
    const auto alice = engine_pair::home().issue({.common_name = "alice"});
    EXPECT_EQ(connected(asks_for_certificates(verification::if_given), shows(alice))
                  ->server.security()
                  .peer_common_name,
              "alice");
}

TEST(engine, tells_the_distinguished_name_of_its_peer_by_rfc_2253) {
    const auto alice = engine_pair::home().issue({.common_name = "alice", .organization = "A, B"});
    EXPECT_EQ(connected(asks_for_certificates(verification::if_given), shows(alice))
                  ->server.security()
                  .peer_distinguished_name,
              "CN=alice,O=A\\, B");
}

TEST(engine, refuses_a_common_name_with_a_null_in_it) {
    const auto mallory =
        engine_pair::home().issue({.common_name = std::string("alice\0mallory", 13)});
    engine_pair pair{asks_for_certificates(verification::if_given), shows(mallory)};
    EXPECT_EQ(pair.shake().first, progress::failed);
    EXPECT_EQ(pair.server.error(), "SSL certificate's common name contains embedded null");
}

TEST(engine, lets_a_client_without_a_certificate_in_unless_there_must_be_one) {
    engine_pair pair{asks_for_certificates(verification::if_given), engine_pair::client_settings()};
    EXPECT_EQ(pair.shake().first, progress::done);
}

TEST(engine, refuses_a_client_without_a_certificate_where_there_must_be_one) {
    engine_pair pair{asks_for_certificates(verification::required), engine_pair::client_settings()};
    EXPECT_EQ(pair.shake().first, progress::failed);
    EXPECT_EQ(pair.server.error(), "peer did not return a certificate");
}

TEST(engine, refuses_a_certificate_signed_by_somebody_else) {
    authority stranger{"Somebody"};
    engine_pair pair{asks_for_certificates(verification::if_given),
                     shows(stranger.issue({.common_name = "alice"}))};
    EXPECT_EQ(pair.shake().first, progress::failed);
    EXPECT_EQ(pair.server.error(),
              "certificate verify failed: unable to get local issuer certificate");
}

TEST(engine, refuses_a_certificate_that_has_expired) {
    const auto old = engine_pair::home().issue({.common_name = "alice", .seconds = -60});
    engine_pair pair{asks_for_certificates(verification::if_given), shows(old)};
    EXPECT_EQ(pair.shake().first, progress::failed);
    EXPECT_EQ(pair.server.error(), "certificate verify failed: certificate has expired");
}

// A server whose certificate is `c`, seen by a client that wants to reach `host`.
progress reaches(const claim& c, const std::string& host, std::string* error = nullptr) {
    const auto own = engine_pair::home().issue(c);
    engine_pair pair{{.side = role::server, .certificate = own.certificate, .key = own.key},
                     engine_pair::client_settings(),
                     {.host = host, .verify_host = true}};
    pair.shake();
    if (error != nullptr) {
        *error = pair.client.error();
    }
    return pair.client_is;
}

TEST(engine, finds_its_host_among_the_alternative_names) {
    EXPECT_EQ(reaches({.common_name = "x", .alternative_names = "DNS:a.test,DNS:b.test"}, "b.test"),
              progress::done);
}

TEST(engine, finds_its_address_among_the_alternative_names) {
    EXPECT_EQ(reaches({.common_name = "x", .alternative_names = "IP:10.0.0.1"}, "10.0.0.1"),
              progress::done);
}

TEST(engine, takes_an_address_for_no_name) {
    EXPECT_EQ(reaches({.common_name = "x", .alternative_names = "DNS:10.0.0.1"}, "10.0.0.1"),
              progress::failed);
}

TEST(engine, takes_the_common_name_where_there_is_no_alternative) {
    EXPECT_EQ(reaches({.common_name = "db.test"}, "db.test"), progress::done);
}

TEST(engine, takes_the_common_name_for_an_address_where_there_is_no_alternative) {
    EXPECT_EQ(reaches({.common_name = "10.0.0.1"}, "10.0.0.1"), progress::done);
}

TEST(engine, ignores_the_common_name_beside_an_alternative) {
    EXPECT_EQ(reaches({.common_name = "db.test", .alternative_names = "DNS:other.test"}, "db.test"),
              progress::failed);
}

TEST(engine, takes_a_wildcard_for_one_label) {
    EXPECT_EQ(
        reaches({.common_name = "x", .alternative_names = "DNS:*.test.example"}, "db.test.example"),
        progress::done);
}

TEST(engine, takes_no_wildcard_for_two_labels) {
    EXPECT_EQ(
        reaches({.common_name = "x", .alternative_names = "DNS:*.example"}, "db.test.example"),
        progress::failed);
}

TEST(engine, says_whose_certificate_it_found_instead) {
    std::string error;
    reaches({.common_name = "other.test"}, "db.test", &error);
    EXPECT_EQ(error, "server certificate for \"other.test\" does not match host name \"db.test\"");
}

TEST(engine, refuses_a_server_signed_by_somebody_else) {
    authority stranger{"Somebody"};
    const auto own = stranger.issue({.common_name = "localhost"});
    engine_pair pair{{.side = role::server, .certificate = own.certificate, .key = own.key}};
    EXPECT_EQ(pair.shake().second, progress::failed);
}

TEST(engine, believes_anybody_where_nothing_is_verified) {
    authority stranger{"Somebody"};
    const auto own = stranger.issue({.common_name = "elsewhere"});
    engine_pair pair{{.side = role::server, .certificate = own.certificate, .key = own.key},
                     {.side = role::client},
                     {.host = "localhost"}};
    EXPECT_EQ(pair.shake().second, progress::done);
}

// --- channel binding

TEST(engine, tells_both_sides_the_same_end_point) {
    const auto pair = connected();
    EXPECT_EQ(pair->server.security().server_end_point.size(), 32U);
    EXPECT_EQ(pair->server.security().server_end_point, pair->client.security().server_end_point);
}

TEST(engine, knows_no_end_point_where_none_is_defined) {
    authority signer{"Edwards", key_kind::ed25519};
    const auto own = signer.issue({.common_name = "localhost", .key = key_kind::ed25519});
    const auto pair =
        connected({.side = role::server, .certificate = own.certificate, .key = own.key},
                  {.side = role::client, .peer = verification::required, .ca = signer.file()});
    EXPECT_EQ(pair->client.security().server_end_point, "");
}

// --- records

TEST(engine, carries_text_to_the_server) {
    const auto pair = connected();
    EXPECT_EQ(
        engine_pair::decrypted(pair->server, engine_pair::encrypted(pair->client, "hello")).text,
        "hello");
}

TEST(engine, carries_text_to_the_client) {
    const auto pair = connected();
    EXPECT_EQ(
        engine_pair::decrypted(pair->client, engine_pair::encrypted(pair->server, "hello")).text,
        "hello");
}

TEST(engine, carries_many_records_at_once) {
    const auto pair = connected();
    const auto text = pattern(300'000);
    EXPECT_EQ(engine_pair::decrypted(pair->server, engine_pair::encrypted(pair->client, text)).text,
              text);
}

TEST(engine, needs_no_more_room_than_promised) {
    for (const auto v : {version::tls_1_2, version::tls_1_3}) {
        const auto pair =
            connected(engine_pair::server_settings(), limited(engine_pair::client_settings(), v));
        std::string out(engine::record_size + engine::record_overhead, '\0');
        const auto used = pair->client.encrypt(pattern(engine::record_size), out);
        ASSERT_TRUE(used);
        EXPECT_FALSE(pair->client.has_output());
    }
}

// Two records, in the order in which they were made.
std::string two_records(engine& by, std::string_view first, std::string_view second) {
    auto out = engine_pair::encrypted(by, first);
    out += engine_pair::encrypted(by, second);
    return out;
}

TEST(engine, joins_records_that_are_cut_anywhere) {
    for (const auto v : {version::tls_1_2, version::tls_1_3}) {
        const auto client = limited(engine_pair::client_settings(), v);
        std::size_t size = 1;
        for (std::size_t cut = 0; cut <= size; ++cut) {
            const auto pair = connected(engine_pair::server_settings(), client);
            const auto bytes = two_records(pair->client, "one", "another");
            size = bytes.size();
            auto text = engine_pair::decrypted(pair->server, bytes.substr(0, cut)).text;
            text += engine_pair::decrypted(pair->server, bytes.substr(cut)).text;
            ASSERT_EQ(text, "oneanother") << "cut at " << cut;
        }
    }
}

TEST(engine, gives_what_does_not_fit_the_next_time) {
    const auto pair = connected();
    const auto text = pattern(100'000);
    EXPECT_EQ(
        engine_pair::decrypted(pair->server, engine_pair::encrypted(pair->client, text), 1000).text,
        text);
}

TEST(engine, has_more_pending_while_a_record_is_half_taken) {
    const auto pair = connected();
    std::string into(3, '\0');
    (void)pair->server.decrypt(engine_pair::encrypted(pair->client, "hello"), into);
    EXPECT_TRUE(pair->server.has_pending());
}

TEST(engine, has_nothing_pending_once_all_is_taken) {
    const auto pair = connected();
    std::string into(5, '\0');
    (void)pair->server.decrypt(engine_pair::encrypted(pair->client, "hello"), into);
    EXPECT_FALSE(pair->server.has_pending());
}

TEST(engine, takes_more_while_some_is_pending) {
    const auto pair = connected();
    std::string into(3, '\0');
    (void)pair->server.decrypt(two_records(pair->client, "hello", " dear"), into);
    EXPECT_EQ(
        engine_pair::decrypted(pair->server, engine_pair::encrypted(pair->client, " world")).text,
        "lo dear world");
}

TEST(engine, fails_at_a_record_with_any_byte_broken) {
    const auto size = engine_pair::encrypted(connected()->client, "hello").size();
    for (std::size_t at = 0; at < size; ++at) {
        const auto pair = connected();
        auto bytes = engine_pair::encrypted(pair->client, "hello");
        bytes[at] = static_cast<char>(bytes[at] ^ 1);
        // A length that is too great waits for the rest.
        const auto got = engine_pair::decrypted(pair->server, bytes + std::string(600, 'x'));
        ASSERT_EQ(got.then, condition::failed) << at;
        ASSERT_EQ(got.text, "") << at;
    }
}

TEST(engine, stays_failed) {
    const auto pair = connected();
    (void)engine_pair::decrypted(pair->server, pattern(100));
    EXPECT_EQ(
        engine_pair::decrypted(pair->server, engine_pair::encrypted(pair->client, "hello")).then,
        condition::failed);
}

TEST(engine, has_nothing_pending_once_it_has_failed) {
    const auto pair = connected();
    (void)engine_pair::decrypted(pair->server, pattern(100'000));
    EXPECT_FALSE(pair->server.has_pending());
}

TEST(engine, refuses_a_record_that_is_sent_again) {
    const auto pair = connected();
    const auto bytes = engine_pair::encrypted(pair->client, "pay");
    EXPECT_EQ(engine_pair::decrypted(pair->server, bytes + bytes).text, "pay");
    EXPECT_EQ(engine_pair::decrypted(pair->server, {}).then, condition::failed);
}

// --- a peer that talks of nothing but TLS

// A server's engine, and whom it talks to.
struct chat {
    chat() { client.shake_hands_with(server); }

    engine server{must_load(engine_pair::server_settings())};
    chatty_client client;
};

TEST(engine, takes_new_keys_and_goes_on) {
    chat c;
    auto bytes = c.client.new_keys(3);
    bytes += c.client.sealed("hello");
    EXPECT_EQ(engine_pair::decrypted(c.server, bytes).text, "hello");
}

// OpenSSL answers with whatever comes next.
TEST(engine, answers_new_keys) {
    chat c;
    (void)engine_pair::decrypted(c.server, c.client.new_keys(2));
    EXPECT_TRUE(c.server.has_output());
}

// Each costs much and brings nothing, so that one receive of them would hold up everybody else.
TEST(engine, fails_at_a_flood_of_new_keys) {
    chat c;
    EXPECT_EQ(engine_pair::decrypted(c.server, c.client.new_keys(1000)).then, condition::failed);
    EXPECT_EQ(c.server.error(), "too many TLS messages without data");
}

TEST(engine, does_not_work_through_a_flood_of_new_keys) {
    chat c;
    (void)engine_pair::decrypted(c.server, c.client.new_keys(1000));
    EXPECT_LT(c.server.take_output().size(), 32U * 32U);
}

TEST(engine, bears_new_keys_that_come_now_and_then) {
    chat c;
    for (int i = 0; i < 100; ++i) {
        (void)engine_pair::decrypted(c.server, c.client.new_keys(1));
        (void)c.server.take_output();
    }
    EXPECT_EQ(engine_pair::decrypted(c.server, c.client.sealed("hello")).text, "hello");
}

// --- the end

TEST(engine, hears_that_its_peer_sends_no_more) {
    const auto pair = connected();
    pair->client.close();
    EXPECT_EQ(engine_pair::decrypted(pair->server, pair->client.take_output()).then,
              condition::closed);
}

TEST(engine, gives_what_came_before_the_end) {
    const auto pair = connected();
    auto bytes = engine_pair::encrypted(pair->client, "bye");
    pair->client.close();
    bytes += pair->client.take_output();
    EXPECT_EQ(engine_pair::decrypted(pair->server, bytes).text, "bye");
}

TEST(engine, says_only_once_that_it_sends_no_more) {
    const auto pair = connected();
    pair->client.close();
    (void)pair->client.take_output();
    pair->client.close();
    EXPECT_EQ(pair->client.take_output(), "");
}

TEST(engine, says_nothing_of_an_end_before_there_was_a_beginning) {
    engine_pair pair;
    pair.server.close();
    EXPECT_EQ(pair.server.take_output(), "");
}

}  // namespace
}  // namespace pgweir::tls
