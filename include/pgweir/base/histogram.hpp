// Counts durations by how long they were.
#pragma once

#include "pgweir/base/clock.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace pgweir::base {

// Upper bounds of the classes, for waits that people notice; the last class has none.
inline constexpr std::array<std::uint64_t, 12> histogram_bounds_ms{
    10, 50, 100, 250, 500, 1'000, 2'500, 5'000, 10'000, 30'000, 60'000, 120'000};

// What was counted until now.
struct duration_counts {
    std::array<std::uint64_t, histogram_bounds_ms.size() + 1> classes{};
    std::uint64_t sum_us = 0;

    friend bool operator==(const duration_counts&, const duration_counts&) = default;
};

// The index of the class that a duration counts in.
[[nodiscard]] constexpr std::size_t class_of(duration d) noexcept {
    const auto* bound = std::ranges::lower_bound(
        histogram_bounds_ms, d, {},
        [](std::uint64_t ms) -> duration { return std::chrono::milliseconds{ms}; });
    return static_cast<std::size_t>(bound - histogram_bounds_ms.begin());
}

// Any thread. A duration that is negative counts as 0.
class duration_histogram {
public:
    void add(duration d) noexcept {
        const auto time = std::max(d, duration::zero());
        classes_[class_of(time)].fetch_add(1, std::memory_order_relaxed);
        sum_us_.fetch_add(static_cast<std::uint64_t>(
                              std::chrono::duration_cast<std::chrono::microseconds>(time).count()),
                          std::memory_order_relaxed);
    }

    // One that is added meanwhile may be in its class and not yet in the sum.
    [[nodiscard]] duration_counts read() const noexcept {
        duration_counts out;
        for (std::size_t i = 0; i < classes_.size(); ++i) {
            out.classes[i] = classes_[i].load(std::memory_order_relaxed);
        }
        out.sum_us = sum_us_.load(std::memory_order_relaxed);
        return out;
    }

private:
    std::array<std::atomic<std::uint64_t>, histogram_bounds_ms.size() + 1> classes_{};
    std::atomic<std::uint64_t> sum_us_ = 0;
};

}  // namespace pgweir::base
