// The monotonic clock that every deadline of pgweir is measured on.
#pragma once

#include <chrono>

namespace pgweir::base {

// As std::chrono::steady_clock, but it goes on while the machine is suspended: what was promised
// for two seconds before a night's sleep must not hold in the morning.
struct steady {
    using duration = std::chrono::nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<steady>;
    static constexpr bool is_steady = true;

    [[nodiscard]] static time_point now() noexcept;
};
using time_point = steady::time_point;
using duration = steady::duration;

// What tells the time: steady::now, or a clock that a test moves.
using clock = time_point (*)() noexcept;

// "Not set": a time point that no clock returns; compare with == only.
inline constexpr time_point no_time = time_point{};
// A deadline that never comes.
inline constexpr time_point never = time_point::max();

}  // namespace pgweir::base
