// The right to write to one node for a short while: what a worker checks before each transaction.
#pragma once

#include "pgweir/base/clock.hpp"
#include "pgweir/cluster/view.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace pgweir::cluster {

// Which grant a server connection was made under: epoch and node. 0 is none, and equals no grant's.
enum class grant_stamp : std::uint32_t { none = 0 };

// REQUIRES: epoch > 0, node < 256. Epochs count modulo 2^24 - 1: as many grants apart, two are
// taken for one.
[[nodiscard]] constexpr grant_stamp stamp_of(std::uint64_t epoch, std::size_t node) noexcept {
    constexpr std::uint32_t epochs = 0xffffff;
    const auto low = static_cast<std::uint32_t>(epoch - 1) % epochs + 1;  // never 0
    return static_cast<grant_stamp>(low << 8 | static_cast<std::uint32_t>(node & 0xff));
}

// Stamp and end in one word, so that a check is one load and two compares and can never pair the
// one grant with the other's end.
class lease_word {
public:
    constexpr lease_word() noexcept = default;  // nobody may write anywhere
    constexpr lease_word(grant_stamp stamp, base::time_point until) noexcept
        : bits_{stamp == grant_stamp::none
                    ? nobodys
                    : std::uint64_t{static_cast<std::uint32_t>(stamp)} << 32 | ticks(until)} {}
    // REQUIRES: they are the bits() of one.
    static constexpr lease_word from_bits(std::uint64_t bits) noexcept {
        lease_word w;
        w.bits_ = bits;
        return w;
    }

    [[nodiscard]] constexpr std::uint64_t bits() const noexcept { return bits_; }
    [[nodiscard]] constexpr grant_stamp stamp() const noexcept {
        return bits_ == nobodys ? grant_stamp::none : static_cast<grant_stamp>(bits_ >> 32);
    }
    // May a transaction begin now on a connection made under `stamp`? Never under none. For the
    // data path: see also is_running().
    [[nodiscard]] constexpr bool allows(grant_stamp stamp, base::time_point now) const noexcept {
        return stamp == static_cast<grant_stamp>(bits_ >> 32) && is_before_end(now);
    }
    // Is it somebody's, and not over? REQUIRES: less than 24 days between `now` and the end.
    [[nodiscard]] constexpr bool is_running(base::time_point now) const noexcept {
        return bits_ != nobodys && is_before_end(now);
    }

private:
    // Its stamp is no grant's, and not none either: so allows() need not look for either.
    static constexpr std::uint64_t nobodys = std::uint64_t{1} << 32;

    [[nodiscard]] constexpr bool is_before_end(base::time_point now) const noexcept {
        return static_cast<std::int32_t>(static_cast<std::uint32_t>(bits_) - ticks(now)) > 0;
    }
    // About a millisecond each (2^20 ns), without a division.
    static constexpr std::uint32_t ticks(base::time_point t) noexcept {
        const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(t.time_since_epoch());
        return static_cast<std::uint32_t>(static_cast<std::uint64_t>(ns.count()) >> 20);
    }

    std::uint64_t bits_ = nobodys;
};

// Published by the one thread that decides, read by every worker. Nothing else is published with
// it: who needs more than the word takes a snapshot of the view.
class shared_lease {
public:
    // What `view` allows. A view that serves nobody ends the lease at once.
    void publish(const cluster_view& view) noexcept {
        store(view.primary ? lease_word{stamp_of(view.epoch, *view.primary), view.lease_until}
                           : lease_word{});
    }
    void store(lease_word w) noexcept { word_.store(w.bits(), std::memory_order_release); }
    [[nodiscard]] lease_word load() const noexcept {
        return lease_word::from_bits(word_.load(std::memory_order_acquire));
    }

private:
    std::atomic<std::uint64_t> word_ = lease_word{}.bits();
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

// In the place of one: nothing may begin.
inline constinit const shared_lease no_lease{};

}  // namespace pgweir::cluster
