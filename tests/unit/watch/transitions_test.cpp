// What the failover log says of a change.
#include "watch/transitions.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgweir::watch {
namespace {

using cluster::node_state;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

told_view served() {
    told_view v;
    v.names = {"n1", "n2"};
    v.contacts = {cluster::contact::answered, cluster::contact::answered};
    v.granted = "n1";
    v.view.epoch = 1;
    v.view.tli = 1;
    v.view.writes = cluster::write_mode::serve;
    v.view.why = cluster::cause::none;
    v.view.primary = 0;
    v.view.nodes.resize(2);
    v.view.nodes[0].state = node_state::primary;
    v.view.nodes[1].state = node_state::standby;
    return v;
}

told_view held() {
    auto v = served();
    v.contacts[0] = cluster::contact::reset;
    v.view.nodes[0].state = node_state::suspect;
    v.view.nodes[0].reason = cluster::node_reason::last_probe;
    v.view.primary.reset();
    v.view.writes = cluster::write_mode::hold;
    v.view.why = cluster::cause::suspect;
    return v;
}

told_view failed_over() {
    auto v = served();
    v.contacts[0] = cluster::contact::refused;
    v.view.nodes[0].state = node_state::down;
    v.view.nodes[0].reason = cluster::node_reason::last_probe;
    v.view.nodes[1].state = node_state::primary;
    v.view.epoch = 2;
    v.view.tli = 2;
    v.view.primary = 1;
    v.granted = "n2";
    return v;
}

std::vector<std::string> lines(const told_view& before, const told_view& after) {
    std::vector<std::string> out;
    for (const auto& t : transitions_between(before, after)) {
        out.push_back(std::string{t.event} + ": " + t.text);
    }
    return out;
}

TEST(transitions, nothing_is_said_of_what_stays) {
    EXPECT_THAT(lines(served(), served()), IsEmpty());
}

TEST(transitions, the_end_of_a_lease_is_not_a_change) {
    auto later = served();
    later.view.lease_until += std::chrono::seconds{1};
    EXPECT_THAT(lines(served(), later), IsEmpty());
}

TEST(transitions, a_hold_says_why) {
    EXPECT_THAT(lines(served(), held()),
                ElementsAre("node: n1 was primary and is now suspect (reset)",
                            "hold: writes wait: suspect"));
}

TEST(transitions, a_primary_that_is_back_serves_again) {
    EXPECT_THAT(lines(held(), served()), Contains("serve: writes go to n1"));
}

TEST(transitions, a_grant_names_both_nodes) {
    EXPECT_THAT(lines(held(), failed_over()),
                Contains("grant: n2 is granted as primary on timeline 2, epoch 2, in place of n1"));
}

TEST(transitions, an_epoch_without_a_node_is_no_grant) {
    auto forgotten = held();
    forgotten.granted.clear();
    forgotten.view.epoch = 7;
    EXPECT_THAT(lines(told_view{}, forgotten), Not(Contains(HasSubstr("grant"))));
}

TEST(transitions, a_rejection_is_alarming) {
    auto rejected = held();
    rejected.view.writes = cluster::write_mode::reject;
    rejected.view.why = cluster::cause::ambiguous;
    const auto changes = transitions_between(held(), rejected);
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_STREQ(changes[0].event, "reject");
    EXPECT_TRUE(changes[0].is_alarming);
}

TEST(transitions, a_node_that_must_not_be_used_is_fenced) {
    auto after = failed_over();
    after.view.nodes[0].state = node_state::fenced;
    after.view.nodes[0].reason = cluster::node_reason::disowned;
    after.view.nodes[0].cut = true;
    EXPECT_THAT(lines(failed_over(), after),
                ElementsAre("fence: n1 must not be used: fenced (disowned)"));
}

TEST(transitions, two_primaries_are_alarming) {
    auto after = served();
    after.view.split_brain = true;
    const auto changes = transitions_between(served(), after);
    ASSERT_EQ(changes.size(), 1U);
    EXPECT_TRUE(changes[0].is_alarming);
}

TEST(transitions, a_node_that_refuses_us_is_told_though_it_was_unknown_before) {
    auto before = served();
    before.view.nodes[1].state = node_state::unknown;
    before.view.nodes[1].reason = cluster::node_reason::last_probe;
    before.contacts[1] = cluster::contact::none;
    auto after = before;
    after.contacts[1] = cluster::contact::denied;
    EXPECT_THAT(lines(before, after),
                ElementsAre("node: n2 was unknown (not asked) and is now unknown (denied)"));
}

TEST(transitions, a_node_that_is_down_in_turns_is_told_once) {
    auto before = served();
    before.view.nodes[1].state = node_state::down;
    before.view.nodes[1].reason = cluster::node_reason::last_probe;
    before.contacts[1] = cluster::contact::refused;
    auto after = before;
    after.contacts[1] = cluster::contact::silent;
    EXPECT_THAT(lines(before, after), IsEmpty());
}

TEST(transitions, nodes_come_and_go) {
    auto after = served();
    after.names[1] = "n3";
    EXPECT_THAT(lines(served(), after),
                ElementsAre("node: n3 is standby", "node: n2 is no longer a node of this cluster"));
}

TEST(transitions, a_node_keeps_its_story_where_its_place_changes) {
    auto after = served();
    std::swap(after.names[0], after.names[1]);
    std::swap(after.view.nodes[0], after.view.nodes[1]);
    after.view.primary = 1;
    EXPECT_THAT(lines(served(), after), IsEmpty());
}

}  // namespace
}  // namespace pgweir::watch
