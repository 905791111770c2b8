// What one node's evidence adds up to: alive, suspect, down, and what later reports change.
#include "pgweir/cluster/evidence.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace pgweir::cluster {
namespace {

using namespace std::chrono_literals;

constexpr duration lease = 2500ms;

constexpr time_point at(std::chrono::milliseconds ms) { return time_point{1h} + ms; }

probe_report answer(time_point asked, std::int64_t started = 1) {
    role_facts role;
    role.system_identifier = 7;
    role.tli = 1;
    role.postmaster_started = started;
    return {.asked = asked,
            .result = contact::answered,
            .role = role,
            .receiver = {},
            .senders = {},
            .repmgr = {}};
}

probe_report failure(time_point asked, contact how) {
    return {.asked = asked, .result = how, .role = {}, .receiver = {}, .senders = {}, .repmgr = {}};
}

class node : public ::testing::Test {
protected:
    node() { evidence.apply(answer(at(0ms))); }

    [[nodiscard]] health state(std::chrono::milliseconds now) const {
        return evidence.state(at(now), lease);
    }

    node_evidence evidence;
};

TEST(node_never_asked, is_unknown) {
    EXPECT_EQ(node_evidence{}.state(at(0ms), lease), health::unknown);
}

TEST(node_never_asked, stays_unknown_when_it_is_full) {
    node_evidence evidence;
    evidence.apply(failure(at(0ms), contact::full));
    EXPECT_EQ(evidence.state(at(1ms), lease), health::unknown);
}

TEST(node_never_asked, is_down_when_nobody_listens) {
    node_evidence evidence;
    evidence.apply(failure(at(0ms), contact::refused));
    EXPECT_EQ(evidence.state(at(1ms), lease), health::down);
}

TEST_F(node, is_well_for_the_length_of_a_lease) {
    EXPECT_EQ(state(2499ms), health::well);
    EXPECT_EQ(state(2500ms), health::suspect);
}

TEST_F(node, counts_its_life_from_when_it_was_asked) { EXPECT_EQ(evidence.alive(), at(0ms)); }

TEST_F(node, is_suspect_after_one_timeout_and_down_after_two) {
    evidence.apply(failure(at(100ms), contact::silent));
    EXPECT_EQ(state(700ms), health::suspect);
    evidence.apply(failure(at(200ms), contact::silent));
    EXPECT_EQ(state(800ms), health::down);
}

TEST_F(node, is_down_at_once_when_nobody_listens) {
    evidence.apply(failure(at(100ms), contact::refused));
    EXPECT_EQ(state(101ms), health::down);
}

TEST_F(node, has_not_stopped_when_it_lets_nobody_in_but_has_ended_no_connection) {
    evidence.apply(failure(at(100ms), contact::starting_up));
    EXPECT_EQ(state(101ms), health::suspect);
    evidence.apply(failure(at(200ms), contact::starting_up));
    EXPECT_EQ(state(201ms), health::down);
    EXPECT_FALSE(evidence.has_stopped());
}

TEST_F(node, has_stopped_when_it_has_ended_a_connection_and_lets_nobody_in) {
    evidence.apply(failure(at(100ms), contact::reset));
    evidence.apply(failure(at(102ms), contact::starting_up));
    EXPECT_EQ(state(103ms), health::down);
    EXPECT_TRUE(evidence.has_stopped());
}

TEST_F(node, is_suspect_after_a_reset_until_a_fresh_connect_confirms_it) {
    evidence.apply(failure(at(100ms), contact::reset));
    EXPECT_EQ(state(101ms), health::suspect);
    evidence.apply(failure(at(102ms), contact::refused));
    EXPECT_EQ(state(103ms), health::down);
}

TEST_F(node, is_well_again_when_a_fresh_connect_answers) {
    evidence.apply(failure(at(100ms), contact::reset));
    evidence.apply(answer(at(102ms)));
    EXPECT_EQ(state(105ms), health::well);
}

TEST_F(node, forgets_old_failures_when_it_answers) {
    evidence.apply(failure(at(100ms), contact::silent));
    evidence.apply(answer(at(200ms)));
    evidence.apply(failure(at(300ms), contact::silent));
    EXPECT_EQ(state(800ms), health::suspect);
}

TEST_F(node, does_not_mind_a_timeout_when_a_pooled_connection_was_answered_since) {
    evidence.apply(failure(at(100ms), contact::silent));
    evidence.note_reply(at(150ms));
    EXPECT_EQ(state(700ms), health::well);
}

TEST_F(node, does_not_mind_a_timeout_of_a_probe_older_than_a_pooled_answer) {
    evidence.note_reply(at(150ms));
    evidence.apply(failure(at(100ms), contact::silent));
    EXPECT_EQ(state(700ms), health::well);
}

TEST_F(node, minds_a_timeout_when_pooled_answers_are_older_than_the_probe) {
    evidence.note_reply(at(90ms));
    evidence.apply(failure(at(100ms), contact::silent));
    EXPECT_EQ(state(700ms), health::suspect);
}

TEST_F(node, lives_on_by_pooled_answers_alone) {
    evidence.note_reply(at(2000ms));
    EXPECT_EQ(state(4000ms), health::well);
}

TEST_F(node, is_not_dead_when_it_is_full) {
    evidence.apply(failure(at(1000ms), contact::reset));
    evidence.apply(failure(at(1003ms), contact::full));
    EXPECT_EQ(state(1004ms), health::well);
    EXPECT_EQ(evidence.alive(), at(1003ms));
}

TEST_F(node, that_was_down_is_not_revived_by_being_full) {
    evidence.apply(failure(at(1000ms), contact::refused));
    evidence.apply(failure(at(1500ms), contact::full));
    EXPECT_EQ(state(1501ms), health::down);
}

TEST_F(node, is_suspect_when_a_pooled_connection_says_that_it_is_in_recovery) {
    evidence.note_recovery(at(100ms));
    EXPECT_EQ(state(101ms), health::suspect);
    evidence.apply(answer(at(110ms)));
    EXPECT_EQ(state(112ms), health::well);
}

TEST_F(node, is_not_suspect_for_what_a_connection_said_before_the_probe) {
    evidence.apply(answer(at(110ms)));
    evidence.note_recovery(at(100ms));
    EXPECT_EQ(state(112ms), health::well);
}

TEST_F(node, is_not_suspect_because_one_backend_ended) {
    evidence.note_smell(at(100ms));
    EXPECT_EQ(state(101ms), health::well);
    EXPECT_EQ(evidence.smelled(), at(100ms));
}

TEST_F(node, ignores_a_report_older_than_the_last) {
    evidence.apply(failure(at(200ms), contact::refused));
    evidence.apply(answer(at(100ms)));
    EXPECT_EQ(evidence.last(), contact::refused);
    EXPECT_EQ(state(201ms), health::down);
}

TEST_F(node, keeps_facts_that_a_probe_did_not_ask_for) {
    auto first = answer(at(100ms));
    first.receiver = receiver_facts{};
    first.receiver->tli = 3;
    evidence.apply(first);
    evidence.apply(answer(at(200ms)));
    ASSERT_NE(evidence.receiver(), nullptr);
    EXPECT_EQ(evidence.receiver()->tli, 3U);
    EXPECT_EQ(evidence.receiver()->asked, at(100ms));
    EXPECT_EQ(evidence.role()->asked, at(200ms));
}

TEST_F(node, remembers_since_when_it_is_the_same_server) {
    evidence.apply(answer(at(100ms), 1));
    EXPECT_EQ(evidence.same_since(), at(0ms));
    evidence.apply(answer(at(200ms), 2));
    EXPECT_EQ(evidence.same_since(), at(200ms));
}

}  // namespace
}  // namespace pgweir::cluster
