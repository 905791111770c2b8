// Who may try to log in: how many at once, in all and from one address, and how fast.
#pragma once

#include "pgweir/base/clock.hpp"
#include "pgweir/net/address.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

namespace pgweir::session {

// Where a client comes from, as far as it cannot choose that freely: an IPv4 address, or the first
// 64 bits of an IPv6 one, which is what one customer of a provider gets.
struct origin {
    bool is_ipv4 = false;
    std::uint64_t network = 0;

    auto operator<=>(const origin&) const = default;
};
// Empty for unix sockets: whoever is on this machine is not counted by address.
[[nodiscard]] std::optional<origin> origin_of(const net::address& peer) noexcept;

// Counts connections that have not proved yet who they are, so that whoever opens many of them
// keeps out himself only. Any thread; outlives its tickets.
class admission {
public:
    struct limits {
        unsigned in_all = 0;
        unsigned per_origin = 0;  // at once; 0: no limit
        unsigned rate = 0;  // new connections a second from one origin, which may come at once; 0:
                            // no limit
    };
    enum class refusal : std::uint8_t { full, origin_full, too_fast };
    static constexpr std::size_t refusal_count = 3;

    // A place, given back at its end. Move-only; any thread.
    class ticket {
    public:
        ticket() = default;
        ticket(ticket&& o) noexcept : home_{std::exchange(o.home_, nullptr)}, from_{o.from_} {}
        ticket& operator=(ticket&& o) noexcept {
            give_back();
            home_ = std::exchange(o.home_, nullptr);
            from_ = o.from_;
            return *this;
        }
        ~ticket() { give_back(); }

        explicit operator bool() const noexcept { return home_ != nullptr; }
        void give_back() noexcept;

    private:
        friend class admission;
        ticket(admission& home, std::optional<origin> from) noexcept : home_{&home}, from_{from} {}

        admission* home_ = nullptr;
        std::optional<origin> from_;
    };

    // Hold from the next admit() on.
    void configure(const limits& l) noexcept;
    // A place, or nothing: then refused() has counted why. `now` may be a little older than that of
    // another thread before.
    [[nodiscard]] ticket admit(const std::optional<origin>& from, base::time_point now);

    [[nodiscard]] unsigned count() const noexcept { return count_.load(); }
    [[nodiscard]] unsigned most() const noexcept;
    [[nodiscard]] std::uint64_t refused(refusal why) const noexcept {
        return refused_[static_cast<std::size_t>(why)].load();
    }
    // Addresses that something is remembered of.
    [[nodiscard]] std::size_t origins() const;

private:
    struct record {
        unsigned open = 0;
        // Tokens of `rate` a second, at most `rate` of them; how many there were at `counted_at`.
        double tokens = 0;
        base::time_point counted_at{};
    };

    [[nodiscard]] std::optional<refusal> check(const origin& from, base::time_point now);
    void sweep(base::time_point now);
    [[nodiscard]] double tokens_of(const record& r, base::time_point now) const noexcept;
    [[nodiscard]] ticket refuse(refusal why) noexcept;

    mutable std::mutex mutex_;
    limits limits_;
    std::map<origin, record> records_;
    std::size_t sweep_at_ = 64;  // records
    std::atomic<unsigned> count_ = 0;
    std::array<std::atomic<std::uint64_t>, refusal_count> refused_{};
};

}  // namespace pgweir::session
