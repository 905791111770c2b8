// Accounts of views.
#include "watch/service_record.hpp"

#include <algorithm>
#include <numeric>

namespace pgweir::watch {

using cluster::no_time;

void service_record::note(const cluster::cluster_view& view,
                          const std::string& granted,
                          cluster::time_point now) {
    note_lease(view, now);
    if (!view.primary) {
        if (unserved_since_ == no_time) {
            unserved_since_ = now;
            lost_to_ = view.why;
        }
        return;
    }
    if (!served_.empty() && served_ != granted) {
        const bool was_lost = unserved_since_ != no_time;
        const auto cause = was_lost ? lost_to_ : cluster::cause::none;
        ++failovers_[static_cast<std::size_t>(cause)];
        times_.add(was_lost ? now - unserved_since_ : cluster::duration::zero());
    }
    served_ = granted;
    unserved_since_ = no_time;
}

// What is left is looked at before it is renewed, and as often as in between: it only falls.
void service_record::note_lease(const cluster::cluster_view& view, cluster::time_point now) {
    if (std::exchange(has_lease_, false)) {
        const auto left = std::max(lease_until_ - now, cluster::duration::zero());
        lapses_ += left == cluster::duration::zero() ? 1 : 0;
        if (view.primary || left == cluster::duration::zero()) {
            least_ = std::min(least_.value_or(left), left);
        }
    }
    if (!view.primary) {
        return;
    }
    if (view.epoch != least_epoch_) {
        least_.reset();
        least_epoch_ = view.epoch;
    }
    has_lease_ = true;
    lease_until_ = view.lease_until;
}

std::uint64_t service_record::failovers() const noexcept {
    return std::accumulate(failovers_.begin(), failovers_.end(), std::uint64_t{0});
}

}  // namespace pgweir::watch
