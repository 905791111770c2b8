// Comparing views, and the words for them.
#include "watch/publication.hpp"

#include <algorithm>
#include <bit>
#include <optional>

namespace pgweir::watch {
namespace {

template <class T>
bool is_same_lag(const std::optional<T>& a, const std::optional<T>& b, std::uint64_t limit) {
    if (!a || !b) {
        return a.has_value() == b.has_value();
    }
    const auto x = static_cast<std::uint64_t>(*a);
    const auto y = static_cast<std::uint64_t>(*b);
    const auto is_within = [limit](std::uint64_t lag) { return limit == 0 || lag <= limit; };
    return std::bit_width(x) == std::bit_width(y) && is_within(x) == is_within(y);
}

std::optional<std::uint64_t> milliseconds_of(const std::optional<cluster::duration>& d) {
    if (!d) {
        return std::nullopt;
    }
    return static_cast<std::uint64_t>(std::max<std::int64_t>(
        0, std::chrono::duration_cast<std::chrono::milliseconds>(*d).count()));
}

bool is_same_node(const cluster::node_view& a,
                  const cluster::node_view& b,
                  const lag_limits& limits) {
    return a.state == b.state && a.reason == b.reason && a.reads == b.reads && a.cut == b.cut &&
           is_same_lag(a.lag, b.lag, limits.bytes) &&
           is_same_lag(milliseconds_of(a.replay_lag), milliseconds_of(b.replay_lag),
                       milliseconds_of(limits.time).value_or(0));
}

bool is_same_place(const cluster::published_node& a, const cluster::published_node& b) {
    return a.name == b.name && a.host == b.host && a.port == b.port && a.weight == b.weight &&
           a.link == b.link && a.address == b.address;
}

}  // namespace

cluster::lease_word read_word(const cluster::cluster_view& view,
                              std::size_t i,
                              cluster::time_point alive,
                              cluster::duration lease) noexcept {
    const auto& node = view.nodes[i];
    if (node.reads == cluster::read_quality::none || node.cut || alive == cluster::no_time) {
        return {};
    }
    return {cluster::stamp_of(std::max<std::uint64_t>(view.epoch, 1), i), alive + lease};
}

std::string describe(const cluster::node_view& node, cluster::contact last) {
    std::string out = to_string(node.state);
    if (node.reason == cluster::node_reason::none) {
        return out;
    }
    out += " (";
    out +=
        node.reason == cluster::node_reason::last_probe ? to_string(last) : to_string(node.reason);
    return out + ")";
}

bool differs_for_workers(const cluster::published_view& a,
                         const cluster::published_view& b,
                         const lag_limits& limits) {
    const auto& x = a.view;
    const auto& y = b.view;
    const bool is_same =
        x.epoch == y.epoch && x.writes == y.writes && x.why == y.why && x.primary == y.primary &&
        x.granted == y.granted && x.switchover_until == y.switchover_until && x.tli == y.tli &&
        x.split_brain == y.split_brain && a.summary == b.summary &&
        std::ranges::equal(a.nodes, b.nodes, is_same_place) &&
        std::ranges::equal(x.nodes, y.nodes,
                           [&](const cluster::node_view& m, const cluster::node_view& n) {
                               return is_same_node(m, n, limits);
                           });
    return !is_same;
}

}  // namespace pgweir::watch
