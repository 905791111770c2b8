// The monotonic clock that every deadline of pgweir is measured on.
#pragma once

#include <chrono>

namespace pgweir::base {

using steady = std::chrono::steady_clock;
using time_point = steady::time_point;
using duration = steady::duration;

// What tells the time: steady::now, or a clock that a test moves.
using clock = time_point (*)() noexcept;

// "Not set": a time point that no clock returns; compare with == only.
inline constexpr time_point no_time = time_point{};
// A deadline that never comes.
inline constexpr time_point never = time_point::max();

}  // namespace pgweir::base
