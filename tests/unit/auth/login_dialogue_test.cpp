// Every method from both ends, then the same with each message cut, and each byte changed.
#include "auth/login_dialogue.hpp"

#include "pgweir/auth/md5.hpp"

#include <gtest/gtest.h>

namespace pgweir::auth {
namespace {

struct scenario {
    const char* name;
    method how;
    std::string secret;    // what the door has
    std::string password;  // what the visitor has
    bool mutual;           // must the door prove itself too?
};

void PrintTo(const scenario& s, std::ostream* out) { *out << s.name; }

dialogue play(const scenario& s) { return {s.how, known(s.secret), with_password(s.password)}; }

struct login_scenario : testing::TestWithParam<scenario> {};

TEST_P(login_scenario, succeeds_with_the_right_password) {
    dialogue d = play(GetParam());
    d.run();
    EXPECT_TRUE(d.accepted && d.logged_in);
}

TEST_P(login_scenario, fails_with_the_wrong_password) {
    scenario s = GetParam();
    s.password = "crayon";
    dialogue d = play(s);
    d.run();
    EXPECT_EQ(d.door.why().message, "password authentication failed for user \"alice\"");
}

TEST_P(login_scenario, fails_for_unknown_users_as_for_a_wrong_password) {
    dialogue d{GetParam().how, unknown(), with_password("pencil")};
    d.run();
    EXPECT_EQ(d.door.why().message, "password authentication failed for user \"alice\"");
}

TEST_P(login_scenario, fails_with_28P01_for_users_without_a_password) {
    dialogue d{GetParam().how, known(""), with_password("pencil")};
    d.run();
    EXPECT_EQ(d.door.why().sqlstate, "28P01");
}

TEST_P(login_scenario, fails_at_every_cut_of_every_message) {
    dialogue whole = play(GetParam());
    std::vector<std::size_t> sizes;
    whole.spoil = [&](std::size_t, std::string& message) { sizes.push_back(message.size()); };
    whole.run();
    for (std::size_t n = 0; n < sizes.size(); ++n) {
        for (std::size_t size = 0; size < sizes[n]; ++size) {
            dialogue d = play(GetParam());
            d.spoil = [&](std::size_t i, std::string& message) {
                message.resize(i == n ? size : message.size());
            };
            d.run();
            EXPECT_FALSE(d.accepted && d.logged_in) << "message " << n << " cut to " << size;
        }
    }
}

TEST_P(login_scenario, never_succeeds_on_both_ends_with_a_changed_byte) {
    dialogue whole = play(GetParam());
    std::vector<std::size_t> sizes;
    whole.spoil = [&](std::size_t, std::string& message) { sizes.push_back(message.size()); };
    whole.run();
    // Without mutual proof only what the door reads is protected.
    for (std::size_t n = GetParam().mutual ? 0 : 1; n < sizes.size(); ++n) {
        for (std::size_t at = 0; at < sizes[n]; ++at) {
            dialogue d = play(GetParam());
            d.spoil = [&](std::size_t i, std::string& message) {
                if (i == n) {
                    message[at] = static_cast<char>(message[at] ^ 0x04);
                }
            };
            d.run();
            EXPECT_FALSE(d.accepted && d.logged_in) << "message " << n << " byte " << at;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(
    methods,
    login_scenario,
    testing::Values(
        scenario{"cleartext_for_plain", method::password, "pencil", "pencil", false},
        scenario{"cleartext_for_md5", method::password, md5_secret("alice", "pencil"), "pencil",
                 false},
        scenario{"cleartext_for_scram", method::password, verifier_of("pencil"), "pencil", false},
        scenario{"md5_for_plain", method::md5, "pencil", "pencil", false},
        scenario{"md5_for_md5", method::md5, md5_secret("alice", "pencil"), "pencil", false},
        scenario{"md5_with_the_hash_alone", method::md5, "pencil", md5_secret("alice", "pencil"),
                 false},
        scenario{"md5_for_scram", method::md5, verifier_of("pencil"), "pencil", true},
        scenario{"scram_for_scram", method::scram_sha_256, verifier_of("pencil"), "pencil", true}),
    [](const auto& test) { return std::string{test.param.name}; });

TEST(login_dialogue, scram_for_a_plain_secret_hashes_it) {
    dialogue d{method::scram_sha_256, known("pencil"), with_password("pencil")};
    d.run();
    EXPECT_TRUE(d.accepted && d.logged_in);
}

TEST(login_dialogue, keys_of_a_client_log_in_where_the_verifier_is_the_same) {
    dialogue in{method::scram_sha_256, known(verifier_of("pencil")), with_password("pencil")};
    in.run();
    server_credentials passed{"alice", "", in.door.client_key(), in.door.verifier()->salt,
                              in.door.verifier()->iterations};
    dialogue on{method::scram_sha_256, known(verifier_of("pencil")), passed};
    on.run();
    EXPECT_TRUE(on.accepted && on.logged_in);
}

TEST(login_dialogue, keys_learned_from_a_cleartext_password_log_in_too) {
    dialogue in{method::password, known(verifier_of("pencil")), with_password("pencil")};
    in.run();
    server_credentials passed{"alice", "", in.door.client_key(), in.door.verifier()->salt,
                              in.door.verifier()->iterations};
    dialogue on{method::scram_sha_256, known(verifier_of("pencil")), passed};
    on.run();
    EXPECT_TRUE(on.accepted && on.logged_in);
}

}  // namespace
}  // namespace pgweir::auth
