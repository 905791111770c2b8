// How a server connection starts, and what it makes of servers that lie or break off.
#include "pgweir/pool/server_startup.hpp"

#include "pool/server_dialogue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <ostream>
#include <random>
#include <string>

namespace pgweir::pool {
namespace {

using namespace std::string_literals;
using kind = server_startup::step::kind;

server_startup startup(auth::server_credentials who = alice()) {
    return {"shop", std::move(who), "client-nonce"};
}

// --- every way to log in, as it should go and with a failure at every step

struct way {
    const char* name;
    postgres (*server)();
};

void PrintTo(const way& w, std::ostream* out) { *out << w.name; }

class every_way : public ::testing::TestWithParam<way> {
protected:
    // How many messages of the server a login takes.
    std::size_t length() {
        auto s = startup();
        return converse(s, GetParam().server()).messages;
    }
    struct end {
        kind what;
        std::string sqlstate;
    };
    // What comes of a login whose n-th message is spoiled.
    end spoiled(std::size_t n, const std::function<void(message&)>& how) {
        auto s = startup();
        const auto o = converse(s, GetParam().server(), [&](std::size_t i, message& m) {
            if (i == n) {
                how(m);
            }
        });
        return {o.what, s.why().sqlstate};
    }
};

TEST_P(every_way, ends_ready) {
    auto s = startup();
    EXPECT_EQ(converse(s, GetParam().server()).what, kind::ready);
}

TEST_P(every_way, keeps_what_the_server_reported) {
    auto s = startup();
    (void)converse(s, GetParam().server());
    EXPECT_EQ(s.parameters().value_of("TimeZone"), "UTC");
}

TEST_P(every_way, fails_with_the_server_s_error_at_every_step) {
    for (std::size_t n = 0; n < length(); ++n) {
        const auto came = spoiled(n, [](message& m) { m = error("57P03", "starting up"); });
        EXPECT_EQ(came.sqlstate, "57P03") << "at message " << n;
    }
}

TEST_P(every_way, fails_on_an_empty_message_at_every_step) {
    for (std::size_t n = 0; n < length(); ++n) {
        const auto came = spoiled(n, [](message& m) { m.body.clear(); });
        EXPECT_EQ(came.what, kind::failed) << "at message " << n;
    }
}

TEST_P(every_way, fails_on_a_message_that_belongs_elsewhere_at_every_step) {
    for (std::size_t n = 0; n < length(); ++n) {
        const auto came = spoiled(n, [](message& m) { m = {'D', "\0\1\0\0\0\1x"s}; });
        EXPECT_EQ(came.what, kind::failed) << "at message " << n;
    }
}

TEST_P(every_way, is_not_ready_with_an_authentication_request_cut_anywhere) {
    for (std::size_t n = 0; n < length(); ++n) {
        for (std::size_t size = 0; size < 40; ++size) {
            bool cut = false;
            const auto came = spoiled(n, [&](message& m) {
                cut = m.type == 'R' && size < m.body.size();
                m.body.resize(std::min(size, m.body.size()));
            });
            EXPECT_FALSE(cut && came.what == kind::ready) << "message " << n << " cut to " << size;
        }
    }
}

TEST_P(every_way, is_not_decided_when_the_server_falls_silent_at_any_step) {
    for (std::size_t n = 0; n < length(); ++n) {
        auto s = startup();
        std::size_t said = 0;
        const auto server = GetParam().server();
        const auto what = converse(s, [&](std::string_view sent) {
                              auto all = server(sent);
                              all.resize(std::min(all.size(), n - said), {'N', ""});
                              said += all.size();
                              return all;
                          }).what;
        EXPECT_TRUE(what == kind::read_more || what == kind::send) << "after message " << n;
    }
}

TEST_P(every_way, survives_any_bytes_at_any_step) {
    std::minstd_rand random{11};
    for (int i = 0; i < 300; ++i) {
        (void)spoiled(random() % length(), [&random](message& m) {
            if (random() % 2 == 0) {
                m.type = static_cast<char>(random());
            }
            m.body.resize(random() % 40);
            for (auto& c : m.body) {
                c = static_cast<char>(random() % 3 == 0 ? 0 : random());
            }
        });
    }
}

INSTANTIATE_TEST_SUITE_P(any,
                         every_way,
                         ::testing::Values(way{"trust", trusting},
                                           way{"cleartext", asking_for_cleartext},
                                           way{"md5", asking_for_md5},
                                           way{"scram", asking_for_scram}),
                         [](const auto& i) { return i.param.name; });

class every_password : public ::testing::TestWithParam<way> {};

TEST_P(every_password, that_is_wrong_fails_with_the_server_s_error) {
    auto s = startup(alice("crayon"));
    (void)converse(s, GetParam().server());
    EXPECT_EQ(s.why().sqlstate, "28P01");
}

TEST_P(every_password, that_is_missing_fails_with_a_hint_at_the_setting) {
    auto s = startup(alice(""));
    (void)converse(s, GetParam().server());
    EXPECT_NE(s.why().hint.find("server_password"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(any,
                         every_password,
                         ::testing::Values(way{"cleartext", asking_for_cleartext},
                                           way{"md5", asking_for_md5},
                                           way{"scram", asking_for_scram}),
                         [](const auto& i) { return i.param.name; });

// --- details

TEST(server_startup, sends_user_and_database) {
    EXPECT_EQ(startup().startup_packet(), "\0\0\0\x22\0\3\0\2user\0alice\0database\0shop\0\0"s);
}

TEST(server_startup, asks_for_no_newer_version_than_it_is_told) {
    const server_startup old{"shop", alice(), "client-nonce", {}, 0};
    EXPECT_EQ(old.startup_packet(), "\0\0\0\x22\0\3\0\0user\0alice\0database\0shop\0\0"s);
}

TEST(server_startup, hashes_a_password_for_scram) {
    auto s = startup();
    EXPECT_EQ(converse(s, asking_for_scram()).hashings, 1U);
}

TEST(server_startup, needs_no_hashing_with_keys_a_client_gave_away) {
    auto s = startup({"alice", "", auth::derive_scram_keys(password, salt, 1), salt, 1});
    EXPECT_EQ(converse(s, asking_for_scram()).hashings, 0U);
}

TEST(server_startup, is_let_in_with_keys_a_client_gave_away) {
    auto s = startup({"alice", "", auth::derive_scram_keys(password, salt, 1), salt, 1});
    EXPECT_EQ(converse(s, asking_for_scram()).what, kind::ready);
}

TEST(server_startup, does_not_believe_a_server_that_skips_its_proof) {
    auto s = startup();
    const auto server = asking_for_scram();
    const auto o = converse(s, [&](std::string_view sent) {
        auto all = server(sent);
        std::erase_if(all, [](const message& m) { return m.body.starts_with(int32(12)); });
        return all;
    });
    EXPECT_EQ(o.what, kind::failed);
}

TEST(server_startup, takes_no_keys_it_did_not_ask_for) {
    EXPECT_EQ(startup().on_hashed({}).what, kind::failed);
}

TEST(server_startup, knows_the_backend_s_process) {
    auto s = startup();
    (void)converse(s, trusting());
    EXPECT_EQ(s.backend_pid(), 77);
}

TEST(server_startup, keeps_the_cancel_key_as_it_came) {
    auto s = startup();
    (void)converse(s, trusting());
    EXPECT_EQ(s.backend_key(), int32(4711));
}

TEST(server_startup, keeps_a_long_cancel_key_as_it_came) {
    auto s = startup();
    (void)s.on_message('R', int32(0));
    (void)s.on_message('K', int32(77) + std::string(32, 'k'));
    EXPECT_EQ(s.backend_key(), std::string(32, 'k'));
}

TEST(server_startup, refuses_a_cancel_key_longer_than_any) {
    auto s = startup();
    (void)s.on_message('R', int32(0));
    EXPECT_EQ(s.on_message('K', int32(77) + std::string(257, 'k')).what, kind::failed);
}

TEST(server_startup, goes_on_in_the_version_that_the_server_speaks) {
    for (const int version : {196608, 196609, 196610}) {
        auto s = startup();
        EXPECT_EQ(s.on_message('v', int32(version) + int32(0)).what, kind::read_more);
        EXPECT_EQ(converse(s, trusting()).what, kind::ready);
    }
}

TEST(server_startup, does_not_believe_in_a_version_it_did_not_ask_for) {
    for (const int version : {0, 131072, 196611, 262144, -1}) {
        EXPECT_EQ(startup().on_message('v', int32(version) + int32(0)).what, kind::failed);
    }
}

TEST(server_startup, negotiates_once_and_before_the_login) {
    auto s = startup();
    (void)s.on_message('v', int32(196608) + int32(0));
    EXPECT_EQ(s.on_message('v', int32(196608) + int32(0)).what, kind::failed);
    auto later = startup();
    (void)later.on_message('R', int32(0));
    EXPECT_EQ(later.on_message('v', int32(196608) + int32(0)).what, kind::failed);
}

TEST(server_startup, has_asked_for_no_options) {
    EXPECT_EQ(startup().on_message('v', int32(196608) + int32(1) + "_pq_.x\0"s).what, kind::failed);
}

TEST(server_startup, names_the_setting_to_a_server_that_knows_no_newer_version) {
    auto s = startup();
    (void)s.on_message('E', error("0A000", "unsupported frontend protocol 3.2").body);
    EXPECT_NE(s.why().hint.find("protocol = \"3.0\""), std::string::npos);
}

TEST(server_startup, keeps_the_last_report_of_a_parameter) {
    auto s = startup();
    (void)s.on_message('R', int32(0));
    (void)s.on_message('S', parameter("TimeZone", "UTC").body);
    (void)s.on_message('S', parameter("TimeZone", "CET").body);
    EXPECT_EQ(s.parameters().all().size(), 1U);
}

TEST(server_startup, has_no_value_for_what_was_not_reported) {
    EXPECT_EQ(startup().parameters().value_of("TimeZone"), "");
}

TEST(server_startup, does_not_collect_parameters_without_end) {
    auto s = startup();
    (void)s.on_message('R', int32(0));
    kind what = kind::read_more;
    for (int i = 0; i < 10'000 && what == kind::read_more; ++i) {
        what = s.on_message('S', parameter("p" + std::to_string(i), "x").body).what;
    }
    EXPECT_EQ(what, kind::failed);
}

class harmless_message : public ::testing::TestWithParam<message> {};

TEST_P(harmless_message, changes_nothing_before_the_login) {
    EXPECT_EQ(startup().on_message(GetParam().type, GetParam().body).what, kind::read_more);
}

INSTANTIATE_TEST_SUITE_P(any,
                         harmless_message,
                         ::testing::Values(message{'N', error("01000", "hello").body},
                                           message{'v', int32(196608) + int32(0)}));

class early_message : public ::testing::TestWithParam<message> {};

TEST_P(early_message, is_not_believed_before_the_login) {
    EXPECT_EQ(startup().on_message(GetParam().type, GetParam().body).what, kind::failed);
}

INSTANTIATE_TEST_SUITE_P(any,
                         early_message,
                         ::testing::Values(message{'Z', "I"},
                                           message{'K', int32(77) + int32(4711)},
                                           parameter("TimeZone", "UTC"),
                                           message{'T', "\0\0"s}));

class bad_message : public ::testing::TestWithParam<message> {};

TEST_P(bad_message, is_not_believed_after_the_login) {
    auto s = startup();
    (void)s.on_message('R', int32(0));
    EXPECT_EQ(s.on_message(GetParam().type, GetParam().body).what, kind::failed);
}

INSTANTIATE_TEST_SUITE_P(any,
                         bad_message,
                         ::testing::Values(message{'Z', "T"},
                                           message{'Z', "E"},
                                           message{'Z', "II"},
                                           message{'K', int32(77)},
                                           message{'K', "\0\0\0\0\0\0\0"s},
                                           message{'S', "TimeZone"},
                                           message{'S', "TimeZone\0UTC"s},
                                           message{'R', int32(0)},
                                           message{'R', int32(3)}));

TEST(server_startup, takes_an_error_without_fields_for_trouble_with_the_connection) {
    auto s = startup();
    (void)s.on_message('E', "");
    EXPECT_EQ(s.why().sqlstate, "08006");
}

TEST(server_startup, knows_a_refusal_of_the_server_from_its_own) {
    server_startup refused{"shop", {}, "nonce"};
    (void)refused.on_message('E', "SFATAL\0C28000\0Mgo away\0\0"s);
    EXPECT_TRUE(refused.is_refused_by_server());
    server_startup unwilling{"shop", {}, "nonce",
                             {},     0,  {false, {}, auth::binding_policy::require}};
    (void)unwilling.on_message('R', "\0\0\0\0"s);
    EXPECT_EQ(unwilling.why().sqlstate, "28000");
    EXPECT_FALSE(unwilling.is_refused_by_server());
}

TEST(server_startup, asks_whether_it_is_postgresql_that_it_talks_to) {
    auto s = startup();
    (void)s.on_message('H', "TTP/1.1 400 Bad Request");
    EXPECT_NE(s.why().hint.find("PostgreSQL"), std::string::npos);
}

// --- failures

class temporary : public ::testing::TestWithParam<std::string> {};
TEST_P(temporary, may_be_over_at_the_next_attempt) {
    EXPECT_TRUE((connect_failure{GetParam(), {}, {}, {}}.is_temporary()));
}
INSTANTIATE_TEST_SUITE_P(any,
                         temporary,
                         ::testing::Values("57P03", "57P01", "53300", "08006", "08P01", "58030"));

class lasting : public ::testing::TestWithParam<std::string> {};
TEST_P(lasting, makes_waiting_vain) {
    EXPECT_FALSE((connect_failure{GetParam(), {}, {}, {}}.is_temporary()));
}
INSTANTIATE_TEST_SUITE_P(any, lasting, ::testing::Values("28P01", "28000", "3D000", "42501", ""));

TEST(connect_failure, ends_a_client_with_all_it_knows) {
    const connect_failure why{"3D000", "no such database", "detail", "hint"};
    EXPECT_EQ(why.as_fatal().severity, "FATAL");
    EXPECT_EQ(why.as_fatal().hint, "hint");
}

}  // namespace
}  // namespace pgweir::pool
