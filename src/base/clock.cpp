// Reading the clock.
#include "pgweir/base/clock.hpp"

#include <time.h>

namespace pgweir::base {

// In the vDSO since Linux 5.3, so as cheap as CLOCK_MONOTONIC.
steady::time_point steady::now() noexcept {
    timespec t{};
    ::clock_gettime(CLOCK_BOOTTIME, &t);
    return time_point{std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec}};
}

}  // namespace pgweir::base
