// From which node a client gets its server, and when it is held.
#include "pool/gate_scene.hpp"

namespace pgweir::pool {
namespace {

using cluster::write_mode;

class gate_of_a_cluster : public gate_scene {};

TEST_F(gate_of_a_cluster, sends_a_client_to_the_primary) {
    grant(1);
    auto& v = newcomer();
    nodes_[1].let_in();
    settle();
    ASSERT_TRUE(v.is_served());
    EXPECT_EQ(v.server->node(), "n2");
}

TEST_F(gate_of_a_cluster, holds_a_client_before_anything_is_known) {
    auto& v = newcomer();
    EXPECT_TRUE(v.is_held());
    grant(0);
    EXPECT_FALSE(v.is_held());
    nodes_[0].let_in();
    settle();
    EXPECT_TRUE(v.is_served());
}

TEST_F(gate_of_a_cluster, tells_a_client_that_it_is_held_so_that_its_time_counts) {
    auto& v = newcomer();
    ASSERT_TRUE(v.is_held());
    EXPECT_EQ(v.hold_told, 1U);
}

TEST_F(gate_of_a_cluster, serves_those_it_held_in_the_order_of_their_coming) {
    pool().size = 1;
    auto& first = newcomer();
    pass(1ms);
    auto& second = newcomer();
    grant(0);
    auto b = nodes_[0].let_in();
    settle();
    EXPECT_TRUE(first.is_served());
    EXPECT_FALSE(second.is_served());
    give_back(first);
    EXPECT_TRUE(second.is_served());
}

TEST_F(gate_of_a_cluster, keeps_the_order_of_those_who_waited_at_the_old_primary) {
    pool().size = 1;
    grant(0);
    const auto [holder, b] = served_newcomer(0);
    auto& waited = newcomer();
    pass(1ms);
    doubt();
    auto& came_later = newcomer();
    EXPECT_TRUE(waited.is_held());
    grant(1);
    auto b2 = nodes_[1].let_in();
    settle();
    EXPECT_TRUE(waited.is_served());
    give_back(waited);
    EXPECT_TRUE(came_later.is_served());
}

TEST_F(gate_of_a_cluster, lends_no_idle_server_of_a_primary_in_doubt) {
    grant(0);
    const auto [v, b] = served_newcomer(0);
    give_back(*v);
    ASSERT_TRUE(lends_at_once());
    doubt();
    EXPECT_FALSE(lends_at_once());
}

TEST_F(gate_of_a_cluster, lends_no_idle_server_when_the_lease_has_run_out_unseen) {
    grant(0);
    const auto [v, b] = served_newcomer(0);
    give_back(*v);
    pass(3s);
    EXPECT_FALSE(lends_at_once());
    renew();
    EXPECT_TRUE(lends_at_once());
}

TEST_F(gate_of_a_cluster, takes_the_right_away_before_the_view_has_come) {
    grant(0);
    const auto [v, b] = served_newcomer(0);
    give_back(*v);
    board_->primary.end();
    EXPECT_FALSE(lends_at_once());
}

// An idle server's backend ends like this.
class broken_server_of_a_cluster : public gate_scene,
                                   public ::testing::WithParamInterface<message> {};

class of_a_dying_node : public broken_server_of_a_cluster {};
class of_a_node_that_is_well : public broken_server_of_a_cluster {};

TEST_P(of_a_dying_node, keeps_everybody_from_the_primary_until_it_lets_somebody_in) {
    grant(0);
    auto [lost, b1] = served_newcomer(0);
    auto [other, b2] = served_newcomer(0);
    give_back(*lost);
    if (GetParam().type != '\0') {
        b1.send({GetParam()});
    }
    b1.end();
    settle();
    EXPECT_FALSE(lends_at_once());
    EXPECT_FALSE(may_begin(*other));
    EXPECT_EQ(board_->counts.doubts.load(), 1U);

    board_->primary.dispel(net::manual_clock::now() + 1ms, net::manual_clock::now());
    publish();
    EXPECT_TRUE(may_begin(*other));
}

INSTANTIATE_TEST_SUITE_P(as,
                         of_a_dying_node,
                         ::testing::Values(message{},
                                           error("57P01", "administrator command"),
                                           error("57P02", "crash of another server process")),
                         [](const auto& i) { return "n" + std::to_string(i.index); });

TEST_P(of_a_node_that_is_well, keeps_nobody_from_the_primary) {
    grant(0);
    auto [lost, b1] = served_newcomer(0);
    auto [other, b2] = served_newcomer(0);
    give_back(*lost);
    b1.send({GetParam()});
    b1.end();
    settle();
    EXPECT_TRUE(may_begin(*other));
}

INSTANTIATE_TEST_SUITE_P(as,
                         of_a_node_that_is_well,
                         ::testing::Values(error("57P05", "idle-session timeout"),
                                           error("25P03", "idle-in-transaction timeout")),
                         [](const auto& i) { return "n" + std::to_string(i.index); });

TEST_F(gate_of_a_cluster, goes_on_with_the_primary_when_a_server_of_a_standby_breaks) {
    grant(0);
    const auto [writer, b1] = served_newcomer(0);
    auto [reader, b2] = served_newcomer(1, target::standby);
    give_back(*reader);
    b2.end();
    settle();
    EXPECT_TRUE(may_begin(*writer));
}

TEST_F(gate_of_a_cluster, lends_nothing_when_the_right_ends_after_it_was_asked_for) {
    grant(0);
    const auto [v, b] = served_newcomer(0);
    give_back(*v);
    ASSERT_TRUE(has_ready());
    board_->primary.end();
    visitor late;
    on(target::primary,
       [&](gate& g) { EXPECT_FALSE(g.take_ready(late, all_.settings.none().get())); });
    EXPECT_FALSE(late.is_waiting());
}

TEST_F(gate_of_a_cluster, lets_no_second_client_read_its_request_when_the_right_has_ended) {
    grant(0);
    const auto [v, b] = served_newcomer(0);
    give_back(*v);
    board_->primary.end();
    EXPECT_TRUE(has_ready());
    const auto& first = newcomer();
    EXPECT_TRUE(first.is_waiting());
    EXPECT_FALSE(has_ready());
}

TEST_F(gate_of_a_cluster, tells_the_holder_when_a_lease_that_ran_out_is_renewed) {
    grant(0);
    const auto [v, b] = served_newcomer(0);
    pass(3s);
    ASSERT_FALSE(may_begin(*v));
    on(target::primary, [v = v](gate&) { v->server->await_standing(); });
    const auto before = v->standing_told;
    pass(1s);
    EXPECT_EQ(v->standing_told, before);
    renew();
    pass(100ms);
    EXPECT_GT(v->standing_told, before);
}

TEST_F(gate_of_a_cluster, lets_whoever_is_served_go_on_while_it_is_paused) {
    grant(0);
    const auto [v, b] = served_newcomer(0);
    set_paused(true);
    EXPECT_TRUE(may_begin(*v));
    give_back(*v);
    EXPECT_FALSE(lends_at_once());
}

TEST_F(gate_of_a_cluster, takes_those_it_holds_along_when_a_reload_gives_it_another_cluster) {
    auto& v = newcomer();
    ASSERT_EQ(board_->counts.held_clients.load(), 1U);
    snapshot_.databases["shop"].cluster = "other";
    reload();
    EXPECT_TRUE(v.is_held());
    EXPECT_EQ(board_->counts.held_clients.load(), 0U);
    EXPECT_EQ(other_board_->counts.held_clients.load(), 1U);
}

TEST_F(gate_of_a_cluster, does_not_follow_the_cluster_that_it_had_before_a_reload) {
    grant(0);
    const auto [v, b] = served_newcomer(0);
    give_back(*v);
    snapshot_.databases["shop"].cluster = "other";
    reload();
    EXPECT_FALSE(lends_at_once());
    renew();
    auto& late = newcomer();
    EXPECT_TRUE(late.is_held());
}

TEST_F(gate_of_a_cluster, tells_the_holder_when_its_server_must_not_be_sent_anything_for_now) {
    grant(0);
    const auto [v, b] = served_newcomer(0);
    EXPECT_TRUE(may_begin(*v));
    const auto before = v->standing_told;
    doubt();
    EXPECT_FALSE(may_begin(*v));
    EXPECT_GT(v->standing_told, before);
}

TEST_F(gate_of_a_cluster, resets_all_connections_of_a_node_that_lost_its_role) {
    grant(0);
    auto [busy, b1] = served_newcomer(0);
    auto [idle, b2] = served_newcomer(0);
    give_back(*idle);
    grant(1);
    EXPECT_TRUE(busy->was_revoked);
    EXPECT_FALSE(b1.is_told_to_end());
    EXPECT_FALSE(b2.is_told_to_end());
    EXPECT_EQ(board_->counts.fenced_closed.load(), 2U);
}

TEST_F(gate_of_a_cluster, does_not_connect_to_a_node_that_is_cut_off) {
    grant(0);
    grant(1);
    auto& reader = newcomer(target::standby);
    nodes_[2].let_in();
    settle();
    EXPECT_TRUE(reader.is_served());
    EXPECT_FALSE(nodes_[0].has_visitor());
}

TEST_F(gate_of_a_cluster, keeps_servers_of_standbys_ready_for_their_promotion) {
    main().min_standby_servers = 2;
    grant(0);
    auto [v, b] = served_newcomer(0);
    give_back(*v);
    pass(1s);
    auto warm = nodes_[1].let_in();
    settle();
    renew();
    view_.nodes[1].reads = cluster::read_quality::none;
    grant(1);
    EXPECT_TRUE(lends_at_once());
}

TEST_F(gate_of_a_cluster, refuses_at_once_while_waiting_is_not_expected_to_help) {
    auto& held = newcomer();
    doubt(write_mode::reject);
    ASSERT_TRUE(held.sent_on);
    EXPECT_EQ(held.sent_on->sqlstate, "57P03");
    auto& late = newcomer();
    ASSERT_TRUE(late.sent_on);
    EXPECT_EQ(late.sent_on->sqlstate, "57P03");
    EXPECT_NE(late.sent_on->detail.find("n1, n2, n3"), std::string::npos);
}

TEST_F(gate_of_a_cluster, holds_no_more_clients_than_it_may) {
    main().hold_max_clients = 1;
    auto& first = newcomer();
    auto& second = newcomer();
    EXPECT_TRUE(first.is_held());
    ASSERT_TRUE(second.sent_on);
    EXPECT_EQ(second.sent_on->sqlstate, "53300");
}

TEST_F(gate_of_a_cluster, counts_whom_it_holds) {
    auto& v = newcomer();
    EXPECT_EQ(board_->counts.held_clients.load(), 1U);
    on(target::primary, [&](gate&) { v.withdraw(); });
    EXPECT_EQ(board_->counts.held_clients.load(), 0U);
}

TEST_F(gate_of_a_cluster, counts_how_long_it_held_whom_it_serves) {
    newcomer();
    pass(3s);
    newcomer();
    pass(1s);
    grant(0);
    const auto times = board_->counts.hold_times.read();
    EXPECT_EQ(times.sum_us, 5'000'000U);
    EXPECT_EQ(times.classes[base::class_of(4s)], 1U);
    EXPECT_EQ(times.classes[base::class_of(1s)], 1U);
}

TEST_F(gate_of_a_cluster, counts_how_long_it_held_whom_it_did_not_serve) {
    auto& v = newcomer();
    pass(2s);
    on(target::primary, [&](gate&) { v.withdraw(); });
    EXPECT_EQ(board_->counts.hold_times.read().sum_us, 2'000'000U);
}

TEST_F(gate_of_a_cluster, counts_no_wait_at_a_primary_that_was_served_as_a_hold) {
    pool().size = 1;
    grant(0);
    const auto [holder, b] = served_newcomer(0);
    newcomer();
    pass(30s);
    renew();
    doubt();
    pass(1s);
    grant(1);
    EXPECT_EQ(board_->counts.hold_times.read().sum_us, 1'000'000U);
}

TEST_F(gate_of_a_cluster, sends_readers_to_standbys_only) {
    grant(0);
    for (int i = 0; i < 2; ++i) {
        newcomer(target::standby);
    }
    nodes_[1].let_in();
    nodes_[2].let_in();
    EXPECT_FALSE(nodes_[0].has_visitor());
}

TEST_F(gate_of_a_cluster, sends_readers_that_only_prefer_standbys_to_the_primary_without_any) {
    grant(0);
    view_.nodes[1].reads = view_.nodes[2].reads = cluster::read_quality::none;
    publish();
    newcomer(target::prefer_standby);
    EXPECT_TRUE(nodes_[0].has_visitor(patience));
}

TEST_F(gate_of_a_cluster, holds_readers_while_no_standby_can_be_read_from) {
    grant(0);
    view_.nodes[1].reads = view_.nodes[2].reads = cluster::read_quality::none;
    publish();
    auto& v = newcomer(target::standby);
    EXPECT_TRUE(v.is_held());
    view_.nodes[2].reads = cluster::read_quality::good;
    publish();
    nodes_[2].let_in();
    settle();
    EXPECT_TRUE(v.is_served());
}

TEST_F(gate_of_a_cluster, lets_only_those_nodes_start_slowly_that_it_has_seen_away) {
    main().slow_start = 1h;
    main().balance = config::balancing::round_robin;
    grant(0);
    publish();
    const auto [one, b1] = served_newcomer(1, target::standby);
    const auto [two, b2] = served_newcomer(2, target::standby);
    give_back(*one);
    give_back(*two);
    view_.nodes[2].reads = cluster::read_quality::none;
    publish();
    view_.nodes[2].reads = cluster::read_quality::good;
    publish();
    for (int i = 0; i < 4; ++i) {
        auto& reader = newcomer(target::standby);
        ASSERT_TRUE(reader.is_served());
        EXPECT_EQ(reader.server->node(), "n2");
        give_back(reader);
    }
}

TEST_F(gate_of_a_cluster, sends_a_reader_on_whose_standby_fails_before_it_is_served) {
    grant(0);
    auto& v = newcomer(target::standby);
    const std::size_t first = nodes_[1].has_visitor() ? 1 : 2;
    view_.nodes[first].reads = cluster::read_quality::none;
    view_.nodes[first].state = node_state::down;
    publish();
    nodes_[3 - first].let_in();
    settle();
    ASSERT_TRUE(v.is_served());
    EXPECT_EQ(v.server->node(), "n" + std::to_string(4 - first));
}

// The role moves away from the first node.
class gate_at_a_switchover : public gate_scene {
protected:
    static constexpr auto until = base::time_point{1h};

    gate_at_a_switchover() { grant(0); }
    void begin_switchover() {
        view_.primary.reset();
        view_.granted = 0;
        view_.writes = write_mode::hold;
        view_.why = cluster::cause::switchover;
        view_.switchover_until = until;
        publish();
    }
    bool is_drained() {
        return on(target::primary,
                  [this](gate&) { return all_.workers.front()->drain("main", until); });
    }
    void send_query(visitor& v) {
        on(target::primary, [&v](gate&) {
            v.server->ledger().sent(protocol::request::query, protocol::origin::client);
        });
    }
};

TEST_F(gate_at_a_switchover, lets_an_open_transaction_go_on_but_none_begin) {
    const auto [v, b] = served_newcomer(0);
    begin_switchover();
    EXPECT_FALSE(may_begin(*v));
    EXPECT_TRUE(on(target::primary, [v = v](gate&) { return v->server->may_continue(); }));
    auto& late = newcomer();
    EXPECT_TRUE(late.is_held());
}

TEST_F(gate_at_a_switchover, is_drained_when_nothing_is_open_on_the_servers_of_sessions) {
    const auto [v, b] = served_newcomer(0);
    begin_switchover();
    EXPECT_TRUE(is_drained());
}

TEST_F(gate_at_a_switchover, waits_for_the_answer_that_a_client_is_owed) {
    const auto [v, b] = served_newcomer(0);
    send_query(*v);
    begin_switchover();
    EXPECT_FALSE(is_drained());
}

TEST_F(gate_at_a_switchover, waits_for_what_is_open_also_while_the_primary_is_in_doubt) {
    const auto [v, b] = served_newcomer(0);
    send_query(*v);
    begin_switchover();
    view_.nodes[0].state = node_state::suspect;
    view_.why = cluster::cause::suspect;
    publish();
    EXPECT_FALSE(is_drained());
}

TEST_F(gate_at_a_switchover, does_not_wait_for_one_that_is_over) {
    const auto [v, b] = served_newcomer(0);
    send_query(*v);
    begin_switchover();
    view_.switchover_until = cluster::no_time;
    publish();
    EXPECT_TRUE(is_drained());
}

TEST_F(gate_of_a_cluster, promises_in_its_welcome_what_its_target_is) {
    parameter_set told;
    told.set("in_hot_standby", "off");
    grant(0);
    const auto last_word = [&](target t) {
        return on(t, [&](gate& g) {
            g.learn_welcome(all_.settings.none(), told);
            const auto text = *g.welcome_for(all_.settings.none().get());
            return text.substr(text.rfind("in_hot_standby") + 15, 2);
        });
    };
    EXPECT_EQ(last_word(target::primary), "of");
    EXPECT_EQ(last_word(target::standby), std::string("on"));
}

TEST_F(gate_of_a_cluster, resets_what_is_lent_at_the_old_address_of_a_node_that_has_moved) {
    grant(0);
    const auto [v, b] = served_newcomer(0);
    addresses_[0] = nodes_[2].folder();
    publish();
    EXPECT_TRUE(v->was_revoked);
    auto& next = newcomer();
    nodes_[2].let_in();
    settle();
    EXPECT_TRUE(next.is_served());
}

TEST_F(gate_of_a_cluster, connects_nowhere_while_no_address_of_the_node_is_known) {
    addresses_[0] = "";
    grant(0);
    auto& v = newcomer();
    EXPECT_FALSE(nodes_[0].has_visitor());
    addresses_[0].reset();
    publish();
    nodes_[0].let_in();
    settle();
    EXPECT_TRUE(v.is_served());
}

class gate_without_a_cluster : public gate_scene {
protected:
    gate_without_a_cluster() {
        snapshot_.databases["shop"].cluster.clear();
        snapshot_.databases["shop"].host = nodes_[0].folder();
        snapshot_.databases["shop"].port = scripted_postgres::port;
    }
};

TEST_F(gate_without_a_cluster, is_one_pool) {
    auto [v, b] = served_newcomer(0);
    EXPECT_TRUE(v->is_served());
    EXPECT_EQ(v->server->node(), "");
}

TEST_F(gate_without_a_cluster, serves_nobody_while_it_is_paused) {
    auto [v, b] = served_newcomer(0);
    on(target::primary, [](gate&) {});
    on(target::primary, [this](gate&) { all_.workers.front()->set_paused("shop", true); });
    give_back(*v);
    EXPECT_TRUE(b.is_told_to_end());
    auto& late = newcomer();
    EXPECT_FALSE(nodes_[0].has_visitor());
    b.end();
    settle();
    on(target::primary, [this](gate&) { all_.workers.front()->set_paused("shop", false); });
    nodes_[0].let_in();
    settle();
    EXPECT_TRUE(late.is_served());
}

TEST_F(gate_without_a_cluster, sends_its_clients_on_when_a_reload_gives_the_database_a_cluster) {
    pool().size = 1;
    auto [v, b] = served_newcomer(0);
    auto& waiting = newcomer();
    snapshot_.databases["shop"].cluster = "main";
    on(target::primary, [this](gate&) { all_.workers.front()->configure(snapshot_); });
    EXPECT_TRUE(waiting.is_held());
    grant(1);
    nodes_[1].let_in();
    settle();
    ASSERT_TRUE(waiting.is_served());
    EXPECT_EQ(waiting.server->node(), "n2");
}

}  // namespace
}  // namespace pgweir::pool
