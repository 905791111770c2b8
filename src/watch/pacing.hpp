// When a node is probed next.
#pragma once

#include "pgweir/cluster/view.hpp"

#include <algorithm>

namespace pgweir::watch {

struct probe_intervals {
    cluster::duration check{};  // pace::normal
    cluster::duration quick{};  // pace::quick

    friend bool operator==(const probe_intervals&, const probe_intervals&) = default;
};

// `begun`: the last probe of the node; no_time: there was none. In the past: now. What is asked for
// at once, again and again, still leaves a node some air between two probes.
[[nodiscard]] inline cluster::time_point next_probe(cluster::pace pace,
                                                    const probe_intervals& intervals,
                                                    cluster::time_point begun) noexcept {
    constexpr cluster::duration air = std::chrono::milliseconds{10};
    if (begun == cluster::no_time) {
        return begun;
    }
    switch (pace) {
        case cluster::pace::normal: return begun + intervals.check;
        case cluster::pace::quick: return begun + intervals.quick;
        case cluster::pace::at_once: return begun + std::min(air, intervals.quick);
    }
    return begun;
}

}  // namespace pgweir::watch
