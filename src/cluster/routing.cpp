// The choice of a node to read from: who may serve, then how those share.
#include "pgweir/cluster/routing.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pgweir::cluster {
namespace {

// Who serves first. Weight 0 adds `unwanted`.
constexpr unsigned within_limits = 0;
constexpr unsigned stand_in = 1;  // the primary of prefer_standby
constexpr unsigned beyond_limits = 2;
constexpr unsigned of_unknown_age = 3;
constexpr unsigned unwanted = 4;

// Of a weight, in the first moment of a slow start: 1/32, so that it is heard of at all.
constexpr std::uint64_t whole_share = 1024;
constexpr std::uint64_t first_share = whole_share / 32;

constexpr std::uint64_t max_weight = std::uint64_t{1} << 20;

// The finalizer of SplitMix64: each bit of the result depends on all bits of x.
constexpr std::uint64_t mix(std::uint64_t x) noexcept {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

}  // namespace

std::optional<std::size_t> read_router::pick(std::span<const read_candidate> nodes,
                                             std::uint64_t key,
                                             time_point now) {
    std::optional<standing> best;
    for (const auto& node : nodes) {
        const auto s = standing_of(node);
        if (s && (!best || *s < *best)) {
            best = s;
        }
    }
    if (!best) {
        return std::nullopt;
    }
    return settings_.balance == balancing::hash ? rendezvous(nodes, *best, key)
                                                : take_turns(nodes, *best, now);
}

std::optional<read_router::standing> read_router::standing_of(
    const read_candidate& node) const noexcept {
    standing s;
    if (node.is_primary) {
        if (settings_.target == read_target::standby) {
            return std::nullopt;
        }
        s.tier = settings_.target == read_target::any ? within_limits : stand_in;
    } else if (node.reads == read_quality::none) {
        return std::nullopt;
    } else if (is_within_limits(node)) {
        s.tier = within_limits;
    } else {
        s.tier = node.reads == read_quality::good ? beyond_limits : of_unknown_age;
        s.lag = node.lag.value_or(std::numeric_limits<std::uint64_t>::max());
        s.replay_lag = node.replay_lag.value_or(duration::max());
    }
    s.tier += node.weight == 0 ? unwanted : 0;
    return s;
}

bool read_router::is_within_limits(const read_candidate& node) const noexcept {
    const auto& limits = settings_;
    return node.reads == read_quality::good &&
           (limits.max_lag_bytes == 0 || (node.lag && *node.lag <= limits.max_lag_bytes)) &&
           (limits.max_lag == duration::zero() ||
            (node.replay_lag && *node.replay_lag <= limits.max_lag));
}

std::uint64_t read_router::share_of(const read_candidate& node, time_point now) const noexcept {
    const bool is_weighed = settings_.balance != balancing::least_connections && node.weight > 0;
    const auto weight = is_weighed ? std::min<std::uint64_t>(node.weight, max_weight) : 1;
    const auto since = now - node.back;
    if (node.back == no_time || since >= settings_.slow_start) {
        return weight * whole_share;
    }
    const auto part = since <= duration::zero()
                          ? 0.0
                          : static_cast<double>(since.count()) /
                                static_cast<double>(settings_.slow_start.count());
    const auto grown = static_cast<std::uint64_t>(part * static_cast<double>(whole_share));
    return weight * std::max(first_share, grown);
}

// Among those with the fewest connections for their share, or all for round robin, the turn goes
// round smoothly: each is owed its share of every pick, and who is owed most gets it. A node in its
// slow start may at once have one connection, since none is the fewest whatever the share.
std::size_t read_router::take_turns(std::span<const read_candidate> nodes,
                                    const standing& best,
                                    time_point now) {
    if (credit_.size() != nodes.size()) {
        credit_.assign(nodes.size(), 0);
        credit_[first_ % nodes.size()] = 1;
    }
    const bool counts_load = settings_.balance != balancing::round_robin;
    const auto is_lighter = [](std::uint64_t load, std::uint64_t share, std::uint64_t than_load,
                               std::uint64_t than_share) {
        return load * than_share < than_load * share;
    };
    // The lightest so far.
    std::uint64_t load = 0;
    std::uint64_t share = 0;
    for (const auto& node : nodes) {
        if (counts_load && standing_of(node) == best) {
            const auto its_share = share_of(node, now);
            if (share == 0 || is_lighter(node.load, its_share, load, share)) {
                load = node.load;
                share = its_share;
            }
        }
    }
    std::size_t next = nodes.size();
    std::int64_t owed_to_all = 0;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        if (standing_of(nodes[i]) != best) {
            continue;
        }
        const auto its_share = share_of(nodes[i], now);
        if (counts_load && is_lighter(load, share, nodes[i].load, its_share)) {
            continue;
        }
        credit_[i] += static_cast<std::int64_t>(its_share);
        owed_to_all += static_cast<std::int64_t>(its_share);
        if (next == nodes.size() || credit_[i] > credit_[next]) {
            next = i;
        }
    }
    credit_[next] -= owed_to_all;
    return next;
}

// Every node draws a number for the key, and the smallest wins: exponentially distributed at the
// rate of its weight, it wins in proportion to that. Who comes or goes changes nobody else's
// number.
std::size_t read_router::rendezvous(std::span<const read_candidate> nodes,
                                    const standing& best,
                                    std::uint64_t key) const noexcept {
    std::size_t winner = 0;
    double smallest = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        if (standing_of(nodes[i]) != best) {
            continue;
        }
        const auto bits = mix(key ^ nodes[i].id) >> 11;
        const auto uniform = (static_cast<double>(bits) + 0.5) * 0x1p-53;
        const auto drawn = -std::log(uniform) / static_cast<double>(std::max(nodes[i].weight, 1U));
        if (drawn < smallest) {
            smallest = drawn;
            winner = i;
        }
    }
    return winner;
}

// FNV-1a, whose low bits are good and high bits are poor for short strings; so mixed at the end.
std::uint64_t hash_of(std::string_view bytes) noexcept {
    std::uint64_t h = 0xcbf29ce484222325U;
    for (const auto c : bytes) {
        h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    }
    return mix(h);
}

}  // namespace pgweir::cluster
