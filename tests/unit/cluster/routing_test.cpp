// Reads over the nodes of a cluster: who may serve, and that those share as they should.
#include "pgweir/cluster/routing.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <random>
#include <string>

namespace pgweir::cluster {
namespace {

using namespace std::chrono_literals;

constexpr time_point start{1h};
constexpr std::uint64_t mib = 1024 * 1024;
constexpr std::size_t many = 100'000;

read_candidate standby(const std::string& name) {
    read_candidate n;
    n.id = hash_of(name);
    n.reads = read_quality::good;
    n.lag = 0;
    n.replay_lag = 0ms;
    return n;
}

read_candidate primary(const std::string& name) {
    read_candidate n;
    n.id = hash_of(name);
    n.is_primary = true;
    n.reads = read_quality::good;
    return n;
}

read_candidate behind(read_candidate n, std::uint64_t bytes) {
    n.lag = bytes;
    n.replay_lag = 1min;
    return n;
}

read_candidate stale(read_candidate n) {
    n.reads = read_quality::stale;
    n.replay_lag.reset();
    return n;
}

read_candidate gone(read_candidate n) {
    n.reads = read_quality::none;
    n.is_primary = false;
    return n;
}

read_candidate weighing(read_candidate n, unsigned weight) {
    n.weight = weight;
    return n;
}

using nodes = std::vector<read_candidate>;

routing_settings settings(read_target target, balancing balance = balancing::round_robin) {
    routing_settings s;
    s.target = target;
    s.balance = balance;
    return s;
}

// How many of `picks` transactions, one after the other, each node got.
std::vector<std::size_t> serve(read_router& router,
                               const nodes& n,
                               std::size_t picks = many,
                               time_point now = start) {
    std::vector<std::size_t> got(n.size());
    for (std::size_t i = 0; i < picks; ++i) {
        const auto key = hash_of(std::to_string(i));
        ++got.at(router.pick(n, key, now).value());
    }
    return got;
}

std::optional<std::size_t> first_choice(read_target target, const nodes& n) {
    read_router router{settings(target)};
    return router.pick(n, 0, start);
}

// The nodes that share, in order; for when that is more than one.
std::vector<std::size_t> sharers(read_target target, const nodes& n) {
    read_router router{settings(target)};
    std::vector<std::size_t> out;
    const auto got = serve(router, n, 1'000);
    for (std::size_t i = 0; i < got.size(); ++i) {
        if (got[i] > 0) {
            out.push_back(i);
        }
    }
    return out;
}

using list = std::vector<std::size_t>;

// ---- Who may serve

TEST(read_routing, holds_the_client_when_no_node_can_be_read_from) {
    for (const auto target :
         {read_target::standby, read_target::prefer_standby, read_target::any}) {
        EXPECT_EQ(first_choice(target, {}), std::nullopt);
        EXPECT_EQ(first_choice(target, {gone(standby("n1")), gone(standby("n2"))}), std::nullopt);
    }
}

TEST(read_routing, of_standby_uses_standbys_only) {
    EXPECT_EQ(sharers(read_target::standby, {primary("n1"), standby("n2"), standby("n3")}),
              (list{1, 2}));
    EXPECT_EQ(first_choice(read_target::standby, {primary("n1"), gone(standby("n2"))}),
              std::nullopt);
}

TEST(read_routing, of_prefer_standby_leaves_the_primary_alone_while_a_standby_serves) {
    EXPECT_EQ(
        sharers(read_target::prefer_standby, {primary("n1"), standby("n2"), gone(standby("n3"))}),
        (list{1}));
}

TEST(read_routing, of_prefer_standby_takes_the_primary_when_no_standby_is_within_limits) {
    EXPECT_EQ(sharers(read_target::prefer_standby,
                      {primary("n1"), behind(standby("n2"), 17 * mib), stale(standby("n3"))}),
              (list{0}));
}

TEST(read_routing, of_prefer_standby_takes_a_late_standby_when_there_is_no_primary) {
    EXPECT_EQ(sharers(read_target::prefer_standby,
                      {gone(primary("n1")), behind(standby("n2"), 17 * mib)}),
              (list{1}));
}

TEST(read_routing, of_any_treats_the_primary_as_one_node_more) {
    EXPECT_EQ(
        sharers(read_target::any, {primary("n1"), standby("n2"), behind(standby("n3"), 17 * mib)}),
        (list{0, 1}));
}

TEST(read_routing, leaves_out_a_standby_beyond_either_limit) {
    auto in_bytes = standby("n2");
    in_bytes.lag = 16 * mib + 1;
    auto in_time = standby("n2");
    in_time.replay_lag = 10'001ms;
    auto at_both = standby("n2");
    at_both.lag = 16 * mib;
    at_both.replay_lag = 10s;
    EXPECT_EQ(sharers(read_target::standby, {standby("n1"), in_bytes}), (list{0}));
    EXPECT_EQ(sharers(read_target::standby, {standby("n1"), in_time}), (list{0}));
    EXPECT_EQ(sharers(read_target::standby, {standby("n1"), at_both}), (list{0, 1}));
}

TEST(read_routing, takes_lag_that_is_not_known_for_infinite) {
    auto bytes = standby("n2");
    bytes.lag.reset();
    auto time = standby("n2");
    time.replay_lag.reset();
    EXPECT_EQ(sharers(read_target::standby, {standby("n1"), bytes}), (list{0}));
    EXPECT_EQ(sharers(read_target::standby, {standby("n1"), time}), (list{0}));
}

TEST(read_routing, asks_for_no_lag_without_limits) {
    auto s = settings(read_target::standby);
    s.max_lag_bytes = 0;
    s.max_lag = 0ms;
    read_router router{s};
    auto unknown = standby("n2");
    unknown.lag.reset();
    unknown.replay_lag.reset();
    const auto got = serve(router, {standby("n1"), unknown}, 1'000);
    EXPECT_EQ(got, (list{500, 500}));
}

TEST(read_routing, never_gives_up_the_last_standby) {
    EXPECT_EQ(first_choice(read_target::standby, {primary("n1"), stale(standby("n2"))}), 1);
    EXPECT_EQ(first_choice(read_target::standby, {primary("n1"), behind(standby("n2"), 99 * mib)}),
              1);
}

TEST(read_routing, prefers_the_least_bad_standby_beyond_the_limits) {
    const auto far = behind(standby("n1"), 200 * mib);
    const auto near = behind(standby("n2"), 100 * mib);
    auto unknown = far;
    unknown.lag.reset();
    EXPECT_EQ(sharers(read_target::standby, {far, near, unknown}), (list{1}));
    EXPECT_EQ(sharers(read_target::standby, {unknown, far}), (list{1}));
    EXPECT_EQ(sharers(read_target::standby, {stale(standby("n1")), far}), (list{1}));
    EXPECT_EQ(sharers(read_target::standby, {stale(far), stale(near)}), (list{1}));
}

TEST(read_routing, shares_among_standbys_that_are_equally_bad) {
    const auto unknown = stale(standby("n1"));
    EXPECT_EQ(sharers(read_target::standby, {unknown, unknown}), (list{0, 1}));
}

TEST(read_routing, gives_nothing_to_weight_0_while_another_node_is_left) {
    const auto unwanted = weighing(standby("n1"), 0);
    for (const auto balance : {balancing::round_robin, balancing::least_connections,
                               balancing::weighted_least_connections, balancing::hash}) {
        read_router router{settings(read_target::standby, balance)};
        auto busy = stale(standby("n2"));
        busy.load = 1'000;
        EXPECT_EQ(serve(router, {unwanted, busy}, 100), (list{0, 100}));
        EXPECT_EQ(serve(router, {unwanted, gone(busy)}, 100), (list{100, 0}));
    }
}

// Every combination of three nodes in every condition, against the rules read as a list of wishes.
TEST(read_routing, chooses_by_the_rules_in_every_combination) {
    const std::string names[] = {"n1", "n2", "n3"};
    const auto conditions = [&](std::size_t i) {
        const auto n = standby(names[i]);
        return nodes{gone(n), n, behind(n, 17 * mib), stale(n), primary(names[i])};
    };
    const auto wish_of = [](read_target target, const read_candidate& n) -> std::optional<int> {
        const bool is_fresh = n.lag == 0 && n.replay_lag == 0ms && n.reads == read_quality::good;
        const auto late = n.reads == read_quality::good ? 2 : 3;
        std::optional<int> wish;
        if (n.is_primary) {
            if (target != read_target::standby) {
                wish = target == read_target::any ? 0 : 1;
            }
        } else if (n.reads != read_quality::none) {
            wish = is_fresh ? 0 : late;
        }
        return wish && n.weight == 0 ? *wish + 10 : wish;
    };
    unsigned seen = 0;
    for (unsigned code = 0; code < 10 * 10 * 10; ++code) {
        const unsigned digits[] = {code % 10, code / 10 % 10, code / 100};
        nodes n;
        for (std::size_t i = 0; i < 3; ++i) {
            n.push_back(weighing(conditions(i)[digits[i] / 2], digits[i] % 2 == 0 ? 0 : 100));
        }
        if (std::ranges::count(n, true, &read_candidate::is_primary) > 1) {
            continue;
        }
        for (const auto target :
             {read_target::standby, read_target::prefer_standby, read_target::any}) {
            std::optional<int> best;
            for (const auto& node : n) {
                const auto wish = wish_of(target, node);
                best = !best || (wish && *wish < *best) ? wish : best;
            }
            for (const auto balance : {balancing::round_robin, balancing::least_connections,
                                       balancing::weighted_least_connections, balancing::hash}) {
                read_router router{settings(target, balance), code};
                const auto got = router.pick(n, hash_of(std::to_string(code)), start);
                ASSERT_EQ(got.has_value(), best.has_value()) << code;
                if (got) {
                    ASSERT_EQ(wish_of(target, n[*got]), best) << code;
                    ++seen;
                }
            }
        }
    }
    EXPECT_GT(seen, 5'000U);
}

// ---- How those share

TEST(round_robin, gives_equal_nodes_equally_much) {
    read_router router{settings(read_target::standby)};
    const auto got = serve(router, {standby("n1"), standby("n2"), standby("n3")}, 99'999);
    EXPECT_EQ(got, (list{33'333, 33'333, 33'333}));
}

TEST(round_robin, gives_shares_in_proportion_to_weights) {
    read_router router{settings(read_target::standby)};
    const auto got =
        serve(router,
              {weighing(standby("n1"), 1), weighing(standby("n2"), 2), weighing(standby("n3"), 5)},
              80'000);
    EXPECT_EQ(got, (list{10'000, 20'000, 50'000}));
}

TEST(round_robin, spreads_the_picks_of_a_heavy_node) {
    read_router router{settings(read_target::standby)};
    const nodes n{weighing(standby("n1"), 3), weighing(standby("n2"), 1),
                  weighing(standby("n3"), 1), weighing(standby("n4"), 1)};
    std::string order;
    for (int i = 0; i < 12; ++i) {
        order += static_cast<char>('1' + router.pick(n, 0, start).value());
    }
    EXPECT_EQ(order.find("111"), std::string::npos) << order;
    EXPECT_EQ(std::ranges::count(order, '1'), 6) << order;
}

TEST(round_robin, begins_with_the_node_it_is_told_to) {
    const nodes n{standby("n1"), standby("n2"), standby("n3")};
    for (std::size_t first = 0; first < 6; ++first) {
        read_router router{settings(read_target::standby), first};
        EXPECT_EQ(router.pick(n, 0, start), first % 3);
    }
}

TEST(round_robin, owes_nothing_to_a_node_that_was_away) {
    read_router router{settings(read_target::standby)};
    const nodes all{standby("n1"), standby("n2"), standby("n3")};
    auto two = all;
    two[2] = gone(two[2]);
    for (int i = 0; i < 1'000; ++i) {
        serve(router, all, 1);
        const auto without = serve(router, two, 50);
        EXPECT_NEAR(static_cast<double>(without[0]), 25, 2);
    }
    const auto got = serve(router, all, 300);
    for (const auto share : got) {
        EXPECT_NEAR(static_cast<double>(share), 100, 3);
    }
}

// Clients that hold a node for a random time each, as many at a time as `clients`.
struct crowd {
    read_router router;
    nodes n;
    std::mt19937 random{7};
    std::vector<std::size_t> held{};  // by node

    std::vector<std::size_t> serve(std::size_t picks, std::size_t clients, time_point now = start) {
        std::vector<std::size_t> got(n.size());
        for (std::size_t i = 0; i < picks; ++i) {
            while (held.size() >= clients) {
                const auto leaver = random() % held.size();
                --n[held[leaver]].load;
                held[leaver] = held.back();
                held.pop_back();
            }
            const auto to = router.pick(n, 0, now).value();
            ++n[to].load;
            held.push_back(to);
            ++got[to];
        }
        return got;
    }
};

TEST(least_connections, takes_the_node_with_the_fewest) {
    read_router router{settings(read_target::standby, balancing::least_connections)};
    nodes n{standby("n1"), weighing(standby("n2"), 1), standby("n3")};
    n[0].load = 5;
    n[1].load = 4;
    n[2].load = 6;
    EXPECT_EQ(serve(router, n, 10), (list{0, 10, 0}));
}

TEST(least_connections, gives_equal_nodes_equally_much) {
    for (const std::size_t clients : {1U, 2U, 7U, 100U}) {
        crowd c{read_router{settings(read_target::standby, balancing::least_connections)},
                {standby("n1"), standby("n2"), standby("n3")}};
        for (const auto share : c.serve(many, clients)) {
            EXPECT_NEAR(static_cast<double>(share), many / 3.0, many * 0.01) << clients;
        }
    }
}

TEST(least_connections, keeps_nodes_within_one_connection_of_each_other) {
    read_router router{settings(read_target::standby, balancing::least_connections)};
    nodes n{standby("n1"), standby("n2"), standby("n3")};
    for (unsigned i = 1; i <= 300; ++i) {
        ++n[router.pick(n, 0, start).value()].load;
        for (const auto& node : n) {
            EXPECT_LE(node.load, (i + 2) / 3);
        }
    }
}

TEST(weighted_least_connections, fills_nodes_in_proportion_to_their_weights) {
    read_router router{settings(read_target::standby, balancing::weighted_least_connections)};
    nodes n{weighing(standby("n1"), 100), weighing(standby("n2"), 200),
            weighing(standby("n3"), 300)};
    for (unsigned i = 0; i < 600; ++i) {
        ++n[router.pick(n, 0, start).value()].load;
    }
    EXPECT_NEAR(n[0].load, 100, 1);
    EXPECT_NEAR(n[1].load, 200, 1);
    EXPECT_NEAR(n[2].load, 300, 1);
}

TEST(weighted_least_connections, shares_by_weight_when_all_are_idle) {
    read_router router{settings(read_target::standby, balancing::weighted_least_connections)};
    const auto got = serve(router, {weighing(standby("n1"), 1), weighing(standby("n2"), 3)}, 4'000);
    EXPECT_EQ(got, (list{1'000, 3'000}));
}

TEST(weighted_least_connections, shares_by_weight_among_busy_clients) {
    crowd c{read_router{settings(read_target::standby, balancing::weighted_least_connections)},
            {weighing(standby("n1"), 1), weighing(standby("n2"), 3)}};
    const auto got = c.serve(many, 80);
    EXPECT_NEAR(static_cast<double>(got[0]), many / 4.0, many * 0.02);
}

// ---- Slow start

TEST(slow_start, lets_the_share_of_a_node_grow) {
    read_router router{settings(read_target::standby)};
    nodes n{standby("n1"), standby("n2")};
    n[1].back = start;
    const auto share_after = [&](duration age) {
        return static_cast<double>(serve(router, n, 10'000, start + age)[1]) / 10'000;
    };
    EXPECT_NEAR(share_after(0s), 1.0 / 33, 0.002);
    EXPECT_NEAR(share_after(15s), 0.5 / 1.5, 0.002);
    EXPECT_NEAR(share_after(27s), 0.9 / 1.9, 0.002);
    EXPECT_NEAR(share_after(30s), 0.5, 0.002);
    EXPECT_NEAR(share_after(1h), 0.5, 0.002);
}

TEST(slow_start, is_over_at_once_when_it_is_0) {
    auto s = settings(read_target::standby);
    s.slow_start = 0s;
    read_router router{s};
    nodes n{standby("n1"), standby("n2")};
    n[1].back = start;
    EXPECT_EQ(serve(router, n, 1'000), (list{500, 500}));
}

TEST(slow_start, counts_a_node_as_more_loaded) {
    crowd c{read_router{settings(read_target::standby, balancing::least_connections)},
            {standby("n1"), standby("n2"), standby("n3")}};
    c.n[2] = gone(c.n[2]);
    c.serve(1'000, 64);
    c.n[2] = standby("n3");
    c.n[2].back = start + 1min;
    unsigned before = 0;
    for (const auto age : {0s, 10s, 20s}) {
        c.serve(2'000, 64, start + 1min + age);
        EXPECT_LT(before, c.n[2].load) << "it grows";
        EXPECT_LT(c.n[2].load, c.n[0].load) << "it is spared";
        before = c.n[2].load;
    }
    c.serve(2'000, 64, start + 2min);
    EXPECT_NEAR(c.n[2].load, 64.0 / 3, 1.5);
}

TEST(slow_start, shares_equally_when_all_nodes_are_back_together) {
    read_router router{settings(read_target::standby)};
    nodes n{standby("n1"), standby("n2")};
    n[0].back = n[1].back = start;
    EXPECT_EQ(serve(router, n, 1'000, start + 1s), (list{500, 500}));
}

TEST(slow_start, does_not_hold_back_the_only_node) {
    read_router router{settings(read_target::standby, balancing::least_connections)};
    nodes n{standby("n1")};
    n[0].back = start;
    n[0].load = 50;
    EXPECT_EQ(router.pick(n, 0, start), 0);
}

// ---- Hash

TEST(hash_balancing, sends_a_key_to_one_node_whatever_its_load) {
    read_router router{settings(read_target::standby, balancing::hash)};
    nodes n{standby("n1"), standby("n2"), standby("n3")};
    for (std::uint64_t i = 0; i < 1'000; ++i) {
        const auto key = hash_of("user" + std::to_string(i));
        const auto at = router.pick(n, key, start).value();
        n[at].load = 1'000;
        n[at].back = start;
        EXPECT_EQ(router.pick(n, key, start), at);
    }
}

TEST(hash_balancing, gives_shares_in_proportion_to_weights) {
    read_router router{settings(read_target::standby, balancing::hash)};
    const auto got = serve(router, {weighing(standby("n1"), 100), weighing(standby("n2"), 200),
                                    weighing(standby("n3"), 500)});
    EXPECT_NEAR(static_cast<double>(got[0]), many * 1.0 / 8, many * 0.01);
    EXPECT_NEAR(static_cast<double>(got[1]), many * 2.0 / 8, many * 0.01);
    EXPECT_NEAR(static_cast<double>(got[2]), many * 5.0 / 8, many * 0.01);
}

TEST(hash_balancing, agrees_with_an_instance_that_lists_the_nodes_in_another_order) {
    read_router router{settings(read_target::standby, balancing::hash), 0};
    read_router other{settings(read_target::standby, balancing::hash), 5};
    const nodes n{standby("n1"), standby("n2"), standby("n3")};
    const nodes turned{n[2], n[0], n[1]};
    for (std::uint64_t i = 0; i < 1'000; ++i) {
        const auto key = hash_of(std::to_string(i));
        EXPECT_EQ(n[router.pick(n, key, start).value()].id,
                  turned[other.pick(turned, key, start).value()].id);
    }
}

// From which node to which each of many keys moves when `before` becomes `after`.
std::map<std::pair<std::uint64_t, std::uint64_t>, std::size_t> moves(const nodes& before,
                                                                     const nodes& after) {
    read_router router{settings(read_target::standby, balancing::hash)};
    std::map<std::pair<std::uint64_t, std::uint64_t>, std::size_t> out;
    for (std::size_t i = 0; i < many; ++i) {
        const auto key = hash_of(std::to_string(i));
        const auto from = before[router.pick(before, key, start).value()].id;
        const auto to = after[router.pick(after, key, start).value()].id;
        if (from != to) {
            ++out[{from, to}];
        }
    }
    return out;
}

TEST(hash_balancing, moves_only_the_keys_of_a_node_that_goes) {
    const nodes before{standby("n1"), standby("n2"), standby("n3"), standby("n4")};
    auto after = before;
    after[1] = gone(after[1]);
    std::size_t moved = 0;
    for (const auto& [way, keys] : moves(before, after)) {
        EXPECT_EQ(way.first, hash_of("n2"));
        EXPECT_NEAR(static_cast<double>(keys), many / 12.0, many * 0.01) << "spread over the rest";
        moved += keys;
    }
    EXPECT_NEAR(static_cast<double>(moved), many / 4.0, many * 0.01);
}

TEST(hash_balancing, moves_only_its_share_to_a_node_that_comes) {
    const nodes before{standby("n1"), standby("n2"), standby("n3")};
    nodes after{standby("n0")};
    after.insert(after.end(), before.begin(), before.end());
    std::size_t moved = 0;
    for (const auto& [way, keys] : moves(before, after)) {
        EXPECT_EQ(way.second, hash_of("n0"));
        moved += keys;
    }
    EXPECT_NEAR(static_cast<double>(moved), many / 4.0, many * 0.01);
}

TEST(hash_balancing, moves_only_what_a_changed_weight_asks_for) {
    const nodes before{standby("n1"), standby("n2")};
    const nodes after{standby("n1"), weighing(standby("n2"), 300)};
    std::size_t moved = 0;
    for (const auto& [way, keys] : moves(before, after)) {
        EXPECT_EQ(way.second, hash_of("n2"));
        moved += keys;
    }
    EXPECT_NEAR(static_cast<double>(moved), many / 4.0, many * 0.01);
}

// ---- Both

TEST(read_routing, gives_the_same_answers_to_the_same_questions) {
    for (const auto balance : {balancing::round_robin, balancing::least_connections,
                               balancing::weighted_least_connections, balancing::hash}) {
        read_router one{settings(read_target::any, balance), 1};
        read_router two{settings(read_target::any, balance), 1};
        std::mt19937 random{11};
        for (int i = 0; i < 10'000; ++i) {
            nodes n{primary("n1"), standby("n2"), standby("n3"), standby("n4")};
            for (auto& node : n) {
                node.load = static_cast<unsigned>(random() % 20);
                node.weight = static_cast<unsigned>(random() % 4);
                node.lag = random() % (32 * mib);
                node.back = start - std::chrono::seconds{random() % 60};
            }
            const auto key = std::uint64_t{random()};
            ASSERT_EQ(one.pick(n, key, start), two.pick(n, key, start));
        }
    }
}

TEST(read_routing, follows_its_settings_after_a_reload) {
    read_router router{settings(read_target::standby)};
    const nodes n{primary("n1"), standby("n2")};
    EXPECT_EQ(serve(router, n, 10), (list{0, 10}));
    router.configure(settings(read_target::any));
    EXPECT_EQ(serve(router, n, 10), (list{5, 5}));
}

TEST(hash_of_a_key, is_the_same_in_every_version) {
    EXPECT_EQ(hash_of(""), 0xf52a15e9a9b5e89bU);
    EXPECT_EQ(hash_of("shop"), 0x6c076a581555c566U);
    EXPECT_EQ(hash_of(std::string_view{"\0", 1}), 0x25fc6dd36ce04b20U);
}

TEST(hash_of_a_key, flips_half_of_the_bits_for_a_small_difference) {
    int flipped = 0;
    for (int i = 0; i < 1'000; ++i) {
        const auto name = "user" + std::to_string(i);
        flipped += __builtin_popcountll(hash_of(name) ^ hash_of(name + "0"));
    }
    EXPECT_NEAR(flipped / 1'000.0, 32, 1);
}

}  // namespace
}  // namespace pgweir::cluster
