// What is read from Patroni's answers.
#include "watch/patroni_reply.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgweir::watch {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

// As Patroni 3 answers.
constexpr auto leader = R"({"state": "running", "postmaster_start_time": "2026-01-01 10:00:00+00",
    "role": "primary", "server_version": 150006, "xlog": {"location": 67395656}, "timeline": 2,
    "replication": [], "dcs_last_seen": 1692356718,
    "database_system_identifier": "7268616322854375442",
    "patroni": {"version": "3.1.0", "scope": "demo", "name": "pg-1"}})";
constexpr auto unlocked = R"({"state": "running", "role": "primary", "cluster_unlocked": true})";
constexpr auto cluster = R"({"members": [
    {"name": "pg-1", "role": "leader", "state": "running", "host": "10.0.0.1", "port": 5432,
     "api_url": "http://10.0.0.1:8009/patroni", "timeline": 2},
    {"name": "pg-2", "role": "replica", "state": "streaming", "host": "10.0.0.2", "port": 5433,
     "api_url": "https://[fd00::2]:8008/patroni", "timeline": 2, "lag": 0}], "scope": "demo"})";

TEST(patroni_reply, who_answers_200_holds_the_lock) {
    const auto facts = read_patroni_status(200, leader);
    ASSERT_TRUE(facts);
    EXPECT_TRUE(facts->holds_lock);
    EXPECT_EQ(facts->member, "pg-1");
}

// Its server may still be a primary, on its way down.
TEST(patroni_reply, who_answers_503_does_not) {
    EXPECT_FALSE(read_patroni_status(503, leader)->holds_lock);
}

TEST(patroni_reply, nobody_leads_while_the_cluster_is_unlocked) {
    const auto facts = read_patroni_status(200, unlocked);
    ASSERT_TRUE(facts);
    EXPECT_TRUE(facts->is_unlocked);
    EXPECT_FALSE(facts->holds_lock);
}

TEST(patroni_reply, what_is_not_of_patroni_says_nothing) {
    EXPECT_FALSE(read_patroni_status(404, leader));
    for (const char* body :
         {"", "<html>", "[]", "{}", "null", R"({"state": 1})", "{\"state\": \"x"}) {
        EXPECT_FALSE(read_patroni_status(200, body)) << body;
    }
}

TEST(patroni_reply, members_with_their_addresses) {
    const auto members = read_patroni_members(200, cluster);
    ASSERT_TRUE(members);
    ASSERT_THAT(*members, SizeIs(2));
    EXPECT_EQ(members->at(0).name, "pg-1");
    EXPECT_TRUE(members->at(0).is_leader);
    EXPECT_EQ(members->at(0).api_port, 8009);
    EXPECT_FALSE(members->at(1).is_leader);
    EXPECT_EQ(members->at(1).host, "10.0.0.2");
    EXPECT_EQ(members->at(1).port, 5433);
    EXPECT_EQ(members->at(1).api_port, 8008);
}

TEST(patroni_reply, members_without_an_address_are_left_out) {
    EXPECT_THAT(*read_patroni_members(200, R"({"members": [{"name": "a"}, 7,
        {"name": "b", "host": "h", "port": 70000}, {"name": "c", "host": "h", "port": "5432"}]})"),
                IsEmpty());
}

TEST(patroni_reply, members_without_end_are_not_taken) {
    std::string body = R"({"members": [)";
    for (int i = 0; i < 1'000; ++i) {
        body += (i == 0 ? "" : ",") +
                (R"({"host": "h", "port": 1, "name": "n)" + std::to_string(i) + "\"}");
    }
    EXPECT_THAT(*read_patroni_members(200, body + "]}"), SizeIs(100));
}

TEST(patroni_reply, nesting_without_end_is_survived) {
    EXPECT_FALSE(read_patroni_members(200, std::string(100'000, '[')));
}

}  // namespace
}  // namespace pgweir::watch
