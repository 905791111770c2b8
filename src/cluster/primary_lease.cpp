// Doubting the lease of the primary.
#include "pgweir/cluster/primary_lease.hpp"

#include <algorithm>
#include <utility>

namespace pgweir::cluster {

bool primary_lease::doubt(grant_stamp stamp, time_point at) noexcept {
    const std::lock_guard lock{mutex_};
    if (stamp == grant_stamp::none || stamp != granted_) {
        return false;
    }
    if (since_ != no_time) {
        newest_ = at - since_ <= renewable ? std::max(newest_, at) : newest_;
        return false;
    }
    if (calm_until_ != no_time && at < calm_until_) {
        return false;
    }
    since_ = newest_ = at;
    word_.store({});
    return true;
}

bool primary_lease::publish(const cluster_view& view, time_point now, duration longest) noexcept {
    const std::lock_guard lock{mutex_};
    bool is_over = false;
    const auto stamp = view.primary ? stamp_of(view.epoch, *view.primary) : grant_stamp::none;
    if (stamp != grant_stamp::none && stamp != granted_) {
        granted_ = stamp;
        is_over = stop_doubting(no_time);
    }
    if (since_ != no_time && now - since_ >= longest) {
        is_over = stop_doubting(now + rest);
    }
    if (since_ == no_time) {
        word_.publish(view);
    }
    return is_over;
}

void primary_lease::end() noexcept {
    const std::lock_guard lock{mutex_};
    word_.store({});
}

bool primary_lease::dispel(time_point asked, time_point now) noexcept {
    const std::lock_guard lock{mutex_};
    if (since_ == no_time || asked <= newest_) {
        return false;
    }
    return stop_doubting(now + rest);
}

bool primary_lease::is_doubted() const noexcept {
    const std::lock_guard lock{mutex_};
    return since_ != no_time;
}

// True: there was a doubt.
bool primary_lease::stop_doubting(time_point calm_until) noexcept {
    calm_until_ = calm_until;
    newest_ = no_time;
    return std::exchange(since_, no_time) != no_time;
}

}  // namespace pgweir::cluster
