// The arbiter's rules, one by one: first grants, challengers, successors, fences, reads, verbs.
#include "cluster/world.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgweir::cluster {
namespace {

arbiter_settings without_guard() {
    arbiter_settings s;
    s.guard = isolation_guard::off;
    return s;
}

cluster_state granted(const std::string& name, timeline tli, std::uint64_t epoch = 7) {
    cluster_state state;
    state.system_identifier = system_of_cluster;
    state.granted = name;
    state.max_granted_tli = tli;
    state.epoch = epoch;
    return state;
}

// ---- The first grant

TEST(first_grant, waits_until_every_node_has_been_asked) {
    world w{3};
    w.freeze(n3);
    w.run(100ms);
    EXPECT_EQ(w.primary(), "none: starting");
    w.run(1s);
    EXPECT_EQ(w.primary(), "n1");
}

TEST(first_grant, is_not_for_a_node_that_is_seen_alone) {
    world w{3};
    w.crash(n2);
    w.crash(n3);
    w.run(30s);
    EXPECT_EQ(w.primary(), "none: no majority");
}

TEST(first_grant, is_not_for_a_node_whose_only_witness_does_not_follow_it) {
    world w{3};
    w.hide(n2);
    w.nodes[n2].upstream.reset();
    w.nodes[n3].upstream.reset();
    w.run(30s);
    EXPECT_EQ(w.primary(), "none: no majority");
}

TEST(first_grant, is_for_a_node_that_a_majority_follows) {
    world w{3};
    w.hide(n2);
    w.run(2s);
    EXPECT_EQ(w.primary(), "n1");
}

TEST(first_grant, is_for_a_node_whose_standby_only_it_can_see) {
    world w{3};
    w.crash(n2);
    w.hide(n3);
    w.run(2s);
    EXPECT_EQ(w.primary(), "n1");
}

TEST(first_grant, needs_no_follower_when_all_nodes_answer) {
    world w{3};
    w.nodes[n2].upstream.reset();
    w.nodes[n3].upstream.reset();
    w.run(1s);
    EXPECT_EQ(w.primary(), "n1");
}

TEST(first_grant, needs_both_nodes_of_two) {
    world w{2};
    w.crash(n2);
    w.run(30s);
    EXPECT_EQ(w.primary(), "none: no majority");
    w.restart(n2);
    w.run(3s);
    EXPECT_EQ(w.primary(), "n1");
}

TEST(first_grant, needs_nobody_else_where_there_is_one_node) {
    world w{1};
    w.run(1s);
    EXPECT_EQ(w.primary(), "n1");
}

TEST(first_grant, is_not_for_a_node_older_than_a_standby) {
    world w{3};
    w.nodes[n3].tli = 2;
    w.nodes[n3].upstream.reset();
    w.run(30s);
    EXPECT_EQ(w.primary(), "none: overtaken");
}

TEST(first_grant, is_not_for_one_of_two_that_claim_equally) {
    world w{3};
    w.has_repmgr = false;
    w.nodes[n2].in_recovery = false;
    w.nodes[n3].upstream.reset();
    w.run(30s);
    EXPECT_EQ(w.primary(), "none: ambiguous");
}

TEST(first_grant, is_for_the_newer_timeline_when_a_standby_follows_it) {
    world w{3};
    w.has_repmgr = false;
    w.promote(n2);
    w.follow(n3, n2);
    w.run(2s);
    EXPECT_EQ(w.primary(), "n2");
    EXPECT_EQ(w.view(n1).disowned, disowning::replaced);
}

TEST(first_grant, is_not_for_a_newer_timeline_that_nobody_follows) {
    world w{3};
    w.promote(n2);
    w.run(30s);
    EXPECT_EQ(w.primary(), "none: ambiguous");
}

TEST(first_grant, is_not_for_a_node_that_repmgr_has_written_off) {
    world w{3};
    w.fail_over(n2, {n3});
    w.run(100ms);
    w.hide(n2);
    w.run(5s);
    EXPECT_NE(w.view().writes, write_mode::serve);
    EXPECT_EQ(w.view(n1).disowned, disowning::metadata);
}

TEST(first_grant, goes_to_whoever_claims_alone_when_told_so) {
    arbiter_settings self;
    self.start = cold_start::self;
    self.guard = isolation_guard::off;
    world w{3, self};
    w.crash(n2);
    w.hide(n3);
    w.run(3s);
    EXPECT_EQ(w.primary(), "n1");
}

TEST(first_grant, does_not_go_to_a_read_only_server) {
    world w{3};
    w.nodes[n1].read_only = true;
    w.run(5s);
    EXPECT_EQ(w.primary(), "none: no claimant");
    EXPECT_EQ(w.view(n1).reason, node_reason::read_only);
}

TEST(first_grant, takes_the_system_that_a_majority_agrees_on) {
    world w{3};
    w.nodes[n3].system = 42;
    w.run(3s);
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.judge->state().system_identifier, system_of_cluster);
    EXPECT_EQ(w.view(n3).reason, node_reason::foreign_system);
}

TEST(first_grant, takes_the_system_that_is_configured) {
    arbiter_settings settings;
    settings.system_identifier = 42;
    world w{3, settings};
    w.run(5s);
    EXPECT_EQ(w.primary(), "none: no claimant");
    EXPECT_EQ(w.view(n1).reason, node_reason::foreign_system);
}

TEST(first_grant, counts_no_witness) {
    world w{3};
    w.nodes[n3].in_recovery = false;
    w.nodes[n3].system = 42;
    w.nodes[n3].upstream.reset();
    for (auto& node : w.nodes) {
        node.table[n3].type = "witness";
    }
    w.run(3s);
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.view(n3).reason, node_reason::witness);
    EXPECT_FALSE(w.view().split_brain);
}

// ---- After a restart of pgweir

TEST(restart, resumes_with_stopped_standbys) {
    world w{3, {}, granted("n1", 1)};
    w.crash(n2);
    w.crash(n3);
    w.run(2s);
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.view().epoch, 7U);
}

TEST(restart, does_not_resume_while_another_node_comes_up) {
    world w{3, {}, granted("n1", 1)};
    w.nodes[n2].answer = contact::starting_up;
    w.nodes[n2].upstream.reset();
    w.nodes[n3].upstream.reset();
    w.run(30s);
    EXPECT_EQ(w.primary(), "none: no majority");
}

TEST(restart, does_not_resume_while_another_node_is_silent_and_nobody_follows) {
    world w{3, {}, granted("n1", 1)};
    w.hide(n2);
    w.nodes[n2].upstream.reset();
    w.nodes[n3].upstream.reset();
    w.run(30s);
    EXPECT_EQ(w.primary(), "none: no majority");
}

TEST(restart, resumes_with_a_silent_standby_where_there_are_two_nodes) {
    world w{2, {}, granted("n1", 1)};
    w.hide(n2);
    w.run(3s);
    EXPECT_EQ(w.primary(), "n1");
}

TEST(restart, does_not_serve_a_primary_on_an_older_timeline) {
    world w{3, {}, granted("n1", 2)};
    w.run(30s);
    EXPECT_EQ(w.primary(), "none: set aside");
    EXPECT_EQ(w.view(n1).reason, node_reason::old_timeline);
}

TEST(restart, treats_a_granted_node_that_was_renamed_like_a_first_grant) {
    world w{3, {}, granted("db1", 1)};
    w.run(2s);
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.view().epoch, 8U);
}

// ---- A challenger beside a primary that is well

class challenger : public ::testing::Test {
protected:
    challenger() { w.run(20s); }

    world w{3};
};

TEST_F(challenger, wins_when_repmgr_has_moved_the_role_to_it) {
    w.promote(n2);
    w.register_primary(n2);
    w.run(2s);
    EXPECT_EQ(w.primary(), "n2");
}

TEST_F(challenger, wins_when_it_has_the_follower_and_no_metadata_deny_it) {
    w.has_repmgr = false;
    w.promote(n2);
    w.follow(n3, n2);
    w.run(2s);
    EXPECT_EQ(w.primary(), "n2");
}

TEST_F(challenger, is_ambiguous_when_nobody_follows_anybody) {
    w.has_repmgr = false;
    w.crash(n3);
    w.run(20s);
    w.promote(n2);
    w.run(4s);
    EXPECT_EQ(w.primary(), "none: ambiguous");
    EXPECT_EQ(w.view().writes, write_mode::hold);
    w.run(5s);
    EXPECT_EQ(w.view().writes, write_mode::reject);
}

TEST_F(challenger, does_not_disturb_while_the_primary_has_not_been_asked_since) {
    w.after_decision = [&] { ASSERT_EQ(w.primary(), "n1"); };
    w.promote(n2);
    w.run(4s);
    EXPECT_EQ(w.view(n2).state, node_state::claimant);
    EXPECT_EQ(w.view(n2).reads, read_quality::none);
    EXPECT_EQ(w.view().probes, pace::quick);
}

TEST_F(challenger, is_found_a_rogue_only_after_a_while) {
    w.promote(n2);
    w.run(5s);
    EXPECT_EQ(w.view(n2).disowned, std::nullopt);
    w.run(2s);
    EXPECT_EQ(w.view(n2).disowned, disowning::rogue);
}

TEST_F(challenger, that_is_a_rogue_says_nothing_about_others) {
    w.promote(n2);
    w.run(8s);
    w.register_primary(n2);
    w.run(5s);
    EXPECT_EQ(w.primary(), "n1");
}

TEST_F(challenger, on_an_equal_timeline_never_wins) {
    w.crash(n1);
    w.run(2s);
    w.fail_over(n2, {});
    w.run(1s);
    ASSERT_EQ(w.primary(), "n2");
    w.nodes[n3].upstream.reset();
    w.rejoin(n1, n2);
    w.run(12s);
    w.promote(n3);
    w.register_primary(n3);
    w.after_decision = [&] { ASSERT_EQ(w.primary(), "n2"); };
    w.run(30s);
    EXPECT_EQ(w.view(n3).disowned, disowning::rogue);
}

TEST_F(challenger, that_is_not_seen_betrays_itself_by_its_standby) {
    w.has_repmgr = false;
    w.hide(n2);
    w.promote(n2);
    w.follow(n3, n2);
    w.run(5s);
    EXPECT_EQ(w.primary(), "none: overtaken");
}

// ---- The successor of a primary that does not serve

class successor : public ::testing::Test {
protected:
    successor() { w.run(20s); }

    world w{3};
};

TEST_F(successor, of_a_silent_primary_needs_more_than_a_timeline) {
    w.hide(n1);
    w.has_traffic = false;
    w.run(3s);
    w.promote(n2);
    w.run(2s);
    EXPECT_EQ(w.primary(), "none: unconfirmed");
}

TEST_F(successor, of_a_silent_primary_is_confirmed_by_its_metadata) {
    w.freeze(n1);
    w.run(3s);
    w.promote(n2);
    w.register_primary(n2);
    w.run(200ms);
    EXPECT_EQ(w.primary(), "n2");
}

TEST_F(successor, of_a_silent_primary_is_confirmed_by_a_follower) {
    w.has_repmgr = false;
    w.freeze(n1);
    w.run(3s);
    w.promote(n2);
    w.follow(n3, n2);
    w.run(200ms);
    EXPECT_EQ(w.primary(), "n2");
}

TEST_F(successor, of_a_silent_primary_is_confirmed_by_time) {
    w.freeze(n1);
    w.run(3s);
    w.promote(n2);
    w.run(10s);
    EXPECT_EQ(w.primary(), "n2");
}

TEST_F(successor, of_a_primary_that_a_standby_still_hears_is_none) {
    w.hide(n1);
    w.run(3s);
    w.promote(n2);
    w.register_primary(n2);
    w.after_decision = [&] { ASSERT_NE(w.primary(), "n2"); };
    w.run(30s);
    EXPECT_EQ(w.primary(), "none: unconfirmed");
}

TEST_F(successor, on_an_equal_timeline_is_none) {
    w.crash(n1);
    w.run(2s);
    w.fail_over(n2, {});
    w.run(1s);
    ASSERT_EQ(w.primary(), "n2");
    w.crash(n2);
    w.run(2s);
    w.promote(n3);
    w.register_primary(n3);
    w.run(30s);
    EXPECT_EQ(w.primary(), "none: unconfirmed");
}

TEST_F(successor, is_the_same_node_on_a_newer_timeline) {
    w.crash(n1);
    w.run(2s);
    w.restart(n1);
    w.nodes[n1].tli = 2;
    w.follow(n2, n1);
    w.run(2s);
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.view().epoch, 2U);
    EXPECT_FALSE(w.view(n1).cut);
}

TEST_F(successor, of_two_is_the_one_that_outranks_the_other) {
    w.crash(n1);
    w.run(2s);
    w.nodes[n2].tli = 4;
    w.promote(n2);
    w.register_primary(n2);
    w.promote(n3);
    w.run(1s);
    EXPECT_EQ(w.primary(), "n2");
    EXPECT_EQ(w.view(n3).state, node_state::fenced);
}

TEST_F(successor, that_was_never_seen_as_a_standby_needs_more_than_a_stopped_primary) {
    w.crash(n1);
    w.promote(n2);
    w.restart_pgweir();
    w.run(5s);
    EXPECT_EQ(w.primary(), "none: unconfirmed");
    w.run(10s);
    EXPECT_EQ(w.primary(), "n2");
}

TEST_F(successor, of_a_fenced_primary_needs_metadata_or_a_follower) {
    w.judge->fence("n1");
    w.run(1s);
    EXPECT_EQ(w.primary(), "none: set aside");
    w.promote(n2);
    w.run(20s);
    EXPECT_NE(w.view().writes, write_mode::serve);
    w.register_primary(n2);
    w.run(1s);
    EXPECT_EQ(w.primary(), "n2");
}

TEST_F(successor, is_granted_although_a_third_node_hangs) {
    w.freeze(n3);
    w.run(10s);
    w.crash(n1);
    w.run(2s);
    w.promote(n2);
    w.run(300ms);
    EXPECT_EQ(w.primary(), "n2");
}

// ---- Who follows whom

TEST(follower, is_known_by_the_senders_list_when_addresses_do_not_match) {
    world w{3};
    w.knows_addresses = false;
    w.run(3s);
    EXPECT_EQ(w.view(n1).followers, 2U);
    EXPECT_EQ(w.view(n2).reads, read_quality::good);
}

TEST(follower, of_a_follower_counts_for_the_primary) {
    world w{3};
    w.nodes[n3].upstream = n2;
    w.run(3s);
    EXPECT_EQ(w.view(n1).followers, 2U);
    EXPECT_EQ(w.view(n3).reads, read_quality::good);
}

TEST(follower, in_a_circle_follows_nobody) {
    world w{3};
    w.nodes[n2].upstream = n3;
    w.nodes[n3].upstream = n2;
    w.run(3s);
    EXPECT_EQ(w.view(n1).followers, 0U);
}

TEST(follower, of_a_rogue_is_not_read_from) {
    world w{3};
    w.run(20s);
    w.promote(n2);
    w.run(8s);
    ASSERT_EQ(w.view(n2).disowned, disowning::rogue);
    w.follow(n3, n2);
    w.run(2s);
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.view(n3).reads, read_quality::none);
    EXPECT_EQ(w.view(n3).reason, node_reason::follows_fenced);
}

// ---- Isolation

TEST(isolation, rejects_at_once_when_told_so) {
    arbiter_settings reject;
    reject.guard = isolation_guard::reject;
    world w{3, reject};
    w.run(20s);
    w.hide(n2);
    w.hide(n3);
    w.partition(n1, n2);
    w.partition(n1, n3);
    w.run(5s);
    EXPECT_EQ(w.primary(), "none: isolated");
    EXPECT_EQ(w.view().writes, write_mode::reject);
}

TEST(isolation, does_not_matter_when_told_so) {
    world w{3, without_guard()};
    w.run(20s);
    w.hide(n2);
    w.hide(n3);
    w.partition(n1, n2);
    w.partition(n1, n3);
    w.run(30s);
    EXPECT_EQ(w.primary(), "n1");
}

TEST(isolation, does_not_matter_with_two_nodes) {
    world w{2};
    w.run(20s);
    w.hide(n2);
    w.partition(n1, n2);
    w.run(30s);
    EXPECT_EQ(w.primary(), "n1");
}

TEST(isolation, of_five_nodes_begins_when_most_standbys_are_silent) {
    world w{5};
    w.run(20s);
    for (const auto i : {n4, n5}) {
        w.hide(i);
        w.partition(n1, i);
    }
    w.run(10s);
    EXPECT_EQ(w.primary(), "n1");
    w.hide(n3);
    w.partition(n1, n3);
    w.run(5s);
    EXPECT_EQ(w.primary(), "none: isolated");
}

// ---- Nodes that move

TEST(moves, the_primary_at_another_address_has_another_grant) {
    world w{3};
    w.run(2s);
    const auto epoch = w.view().epoch;
    w.judge->note_move("n1");
    w.evidence[n1] = {};
    w.run(2s);
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.view().epoch, epoch + 1);
}

TEST(moves, a_standby_at_another_address_changes_no_grant) {
    world w{3};
    w.run(2s);
    const auto epoch = w.view().epoch;
    w.judge->note_move("n2");
    w.evidence[n2] = {};
    w.run(2s);
    EXPECT_EQ(w.view().epoch, epoch);
}

// ---- Reads

TEST(reads, lag_is_counted_from_where_the_primary_was_before_the_standby_was_asked) {
    world w{3};
    w.nodes[n1].position = 5'000;
    w.nodes[n2].position = 5'000;
    w.nodes[n2].replayed = 4'000;
    w.run(5s);
    EXPECT_EQ(w.view(n2).lag, 1'000U);

    role_facts later = *w.evidence[n1].role();
    later.position = 900'000;
    w.evidence[n1].apply({.asked = w.now,
                          .result = contact::answered,
                          .role = later,
                          .receiver = {},
                          .senders = {},
                          .repmgr = {}});
    w.judge->decide(w.evidence, w.now);
    EXPECT_EQ(w.view(n2).lag, 1'000U);
}

TEST(reads, go_on_from_standbys_that_were_good_while_there_is_no_primary) {
    world w{3};
    w.nodes[n3].upstream.reset();
    w.run(20s);
    w.crash(n1);
    w.run(30s);
    EXPECT_EQ(w.view(n2).reads, read_quality::good);
    EXPECT_EQ(w.view(n3).reads, read_quality::stale);
    EXPECT_EQ(w.view(n1).reads, read_quality::none);
}

TEST(reads, wait_for_a_standby_to_follow_the_new_primary) {
    world w{3};
    w.run(20s);
    w.crash(n1);
    w.run(2s);
    w.fail_over(n2, {});
    w.run(1s);
    EXPECT_EQ(w.view(n3).reads, read_quality::stale);
    EXPECT_EQ(w.view(n2).reads, read_quality::good);
    w.follow(n3, n2);
    w.run(2s);
    EXPECT_EQ(w.view(n3).reads, read_quality::good);
}

// ---- What an operator says

class operator_says : public ::testing::Test {
protected:
    operator_says() { w.run(20s); }

    world w{3};
};

TEST_F(operator_says, force_of_a_node_that_is_not_known_is_refused) {
    EXPECT_EQ(w.judge->force_primary("n9", w.evidence, w.now), verb_result::unknown_node);
}

TEST_F(operator_says, force_of_a_standby_is_refused) {
    EXPECT_EQ(w.force(n2), verb_result::not_a_primary);
    EXPECT_EQ(w.primary(), "n1");
}

TEST_F(operator_says, force_of_a_foreign_node_is_refused) {
    w.nodes[n2].system = 42;
    w.nodes[n2].in_recovery = false;
    w.run(2s);
    EXPECT_EQ(w.force(n2), verb_result::quarantined);
}

TEST_F(operator_says, force_of_an_older_timeline_lowers_what_counts_as_newest) {
    w.crash(n1);
    w.run(2s);
    w.fail_over(n2, {n3});
    w.run(1s);
    w.restart(n1);
    w.run(2s);
    ASSERT_EQ(w.primary(), "n2");

    EXPECT_EQ(w.force(n1), verb_result::done);
    w.run(30s);
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.view().tli, 1U);
    EXPECT_EQ(w.view().epoch, 3U);
    EXPECT_EQ(w.view(n2).disowned, disowning::forced);
    EXPECT_EQ(w.view(n3).reads, read_quality::none);

    w.rejoin(n3, n1);
    w.run(2s);
    EXPECT_EQ(w.view(n3).reads, read_quality::good);
}

TEST_F(operator_says, force_lets_a_node_serve_alone_also_after_a_restart) {
    w.hide(n2);
    w.hide(n3);
    w.partition(n1, n2);
    w.partition(n1, n3);
    w.run(5s);
    ASSERT_EQ(w.primary(), "none: isolated");
    EXPECT_EQ(w.force(n1), verb_result::done);
    w.run(30s);
    EXPECT_EQ(w.primary(), "n1");
    w.restart_pgweir();
    w.run(3s);
    EXPECT_EQ(w.primary(), "n1");
}

TEST_F(operator_says, force_ends_with_the_isolation_it_was_meant_for) {
    w.hide(n2);
    w.hide(n3);
    w.partition(n1, n2);
    w.partition(n1, n3);
    w.run(5s);
    w.force(n1);
    w.run(5s);
    EXPECT_TRUE(w.judge->state().forced);
    w.show(n2);
    w.show(n3);
    w.heal_partitions();
    w.run(5s);
    EXPECT_FALSE(w.judge->state().forced);
    EXPECT_TRUE(w.judge->state().disowned.empty());
}

TEST_F(operator_says, force_grants_a_fenced_rogue) {
    w.promote(n2);
    w.run(8s);
    w.judge->fence("n2");
    EXPECT_EQ(w.force(n2), verb_result::done);
    w.run(1s);
    EXPECT_EQ(w.primary(), "n2");
    EXPECT_EQ(w.view(n1).state, node_state::fenced);
}

TEST_F(operator_says, a_fenced_primary_holds_writes_until_it_is_unfenced) {
    EXPECT_EQ(w.judge->fence("n1"), verb_result::done);
    w.run(1s);
    EXPECT_EQ(w.primary(), "none: set aside");
    EXPECT_TRUE(w.view(n1).cut);
    EXPECT_EQ(w.judge->unfence("n1"), verb_result::done);
    w.run(1s);
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.view().epoch, 1U);
}

TEST_F(operator_says, a_fenced_standby_is_not_read_from_also_after_a_restart) {
    w.judge->fence("n2");
    w.run(1s);
    w.restart_pgweir();
    w.run(3s);
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.view(n2).reads, read_quality::none);
    EXPECT_EQ(w.view(n2).reason, node_reason::operator_fence);
}

TEST_F(operator_says, unfence_lifts_what_disowned_a_node_and_it_is_judged_anew) {
    w.promote(n2);
    w.run(8s);
    ASSERT_EQ(w.view(n2).disowned, disowning::rogue);
    EXPECT_EQ(w.judge->unfence("n2"), verb_result::done);
    w.follow(n3, n2);
    w.nodes[n2].table.clear();
    w.run(2s);
    EXPECT_EQ(w.primary(), "n2");
}

TEST_F(operator_says, fence_and_unfence_of_a_node_that_is_not_known_are_refused) {
    EXPECT_EQ(w.judge->fence("n9"), verb_result::unknown_node);
    EXPECT_EQ(w.judge->unfence("n9"), verb_result::unknown_node);
}

TEST_F(operator_says, forget_cluster_begins_anew_with_the_next_epoch) {
    w.judge->fence("n3");
    for (auto& node : w.nodes) {
        node.system = 42;
        node.started += 50;
    }
    w.run(5s);
    ASSERT_NE(w.view().writes, write_mode::serve);
    w.judge->forget_cluster();
    w.run(2s);
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.view().epoch, 2U);
    EXPECT_EQ(w.judge->state().system_identifier, 42U);
    EXPECT_EQ(w.view(n3).reason, node_reason::operator_fence);
}

TEST_F(operator_says, switchover_is_refused_while_there_is_no_primary) {
    w.crash(n1);
    w.run(2s);
    EXPECT_EQ(w.judge->switchover_begin(w.now + 10s), verb_result::no_primary);
}

// ---- A reload

TEST(reload, keeps_what_is_remembered_of_a_node_by_its_name) {
    world w{3};
    w.run(20s);
    w.promote(n2);
    w.run(1s);
    w.crash(n1);
    w.reconfigure();
    w.run(30s);
    EXPECT_NE(w.primary(), "n2") << "it was promoted beside a primary that was well";
}

}  // namespace
}  // namespace pgweir::cluster
