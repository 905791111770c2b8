// Two nodes that both say they are the primary, in every combination of position, WAL, timeline,
// metadata and order of appearance: the stale one never gets a grant.
#include "cluster/world.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <tuple>

namespace pgweir::cluster {
namespace {

// The stale one's timeline, as against that of the primary which the standby follows.
enum class age : std::uint8_t {
    older,  // it is the one before a failover
    equal,  // both were promoted
    newer,  // it was promoted by accident
};
enum class wal : std::uint8_t { behind, same, ahead };
enum class seen : std::uint8_t { real_first, stale_first, together, real_was_granted };

struct places {
    std::size_t real;
    std::size_t stale;
    std::size_t standby;
};
constexpr std::array<places, 6> all_places{
    {{n1, n2, n3}, {n1, n3, n2}, {n2, n1, n3}, {n2, n3, n1}, {n3, n1, n2}, {n3, n2, n1}}};

struct combination {
    places where;
    age how_old;
    wal written;
    bool repmgr;
    seen sight;
};

std::string name_of(const ::testing::TestParamInfo<std::tuple<age, seen>>& info) {
    constexpr std::array ages{"older", "equal", "newer"};
    constexpr std::array sights{"real_first", "stale_first", "together", "real_was_granted"};
    const auto [how_old, sight] = info.param;
    return std::string{ages[static_cast<std::size_t>(how_old)]} + "_" +
           sights[static_cast<std::size_t>(sight)];
}

void arrange(world& w, const combination& c) {
    auto& real = w.nodes[c.where.real];
    auto& stale = w.nodes[c.where.stale];
    for (auto& node : w.nodes) {
        node.tli = 5;
        node.position = 1'000'000;
    }
    real.in_recovery = false;
    real.upstream.reset();
    w.register_primary(c.where.real);
    w.follow(c.where.standby, c.where.real);
    w.nodes[c.where.standby].table = real.table;

    stale.in_recovery = false;
    stale.upstream.reset();
    stale.tli = c.how_old == age::older ? 4 : c.how_old == age::equal ? 5 : 6;
    stale.position += c.written == wal::ahead ? 500 : c.written == wal::behind ? -500 : 0;
    if (c.how_old == age::newer) {
        stale.table = real.table;  // a copy from before its promotion
    } else {
        w.register_primary(c.where.stale);
    }
    w.has_repmgr = c.repmgr;
}

void play(const combination& c) {
    world w{3};
    arrange(w, c);
    w.after_decision = [&] { ASSERT_NE(w.primary(), world::name_of(c.where.stale)); };
    if (c.sight == seen::real_first) {
        w.hide(c.where.stale);
    } else if (c.sight == seen::stale_first) {
        w.hide(c.where.real);
    } else if (c.sight == seen::real_was_granted) {
        w.crash(c.where.stale);
    }
    w.run(3s);
    w.show(c.where.real);
    w.show(c.where.stale);
    w.restart(c.where.stale);
    w.run(9s);

    // An older timeline loses to one that is followed. Of the others the real one is served where
    // it was granted before: a majority follows it, and the claim beside it has nobody.
    const bool was_granted = c.sight == seen::real_first || c.sight == seen::real_was_granted;
    if (c.how_old == age::older || was_granted) {
        EXPECT_EQ(w.primary(), world::name_of(c.where.real));
        EXPECT_EQ(w.view(c.where.stale).state, node_state::fenced);
    } else {
        EXPECT_EQ(w.primary(), "none: ambiguous");
    }
    EXPECT_TRUE(w.view().split_brain);
}

class two_primaries : public ::testing::TestWithParam<std::tuple<age, seen>> {};

TEST_P(two_primaries, never_mean_a_grant_to_the_stale_one) {
    const auto [how_old, sight] = GetParam();
    for (const auto& where : all_places) {
        for (const auto written : {wal::behind, wal::same, wal::ahead}) {
            for (const bool repmgr : {true, false}) {
                SCOPED_TRACE("real " + world::name_of(where.real) + ", stale " +
                             world::name_of(where.stale) + ", WAL " +
                             std::to_string(static_cast<int>(written)) + ", repmgr " +
                             std::to_string(static_cast<int>(repmgr)));
                play({where, how_old, written, repmgr, sight});
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(stale,
                         two_primaries,
                         ::testing::Combine(::testing::Values(age::older, age::equal, age::newer),
                                            ::testing::Values(seen::real_first,
                                                              seen::stale_first,
                                                              seen::together,
                                                              seen::real_was_granted)),
                         name_of);

}  // namespace
}  // namespace pgweir::cluster
