// Deadlines of many connections at the cost of a comparison: a hashed timer wheel.
#pragma once

#include "pgweir/base/clock.hpp"

#include <boost/intrusive/list.hpp>

#include <array>

namespace pgweir::net {

class timer_wheel;

// One deadline. Moving it later costs a store: the wheel finds out when the old time comes. Belongs
// to one wheel at a time; leaves it when destroyed. Worker thread only.
class timer : public boost::intrusive::list_base_hook<
                  boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    timer() = default;
    timer(const timer&) = delete;
    timer& operator=(const timer&) = delete;

    [[nodiscard]] base::time_point due() const noexcept { return due_; }

    // Leaves the wheel at once: for a timer that moves to another thread's wheel.
    void unlink_now() noexcept {
        due_ = base::never;
        if (is_linked()) {
            unlink();
        }
    }

protected:
    // Called once when the deadline has passed. May set it anew, and may destroy the timer. What it
    // throws is logged, and unless it has set the deadline anew it is called again a second later;
    // so it must not throw once the timer is destroyed.
    virtual void on_timer() = 0;
    virtual ~timer() = default;

private:
    friend class timer_wheel;
    base::time_point due_ = base::never;
    base::time_point filed_ = base::never;  // for which time it sits in the wheel
};

// Resolution: one tick. A timer never fires early and at most about two ticks late.
class timer_wheel {
public:
    static constexpr base::duration tick = std::chrono::milliseconds{20};

    explicit timer_wheel(base::time_point now) : start_{now}, done_{0} {}

    // base::never disarms.
    void set(timer& t, base::time_point due);
    // Fires all that is due. Handlers may set and destroy any timer.
    void advance(base::time_point now);
    // When advance() is worth calling next; base::never when no timer is filed.
    [[nodiscard]] base::time_point next() const noexcept { return next_; }

private:
    static constexpr std::size_t slots = 512;
    using list = boost::intrusive::list<timer, boost::intrusive::constant_time_size<false>>;

    [[nodiscard]] std::uint64_t tick_of(base::time_point t) const noexcept;
    void file(timer& t);
    void find_next() noexcept;

    base::time_point start_;
    base::time_point next_ = base::never;
    std::uint64_t done_;  // the last tick that was fired
    std::array<list, slots> slots_;
};

}  // namespace pgweir::net
