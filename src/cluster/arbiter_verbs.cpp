// What changes the arbiter's memory: construction, reload, grants, and the operator's commands.
#include "cluster/survey.hpp"
#include "pgweir/cluster/arbiter.hpp"

#include <algorithm>
#include <utility>

namespace pgweir::cluster {

arbiter::arbiter(const arbiter_settings& settings, std::vector<member> members, cluster_state state)
    : settings_{settings},
      members_{std::move(members)},
      memory_(members_.size()),
      state_{std::move(state)} {
    view_.epoch = state_.epoch;
    view_.tli = state_.max_granted_tli;
    view_.nodes.resize(members_.size());
}

void arbiter::configure(const arbiter_settings& settings, std::vector<member> members) {
    std::vector<memory> kept(members.size());
    for (std::size_t i = 0; i < members.size(); ++i) {
        if (const auto old = find(members[i].name)) {
            kept[i] = memory_[*old];
        }
    }
    settings_ = settings;
    members_ = std::move(members);
    memory_ = std::move(kept);
}

verb_result arbiter::force_primary(std::string_view name,
                                   std::span<const node_evidence> evidence,
                                   time_point now) {
    const auto i = find(name);
    if (!i) {
        return verb_result::unknown_node;
    }
    const survey s{members_, evidence, settings_, state_.system_identifier, now};
    if (s.quarantine(*i) != node_reason::none) {
        return verb_result::quarantined;
    }
    if (!s.claims(*i)) {
        return verb_result::not_a_primary;
    }
    state_.fenced.erase(members_[*i].name);
    for (const auto& m : members_) {
        state_.disowned.insert_or_assign(m.name, disowning::forced);
    }
    grant(s, *i);
    state_.forced = true;
    return verb_result::done;
}

verb_result arbiter::fence(std::string_view name) {
    const auto i = find(name);
    if (!i) {
        return verb_result::unknown_node;
    }
    state_.fenced.insert(members_[*i].name);
    return verb_result::done;
}

verb_result arbiter::unfence(std::string_view name) {
    const auto fence = state_.fenced.find(name);
    const auto mark = state_.disowned.find(name);
    if (fence == state_.fenced.end() && mark == state_.disowned.end() && !find(name)) {
        return verb_result::unknown_node;
    }
    if (fence != state_.fenced.end()) {
        state_.fenced.erase(fence);
    }
    if (mark != state_.disowned.end()) {
        state_.disowned.erase(mark);
    }
    return verb_result::done;
}

// Connections to the old address carry the old epoch, so they are refused by everybody at once.
void arbiter::note_move(std::string_view name) {
    if (const auto i = find(name)) {
        memory_[*i] = {};
    }
    if (state_.granted == name) {
        ++state_.epoch;
    }
}

void arbiter::forget_cluster() {
    cluster_state fresh;
    fresh.epoch = state_.epoch;
    fresh.fenced = std::move(state_.fenced);
    state_ = std::move(fresh);
    std::ranges::fill(memory_, memory{});
    started_ = no_time;
    has_served_ = false;
    cut_off_ = no_time;
    switchover_end();
}

verb_result arbiter::switchover_begin(time_point until) {
    if (!view_.primary) {
        return verb_result::no_primary;
    }
    switchover_until_ = until;
    return verb_result::done;
}

verb_result arbiter::switchover_end() noexcept {
    return std::exchange(switchover_until_, no_time) == no_time ? verb_result::no_switchover
                                                                : verb_result::done;
}

void arbiter::disown(std::string_view name, disowning why) { state_.disowned.emplace(name, why); }

// The only place where the epoch and the timeline rise. Whoever was primary before, or claims to be
// one now, gets nothing until it is seen following this one.
void arbiter::grant(const survey& s, std::size_t i) {
    const auto& name = members_[i].name;
    if (!state_.granted.empty()) {
        disown(state_.granted, disowning::replaced);
    }
    for (std::size_t j = 0; j < s.size(); ++j) {
        if (s.claims(j)) {
            disown(members_[j].name, disowning::replaced);
        }
    }
    state_.disowned.erase(name);
    state_.granted = name;
    state_.max_granted_tli = s.tli(i);
    state_.system_identifier = s.of(i).role()->system_identifier;
    ++state_.epoch;
    state_.forced = false;
    for (auto& m : memory_) {
        m.read_well = false;
    }
    has_served_ = true;
    cut_off_ = no_time;
    switchover_end();
}

std::optional<std::size_t> arbiter::find(std::string_view name) const {
    const auto m = std::ranges::find(members_, name, &member::name);
    if (name.empty() || m == members_.end()) {
        return std::nullopt;
    }
    return static_cast<std::size_t>(m - members_.begin());
}

const char* to_string(verb_result r) noexcept {
    switch (r) {
        case verb_result::done: return "done";
        case verb_result::unknown_node: return "unknown node";
        case verb_result::not_a_primary: return "not a writable primary";
        case verb_result::quarantined: return "not a node of this cluster";
        case verb_result::no_primary: return "there is no primary";
        case verb_result::no_switchover: return "no switchover is under way";
    }
    return "";
}

}  // namespace pgweir::cluster
