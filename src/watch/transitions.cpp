// Naming changes.
#include "watch/transitions.hpp"

#include "watch/publication.hpp"

#include <algorithm>
#include <optional>

namespace pgweir::watch {
namespace {

using cluster::node_state;
using cluster::write_mode;

std::optional<std::size_t> index_of(const told_view& v, const std::string& name) {
    const auto found = std::ranges::find(v.names, name);
    if (found == v.names.end()) {
        return std::nullopt;
    }
    return static_cast<std::size_t>(found - v.names.begin());
}

std::string primary_of(const told_view& v) {
    return v.view.primary ? v.names[*v.view.primary] : std::string{};
}

transition grant(const told_view& before, const told_view& after) {
    auto text = after.granted + " is granted as primary on timeline " +
                std::to_string(after.view.tli) + ", epoch " + std::to_string(after.view.epoch);
    if (!before.granted.empty() && before.granted != after.granted) {
        text += ", in place of " + before.granted;
    }
    return {.event = "grant", .text = std::move(text), .is_alarming = false};
}

void add_writes(const told_view& before, const told_view& after, std::vector<transition>& out) {
    const auto& was = before.view;
    const auto& is = after.view;
    if (is.writes == write_mode::serve) {
        if (was.writes != write_mode::serve || primary_of(before) != primary_of(after)) {
            out.push_back({.event = "serve",
                           .text = "writes go to " + primary_of(after),
                           .is_alarming = false});
        }
    } else if (was.writes != is.writes || was.why != is.why) {
        const bool is_rejected = is.writes == write_mode::reject;
        out.push_back(
            {.event = is_rejected ? "reject" : "hold",
             .text = std::string{is_rejected ? "writes are rejected: " : "writes wait: "} +
                     to_string(is.why),
             .is_alarming = is_rejected});
    }
    if (is.split_brain && !was.split_brain) {
        out.push_back({.event = "node",
                       .text = "more than one node says that it is the primary",
                       .is_alarming = true});
    }
}

void add_node(const told_view& before,
              const told_view& after,
              std::size_t i,
              std::vector<transition>& out) {
    const auto& name = after.names[i];
    const auto& is = after.view.nodes[i];
    const auto now = describe(is, after.contacts[i]);
    const auto old = index_of(before, name);
    if (!old) {
        out.push_back({.event = "node", .text = name + " is " + now, .is_alarming = false});
        return;
    }
    const auto& was = before.view.nodes[*old];
    if (is.cut && !was.cut) {
        out.push_back(
            {.event = "fence", .text = name + " must not be used: " + now, .is_alarming = true});
        return;
    }
    const auto then = describe(was, before.contacts[*old]);
    // A node that is down may be so in turns: now it refuses, now it is silent.
    const bool is_down_still = was.state == node_state::down && is.state == node_state::down;
    if (then != now && !is_down_still) {
        out.push_back({.event = "node",
                       .text = name + " was " + then + " and is now " + now,
                       .is_alarming = false});
    }
}

}  // namespace

std::vector<transition> transitions_between(const told_view& before, const told_view& after) {
    std::vector<transition> out;
    for (std::size_t i = 0; i < after.names.size(); ++i) {
        add_node(before, after, i, out);
    }
    for (const auto& name : before.names) {
        if (!index_of(after, name)) {
            out.push_back({.event = "node",
                           .text = name + " is no longer a node of this cluster",
                           .is_alarming = false});
        }
    }
    // Without a node the epoch is what is left of a cluster that was forgotten.
    if (after.view.epoch != before.view.epoch && !after.granted.empty()) {
        out.push_back(grant(before, after));
    }
    add_writes(before, after, out);
    return out;
}

}  // namespace pgweir::watch
