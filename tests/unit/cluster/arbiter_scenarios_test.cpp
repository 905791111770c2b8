// Failures as they happen, and what the arbiter makes of them: the primary that clients may write
// to, from the first sign of trouble to the end.
#include "cluster/world.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgweir::cluster {
namespace {

// A primary n1 and two standbys, seen by pgweir for a while.
class three_nodes : public ::testing::Test {
protected:
    three_nodes() { w.run(20s); }

    world w{3};
};

TEST_F(three_nodes, serve_the_one_primary) {
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.view().epoch, 1U);
    EXPECT_EQ(w.view(n1).state, node_state::primary);
    EXPECT_EQ(w.view(n2).reads, read_quality::good);
    EXPECT_EQ(w.view(n3).reads, read_quality::good);
    EXPECT_EQ(w.view().probes, pace::normal);
}

// 1 to 4: what the clients see of it is the data path's.
TEST_F(three_nodes, a_killed_primary_holds_writes_until_a_standby_is_promoted) {
    w.crash(n1);
    w.run(1100ms);
    EXPECT_EQ(w.primary(), "none: no claimant");
    EXPECT_EQ(w.view().writes, write_mode::hold);
    EXPECT_EQ(w.view().probes, pace::quick);

    w.promote(n2);
    w.run(100ms);
    EXPECT_EQ(w.primary(), "n2");
    EXPECT_EQ(w.view().epoch, 2U);
    EXPECT_TRUE(w.view(n1).cut);
}

TEST_F(three_nodes, a_killed_primary_is_succeeded_before_repmgr_has_written_its_metadata) {
    w.crash(n1);
    w.run(2s);
    w.promote(n3);
    w.run(100ms);
    EXPECT_EQ(w.primary(), "n3");
    EXPECT_EQ(w.view(n3).claims_itself, false);
}

// 5
TEST_F(three_nodes, a_stopped_primary_that_nobody_replaces_resumes_in_the_same_epoch) {
    w.crash(n1);
    w.run(60s);
    EXPECT_EQ(w.primary(), "none: no claimant");
    EXPECT_EQ(w.view().writes, write_mode::hold);
    EXPECT_EQ(w.view(n2).reads, read_quality::good);

    w.restart(n1);
    w.run(1s);
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.view().epoch, 1U);
}

// 6
TEST_F(three_nodes, a_primary_in_crash_recovery_is_waited_for) {
    w.nodes[n1].answer = contact::starting_up;
    w.run(1500ms);
    EXPECT_EQ(w.primary(), "none: no claimant");
    w.nodes[n1].answer = contact::answered;
    w.restart(n1);
    w.run(200ms);
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.view().epoch, 1U);
}

// 7
TEST_F(three_nodes, a_frozen_primary_is_held_within_a_check_and_a_timeout) {
    w.freeze(n1);
    w.run(1520ms);
    EXPECT_EQ(w.view().writes, write_mode::hold);
    w.run(5s);
    EXPECT_EQ(w.primary(), "none: no claimant");
    EXPECT_EQ(w.view(n1).state, node_state::down);

    w.promote(n2);
    w.run(300ms);
    EXPECT_NE(w.primary(), "n2") << "nothing but a timeline speaks for it yet";
    w.register_primary(n2);
    w.run(200ms);
    EXPECT_EQ(w.primary(), "n2");
}

// 8
TEST_F(three_nodes, a_thawed_primary_is_fenced_at_once) {
    w.freeze(n1);
    w.run(12s);
    w.fail_over(n2, {n3});
    w.run_until_served();
    ASSERT_EQ(w.primary(), "n2");

    w.after_decision = [&] { ASSERT_NE(w.primary(), "n1"); };
    w.thaw(n1);
    w.run(10s);
    EXPECT_EQ(w.primary(), "n2");
    EXPECT_EQ(w.view(n1).state, node_state::fenced);
    EXPECT_TRUE(w.view(n1).cut);
    EXPECT_TRUE(w.view().split_brain);
}

TEST_F(three_nodes, a_primary_thawed_in_the_moment_of_the_promotion_is_not_written_to) {
    w.freeze(n1);
    w.run(12s);
    w.after_decision = [&] { ASSERT_NE(w.primary(), "n1"); };
    w.promote(n2);
    w.thaw(n1);
    w.run(1s);
    EXPECT_EQ(w.primary(), "none: contested");
    w.register_primary(n2);
    w.run(1s);
    EXPECT_EQ(w.primary(), "n2");
}

// 9
TEST_F(three_nodes, a_restarted_old_primary_gets_nothing_until_it_has_rejoined) {
    w.crash(n1);
    w.run(2s);
    w.fail_over(n2, {n3});
    w.run(1s);
    w.restart(n1);
    w.run(5s);
    EXPECT_EQ(w.primary(), "n2");
    EXPECT_EQ(w.view(n1).state, node_state::fenced);
    EXPECT_EQ(w.view(n1).reads, read_quality::none);
    EXPECT_TRUE(w.view().split_brain);

    w.crash(n1);
    w.run(1s);
    w.rejoin(n1, n2);
    w.run(2s);
    EXPECT_EQ(w.view(n1).state, node_state::standby);
    EXPECT_EQ(w.view(n1).reads, read_quality::good);
    EXPECT_FALSE(w.view(n1).cut);
    EXPECT_FALSE(w.view().split_brain);
}

TEST_F(three_nodes, an_old_primary_that_comes_back_as_a_standby_of_nobody_stays_fenced) {
    w.crash(n1);
    w.run(2s);
    w.fail_over(n2, {n3});
    w.run(1s);
    w.restart(n1);
    w.nodes[n1].in_recovery = true;
    w.run(5s);
    EXPECT_EQ(w.view(n1).state, node_state::fenced);
    EXPECT_EQ(w.view(n1).disowned, disowning::replaced);
}

// 10
TEST_F(three_nodes, a_restarted_pgweir_that_sees_only_the_stale_primary_refuses_it) {
    w.crash(n1);
    w.run(2s);
    w.fail_over(n2, {n3});
    w.run(1s);
    w.restart_pgweir();
    w.restart(n1);
    w.hide(n2);
    w.hide(n3);
    w.run(60s);
    EXPECT_EQ(w.primary(), "none: no claimant");
    EXPECT_EQ(w.view(n1).state, node_state::fenced);

    w.show(n2);
    w.run(3s);
    EXPECT_EQ(w.primary(), "n2");
    EXPECT_EQ(w.view().epoch, 2U);
}

// 11
TEST_F(three_nodes, two_standbys_promoted_at_once_are_ambiguous_until_an_operator_says) {
    w.crash(n1);
    w.run(2s);
    w.promote(n2);
    w.promote(n3);
    w.register_primary(n2);
    w.register_primary(n3);
    w.run(1s);
    EXPECT_EQ(w.primary(), "none: ambiguous");
    EXPECT_EQ(w.view().writes, write_mode::hold);
    w.run(5s);
    EXPECT_EQ(w.view().writes, write_mode::reject);
    EXPECT_EQ(w.view().epoch, 1U);

    EXPECT_EQ(w.force(n2), verb_result::done);
    w.run(1s);
    EXPECT_EQ(w.primary(), "n2");
    EXPECT_EQ(w.view().epoch, 2U);
    EXPECT_EQ(w.view(n3).state, node_state::fenced);
}

TEST_F(three_nodes, a_second_promotion_beside_the_successor_is_ambiguous_and_never_flips) {
    w.crash(n1);
    w.run(2s);
    w.promote(n2);
    w.run(200ms);
    ASSERT_EQ(w.primary(), "n2");
    w.promote(n3);
    w.after_decision = [&] { ASSERT_NE(w.primary(), "n3"); };
    w.run(60s);
    EXPECT_EQ(w.primary(), "none: ambiguous");

    w.rejoin(n3, n2);
    w.run(1s);
    EXPECT_EQ(w.primary(), "n2");
    EXPECT_EQ(w.view().epoch, 2U);
}

// 12
TEST_F(three_nodes, an_accidental_promotion_beside_a_primary_with_a_follower_changes_nothing) {
    w.after_decision = [&] { ASSERT_EQ(w.primary(), "n1"); };
    w.promote(n2);
    w.run(60s);
    EXPECT_EQ(w.view().epoch, 1U);
    EXPECT_EQ(w.view(n2).state, node_state::fenced);
    EXPECT_EQ(w.view(n2).disowned, disowning::rogue);
}

TEST_F(three_nodes, a_rogue_stays_fenced_when_the_primary_dies) {
    w.promote(n2);
    w.run(10s);
    w.crash(n1);
    w.after_decision = [&] { ASSERT_NE(w.primary(), "n2"); };
    w.run(60s);
    EXPECT_EQ(w.primary(), "none: no claimant");
    w.restart_pgweir();
    w.run(60s);
    w.promote(n3);
    w.register_primary(n3);
    w.run(1s);
    EXPECT_EQ(w.primary(), "n3");
}

TEST_F(three_nodes, a_rogue_that_is_not_found_out_yet_does_not_succeed_a_primary_that_dies) {
    w.promote(n2);
    w.run(1s);
    w.crash(n1);
    w.after_decision = [&] { ASSERT_NE(w.primary(), "n2"); };
    w.run(60s);
    w.promote(n3);
    w.register_primary(n3);
    w.run(1s);
    EXPECT_EQ(w.primary(), "n3");
}

TEST_F(three_nodes, a_rogue_that_was_made_a_standby_again_may_succeed_later) {
    w.promote(n2);
    w.run(10s);
    w.rejoin(n2, n1);
    w.run(2s);
    EXPECT_EQ(w.view(n2).state, node_state::standby);
    w.crash(n1);
    w.run(2s);
    w.fail_over(n2, {n3});
    w.run(1s);
    EXPECT_EQ(w.primary(), "n2");
}

// 14
TEST_F(three_nodes, a_planned_switchover_holds_until_the_new_primary_is_granted) {
    EXPECT_EQ(w.judge->switchover_begin(w.now + 30s), verb_result::done);
    w.run(200ms);
    EXPECT_EQ(w.primary(), "none: switchover");
    EXPECT_FALSE(w.view(n1).cut) << "what runs there is let finish";

    w.crash(n1);
    w.run(100ms);
    w.fail_over(n2, {n3});
    w.run(100ms);
    EXPECT_EQ(w.primary(), "n2");
    w.rejoin(n1, n2);
    w.run(2s);
    EXPECT_EQ(w.view(n1).state, node_state::standby);
    EXPECT_EQ(w.view(n1).reads, read_quality::good);
}

TEST_F(three_nodes, a_switchover_that_does_not_come_resumes_at_its_timeout) {
    ASSERT_EQ(w.judge->switchover_begin(w.now + 5s), verb_result::done);
    w.run(4900ms);
    EXPECT_EQ(w.primary(), "none: switchover");
    w.run(200ms);
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.view().epoch, 1U);
}

// pgweir was stopped, or its machine. The first node that answers may be the one that lost its role
// meanwhile.
TEST_F(three_nodes, after_a_sleep_of_ours_every_node_is_asked_before_the_primary_gets_anything) {
    const auto hear = [&](std::size_t i) {
        w.evidence[i].apply({.asked = w.now,
                             .result = contact::answered,
                             .role = *w.evidence[i].role(),
                             .receiver = {},
                             .senders = {},
                             .repmgr = {}});
        w.judge->decide(w.evidence, w.now);
    };
    w.now += 10s;
    hear(n1);
    EXPECT_EQ(w.primary(), "none: looking around");
    hear(n3);
    EXPECT_EQ(w.primary(), "none: looking around");
    hear(n2);
    EXPECT_EQ(w.primary(), "n1");
}

TEST_F(three_nodes, after_a_sleep_of_ours_a_node_that_was_down_before_is_asked_too) {
    w.crash(n2);
    w.run(2s);
    w.now += 10s;
    for (const auto i : {n1, n3}) {
        w.evidence[i].apply({.asked = w.now,
                             .result = contact::answered,
                             .role = *w.evidence[i].role(),
                             .receiver = {},
                             .senders = {},
                             .repmgr = {}});
    }
    w.judge->decide(w.evidence, w.now);
    EXPECT_EQ(w.primary(), "none: looking around");
}

TEST_F(three_nodes, a_switchover_goes_on_while_the_primary_is_in_doubt) {
    const auto until = w.now + 30s;
    ASSERT_EQ(w.judge->switchover_begin(until), verb_result::done);
    w.run(200ms);
    w.freeze(n1);
    w.run(1s);
    EXPECT_NE(w.primary(), "none: switchover");
    EXPECT_EQ(w.view().switchover_until, until);
    EXPECT_EQ(w.view().granted, n1);
}

TEST_F(three_nodes, the_next_grant_ends_a_switchover) {
    ASSERT_EQ(w.judge->switchover_begin(w.now + 30s), verb_result::done);
    w.crash(n1);
    w.run(100ms);
    w.fail_over(n2, {n3});
    w.run(100ms);
    EXPECT_EQ(w.view().switchover_until, no_time);
    EXPECT_EQ(w.view().granted, n2);
}

TEST_F(three_nodes, a_switchover_may_be_called_off) {
    ASSERT_EQ(w.judge->switchover_begin(w.now + 30s), verb_result::done);
    w.run(1s);
    EXPECT_EQ(w.judge->switchover_end(), verb_result::done);
    w.run(100ms);
    EXPECT_EQ(w.primary(), "n1");
}

TEST_F(three_nodes, a_switchover_may_be_called_off_while_the_old_primary_is_away) {
    ASSERT_EQ(w.judge->switchover_begin(w.now + 30s), verb_result::done);
    w.crash(n1);
    w.run(1s);
    EXPECT_EQ(w.primary(), "none: no claimant");
    EXPECT_EQ(w.judge->switchover_end(), verb_result::done);
    w.restart(n1);
    w.run(3s);
    EXPECT_EQ(w.primary(), "n1");
}

TEST_F(three_nodes, a_switchover_that_has_ended_cannot_be_called_off) {
    EXPECT_EQ(w.judge->switchover_end(), verb_result::no_switchover);

    ASSERT_EQ(w.judge->switchover_begin(w.now + 5s), verb_result::done);
    w.run(6s);
    EXPECT_EQ(w.judge->switchover_end(), verb_result::no_switchover);

    ASSERT_EQ(w.judge->switchover_begin(w.now + 30s), verb_result::done);
    w.crash(n1);
    w.run(100ms);
    w.fail_over(n2, {n3});
    w.run(100ms);
    EXPECT_EQ(w.judge->switchover_end(), verb_result::no_switchover);
}

// 15
TEST_F(three_nodes, an_unannounced_switchover_grants_within_a_quick_check) {
    w.crash(n1);
    w.run(1100ms);
    w.promote(n2);
    w.run(100ms);
    EXPECT_EQ(w.primary(), "n2");
}

// 16
TEST_F(three_nodes, a_primary_demoted_in_place_is_a_standby_of_its_successor) {
    w.hide(n1);
    w.hide(n2);
    w.run(10ms);
    w.fail_over(n2, {n3});
    w.rejoin(n1, n2);
    w.show(n1);
    w.show(n2);
    w.evidence[n1].note_recovery(w.now);
    w.run(1500ms);
    EXPECT_EQ(w.primary(), "n2");
    EXPECT_EQ(w.view(n1).state, node_state::standby);
    EXPECT_FALSE(w.view(n1).cut);
}

// 17
TEST_F(three_nodes, a_read_only_error_of_one_transaction_changes_no_role) {
    w.crash(n1);
    w.run(2s);
    w.fail_over(n2, {n3});
    w.run(20s);
    w.after_decision = [&] { ASSERT_EQ(w.primary(), "n2"); };
    w.evidence[n2].note_smell(w.now);
    w.run(100ms);
    EXPECT_EQ(w.view().probes, pace::quick);
    w.run(10s);
    EXPECT_EQ(w.view().probes, pace::normal);
}

// 18
TEST_F(three_nodes, a_lost_standby_is_not_read_from_and_disturbs_no_write) {
    w.after_decision = [&] { ASSERT_EQ(w.primary(), "n1"); };
    w.crash(n2);
    w.run(1100ms);
    EXPECT_EQ(w.view(n2).state, node_state::down);
    EXPECT_EQ(w.view(n2).reads, read_quality::none);
    EXPECT_EQ(w.view(n3).reads, read_quality::good);
    w.run(5s);
    EXPECT_EQ(w.view().probes, pace::normal);
}

// 19
TEST_F(three_nodes, a_standby_that_lost_its_receiver_is_no_good_although_it_has_replayed_all) {
    w.nodes[n2].upstream.reset();
    w.run(2s);
    EXPECT_EQ(w.view(n2).reads, read_quality::stale);
    EXPECT_EQ(w.view(n2).reason, node_reason::not_streaming);
    EXPECT_EQ(w.view(n2).replay_lag, std::nullopt);

    w.nodes[n2].upstream = n1;
    w.run(2s);
    EXPECT_EQ(w.view(n2).reads, read_quality::good);
    EXPECT_EQ(w.view(n2).replay_lag, duration::zero());
}

TEST_F(three_nodes, a_standby_that_was_told_to_pause_is_no_good) {
    w.nodes[n2].replay_paused = true;
    w.run(2s);
    EXPECT_EQ(w.view(n2).reads, read_quality::stale);
    EXPECT_EQ(w.view(n2).reason, node_reason::replay_paused);
}

// 20
TEST_F(three_nodes, a_primary_that_pgweir_alone_cannot_reach_is_held_and_never_replaced) {
    w.hide(n1);
    w.after_decision = [&] { ASSERT_EQ(w.view().epoch, 1U); };
    w.run(60s);
    EXPECT_EQ(w.primary(), "none: no claimant");
    w.show(n1);
    w.run(2s);
    EXPECT_EQ(w.primary(), "n1");
}

TEST_F(three_nodes, a_rogue_does_not_succeed_a_primary_that_only_pgweir_cannot_reach) {
    w.hide(n1);
    w.run(5s);
    w.promote(n2);
    w.after_decision = [&] { ASSERT_NE(w.primary(), "n2"); };
    w.run(60s);
    w.show(n1);
    w.run(20s);
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.view().epoch, 1U);
}

// 21
TEST_F(three_nodes, a_primary_isolated_together_with_pgweir_is_not_written_to) {
    w.hide(n2);
    w.hide(n3);
    w.partition(n1, n2);
    w.partition(n1, n3);
    w.run(5s);
    EXPECT_EQ(w.primary(), "none: isolated");
    w.after_decision = [&] { ASSERT_NE(w.primary(), "n1"); };
    w.fail_over(n2, {n3});
    w.run(30s);

    w.show(n2);
    w.show(n3);
    w.run(2s);
    EXPECT_EQ(w.primary(), "n2");
    EXPECT_EQ(w.view(n1).state, node_state::fenced);
}

TEST_F(three_nodes, the_end_of_an_isolation_waits_for_all_who_were_silent) {
    for (const auto i : {n2, n3}) {
        w.hide(i);
        w.partition(n1, i);
    }
    w.run(5s);
    ASSERT_EQ(w.primary(), "none: isolated");
    w.fail_over(n2, {});  // n3 follows later: it streams from n1 again for a moment
    w.heal_partitions();
    w.show(n3);
    w.run(2s);
    EXPECT_EQ(w.primary(), "none: isolated");
    w.show(n2);
    w.run(1s);
    EXPECT_EQ(w.primary(), "n2");
}

TEST_F(three_nodes, the_end_of_an_isolation_does_not_wait_for_ever_for_one_who_stays_silent) {
    for (const auto i : {n2, n3}) {
        w.hide(i);
        w.partition(n1, i);
    }
    w.run(5s);
    ASSERT_EQ(w.primary(), "none: isolated");
    w.heal_partitions();
    w.show(n3);
    w.run(15s);
    EXPECT_EQ(w.primary(), "n1");
}

TEST_F(three_nodes, standbys_that_pgweir_cannot_reach_do_not_isolate_a_primary_they_stream_from) {
    w.after_decision = [&] { ASSERT_EQ(w.primary(), "n1"); };
    w.hide(n2);
    w.hide(n3);
    w.run(60s);
}

TEST_F(three_nodes, standbys_that_are_stopped_do_not_isolate_their_primary) {
    w.after_decision = [&] { ASSERT_EQ(w.primary(), "n1"); };
    w.crash(n2);
    w.crash(n3);
    w.run(60s);
}

// 22
TEST_F(three_nodes, a_primary_without_a_connection_left_for_the_monitor_is_served_on) {
    w.after_decision = [&] { ASSERT_EQ(w.primary(), "n1"); };
    w.nodes[n1].answer = contact::full;
    w.run(60s);
    EXPECT_EQ(w.view().epoch, 1U);
}

// 23
TEST_F(three_nodes, an_address_that_now_leads_to_another_node_is_quarantined) {
    const auto moved = w.nodes[n1];
    w.nodes[n1] = w.nodes[n2];
    w.run(2s);
    EXPECT_EQ(w.view(n1).state, node_state::quarantined);
    EXPECT_EQ(w.view(n1).reason, node_reason::wrong_identity);
    EXPECT_EQ(w.view(n2).state, node_state::standby);
    EXPECT_NE(w.view().writes, write_mode::serve);

    w.nodes[n1] = moved;
    w.run(3s);
    EXPECT_EQ(w.primary(), "n1");
}

TEST_F(three_nodes, two_addresses_of_one_server_are_one_node_also_without_repmgr) {
    w.has_repmgr = false;
    w.run(5s);
    w.nodes[n3] = w.nodes[n1];
    w.run(5s);
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.view(n3).state, node_state::quarantined);
    EXPECT_EQ(w.view(n3).reason, node_reason::duplicate);
}

TEST_F(three_nodes, a_node_of_a_foreign_cluster_gets_no_traffic) {
    w.nodes[n2].system = 42;
    w.nodes[n2].tli = 99;
    w.nodes[n2].in_recovery = false;
    w.run(2s);
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.view(n2).state, node_state::quarantined);
    EXPECT_EQ(w.view(n2).reason, node_reason::foreign_system);
    EXPECT_TRUE(w.view(n2).cut);
}

// 24
TEST_F(three_nodes, a_flapping_link_to_the_primary_changes_no_epoch) {
    w.after_decision = [&] { ASSERT_EQ(w.view().epoch, 1U); };
    for (int i = 0; i < 50; ++i) {
        w.hide(n1);
        w.run(std::chrono::milliseconds{100 + 70 * (i % 9)});
        w.show(n1);
        w.run(std::chrono::milliseconds{100 + 110 * (i % 7)});
    }
    w.run(3s);
    EXPECT_EQ(w.primary(), "n1");
}

// 27
TEST_F(three_nodes, a_restarted_pgweir_serves_in_the_same_epoch_what_has_not_changed) {
    w.restart_pgweir();
    EXPECT_NE(w.view().writes, write_mode::serve);
    w.run(1s);
    EXPECT_EQ(w.primary(), "n1");
    EXPECT_EQ(w.view().epoch, 1U);
}

TEST_F(three_nodes, a_restarted_pgweir_grants_what_was_promoted_meanwhile) {
    w.crash(n1);
    w.restart_pgweir();
    w.fail_over(n2, {n3});
    w.run(1s);
    EXPECT_EQ(w.primary(), "n2");
    EXPECT_EQ(w.view().epoch, 2U);
}

TEST_F(three_nodes, a_slow_checkpoint_of_the_primary_is_not_a_failure) {
    w.after_decision = [&] { ASSERT_EQ(w.primary(), "n1"); };
    w.hide(n1);
    for (int i = 0; i < 100; ++i) {
        w.evidence[n1].note_reply(w.now);
        w.run(100ms);
    }
}

}  // namespace
}  // namespace pgweir::cluster
