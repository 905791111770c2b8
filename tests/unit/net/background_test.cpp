// Work that runs elsewhere, and how much of it may wait.
#include "pgweir/net/background.hpp"

#include "net/blocker.hpp"
#include "net/sockets.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <sched.h>
#include <stdexcept>
#include <sys/resource.h>
#include <thread>

namespace pgweir::net {
namespace {

TEST(background, runs_on_another_thread) {
    background b{1, 8};
    std::promise<std::thread::id> where;
    ASSERT_TRUE(b.submit([&where] { where.set_value(std::this_thread::get_id()); }));
    EXPECT_NE(where.get_future().get(), std::this_thread::get_id());
}

int niceness_in(background& b) {
    std::promise<int> niceness;
    EXPECT_TRUE(b.submit([&niceness] { niceness.set_value(::getpriority(PRIO_PROCESS, 0)); }));
    return niceness.get_future().get();
}

TEST(background, yields_to_others_where_its_priority_is_low) {
    background b{1, 8, background::priority::low};
    EXPECT_GT(niceness_in(b), ::getpriority(PRIO_PROCESS, 0));
}

TEST(background, interrupts_nobody_where_its_priority_is_low) {
    background b{1, 8, background::priority::low};
    std::promise<int> policy;
    ASSERT_TRUE(b.submit([&policy] { policy.set_value(::sched_getscheduler(0)); }));
    EXPECT_EQ(policy.get_future().get(), SCHED_BATCH);
}

TEST(background, is_as_important_as_others_where_its_priority_is_normal) {
    background b{1, 8};
    EXPECT_EQ(niceness_in(b), ::getpriority(PRIO_PROCESS, 0));
}

TEST(background, is_idle_until_it_has_something_to_do_and_afterwards) {
    blocker busy;
    background b{1, 8};
    EXPECT_TRUE(b.is_idle());
    busy.occupy(b);
    EXPECT_FALSE(b.is_idle());
    busy.go_on.set_value();
    b.stop();
    EXPECT_TRUE(b.is_idle());
}

TEST(background, is_idle_once_what_waited_was_dropped) {
    background b{0, 8};
    ASSERT_TRUE(b.submit([] {}));
    EXPECT_FALSE(b.is_idle());
    b.stop();
    EXPECT_TRUE(b.is_idle());
}

TEST(background, goes_on_when_a_task_throws) {
    background b{1, 8};
    std::promise<void> next;
    ASSERT_TRUE(b.submit([] { throw std::runtime_error{"no memory"}; }));
    ASSERT_TRUE(b.submit([&next] { next.set_value(); }));
    next.get_future().wait();
}

TEST(background, refuses_what_does_not_fit_into_its_queue) {
    blocker block;
    background b{1, 2};
    block.occupy(b);
    (void)b.submit([] {});
    (void)b.submit([] {});
    EXPECT_FALSE(b.submit([] {}));
    block.go_on.set_value();
}

TEST(background, takes_work_again_once_its_queue_is_shorter) {
    blocker block;
    background b{1, 1};
    block.occupy(b);
    std::promise<void> served;
    ASSERT_TRUE(b.submit([&served] { served.set_value(); }));
    block.go_on.set_value();
    served.get_future().wait();
    EXPECT_TRUE(b.submit([] {}));
}

TEST(background, lets_go_of_what_has_not_begun_when_it_ends) {
    const auto owned = std::make_shared<int>();
    blocker block;
    {
        background b{1, 8};
        block.occupy(b);
        ASSERT_TRUE(b.submit([owned] {}));
        block.go_on.set_value();
    }
    EXPECT_EQ(owned.use_count(), 1);
}

TEST(background, waits_for_what_has_begun_when_it_ends) {
    bool finished = false;
    std::promise<void> begun;
    {
        background b{1, 8};
        ASSERT_TRUE(b.submit([&] {
            begun.set_value();
            std::this_thread::yield();
            finished = true;
        }));
        begun.get_future().wait();
    }
    EXPECT_TRUE(finished);
}

TEST(background, posts_results_back_to_a_loop) {
    constexpr int tasks = 200;
    loop_thread t;
    background b{3, tasks};
    int sum = 0;  // the loop's thread only
    std::promise<void> all;
    for (int i = 1; i <= tasks; ++i) {
        ASSERT_TRUE(b.submit([&, i] {
            t.loop.post([&, i] {
                sum += i;
                if (sum == tasks * (tasks + 1) / 2) {
                    all.set_value();
                }
            });
        }));
    }
    all.get_future().wait();
    EXPECT_EQ(t.call([&sum] { return sum; }), tasks * (tasks + 1) / 2);
}

}  // namespace
}  // namespace pgweir::net
