// Chooses the node that a transaction for reading goes to: purely, from what each node is now.
#pragma once

#include "pgweir/cluster/view.hpp"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace pgweir::cluster {

// Where the transactions of a client for reading go. The primary of `prefer_standby` is for the
// times when no standby is near enough to it.
enum class read_target : std::uint8_t { standby, prefer_standby, any };

enum class balancing : std::uint8_t {
    round_robin,                 // in turn, in proportion to the weights
    least_connections,           // the one with the fewest; weights do not count, except 0
    weighted_least_connections,  // the one with the fewest for its weight
    hash                         // equal keys go to the same node while it serves
};

struct routing_settings {
    read_target target = read_target::standby;
    balancing balance = balancing::least_connections;
    // A standby further behind is used only for want of a better node; 0: no limit. Lag that is
    // not known is beyond every limit.
    std::uint64_t max_lag_bytes = std::uint64_t{16} * 1024 * 1024;
    duration max_lag = std::chrono::seconds{10};
    // A node that is back gets its full share after this long; 0: at once. Not for `hash`, whose
    // keys would move twice.
    duration slow_start = std::chrono::seconds{30};
};

// One node as it is now.
struct read_candidate {
    std::uint64_t id = 0;  // hash_of() its name: the same on every instance, wherever it is listed
    // Of its share, at most 2^20; 0: none, unless no other node is left.
    unsigned weight = 100;
    bool is_primary = false;  // the one that is served; `reads` and lag are not asked
    read_quality reads = read_quality::none;  // as a standby
    std::optional<std::uint64_t> lag;         // bytes; absent: not known
    std::optional<duration> replay_lag;       // absent: not known
    unsigned load = 0;                        // connections in use, and clients waiting for one
    time_point back = no_time;  // it serves again since then; no_time: it was never away
};

// One for each (database, role, target) and worker; on that thread. Allocates when the number of
// nodes rises, and at no other time.
class read_router {
public:
    // `first`: which of equal nodes gets the first transaction, so that the routers of several
    // workers do not all begin with the same one.
    explicit read_router(const routing_settings& settings, std::size_t first = 0) noexcept
        : settings_{settings}, first_{first} {}

    // After a reload, also of weights alone.
    void configure(const routing_settings& settings) noexcept {
        settings_ = settings;
        credit_.clear();
    }

    // The index of the node to use; absent: none can be read from, so the client is held.
    //
    // Only nodes within the limits share; without any, `prefer_standby` takes the primary. The last
    // that can be read from is never given up: failing all else the least bad standby serves, good
    // before stale, then by lag. A node of weight 0 comes after all others.
    //
    // The same calls on two routers made alike give the same answers. `key`: for `hash`, whatever
    // the configuration hashes by.
    [[nodiscard]] std::optional<std::size_t> pick(std::span<const read_candidate> nodes,
                                                  std::uint64_t key,
                                                  time_point now);

private:
    // How far a node is from the best choice; smaller is better, and equals share.
    struct standing {
        unsigned tier = 0;
        std::uint64_t lag = 0;
        duration replay_lag = duration::zero();

        friend auto operator<=>(const standing&, const standing&) = default;
    };

    [[nodiscard]] std::optional<standing> standing_of(const read_candidate& node) const noexcept;
    [[nodiscard]] bool is_within_limits(const read_candidate& node) const noexcept;
    [[nodiscard]] std::uint64_t share_of(const read_candidate& node, time_point now) const noexcept;
    [[nodiscard]] std::size_t take_turns(std::span<const read_candidate> nodes,
                                         const standing& best,
                                         time_point now);
    [[nodiscard]] std::size_t rendezvous(std::span<const read_candidate> nodes,
                                         const standing& best,
                                         std::uint64_t key) const noexcept;

    routing_settings settings_;
    std::size_t first_;
    std::vector<std::int64_t> credit_;  // what each node is owed, of picks that were to be shared
};

// The same number for the same bytes, in every process, on every machine and in every version:
// pgweirs that share nothing send a key to the same node. No defence against who chooses keys to
// collide.
[[nodiscard]] std::uint64_t hash_of(std::string_view bytes) noexcept;

}  // namespace pgweir::cluster
