// Which role may use which verb.
#include "admin/console_dialogue.hpp"
#include "admin/verbs.hpp"

#include <gmock/gmock.h>

namespace pgweir::admin {
namespace {

using config::console_role;
using testing::HasSubstr;

std::vector<std::string> shows() {
    std::vector<std::string> all;
    for (const auto& v : verbs()) {
        if (v.first == "show" && !v.second.empty() && v.role == console_role::stats &&
            !std::holds_alternative<not_supported>(v.how)) {
            all.emplace_back(v.usage);
        }
    }
    return all;
}

class every_show : public testing::TestWithParam<std::string> {};

TEST_P(every_show, is_answered_to_the_stats_role) {
    console_client c{console_role::stats};
    EXPECT_THAT(types(c.send(query(GetParam()))), testing::EndsWith("CZ"));
}

TEST_P(every_show, is_answered_in_binary_too) {
    console_client c{console_role::stats};
    c.report.pools.resize(1);
    c.report.clients.resize(1);
    c.report.servers.resize(1);
    c.report.databases.resize(1);
    c.report.traffics.resize(1);
    c.report.clusters.resize(1);
    c.report.nodes.resize(1);
    c.report.failovers.resize(1);
    EXPECT_THAT(types(c.send(parse("", GetParam()) + bind_to("", "", {1}) + execute("") + sync())),
                testing::EndsWith("CZ"));
}

TEST_P(every_show, is_refused_to_a_user_without_role) {
    console_client c{console_role::none};
    EXPECT_EQ(sqlstate(c.send(query(GetParam()))), "42501");
}

INSTANTIATE_TEST_SUITE_P(console_roles,
                         every_show,
                         testing::ValuesIn(shows()),
                         [](const auto& show) { return show.param.substr(5); });

// Their texts may hold what only their clients should know.
TEST(console_roles, prepared_statements_are_refused_to_stats) {
    console_client c{console_role::stats};
    EXPECT_EQ(sqlstate(c.send(query("SHOW PREPARED"))), "42501");
}

TEST(console_roles, reload_is_refused_to_stats) {
    console_client c{console_role::stats};
    const auto replies = c.send(query("RELOAD"));
    EXPECT_EQ(types(replies), "EZ");
    EXPECT_EQ(sqlstate(replies), "42501");
}

TEST(console_roles, orders_are_refused_to_stats) {
    for (const auto* sql : {"PAUSE", "RESUME", "RECONNECT", "SWITCHOVER", "FORCE PRIMARY n1",
                            "FENCE n1", "UNFENCE n1", "FORGET CLUSTER"}) {
        console_client c{console_role::stats};
        EXPECT_EQ(sqlstate(c.send(query(sql))), "42501") << sql;
        EXPECT_TRUE(c.commands.empty()) << sql;
    }
}

TEST(console_roles, a_hint_may_recheck_and_see_the_version) {
    console_client c{console_role::hint};
    EXPECT_EQ(types(c.send(query("RECHECK"))), "CZ");
    EXPECT_EQ(types(c.send(query("SHOW VERSION"))), "TDCZ");
}

TEST(console_roles, a_hint_may_do_nothing_else) {
    for (const auto& v : verbs()) {
        if (v.role != console_role::hint) {
            EXPECT_FALSE(is_allowed(v, console_role::hint)) << v.usage;
        }
    }
    console_client c{console_role::hint};
    EXPECT_EQ(sqlstate(c.send(query("SHOW NODES"))), "42501");
    EXPECT_EQ(sqlstate(c.send(query("FENCE n1"))), "42501");
}

TEST(console_roles, recheck_is_refused_to_a_user_without_role) {
    console_client c{console_role::none};
    const auto error = first(c.send(query("RECHECK")), 'E');
    const auto fields = protocol::parse_error(error.body);
    EXPECT_EQ(fields.sqlstate, "42501");
    EXPECT_THAT(std::string{fields.hint}, HasSubstr("console = \"hint\""));
}

TEST(console_roles, a_refusal_names_the_setting) {
    console_client c{console_role::stats};
    const auto error = first(c.send(query("RELOAD")), 'E');
    EXPECT_THAT(std::string{protocol::parse_error(error.body).hint},
                HasSubstr("console = \"admin\""));
}

TEST(console_roles, reload_is_allowed_to_admin) {
    console_client c{console_role::admin};
    EXPECT_EQ(types(c.send(query("RELOAD"))), "NCZ");
}

}  // namespace
}  // namespace pgweir::admin
