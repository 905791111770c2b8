// A clock that stands still until a test moves it.
#pragma once

#include "pgweir/base/clock.hpp"

#include <atomic>

namespace pgweir::net {

// One for the process, since a base::clock has no state. Any thread.
class manual_clock {
public:
    static base::time_point now() noexcept { return base::time_point{base::duration{now_.load()}}; }
    static void advance(base::duration by) noexcept { now_ += by.count(); }

private:
    // Not at zero, which means "never" to some.
    inline static std::atomic<base::duration::rep> now_ =
        base::duration{std::chrono::hours{1}}.count();
};

}  // namespace pgweir::net
