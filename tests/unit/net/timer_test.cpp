// When timers fire.
#include "pgweir/net/timer.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

namespace pgweir::net {
namespace {

using namespace std::chrono_literals;

constexpr auto round = 512 * timer_wheel::tick;
const base::time_point start = base::time_point{} + 1000h;

struct alarm final : timer {
    int rings = 0;
    std::function<void()> then = [] {};

    void on_timer() override {
        ++rings;
        then();
    }
};

// Advances `w` in steps of a millisecond, up to `end`; `each` sees the time after every step.
void walk(
    timer_wheel& w,
    base::time_point from,
    base::time_point end,
    const std::function<void(base::time_point)>& each = [](auto) {}) {
    for (auto now = from; now <= end; now += 1ms) {
        w.advance(now);
        each(now);
    }
}

// When a timer that is due after `delay` fires.
base::duration fires_after(base::duration delay) {
    timer_wheel w{start};
    alarm a;
    base::time_point at = base::never;
    w.set(a, start + delay);
    walk(w, start, start + delay + 1s, [&](base::time_point now) {
        if (a.rings != 0 && at == base::never) {
            at = now;
        }
    });
    return at - start;
}

class timer_delay : public ::testing::TestWithParam<int> {
protected:
    base::duration delay_ = std::chrono::microseconds{GetParam()};
};

TEST_P(timer_delay, is_never_cut_short) { EXPECT_GE(fires_after(delay_), delay_); }

TEST_P(timer_delay, is_at_most_two_ticks_longer) {
    EXPECT_LE(fires_after(delay_), delay_ + 2 * timer_wheel::tick);
}

INSTANTIATE_TEST_SUITE_P(any,
                         timer_delay,
                         ::testing::Values(0,
                                           1,
                                           999,
                                           19'999,
                                           20'000,
                                           20'001,
                                           21'000,
                                           40'000,
                                           1'000'000,
                                           10'239'999,
                                           10'240'000,
                                           10'240'001,
                                           10'250'000,
                                           25'000'123));

TEST(timer_wheel, has_nothing_to_wait_for_at_first) {
    EXPECT_EQ(timer_wheel{start}.next(), base::never);
}

TEST(timer_wheel, fires_a_timer_once) {
    timer_wheel w{start};
    alarm a;
    w.set(a, start + 30ms);
    walk(w, start, start + 500ms);
    EXPECT_EQ(a.rings, 1);
}

TEST(timer_wheel, has_nothing_to_wait_for_once_all_have_fired) {
    timer_wheel w{start};
    alarm a;
    w.set(a, start + 30ms);
    w.advance(start + 1s);
    EXPECT_EQ(w.next(), base::never);
}

TEST(timer_wheel, calls_a_timer_that_threw_again_a_second_later) {
    timer_wheel w{start};
    alarm a;
    a.then = [] { throw std::runtime_error{"no memory"}; };
    w.set(a, start + 10ms);
    walk(w, start, start + 500ms);
    EXPECT_EQ(a.rings, 1);
    a.then = [] {};
    walk(w, start + 500ms, start + 5s);
    EXPECT_EQ(a.rings, 2);
}

TEST(timer_wheel, fires_the_others_when_a_timer_throws) {
    timer_wheel w{start};
    alarm broken;
    alarm sound;
    broken.then = [] { throw std::runtime_error{"no memory"}; };
    w.set(broken, start + 10ms);
    w.set(sound, start + 10ms);
    walk(w, start, start + 500ms);
    EXPECT_EQ(sound.rings, 1);
}

TEST(timer_wheel, forgets_the_deadline_of_a_timer_that_fired) {
    timer_wheel w{start};
    alarm a;
    w.set(a, start + 30ms);
    w.advance(start + 1s);
    EXPECT_EQ(a.due(), base::never);
}

TEST(timer_wheel, fires_in_time_when_advanced_only_at_the_times_it_names) {
    timer_wheel w{start};
    alarm a;
    w.set(a, start + 3 * round + 30ms);
    base::time_point now = start;
    while (a.rings == 0) {
        now = w.next();
        w.advance(now);
    }
    EXPECT_LE(now, start + 3 * round + 30ms + 2 * timer_wheel::tick);
}

TEST(timer_wheel, names_few_times_for_a_deadline_far_away) {
    timer_wheel w{start};
    alarm a;
    w.set(a, start + 3 * round + 30ms);
    int looks = 0;
    for (; a.rings == 0; ++looks) {
        w.advance(w.next());
    }
    EXPECT_LE(looks, 6);
}

TEST(timer_wheel, does_not_fire_at_the_old_time_of_a_timer_moved_later) {
    timer_wheel w{start};
    alarm a;
    w.set(a, start + 30ms);
    w.set(a, start + 1s);
    walk(w, start, start + 999ms);
    EXPECT_EQ(a.rings, 0);
}

TEST(timer_wheel, fires_at_the_new_time_of_a_timer_moved_later) {
    timer_wheel w{start};
    alarm a;
    w.set(a, start + 30ms);
    w.set(a, start + 1s);
    walk(w, start, start + 1040ms);
    EXPECT_EQ(a.rings, 1);
}

TEST(timer_wheel, fires_at_the_new_time_of_a_timer_moved_earlier) {
    timer_wheel w{start};
    alarm a;
    w.set(a, start + 1h);
    w.set(a, start + 30ms);
    walk(w, start, start + 70ms);
    EXPECT_EQ(a.rings, 1);
}

TEST(timer_wheel, fires_a_timer_moved_later_and_then_earlier_in_time) {
    timer_wheel w{start};
    alarm a;
    w.set(a, start + 100ms);
    w.set(a, start + 1h);
    w.set(a, start + 200ms);
    walk(w, start, start + 240ms);
    EXPECT_EQ(a.rings, 1);
}

TEST(timer_wheel, does_not_fire_a_disarmed_timer) {
    timer_wheel w{start};
    alarm a;
    w.set(a, start + 30ms);
    w.set(a, base::never);
    w.advance(start + 1h);
    EXPECT_EQ(a.rings, 0);
}

TEST(timer_wheel, fires_a_timer_armed_again_after_it_was_disarmed) {
    timer_wheel w{start};
    alarm a;
    w.set(a, start + 30ms);
    w.set(a, base::never);
    w.set(a, start + 50ms);
    walk(w, start, start + 90ms);
    EXPECT_EQ(a.rings, 1);
}

TEST(timer_wheel, fires_what_is_overdue_at_the_next_tick) {
    timer_wheel w{start};
    alarm a;
    w.advance(start + 1s);
    w.set(a, start);
    w.advance(start + 1s + 2 * timer_wheel::tick);
    EXPECT_EQ(a.rings, 1);
}

TEST(timer_wheel, fires_a_timer_set_after_a_long_silence_in_time) {
    timer_wheel w{start};
    alarm a;
    const auto later = start + 10 * round + 7ms;  // nothing called for advance() until then
    w.set(a, later + 100ms);
    walk(w, later, later + 100ms + 2 * timer_wheel::tick);
    EXPECT_EQ(a.rings, 1);
}

TEST(timer_wheel, catches_up_with_all_that_came_due_during_a_stall) {
    timer_wheel w{start};
    std::vector<std::unique_ptr<alarm>> alarms;
    for (int i = 0; i < 3000; ++i) {
        alarms.push_back(std::make_unique<alarm>());
        w.set(*alarms.back(), start + i * 11ms);
    }
    w.advance(start + 1h);
    int rings = 0;
    for (const auto& a : alarms) {
        rings += a->rings;
    }
    EXPECT_EQ(rings, 3000);
}

TEST(timer_wheel, leaves_what_is_not_due_after_a_stall) {
    timer_wheel w{start};
    alarm a;
    w.set(a, start + 1h);
    w.advance(start + 1h - 1ms);
    EXPECT_EQ(a.rings, 0);
}

TEST(timer_wheel, fires_in_time_what_was_left_after_a_stall) {
    timer_wheel w{start};
    alarm a;
    w.set(a, start + 1h);
    w.advance(start + 1h - 1ms);
    walk(w, start + 1h, start + 1h + 2 * timer_wheel::tick);
    EXPECT_EQ(a.rings, 1);
}

TEST(timer_wheel, lets_a_timer_die_in_its_own_handler) {
    timer_wheel w{start};
    auto a = std::make_unique<alarm>();
    int rings = 0;
    a->then = [&] {
        ++rings;
        auto dies = std::move(a);
    };
    w.set(*a, start + 30ms);
    w.advance(start + 1s);
    EXPECT_EQ(rings, 1);
}

TEST(timer_wheel, does_not_fire_a_timer_that_another_destroys_in_the_same_tick) {
    timer_wheel w{start};
    auto first = std::make_unique<alarm>();
    auto second = std::make_unique<alarm>();
    int rings = 0;
    first->then = [&] {
        ++rings;
        second.reset();
    };
    second->then = [&] {
        ++rings;
        first.reset();
    };
    w.set(*first, start + 30ms);
    w.set(*second, start + 30ms);
    w.advance(start + 1s);
    EXPECT_EQ(rings, 1);
}

TEST(timer_wheel, does_not_fire_a_timer_that_another_disarms_in_the_same_tick) {
    timer_wheel w{start};
    alarm first;
    alarm second;
    first.then = [&] { w.set(second, base::never); };
    second.then = [&] { w.set(first, base::never); };
    w.set(first, start + 30ms);
    w.set(second, start + 30ms);
    w.advance(start + 1s);
    EXPECT_EQ(first.rings + second.rings, 1);
}

TEST(timer_wheel, lets_a_handler_move_a_timer_of_the_same_tick_later) {
    timer_wheel w{start};
    alarm first;
    alarm second;
    first.then = [&] { w.set(second, start + 2s); };
    w.set(first, start + 30ms);
    w.set(second, start + 30ms);
    walk(w, start, start + 3s);
    EXPECT_EQ(second.rings, 1);
}

TEST(timer_wheel, fires_a_timer_that_sets_itself_again_once_a_tick_at_most) {
    timer_wheel w{start};
    alarm a;
    a.then = [&] { w.set(a, start); };
    w.set(a, start);
    walk(w, start, start + 10 * timer_wheel::tick);
    EXPECT_LE(a.rings, 10);
}

TEST(timer_wheel, does_not_fire_a_timer_that_left) {
    timer_wheel w{start};
    alarm a;
    w.set(a, start + 30ms);
    a.unlink_now();
    w.advance(start + 1s);
    EXPECT_EQ(a.rings, 0);
}

TEST(timer_wheel, takes_a_timer_over_from_another_wheel) {
    timer_wheel from{start};
    timer_wheel to{start};
    alarm a;
    from.set(a, start + 30ms);
    a.unlink_now();
    to.set(a, start + 30ms);
    from.advance(start + 1s);
    to.advance(start + 1s);
    EXPECT_EQ(a.rings, 1);
}

// Many timers, set anew all the time, against what the contract says of each.
TEST(timer_wheel, keeps_its_word_for_timers_that_change_at_random) {
    timer_wheel w{start};
    std::minstd_rand random{7};
    struct subject {
        alarm timer;
        base::time_point due = base::never;
    };
    std::vector<std::unique_ptr<subject>> all;
    base::time_point now = start;
    int early = 0;
    int late = 0;
    for (int i = 0; i < 50; ++i) {
        all.push_back(std::make_unique<subject>());
        auto& s = *all.back();
        s.timer.then = [&] {
            early += now < s.due;
            s.due = base::never;
        };
    }
    for (int step = 0; step < 20'000; ++step, now += std::chrono::milliseconds{random() % 7}) {
        w.advance(now);
        for (const auto& s : all) {
            late += s->due != base::never && s->due + 2 * timer_wheel::tick < now;
        }
        auto& s = *all[random() % all.size()];
        s.due =
            random() % 8 == 0 ? base::never : now + std::chrono::milliseconds{random() % 15'000};
        w.set(s.timer, s.due);
    }
    EXPECT_EQ(early + late, 0);
}

}  // namespace
}  // namespace pgweir::net
