// What workers are told of a view, and when they must be told anew.
#pragma once

#include "pgweir/cluster/board.hpp"

#include <cstdint>
#include <span>
#include <string>

namespace pgweir::watch {

// How far behind a standby may be that is read from; 0: no limit.
struct lag_limits {
    std::uint64_t bytes = 0;
    cluster::duration time{};
};

// Whether reads may begin on node i, and until when. `alive`: its newest sign of life.
[[nodiscard]] cluster::lease_word read_word(const cluster::cluster_view& view,
                                            std::size_t i,
                                            cluster::time_point alive,
                                            cluster::duration lease) noexcept;

// "down (refused)", "fenced (old timeline)", "standby".
[[nodiscard]] std::string describe(const cluster::node_view& node, cluster::contact last);

// Whether workers use anything that differs. They do not use how long leases run, since that is in
// the words, and of lags only the magnitude and whether they are within the limits.
[[nodiscard]] bool differs_for_workers(const cluster::published_view& a,
                                       const cluster::published_view& b,
                                       const lag_limits& limits);

}  // namespace pgweir::watch
