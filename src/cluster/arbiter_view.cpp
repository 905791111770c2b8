// From the verdict to the view: what each node may be used for, and when to look again.
#include "cluster/survey.hpp"
#include "pgweir/cluster/arbiter.hpp"

#include <algorithm>

namespace pgweir::cluster {
namespace {

// Bytes that standby i has still to replay. The primary's position is one it had before the standby
// was asked: a later one would count what was written between the two questions.
std::optional<std::uint64_t> lag_of(const survey& s, std::size_t i, std::size_t primary) {
    const auto& standby = *s.of(i).role();
    const auto* now = s.of(primary).role();
    const auto* before = s.of(primary).role_before();
    const auto* ahead =
        before != nullptr && now->asked > standby.asked && !before->in_recovery ? before : now;
    if (!s.answers(primary) || ahead->position == 0 || standby.replayed == 0) {
        return std::nullopt;
    }
    return ahead->position > standby.replayed ? ahead->position - standby.replayed : 0;
}

// Without a sender all received is soon replayed, however far behind that is.
std::optional<duration> replay_lag_of(const survey& s, std::size_t i) {
    const auto& role = *s.of(i).role();
    if (!s.streams(i)) {
        return std::nullopt;
    }
    return role.replayed >= role.position ? duration::zero() : role.replay_age;
}

node_reason reason_of_suspicion(const node_evidence& e, time_point now, duration lease) {
    if (e.failed() > e.alive()) {
        return node_reason::last_probe;
    }
    return now - e.alive() >= lease ? node_reason::lease_expired : node_reason::says_in_recovery;
}

}  // namespace

void arbiter::publish(const survey& s, const verdict& v) {
    if (v.why != view_.why || view_.since == no_time) {
        view_.why = v.why;
        view_.since = s.now();
    }
    view_.epoch = state_.epoch;
    view_.tli = state_.max_granted_tli;
    view_.primary = v.primary;
    view_.granted = find(state_.granted);
    view_.switchover_until = switchover_until_;
    view_.writes = writes_of(v, s.now());
    view_.lease_until = v.primary ? s.of(*v.primary).alive() + settings_.lease : no_time;

    std::size_t says_primary = 0;
    view_.nodes.resize(s.size());
    for (std::size_t i = 0; i < s.size(); ++i) {
        view_.nodes[i] = describe(s, i, v);
        says_primary += s.answers(i) && !s.of(i).role()->in_recovery;
    }
    view_.split_brain = says_primary > 1;

    view_.probes = pace_of(s, v);
    view_.ask_again = s.now() + (view_.probes == pace::normal ? settings_.check_interval
                                                              : settings_.quick_interval);
    if (v.primary) {
        view_.ask_again = std::min(view_.ask_again, view_.lease_until);
    }
    if (switchover_until_ != no_time) {
        view_.ask_again = std::min(view_.ask_again, switchover_until_);
    }
}

write_mode arbiter::writes_of(const verdict& v, time_point now) const {
    if (v.primary) {
        return write_mode::serve;
    }
    const bool is_hopeless =
        (v.why == cause::isolated && settings_.guard == isolation_guard::reject) ||
        (v.why == cause::ambiguous && now - view_.since >= settings_.conflict_hold);
    return is_hopeless ? write_mode::reject : write_mode::hold;
}

node_view arbiter::describe(const survey& s, std::size_t i, const verdict& v) {
    node_view out;
    const auto quarantine = s.quarantine(i);
    const auto fence = fence_of(s, i);
    out.cut = quarantine != node_reason::none || fence != node_reason::none;
    out.tli = s.tli(i);
    out.followers = s.followers(i);
    out.claims_itself = s.claims_itself(i);
    if (const auto mark = state_.disowned.find(s.who(i).name); mark != state_.disowned.end()) {
        out.disowned = mark->second;
    }
    const auto be = [&](node_state state, node_reason reason) {
        out.state = state;
        out.reason = reason;
    };
    const auto health = s.state(i);
    if (health == health::unknown) {
        be(node_state::unknown, node_reason::last_probe);
    } else if (health == health::down) {
        be(node_state::down, node_reason::last_probe);
    } else if (health == health::suspect) {
        be(node_state::suspect, reason_of_suspicion(s.of(i), s.now(), settings_.lease));
    } else if (quarantine != node_reason::none) {
        be(node_state::quarantined, quarantine);
    } else if (fence != node_reason::none) {
        be(node_state::fenced, fence);
    } else if (s.in_recovery(i)) {
        describe_reads(s, i, v, out);
    } else if (!s.claims(i)) {
        be(node_state::fenced, node_reason::read_only);
    } else if (is_granted(s, i)) {
        be(node_state::primary, node_reason::none);
        out.reads = v.primary ? read_quality::good : read_quality::none;
    } else {
        be(node_state::claimant, node_reason::rival);
    }
    return out;
}

// While no primary is served, a standby that was good stays so: it lost its sender because there is
// none.
void arbiter::describe_reads(const survey& s, std::size_t i, const verdict& v, node_view& out) {
    out.state = node_state::standby;
    const auto primary = find(state_.granted);
    const auto root = s.streams(i) ? s.root(i) : std::nullopt;
    if (root && fence_of(s, *root) != node_reason::none) {
        out.reason = node_reason::follows_fenced;
        return;
    }
    out.replay_lag = replay_lag_of(s, i);
    if (primary) {
        out.lag = lag_of(s, i, *primary);
    }
    const bool is_current = s.streams(i) && (!root || root == primary) &&
                            s.of(i).receiver()->tli == state_.max_granted_tli;
    if (!is_current) {
        out.reason = node_reason::not_streaming;
    } else if (s.of(i).role()->replay_paused) {
        out.reason = node_reason::replay_paused;
    }
    const bool is_good = out.reason == node_reason::none;
    if (v.primary) {
        memory_[i].read_well = is_good;
    }
    out.reads = is_good || memory_[i].read_well ? read_quality::good : read_quality::stale;
}

pace arbiter::pace_of(const survey& s, const verdict& v) const {
    bool is_quick = !v.primary;
    for (std::size_t i = 0; i < s.size(); ++i) {
        const auto& m = memory_[i];
        if (m.claims_since == s.now() && !(v.primary == i)) {
            return pace::at_once;  // a new claimant: what do the others say now?
        }
        const bool is_rival =
            s.claims(i) && !(v.primary == i) && fence_of(s, i) == node_reason::none;
        is_quick = is_quick || is_rival || s.state(i) == health::suspect ||
                   s.now() - s.of(i).smelled() < 2 * settings_.check_interval;
    }
    if (v.why == cause::looking_around) {
        return pace::at_once;
    }
    // A primary that has just been away may be on its way out.
    is_quick = is_quick || s.now() - memory_[*v.primary].troubled < settings_.partition_grace;
    return is_quick ? pace::quick : pace::normal;
}

const char* to_string(write_mode m) noexcept {
    switch (m) {
        case write_mode::serve: return "serve";
        case write_mode::hold: return "hold";
        case write_mode::reject: return "reject";
    }
    return "";
}

const char* to_string(cause c) noexcept {
    switch (c) {
        case cause::none: return "none";
        case cause::starting: return "starting";
        case cause::no_majority: return "no majority";
        case cause::no_claimant: return "no claimant";
        case cause::suspect: return "suspect";
        case cause::looking_around: return "looking around";
        case cause::unconfirmed: return "unconfirmed";
        case cause::contested: return "contested";
        case cause::ambiguous: return "ambiguous";
        case cause::overtaken: return "overtaken";
        case cause::isolated: return "isolated";
        case cause::set_aside: return "set aside";
        case cause::switchover: return "switchover";
        case cause::unsaved: return "unsaved";
    }
    return "";
}

const char* to_string(node_state state) noexcept {
    switch (state) {
        case node_state::unknown: return "unknown";
        case node_state::standby: return "standby";
        case node_state::claimant: return "claimant";
        case node_state::primary: return "primary";
        case node_state::suspect: return "suspect";
        case node_state::down: return "down";
        case node_state::fenced: return "fenced";
        case node_state::quarantined: return "quarantined";
    }
    return "";
}

const char* to_string(node_reason reason) noexcept {
    switch (reason) {
        case node_reason::none: return "";
        case node_reason::foreign_system: return "another system identifier";
        case node_reason::wrong_identity: return "another node answers";
        case node_reason::duplicate: return "the same server as another node";
        case node_reason::witness: return "witness";
        case node_reason::old_timeline: return "old timeline";
        case node_reason::disowned: return "disowned";
        case node_reason::operator_fence: return "fenced by operator";
        case node_reason::read_only: return "read-only";
        case node_reason::rival: return "claims to be primary";
        case node_reason::not_streaming: return "not streaming from the primary";
        case node_reason::replay_paused: return "replay paused";
        case node_reason::follows_fenced: return "follows a fenced node";
        case node_reason::last_probe: return "last probe";
        case node_reason::lease_expired: return "lease expired";
        case node_reason::says_in_recovery: return "says it is in recovery";
    }
    return "";
}

const char* to_string(read_quality q) noexcept {
    switch (q) {
        case read_quality::none: return "none";
        case read_quality::stale: return "stale";
        case read_quality::good: return "good";
    }
    return "";
}

}  // namespace pgweir::cluster
