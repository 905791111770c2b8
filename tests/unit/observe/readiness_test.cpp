// When a balancer should send clients here.
#include "pgweir/observe/readiness.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgweir::observe {
namespace {

using ::testing::HasSubstr;

cluster_facts unseen(std::string name) {
    cluster_facts c;
    c.name = std::move(name);
    return c;
}
cluster_facts without_primary(std::string name) {
    auto c = unseen(std::move(name));
    c.is_known = true;
    return c;
}
cluster_facts serving(std::string name) {
    auto c = without_primary(std::move(name));
    c.serves_writes = true;
    return c;
}
readiness_facts with(std::vector<cluster_facts> clusters) {
    readiness_facts facts;
    facts.clusters = std::move(clusters);
    return facts;
}

TEST(readiness, is_given_with_a_primary) {
    const auto r = judge_readiness(with({serving("main")}), {});
    EXPECT_EQ(r.status, 200U);
    EXPECT_EQ(r.text, "ready\ncluster main: has a primary\n");
}

TEST(readiness, is_given_without_any_cluster) {
    readiness_facts facts;
    facts.has_plain_database = true;
    EXPECT_EQ(judge_readiness(facts, {}).status, 200U);
}

TEST(readiness, ends_with_draining) {
    auto facts = with({serving("main")});
    facts.is_draining = true;
    EXPECT_EQ(judge_readiness(facts, {}).status, 503U);
    EXPECT_EQ(judge_readiness(facts, "main").status, 503U);
    EXPECT_THAT(judge_readiness(facts, {}).text, HasSubstr("draining"));
}

TEST(readiness, begins_when_every_cluster_has_been_looked_at) {
    auto facts = with({serving("main"), unseen("other")});
    facts.has_plain_database = true;
    const auto r = judge_readiness(facts, {});
    EXPECT_EQ(r.status, 503U);
    EXPECT_THAT(r.text, HasSubstr("cluster other: not looked at yet"));
}

TEST(readiness, outlives_a_failover) {
    auto failing_over = without_primary("main");
    failing_over.may_serve_soon = true;
    EXPECT_EQ(judge_readiness(with({failing_over}), {}).status, 200U);
    EXPECT_EQ(judge_readiness(with({failing_over}), "main").status, 200U);
}

TEST(readiness, ends_when_no_primary_comes) {
    auto lost = without_primary("main");
    lost.summary = "pg-1 down (refused), pg-2 standby";
    const auto r = judge_readiness(with({lost}), {});
    EXPECT_EQ(r.status, 503U);
    EXPECT_EQ(r.text, "not ready\ncluster main: no primary; pg-1 down (refused), pg-2 standby\n");
}

TEST(readiness, goes_on_for_reads_but_not_for_writes) {
    auto lost = without_primary("main");
    lost.serves_reads = true;
    EXPECT_EQ(judge_readiness(with({lost}), {}).status, 200U);
    EXPECT_EQ(judge_readiness(with({lost}), "main").status, 503U);
    EXPECT_THAT(judge_readiness(with({lost}), "main").text, HasSubstr("only reads are served"));
}

TEST(readiness, is_not_taken_from_others_by_one_cluster) {
    EXPECT_EQ(judge_readiness(with({serving("main"), without_primary("other")}), {}).status, 200U);
    EXPECT_EQ(judge_readiness(with({serving("main"), without_primary("other")}), "main").status,
              200U);
    EXPECT_EQ(judge_readiness(with({serving("main"), without_primary("other")}), "other").status,
              503U);
}

TEST(readiness, of_a_plain_database_does_not_depend_on_clusters) {
    auto facts = with({without_primary("main")});
    facts.has_plain_database = true;
    EXPECT_EQ(judge_readiness(facts, {}).status, 200U);
}

TEST(readiness, of_a_cluster_that_is_not_there_is_not_found) {
    EXPECT_EQ(judge_readiness(with({serving("main")}), "mian").status, 404U);
}

}  // namespace
}  // namespace pgweir::observe
