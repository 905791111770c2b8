// SCRAM that is tied to the TLS connection, on both legs, and what becomes of whoever is in
// between.
#include "auth/auth_messages.hpp"
#include "auth/login_dialogue.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgweir::auth {
namespace {

using namespace std::string_literals;
using ::testing::StartsWith;

const std::string certificate_hash(32, '\x5a');

channel_binding tls(binding_policy policy = binding_policy::prefer,
                    std::string end_point = certificate_hash) {
    return {true, std::move(end_point), policy};
}
channel_binding plain(binding_policy policy = binding_policy::prefer) {
    return {false, {}, policy};
}

// A login with a right password. `request` is the door's first message, `answer` the visitor's.
struct outcome {
    bool accepted, logged_in;
    std::string request, answer;
    refusal why;
    server_login::failure failure;
};

outcome play(channel_binding door,
             channel_binding visitor,
             const std::function<void(std::size_t, std::string&)>& spoil = {}) {
    dialogue d{method::scram_sha_256, known(verifier_of("pencil")), with_password("pencil"),
               std::move(door), std::move(visitor)};
    outcome out{};
    d.spoil = [&](std::size_t n, std::string& message) {
        if (spoil) {
            spoil(n, message);
        }
        (n == 0 ? out.request : n == 1 ? out.answer : message) = message;
    };
    d.run();
    out.accepted = d.accepted;
    out.logged_in = d.logged_in;
    if (!d.accepted) {
        out.why = d.door.why();
    }
    out.failure = d.visitor.why();
    return out;
}

// Takes SCRAM-SHA-256-PLUS off the list that the door offers.
void strip_plus(std::size_t n, std::string& message) {
    if (n == 0) {
        message = body(authentication(auth_code::sasl, "SCRAM-SHA-256\0\0"s));
    }
}

TEST(channel_binding, is_offered_over_tls_and_taken) {
    const auto o = play(tls(), tls());
    EXPECT_TRUE(o.accepted && o.logged_in);
    EXPECT_EQ(o.request,
              body(authentication(auth_code::sasl, "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"s)));
    EXPECT_THAT(o.answer, StartsWith("SCRAM-SHA-256-PLUS\0"s));
}

TEST(channel_binding, is_not_offered_without_tls) {
    const auto o = play(plain(), plain());
    EXPECT_TRUE(o.accepted && o.logged_in);
    EXPECT_EQ(o.request, body(authentication(auth_code::sasl, "SCRAM-SHA-256\0\0"s)));
}

TEST(channel_binding, is_not_offered_where_it_is_switched_off) {
    const auto o = play(tls(binding_policy::disable), tls());
    EXPECT_TRUE(o.accepted && o.logged_in);
    EXPECT_THAT(o.answer, StartsWith("SCRAM-SHA-256\0"s));
}

TEST(channel_binding, is_not_offered_with_a_certificate_that_has_no_hash) {
    const auto o = play(tls(binding_policy::prefer, ""), tls(binding_policy::prefer, ""));
    EXPECT_TRUE(o.accepted && o.logged_in);
    EXPECT_THAT(o.answer, StartsWith("SCRAM-SHA-256\0"s));
}

TEST(channel_binding, is_not_taken_by_whoever_does_not_want_it) {
    const auto o = play(tls(), tls(binding_policy::disable));
    EXPECT_TRUE(o.accepted && o.logged_in);
    EXPECT_THAT(o.answer, StartsWith("SCRAM-SHA-256\0"s));
}

TEST(channel_binding, is_all_that_is_offered_where_it_is_required) {
    const auto o = play(tls(binding_policy::require), tls());
    EXPECT_TRUE(o.accepted && o.logged_in);
    EXPECT_EQ(o.request, body(authentication(auth_code::sasl, "SCRAM-SHA-256-PLUS\0\0"s)));
}

TEST(channel_binding, lets_nobody_in_without_where_it_is_required) {
    const auto o = play(tls(binding_policy::require), tls(binding_policy::disable));
    EXPECT_FALSE(o.accepted);
}

TEST(channel_binding, that_is_required_lets_nobody_in_without_tls) {
    const auto o = play(plain(binding_policy::require), plain());
    EXPECT_EQ(o.why.sqlstate, "28000");
    EXPECT_EQ(o.why.message, "connection requires channel binding");
}

class required_channel_binding : public ::testing::TestWithParam<method> {};

TEST_P(required_channel_binding, is_not_done_with_this_method) {
    client_login door{GetParam(), known("pencil"), seed, entropy(), tls(binding_policy::require)};
    EXPECT_EQ(door.start().what, client_login::step::kind::refused);
    EXPECT_EQ(door.why().sqlstate, "28000");
}

TEST_P(required_channel_binding, is_missed_at_a_server_with_this_method) {
    dialogue d{GetParam(), known("pencil"), with_password("pencil"), tls(),
               tls(binding_policy::require)};
    d.run();
    EXPECT_FALSE(d.logged_in);
    EXPECT_EQ(d.visitor.why().message,
              GetParam() == method::trust
                  ? "channel binding required, but server authenticated client without channel "
                    "binding"
                  : "channel binding required but not supported by server's authentication "
                    "request");
}

INSTANTIATE_TEST_SUITE_P(each,
                         required_channel_binding,
                         ::testing::Values(method::trust, method::password, method::md5));

TEST(channel_binding, shows_that_somebody_sits_between_with_another_certificate) {
    const auto o = play(tls(), tls(binding_policy::prefer, std::string(32, '\x66')));
    EXPECT_FALSE(o.accepted || o.logged_in);
    EXPECT_EQ(o.why.sqlstate, "28000");
    EXPECT_EQ(o.why.message, "SCRAM channel binding check failed");
}

TEST(channel_binding, shows_that_somebody_took_it_off_the_list) {
    const auto o = play(tls(), tls(), strip_plus);
    EXPECT_FALSE(o.accepted || o.logged_in);
    EXPECT_EQ(o.why.sqlstate, "28000");
    EXPECT_EQ(o.why.message, "SCRAM channel binding negotiation error");
}

TEST(channel_binding, that_is_required_of_a_server_is_missed_where_somebody_took_it_off_the_list) {
    const auto o = play(tls(), tls(binding_policy::require), strip_plus);
    EXPECT_FALSE(o.logged_in);
    EXPECT_EQ(o.failure.message,
              "channel binding is required, but server did not offer an authentication method that "
              "supports channel binding");
}

TEST(channel_binding, that_is_required_of_a_server_is_missed_without_tls) {
    const auto o = play(plain(), plain(binding_policy::require));
    EXPECT_FALSE(o.logged_in);
    EXPECT_EQ(o.failure.message, "channel binding required, but SSL not in use");
}

TEST(channel_binding, that_is_required_of_a_server_is_missed_where_its_certificate_has_no_hash) {
    const auto o = play(tls(), tls(binding_policy::require, ""));
    EXPECT_FALSE(o.logged_in);
    EXPECT_EQ(o.failure.message, "could not determine server certificate signature algorithm");
}

TEST(channel_binding, is_not_believed_of_a_server_without_tls) {
    const auto o = play(tls(), plain());
    EXPECT_FALSE(o.logged_in);
    EXPECT_EQ(o.failure.message,
              "the server offers SCRAM-SHA-256-PLUS over a connection without TLS");
}

TEST(channel_binding, ends_both_logins_at_every_changed_byte_behind_the_list) {
    std::vector<std::size_t> sizes;
    (void)play(tls(), tls(), [&](std::size_t, std::string& m) { sizes.push_back(m.size()); });
    for (std::size_t n = 1; n < sizes.size(); ++n) {
        for (std::size_t at = 0; at < sizes[n]; ++at) {
            const auto o = play(tls(), tls(), [&](std::size_t i, std::string& message) {
                if (i == n) {
                    message[at] = static_cast<char>(message[at] ^ 0x04);
                }
            });
            EXPECT_FALSE(o.accepted && o.logged_in) << "message " << n << " byte " << at;
        }
    }
}

// --- what PostgreSQL says to clients that contradict themselves

refusal refused(std::string_view mechanism, std::string_view first, channel_binding channel) {
    client_login door{method::scram_sha_256, known(verifier_of("pencil")), seed, entropy(),
                      std::move(channel)};
    (void)door.start();
    EXPECT_EQ(door.on_message('p', body(sasl_initial_response(mechanism, first))).what,
              client_login::step::kind::refused);
    return door.why();
}

TEST(channel_binding, is_refused_with_the_mechanism_that_has_none) {
    const auto why = refused("SCRAM-SHA-256", "p=tls-server-end-point,,n=,r=abc", tls());
    EXPECT_EQ(why.message, "malformed SCRAM message");
    EXPECT_EQ(why.detail,
              "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message "
              "includes channel binding data.");
}

TEST(channel_binding, is_demanded_of_who_chose_the_mechanism_that_has_it) {
    for (const auto* first : {"n,,n=,r=abc", "y,,n=,r=abc"}) {
        const auto why = refused("SCRAM-SHA-256-PLUS", first, tls());
        EXPECT_EQ(why.message, "malformed SCRAM message");
        EXPECT_EQ(why.detail,
                  "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include "
                  "channel binding data.");
    }
}

TEST(channel_binding, is_of_one_kind_only) {
    EXPECT_EQ(refused("SCRAM-SHA-256-PLUS", "p=tls-unique,,n=,r=abc", tls()).message,
              "unsupported SCRAM channel-binding type");
}

TEST(channel_binding, cannot_be_chosen_where_it_is_not_offered) {
    EXPECT_EQ(refused("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc", plain()).message,
              "client selected an invalid SASL authentication mechanism");
}

TEST(channel_binding, refuses_every_cut_of_its_header) {
    constexpr std::string_view whole = "p=tls-server-end-point,,n=,r=a";
    for (std::size_t size = 0; size < whole.size(); ++size) {
        (void)refused("SCRAM-SHA-256-PLUS", whole.substr(0, size), tls());
    }
}

}  // namespace
}  // namespace pgweir::auth
