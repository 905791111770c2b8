// Random histories of a cluster, legitimate and not: what must hold at every decision, and that
// there is a primary again when the trouble is over.
#include "cluster/world.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace pgweir::cluster {
namespace {

// What may happen in a history.
struct plan {
    bool rogues = false;      // pg_promote() by accident, beside repmgr
    bool partitions = false;  // between nodes
    bool operators = false;   // FENCE, UNFENCE, SWITCHOVER
    bool repmgr = true;       // its metadata can be read
};

class history {
public:
    history(unsigned seed, const plan& what) : plan_{what}, random_{seed} {
        w_.has_repmgr = what.repmgr;
        w_.after_decision = [this] { check(); };
    }

    void play() {
        w_.run(3s);
        for (int i = 0; i < 30 && !::testing::Test::HasFailure(); ++i) {
            event();
            pass(std::chrono::milliseconds{20 << roll(8)});
        }
        if (!::testing::Test::HasFailure()) {
            recover();
        }
    }

private:
    unsigned roll(unsigned n) { return static_cast<unsigned>(random_()) % n; }
    std::size_t any_node() { return roll(static_cast<unsigned>(w_.nodes.size())); }

    // Lets time pass for pgweir, and for repmgr, which does its part with some delay.
    void pass(duration time) {
        const auto end = w_.now + time;
        while (w_.now < end) {
            w_.step();
            elect();
            for (std::size_t i = 0; i < later_.size(); ++i) {
                if (later_[i].first <= w_.now) {
                    later_[i].second();
                    later_[i].second = [] {};
                }
            }
            std::erase_if(later_, [&](const auto& l) { return l.first <= w_.now; });
        }
    }
    void soon(unsigned at_most_ms, std::function<void()> action) {
        later_.emplace_back(w_.now + std::chrono::milliseconds{roll(at_most_ms)},
                            std::move(action));
    }

    [[nodiscard]] bool is_alive(std::size_t i) const {
        return w_.nodes[i].up && !w_.nodes[i].frozen;
    }
    // A standby that repmgrd runs on, and that follows the primary repmgr believes in.
    [[nodiscard]] bool is_sibling(std::size_t i) const {
        return is_alive(i) && w_.nodes[i].in_recovery && w_.nodes[i].tli == w_.nodes[leader_].tli;
    }

    // repmgrd: when two standbys that see each other cannot see their primary, one is promoted.
    void elect() {
        std::vector<std::size_t> electors;
        for (std::size_t i = 0; i < w_.nodes.size(); ++i) {
            const bool sees_leader =
                is_alive(leader_) && w_.is_linked(i, leader_) && !w_.nodes[leader_].in_recovery;
            if (i != leader_ && is_sibling(i) && !sees_leader) {
                electors.push_back(i);
            }
        }
        if (electors.size() < 2 || !w_.is_linked(electors[0], electors[1])) {
            electing_since_ = w_.now;
            return;
        }
        if (w_.now - electing_since_ < 2s) {
            return;
        }
        const auto winner = electors[roll(2)];
        const auto other = electors[0] == winner ? electors[1] : electors[0];
        w_.promote(winner);
        leader_ = winner;
        const auto tli = w_.nodes[winner].tli;
        soon(1100, [this, winner] {
            if (!w_.nodes[winner].in_recovery) {
                w_.register_primary(winner);
            }
        });
        soon(3000, [this, winner, other, tli] {
            if (w_.nodes[other].in_recovery && is_alive(other) && w_.nodes[winner].tli == tli) {
                w_.follow(other, winner);
            }
        });
    }

    void event() {
        const auto i = any_node();
        auto& node = w_.nodes[i];
        switch (roll(16)) {
            case 0: return w_.crash(i);
            case 1:
            case 2: return node.up ? w_.freeze(i) : w_.restart(i);
            case 3:
            case 4: return w_.thaw(i);
            case 5: return w_.hide(i);
            case 6:
            case 7:
            case 8: return w_.show(i);
            case 9: return w_.evidence[i].note_smell(w_.now);
            case 10: node.answer = roll(2) == 0 ? contact::full : contact::answered; return;
            case 11: return w_.restart_pgweir();
            case 12:
                if (i != leader_ && is_alive(leader_) && !w_.nodes[leader_].in_recovery) {
                    w_.rejoin(i, leader_);
                }
                return;
            case 13:
                if (plan_.rogues && node.up && node.in_recovery && roll(2) == 0) {
                    w_.promote(i);
                }
                return;
            case 14:
                if (plan_.partitions) {
                    roll(2) == 0 ? w_.partition(i, (i + 1) % w_.nodes.size())
                                 : w_.heal_partitions();
                }
                return;
            case 15:
                if (plan_.operators) {
                    operate(i);
                }
                return;
        }
    }

    void operate(std::size_t i) {
        switch (roll(4)) {
            case 0: w_.judge->fence(w_.name_of(i)); return;
            case 1: w_.judge->switchover_begin(w_.now + 3s); return;
            default: w_.judge->unfence(w_.name_of(i)); before_.disowned.erase(w_.name_of(i));
        }
    }

    // ---- At every decision

    void check() {
        const auto& state = w_.judge->state();
        const auto& view = w_.view();
        SCOPED_TRACE("after " + std::to_string((w_.now - time_point{1h}) / 1ms) + " ms, " +
                     w_.primary());
        ASSERT_GE(state.epoch, before_.epoch);
        ASSERT_GE(state.max_granted_tli, before_.max_granted_tli);
        ASSERT_EQ(
            state.epoch - before_.epoch,
            state.granted != before_.granted || state.max_granted_tli != before_.max_granted_tli
                ? 1U
                : 0U);
        for (const auto& [name, why] : before_.disowned) {
            ASSERT_TRUE(name != state.granted || before_.granted == name) << name;
            ASSERT_TRUE(state.disowned.contains(name) || has_rejoined(name)) << name;
        }
        if (view.primary) {
            check_primary(*view.primary);
        }
        before_ = state;
    }

    void check_primary(std::size_t p) {
        const auto& state = w_.judge->state();
        const auto [granted, is_first] = granted_.emplace(state.epoch, p);
        ASSERT_EQ(granted->second, p) << "two nodes in epoch " << state.epoch;
        ASSERT_EQ(w_.view(p).tli, state.max_granted_tli);
        ASSERT_FALSE(state.disowned.contains(w_.name_of(p)));
        ASSERT_FALSE(state.fenced.contains(w_.name_of(p)));
        ASSERT_FALSE(w_.evidence[p].role()->in_recovery);
        ASSERT_GT(w_.view().lease_until, w_.now);
        ASSERT_LE(w_.view().lease_until, w_.evidence[p].alive() + 2500ms);
        for (std::size_t x = 0; x < w_.nodes.size(); ++x) {
            const auto& other = w_.view(x);
            ASSERT_FALSE(x != p && other.state == node_state::claimant &&
                         other.tli > w_.view(p).tli && other.claims_itself == true)
                << w_.name_of(x) << " is registered on a newer timeline";
        }
        check_against_truth(p);
    }

    // Where nobody promotes by accident, the truth is known. All it takes is to see it.
    void check_against_truth(std::size_t p) {
        bool sees_leader = w_.nodes[leader_].visible && is_alive(leader_) &&
                           w_.nodes[leader_].answer == contact::answered &&
                           w_.judge->state().fenced.empty() &&
                           !w_.judge->state().disowned.contains(w_.name_of(leader_));
        sees_leader = sees_leader && !w_.nodes[leader_].in_recovery;
        if (plan_.rogues || !sees_leader || leader_ != seen_leader_) {
            seen_leader_ = leader_;
            leader_seen_since_ = w_.now;
        }
        if (w_.now - leader_seen_since_ > 5s) {
            ASSERT_EQ(p, leader_);
        }
    }

    [[nodiscard]] bool has_rejoined(const std::string& name) const {
        for (std::size_t i = 0; i < w_.nodes.size(); ++i) {
            const auto* role = w_.evidence[i].role();
            const auto* receiver = w_.evidence[i].receiver();
            if (w_.name_of(i) == name) {
                return role->in_recovery && receiver->streaming &&
                       receiver->tli == before_.max_granted_tli;
            }
        }
        return false;
    }

    // ---- At the end

    // Everything is repaired around one node, as a person would: the granted primary if nothing has
    // come after it, or else one that is promoted by the book.
    void recover() {
        w_.heal_partitions();
        for (std::size_t i = 0; i < w_.nodes.size(); ++i) {
            w_.judge->unfence(w_.name_of(i));
        }
        before_.disowned.clear();
        pass(4s);  // what is under way comes to its end
        const auto& state = w_.judge->state();
        auto newest = state.max_granted_tli;
        for (std::size_t i = 0; i < w_.nodes.size(); ++i) {
            w_.show(i);
            w_.nodes[i].answer = contact::answered;
            w_.restart(i);
            newest = std::max(newest, w_.nodes[i].tli);
        }
        auto hub = leader_;
        for (std::size_t i = 0; i < w_.nodes.size(); ++i) {
            if (w_.name_of(i) == state.granted && w_.nodes[i].tli == newest) {
                hub = i;
            }
        }
        if (w_.nodes[hub].in_recovery || w_.nodes[hub].tli != newest) {
            w_.nodes[hub].tli = newest;
            w_.promote(hub);
        }
        leader_ = hub;
        for (std::size_t i = 0; i < w_.nodes.size(); ++i) {
            if (i != hub) {
                w_.rejoin(i, hub);
            }
        }
        w_.register_primary(hub);
        pass(20s);
        ASSERT_EQ(w_.primary(), w_.name_of(hub)) << to_text(w_.judge->state());
        for (std::size_t i = 0; i < w_.nodes.size(); ++i) {
            ASSERT_EQ(w_.view(i).reads, read_quality::good) << w_.name_of(i);
        }
        ASSERT_EQ(w_.view().probes, pace::normal);
    }

    plan plan_;
    std::mt19937 random_;
    world w_{3};
    std::size_t leader_ = n1;  // as repmgr has it
    time_point electing_since_ = no_time;
    std::vector<std::pair<time_point, std::function<void()>>> later_;
    cluster_state before_;
    std::map<std::uint64_t, std::size_t> granted_;
    std::size_t seen_leader_ = n1;
    time_point leader_seen_since_ = no_time;
};

void play(unsigned histories, const plan& what) {
    for (unsigned seed = 1; seed <= histories && !::testing::Test::HasFailure(); ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        history{seed, what}.play();
    }
}

TEST(random_history, of_crashes_and_elections_keeps_the_rules) { play(20, {}); }

TEST(random_history, without_metadata_keeps_the_rules) { play(20, {.repmgr = false}); }

TEST(random_history, with_partitions_keeps_the_rules) { play(20, {.partitions = true}); }

TEST(random_history, with_accidental_promotions_keeps_the_rules) {
    play(20, {.rogues = true, .partitions = true});
}

TEST(random_history, with_everything_at_once_keeps_the_rules) {
    play(20, {.rogues = true, .partitions = true, .operators = true});
}

}  // namespace
}  // namespace pgweir::cluster
