// The clock of deadlines.
#include "pgweir/base/clock.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

namespace pgweir::base {
namespace {

using namespace std::chrono_literals;

// How a child ended that has been asleep for an hour, as far as its clocks can tell.
enum verdict : int { counts_the_sleep, loses_the_sleep, cannot_sleep };

verdict after_an_hour_of_suspension() {
    if (::unshare(CLONE_NEWTIME) != 0) {
        return cannot_sleep;
    }
    // What a suspended machine looks like to its processes: CLOCK_BOOTTIME has gone on alone.
    std::ofstream{"/proc/self/timens_offsets"} << "boottime 3600 0\n" << std::flush;
    const auto before = steady::now();
    const auto sleeper = ::fork();  // the children enter the new time
    if (sleeper == 0) {
        ::_exit(steady::now() - before >= 3600s ? counts_the_sleep : loses_the_sleep);
    }
    int status = 0;
    ::waitpid(sleeper, &status, 0);
    return static_cast<verdict>(WEXITSTATUS(status));
}

TEST(clock, goes_on_while_the_machine_is_suspended) {
    const auto child = ::fork();
    if (child == 0) {
        ::_exit(after_an_hour_of_suspension());
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WEXITSTATUS(status) == cannot_sleep) {
        GTEST_SKIP() << "needs the right to make a time namespace (root)";
    }
    EXPECT_EQ(WEXITSTATUS(status), counts_the_sleep);
}

TEST(clock, never_returns_the_time_that_stands_for_none) { EXPECT_GT(steady::now(), no_time); }

}  // namespace
}  // namespace pgweir::base
