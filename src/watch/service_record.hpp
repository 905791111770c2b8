// How a cluster's writes have been served: since when not, who succeeded whom and for what cause,
// and how near to its end the lease has come.
#pragma once

#include "pgweir/base/histogram.hpp"
#include "pgweir/cluster/view.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace pgweir::watch {

// Follows the views of one cluster. Pure; one thread.
class service_record {
public:
    // `granted`: the node that had the grant before the restart; empty: none.
    explicit service_record(std::string granted = {}) : served_{std::move(granted)} {}

    // Each view, at the moment at which it is published. `granted`: the node that has the grant.
    void note(const cluster::cluster_view& view,
              const std::string& granted,
              cluster::time_point now);

    // No primary has been served since; no_time while one is.
    [[nodiscard]] cluster::time_point unserved_since() const noexcept { return unserved_since_; }

    // How often another node was served than before.
    [[nodiscard]] std::uint64_t failovers() const noexcept;
    // The same by the first cause for which the one before was not served any more.
    [[nodiscard]] std::uint64_t failovers(cluster::cause c) const noexcept {
        return failovers_[static_cast<std::size_t>(c)];
    }
    // From then to the service of the next one.
    [[nodiscard]] base::duration_counts failover_times() const noexcept { return times_.read(); }

    // The least that was left of a lease before it was renewed, since the last grant.
    [[nodiscard]] std::optional<cluster::duration> least_lease() const noexcept { return least_; }
    // How often a lease ran out before it was renewed.
    [[nodiscard]] std::uint64_t lapses() const noexcept { return lapses_; }

private:
    void note_lease(const cluster::cluster_view& view, cluster::time_point now);

    std::string served_;
    cluster::time_point unserved_since_ = cluster::no_time;
    cluster::cause lost_to_ = cluster::cause::none;
    std::array<std::uint64_t, cluster::cause_count> failovers_{};
    base::duration_histogram times_;
    bool has_lease_ = false;
    cluster::time_point lease_until_ = cluster::no_time;
    std::optional<cluster::duration> least_;
    std::uint64_t least_epoch_ = 0;  // of the grant that least_ is of
    std::uint64_t lapses_ = 0;
};

}  // namespace pgweir::watch
