// Which nodes a cluster has, by configuration and by its own metadata.
#include "watch/discovery.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgweir::watch {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

known_node configured(std::string name, std::string host, std::optional<int> id = {}) {
    return {.name = std::move(name),
            .host = std::move(host),
            .port = 5432,
            .weight = 100,
            .repmgr_id = id,
            .patroni_port = 8008,
            .is_discovered = false};
}

node_address told(int id, std::string host, std::string type = "standby") {
    node_address out;
    out.id = id;
    out.name = "n" + std::to_string(id);
    out.type = std::move(type);
    out.host = std::move(host);
    out.port = 5432;
    return out;
}

std::vector<std::string> names(const std::vector<known_node>& nodes) {
    std::vector<std::string> out;
    for (const auto& n : nodes) {
        out.push_back(n.name);
    }
    return out;
}

TEST(discovery, adds_what_the_metadata_name) {
    const auto nodes = discover(std::vector{configured("n1", "pg-1")},
                                std::vector{told(1, "pg-1"), told(2, "pg-2")}, "");
    ASSERT_THAT(names(nodes), ElementsAre("n1", "n2"));
    EXPECT_EQ(nodes[1].host, "pg-2");
    EXPECT_EQ(nodes[1].repmgr_id, 2);
    EXPECT_TRUE(nodes[1].is_discovered);
}

TEST(discovery, knows_a_configured_node_by_its_repmgr_id) {
    EXPECT_THAT(
        discover(std::vector{configured("left", "10.0.0.1", 1)}, std::vector{told(1, "pg-1")}, ""),
        SizeIs(1));
}

TEST(discovery, knows_a_configured_node_by_its_address) {
    EXPECT_THAT(discover(std::vector{configured("left", "pg-1")}, std::vector{told(1, "pg-1")}, ""),
                SizeIs(1));
}

TEST(discovery, knows_nodes_of_patroni_by_their_names) {
    auto member = told(1, "elsewhere");
    member.id.reset();
    EXPECT_THAT(discover(std::vector{configured("n1", "pg-1", 1)}, std::vector{member}, "n1"),
                SizeIs(1));
}

TEST(discovery, leaves_a_witness_out) {
    EXPECT_THAT(discover(std::vector{configured("n1", "pg-1")},
                         std::vector{told(9, "pg-9", "witness")}, "n1"),
                SizeIs(1));
}

TEST(discovery, leaves_out_what_has_no_address) {
    EXPECT_THAT(discover(std::vector{configured("n1", "pg-1")},
                         std::vector{told(2, ""), told(3, "/run/postgresql")}, "n1"),
                SizeIs(1));
}

TEST(discovery, a_discovered_node_leaves_when_the_primary_no_longer_names_it) {
    const std::vector seeds{configured("n1", "pg-1")};
    const auto two = discover(seeds, std::vector{told(1, "pg-1"), told(2, "pg-2")}, "n1");
    EXPECT_THAT(names(discover(two, std::vector{told(1, "pg-1")}, "n1")), ElementsAre("n1"));
}

TEST(discovery, a_discovered_node_stays_when_another_node_does_not_name_it) {
    const std::vector seeds{configured("n1", "pg-1")};
    const auto two = discover(seeds, std::vector{told(1, "pg-1"), told(2, "pg-2")}, "n1");
    EXPECT_THAT(names(discover(two, std::vector{told(1, "pg-1")}, "")), ElementsAre("n1", "n2"));
}

TEST(discovery, nobody_leaves_by_a_list_without_the_primary_that_tells_it) {
    const std::vector seeds{configured("n1", "pg-1")};
    const auto three =
        discover(seeds, std::vector{told(1, "pg-1"), told(2, "pg-2"), told(3, "pg-3")}, "n1");
    EXPECT_THAT(discover(three, std::vector<node_address>{}, "n1"), SizeIs(3));
    EXPECT_THAT(discover(three, std::vector{told(2, "pg-2")}, "n1"), SizeIs(3));
}

TEST(discovery, a_configured_node_never_leaves) {
    EXPECT_THAT(names(discover(std::vector{configured("n1", "pg-1"), configured("n2", "pg-2")},
                               std::vector{told(1, "pg-1")}, "n1")),
                ElementsAre("n1", "n2"));
}

TEST(discovery, a_discovered_node_moves_with_the_metadata_of_the_primary) {
    const std::vector seeds{configured("n1", "pg-1")};
    const auto two = discover(seeds, std::vector{told(2, "pg-2")}, "n1");
    const std::vector moved{told(1, "pg-1"), told(2, "elsewhere")};
    EXPECT_EQ(discover(two, moved, "")[1].host, "pg-2");
    EXPECT_EQ(discover(two, moved, "n1")[1].host, "elsewhere");
}

TEST(discovery, a_configured_node_keeps_its_address) {
    EXPECT_EQ(discover(std::vector{configured("n1", "pg-1", 1)}, std::vector{told(1, "elsewhere")},
                       "n1")[0]
                  .host,
              "pg-1");
}

TEST(discovery, a_server_that_names_nodes_without_end_does_not_get_them) {
    std::vector<node_address> many;
    for (int i = 2; i < 1'000; ++i) {
        many.push_back(told(i, "pg-" + std::to_string(i)));
    }
    EXPECT_THAT(discover(std::vector{configured("n1", "pg-1")}, many, "n1"), SizeIs(max_nodes));
}

TEST(discovery, a_name_is_taken_once) {
    auto twin = told(3, "pg-3");
    twin.name = "n2";
    EXPECT_THAT(names(discover(std::vector{configured("n1", "pg-1")},
                               std::vector{told(2, "pg-2"), twin}, "n1")),
                ElementsAre("n1", "n2"));
}

TEST(discovery, a_reload_keeps_what_was_discovered) {
    config::cluster_settings settings;
    settings.how = config::discovery::repmgr;
    settings.nodes.push_back({.name = "n1", .host = "pg-1", .repmgr_id = {}});
    const auto two = discover(configured_nodes(settings), std::vector{told(2, "pg-2")}, "n1");
    EXPECT_THAT(names(reconfigure(two, settings)), ElementsAre("n1", "n2"));
}

TEST(discovery, a_reload_that_configures_a_discovered_node_has_its_way) {
    config::cluster_settings settings;
    settings.how = config::discovery::repmgr;
    settings.nodes.push_back({.name = "n1", .host = "pg-1", .repmgr_id = {}});
    const auto two = discover(configured_nodes(settings), std::vector{told(2, "pg-2")}, "n1");
    settings.nodes.push_back({.name = "n2", .host = "10.0.0.2", .repmgr_id = {}});
    const auto nodes = reconfigure(two, settings);
    ASSERT_THAT(names(nodes), ElementsAre("n1", "n2"));
    EXPECT_EQ(nodes[1].host, "10.0.0.2");
    EXPECT_FALSE(nodes[1].is_discovered);
}

TEST(discovery, a_reload_to_static_forgets_what_was_discovered) {
    config::cluster_settings settings;
    settings.nodes.push_back({.name = "n1", .host = "pg-1", .repmgr_id = {}});
    const auto two = discover(configured_nodes(settings), std::vector{told(2, "pg-2")}, "n1");
    EXPECT_THAT(names(reconfigure(two, settings)), ElementsAre("n1"));
}

}  // namespace
}  // namespace pgweir::watch
