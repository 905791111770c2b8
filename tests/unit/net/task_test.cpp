// What becomes of work that is given away.
#include "pgweir/net/task.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <utility>

namespace pgweir::net {
namespace {

TEST(task, runs) {
    int runs = 0;
    task t{[&runs] { ++runs; }};
    t();
    EXPECT_EQ(runs, 1);
}

TEST(task, runs_at_most_once) {
    int runs = 0;
    task t{[&runs] { ++runs; }};
    t();
    t();
    EXPECT_EQ(runs, 1);
}

TEST(task, does_nothing_when_empty) { task{}(); }

TEST(task, carries_what_can_only_move) {
    int seen = 0;
    task t{[n = std::make_unique<int>(7), &seen] { seen = *n; }};
    task moved{std::move(t)};
    moved();
    EXPECT_EQ(seen, 7);
}

TEST(task, lets_go_of_what_it_owns_once_it_ran) {
    const auto owned = std::make_shared<int>(7);
    task t{[owned] {}};
    t();
    EXPECT_EQ(owned.use_count(), 1);
}

TEST(task, lets_go_of_what_it_owns_when_it_never_runs) {
    const auto owned = std::make_shared<int>(7);
    {
        const task t{[owned] {}};
    }
    EXPECT_EQ(owned.use_count(), 1);
}

}  // namespace
}  // namespace pgweir::net
