// The timer wheel.
#include "pgweir/net/timer.hpp"

#include "pgweir/base/log.hpp"

#include <algorithm>
#include <exception>

namespace pgweir::net {
namespace {

constexpr auto retry_delay = std::chrono::seconds{1};

}  // namespace

std::uint64_t timer_wheel::tick_of(base::time_point t) const noexcept {
    // Rounded up, so that no timer fires early.
    const auto since = t - start_ + tick - base::duration{1};
    return since.count() <= 0 ? 0 : static_cast<std::uint64_t>(since / tick);
}

void timer_wheel::file(timer& t) {
    const auto at = std::max(tick_of(t.due_), done_ + 1);
    t.filed_ = t.due_;
    slots_[at % slots].push_back(t);
    // A time further away than one round is looked at once a round.
    next_ = std::min(next_, start_ + static_cast<std::int64_t>(std::min(at, done_ + slots)) * tick);
}

void timer_wheel::set(timer& t, base::time_point due) {
    t.due_ = due;
    if (due == base::never) {
        return;
    }
    if (t.is_linked()) {
        if (t.filed_ <= due) {
            return;
        }
        t.unlink();
    }
    file(t);
}

void timer_wheel::find_next() noexcept {
    next_ = base::never;
    for (std::uint64_t i = 1; i <= slots; ++i) {
        if (!slots_[(done_ + i) % slots].empty()) {
            next_ = start_ + static_cast<std::int64_t>(done_ + i) * tick;
            return;
        }
    }
}

void timer_wheel::advance(base::time_point now) {
    if (now < next_) {
        return;
    }
    const auto target = static_cast<std::uint64_t>((now - start_) / tick);
    // Further behind than one round: each slot needs to be seen once only.
    if (target > done_ + slots) {
        done_ = target - slots;
    }
    while (done_ < target) {
        ++done_;
        list due;
        due.splice(due.end(), slots_[done_ % slots]);
        while (!due.empty()) {
            auto& t = due.front();
            due.pop_front();
            if (t.due_ == base::never) {
                continue;
            }
            if (t.due_ > now) {
                file(t);
                continue;
            }
            t.due_ = base::never;
            try {
                t.on_timer();
            } catch (const std::exception& e) {
                PGWEIR_LOG(err, "a timer failed: {}", e.what());
                if (!t.is_linked()) {
                    set(t, now + retry_delay);
                }
            }
        }
    }
    find_next();
}

}  // namespace pgweir::net
