// The rules by which a primary is granted, in the order in which they apply.
#include "pgweir/cluster/arbiter.hpp"

#include "cluster/survey.hpp"

#include <algorithm>

namespace pgweir::cluster {
namespace {

// Of two nodes that both claim: w is the younger timeline, and more than its word says so. Either
// standbys follow it, and its own metadata do not deny its role; or its metadata say that it is the
// primary, and nobody follows the other.
bool outranks(const survey& s, std::size_t w, std::size_t other) {
    if (s.tli(w) <= s.tli(other)) {
        return false;
    }
    return s.followers(w) > 0 ? s.claims_itself(w) != false
                              : s.claims_itself(w) == true && s.followers(other) == 0;
}

// The one that outranks all others; absent: the evidence does not order them.
std::optional<std::size_t> foremost(const survey& s, const std::vector<std::size_t>& claimants) {
    for (const auto w : claimants) {
        if (std::ranges::all_of(claimants, [&](std::size_t other) {
                return other == w || outranks(s, w, other);
            })) {
            return w;
        }
    }
    return std::nullopt;
}

// Every node has been asked since then, but for those that were known to be down a moment ago. One
// that was not heard lately is waited for: it may be we who were away.
bool is_asked_since(const survey& s, time_point since, std::size_t but) {
    for (std::size_t i = 0; i < s.size(); ++i) {
        if (i != but && !s.is_known_down(i) && s.of(i).last_asked() < since) {
            return false;
        }
    }
    return true;
}

bool is_every_node_asked(const survey& s) {
    for (std::size_t i = 0; i < s.size(); ++i) {
        if (s.of(i).last() == contact::none) {
            return false;
        }
    }
    return true;
}

}  // namespace

const cluster_view& arbiter::decide(std::span<const node_evidence> evidence, time_point now) {
    if (started_ == no_time) {
        started_ = now;
    }
    learn_system({members_, evidence, settings_, 0, now});
    const survey s{members_, evidence, settings_, state_.system_identifier, now};
    remember(s);
    readmit(s);
    disown_by_metadata(s);

    auto v = judge(s);
    if (v.primary && is_cut_off(s, *v.primary)) {
        if (settings_.guard != isolation_guard::off && s.voters() >= 3 && !state_.forced) {
            v = {std::nullopt, cause::isolated};
            cut_off_ = now;
        }
    } else if (v.primary) {
        state_.forced = false;  // others vouch for it now
        if (may_have_been_succeeded(s, *v.primary)) {
            v = {std::nullopt, cause::isolated};
        } else {
            cut_off_ = no_time;
        }
    }
    if (v.primary) {
        has_served_ = true;
        if (!is_granted(s, *v.primary)) {
            grant(s, *v.primary);
        }
    }
    if (now >= switchover_until_) {
        switchover_end();
    } else if (v.primary) {
        v = {std::nullopt, cause::switchover};
    }
    publish(s, v);
    return view_;
}

// ---- What this round of evidence changes in what is remembered

// A cluster is what a majority of its nodes agrees to be.
void arbiter::learn_system(const survey& s) {
    if (state_.system_identifier != 0) {
        return;
    }
    state_.system_identifier = settings_.system_identifier;
    for (std::size_t i = 0; i < s.size() && state_.system_identifier == 0; ++i) {
        std::size_t agree = 0;
        for (std::size_t j = 0; j < s.size(); ++j) {
            agree += s.answers(i) && s.answers(j) &&
                     s.of(i).role()->system_identifier == s.of(j).role()->system_identifier;
        }
        if (2 * agree > s.voters()) {
            state_.system_identifier = s.of(i).role()->system_identifier;
        }
    }
}

void arbiter::remember(const survey& s) {
    // We have been stopped, or the machine: what a node was before says nothing of it.
    const bool were_away = decided_ != no_time && s.now() - decided_ >= settings_.lease;
    decided_ = s.now();
    for (std::size_t i = 0; i < s.size(); ++i) {
        auto& m = memory_[i];
        if (were_away || !s.answers(i)) {
            m.troubled = s.now();
            m.back = no_time;
        }
        if (!s.answers(i)) {
            continue;
        }
        if (m.back == no_time) {
            m.back = s.of(i).alive();
        }
        if (!s.claims(i)) {
            m.claims_since = no_time;
            m.contests = false;
            m.seen_in_recovery = m.seen_in_recovery || s.in_recovery(i);
        } else if (m.claims_since == no_time || m.claimed != s.tli(i)) {
            m.claims_since = s.now();
            m.claimed = s.tli(i);
            m.contests = false;
        }
    }
    // A node promoted beside a primary that is well has left its history: what the primary has
    // acknowledged since is not on it.
    const auto primary = find(state_.granted);
    if (primary && s.claims(*primary) && is_granted(s, *primary)) {
        for (auto& m : memory_) {
            m.contests = m.contests || (m.claims_since != no_time &&
                                        s.of(*primary).role()->asked > m.claims_since);
        }
        memory_[*primary].contests = false;
    }
}

// What was disowned comes back as a standby of the granted primary, and in no other way.
void arbiter::readmit(const survey& s) {
    const auto primary = find(state_.granted);
    for (std::size_t i = 0; i < s.size(); ++i) {
        if (i == primary || !s.streams(i) || s.of(i).receiver()->tli != state_.max_granted_tli) {
            continue;
        }
        const auto root = s.root(i);
        if (!root || root == primary) {
            state_.disowned.erase(s.who(i).name);
        }
    }
}

// repmgr has written a claimant off, on a timeline that is newer than the claimant's.
void arbiter::disown_by_metadata(const survey& s) {
    for (std::size_t x = 0; x < s.size(); ++x) {
        if (!s.claims(x) || fence_of(s, x) != node_reason::none) {
            continue;
        }
        for (std::size_t y = 0; y < s.size(); ++y) {
            if (s.answers(y) && !is_discredited(s, y) && s.tli(y) > s.tli(x) &&
                s.has_written_off(y, x)) {
                disown(s.who(x).name, disowning::metadata);
            }
        }
    }
}

// ---- The verdict

arbiter::verdict arbiter::judge(const survey& s) {
    if (!has_served_ && !is_every_node_asked(s)) {
        return {std::nullopt, cause::starting};
    }
    indices claimants;
    for (std::size_t i = 0; i < s.size(); ++i) {
        if (s.claims(i) && fence_of(s, i) == node_reason::none) {
            claimants.push_back(i);
        }
    }
    const auto primary = find(state_.granted);
    if (!primary) {
        return judge_first_grant(s, claimants);
    }
    if (std::ranges::find(claimants, *primary) != claimants.end() && is_granted(s, *primary)) {
        std::erase(claimants, *primary);
        return judge_challenge(s, *primary, claimants);
    }
    return judge_succession(s, *primary, claimants);
}

// Nothing is known from before. Every primary of a split brain claims itself, so more is needed: a
// majority, and nobody on a newer timeline.
arbiter::verdict arbiter::judge_first_grant(const survey& s, const indices& candidates) const {
    if (candidates.empty()) {
        return {std::nullopt, cause::no_claimant};
    }
    const auto x = foremost(s, candidates);
    if (!x) {
        return {std::nullopt, cause::ambiguous};
    }
    for (std::size_t y = 0; y < s.size(); ++y) {
        if (s.in_recovery(y) && s.tli(y) > s.tli(*x) && !is_discredited(s, y)) {
            return {std::nullopt, cause::overtaken};
        }
    }
    if (settings_.start == cold_start::majority && !is_vouched_for(s, *x)) {
        return {std::nullopt, cause::no_majority};
    }
    return {x, cause::none};
}

// The granted primary is well. It stays, unless another node shows that the cluster has moved on.
arbiter::verdict arbiter::judge_challenge(const survey& s,
                                          std::size_t primary,
                                          const indices& challengers) {
    // A primary that was away may have been succeeded a moment ago.
    if (!is_asked_since(s, memory_[primary].back, primary)) {
        return {std::nullopt, cause::looking_around};
    }
    if (!has_served_ && !may_resume(s, primary)) {
        return {std::nullopt, cause::no_majority};
    }
    const auto first = foremost(s, challengers);
    if (first && judge_challenger(s, *first, primary) == outcome::wins) {
        return {first, cause::none};
    }
    if (is_overtaken(s, primary) && s.followers(primary) == 0) {
        return {std::nullopt, cause::overtaken};
    }
    verdict v{primary, cause::none};
    for (const auto x : challengers) {
        const auto claims_since = memory_[x].claims_since;
        const auto result = judge_challenger(s, x, primary);
        if (result == outcome::wins || result == outcome::undecided) {
            return {std::nullopt, cause::ambiguous};
        }
        if (result == outcome::loses && s.now() - claims_since >= settings_.rogue_after) {
            disown(s.who(x).name, disowning::rogue);
        } else if (claims_since - memory_[primary].troubled < settings_.partition_grace) {
            // The promotion may be the answer to that trouble, and its metadata and followers on
            // their way.
            v = {std::nullopt, cause::contested};
        }
    }
    return v;
}

arbiter::outcome arbiter::judge_challenger(const survey& s,
                                           std::size_t x,
                                           std::size_t primary) const {
    if (outranks(s, x, primary)) {
        return outcome::wins;
    }
    const auto claims_since = memory_[x].claims_since;
    if (s.of(primary).role()->asked <= claims_since && s.now() - claims_since < settings_.lease) {
        return outcome::pending;
    }
    // An accidental pg_promote(): its own metadata say standby, and the others stay where they are.
    // On an equal timeline both were promoted, and each has its own metadata on its side.
    const bool is_deliberate = s.tli(x) > s.tli(primary) && s.claims_itself(x) == true;
    if (s.followers(primary) > 0 && s.claims_itself(primary) != false && s.followers(x) == 0 &&
        !is_deliberate) {
        return outcome::loses;
    }
    return outcome::undecided;
}

// The granted primary does not serve. Its successor is on a newer timeline; an equal one was begun
// beside it, and lacks what the granted one has written since.
arbiter::verdict arbiter::judge_succession(const survey& s,
                                           std::size_t primary,
                                           const indices& claimants) const {
    const bool is_suspect = absence_of(s, primary) == absence::suspect;
    indices successors;
    std::ranges::copy_if(claimants, std::back_inserter(successors), [&](std::size_t x) {
        return s.tli(x) > state_.max_granted_tli && !is_stray(s, x);
    });
    if (successors.empty()) {
        if (is_suspect) {
            return {std::nullopt, cause::suspect};
        }
        if (absence_of(s, primary) == absence::set_aside) {
            return {std::nullopt, cause::set_aside};
        }
        return {std::nullopt, claimants.empty() ? cause::no_claimant : cause::unconfirmed};
    }
    const auto x = foremost(s, successors);
    if (!x) {
        return {std::nullopt, cause::ambiguous};
    }
    if (is_overtaken(s, *x)) {
        return {std::nullopt, cause::overtaken};
    }
    if (!succeeds(s, *x, primary)) {
        return {std::nullopt, is_suspect ? cause::suspect : cause::unconfirmed};
    }
    // Two standbys may have been promoted at once. A node that is slow to answer is not waited for.
    const auto claims_since = memory_[*x].claims_since;
    if (s.now() - claims_since < 2 * settings_.quick_interval &&
        !is_asked_since(s, claims_since, *x)) {
        return {std::nullopt, cause::looking_around};
    }
    return {x, cause::none};
}

// A newer timeline alone is not enough: anybody can call pg_promote().
bool arbiter::succeeds(const survey& s, std::size_t x, std::size_t primary) const {
    if (x == primary) {
        return true;  // the same node: its old timeline ended where it began the new one
    }
    const auto away = absence_of(s, primary);
    if (away == absence::suspect) {
        return false;
    }
    if (s.followers(x) > 0) {
        return true;
    }
    if (s.is_heard_by_standby(primary)) {
        return false;  // the primary is silent to us alone
    }
    if (s.claims_itself(x) == true) {
        return true;
    }
    // The old primary has stopped, and one of its standbys was promoted: no need to wait for the
    // metadata, which come up to a second later.
    if (away == absence::stopped && memory_[x].seen_in_recovery) {
        return true;
    }
    const auto unseen_since = std::max(s.of(primary).alive(), started_);
    return away != absence::set_aside && s.now() - unseen_since > settings_.partition_grace;
}

arbiter::absence arbiter::absence_of(const survey& s, std::size_t i) const {
    if (s.quarantine(i) != node_reason::none) {
        return absence::silent;  // somebody else answers at its address
    }
    switch (s.state(i)) {
        case health::suspect: return absence::suspect;
        case health::down: return s.is_stopped(i) ? absence::stopped : absence::silent;
        case health::well: return s.in_recovery(i) ? absence::stopped : absence::set_aside;
        case health::unknown: break;
    }
    return s.of(i).last() == contact::none ? absence::suspect : absence::silent;
}

// ---- What the rules ask

// Why node i must not get writes, whatever else speaks for it.
node_reason arbiter::fence_of(const survey& s, std::size_t i) const {
    if (state_.fenced.contains(s.who(i).name)) {
        return node_reason::operator_fence;
    }
    if (state_.disowned.contains(s.who(i).name)) {
        return node_reason::disowned;
    }
    if (s.claims(i) && s.tli(i) < state_.max_granted_tli) {
        return node_reason::old_timeline;
    }
    return node_reason::none;
}

// What this node says of others does not count: it lost its role, or follows one that did.
bool arbiter::is_discredited(const survey& s, std::size_t i) const {
    const auto fence = fence_of(s, i);
    if (fence == node_reason::disowned || (fence != node_reason::none && s.claims(i))) {
        return true;
    }
    const auto root = s.streams(i) ? s.root(i) : std::nullopt;
    return root && fence_of(s, *root) != node_reason::none;
}

// All nodes answer, so that no other primary can hide; or a majority stands behind x.
bool arbiter::is_vouched_for(const survey& s, std::size_t x) const {
    std::size_t answering = 0;
    std::size_t behind = 1;
    for (std::size_t i = 0; i < s.size(); ++i) {
        answering += s.answers(i);
        if (i == x || s.is_witness(i)) {
            continue;
        }
        const bool is_on_its_timeline = s.streams(i) && s.of(i).receiver()->tli == s.tli(x);
        const auto root = is_on_its_timeline ? s.root(i) : std::nullopt;
        behind += s.sends(x, i) || (is_on_its_timeline && (!root || root == x));
    }
    return answering == s.voters() || 2 * behind > s.voters();
}

// After a restart: the cluster may have moved on meanwhile. Nodes that have stopped cannot have,
// and with fewer than three nodes nothing could be known while one of them is silent.
bool arbiter::may_resume(const survey& s, std::size_t primary) const {
    if (settings_.guard == isolation_guard::off || s.voters() < 3 || state_.forced ||
        is_vouched_for(s, primary)) {
        return true;
    }
    for (std::size_t i = 0; i < s.size(); ++i) {
        const bool is_coming_up = s.of(i).last() == contact::starting_up;
        if (!s.is_witness(i) && !s.answers(i) && (!s.is_stopped(i) || is_coming_up)) {
            return false;
        }
    }
    return true;
}

// Somebody streams on a newer timeline, so somebody else sends on it.
bool arbiter::is_overtaken(const survey& s, std::size_t x) const {
    for (std::size_t y = 0; y < s.size(); ++y) {
        if (s.streams(y) && s.of(y).receiver()->tli > s.tli(x) && !is_discredited(s, y)) {
            return true;
        }
    }
    return false;
}

// So many standbys are silent, to us and to x, that they could have elected another primary: more
// than half of those that x has, as repmgr counts. Nodes that refuse or reset have not.
bool arbiter::is_cut_off(const survey& s, std::size_t x) const {
    std::size_t silent = 0;
    for (std::size_t i = 0; i < s.size(); ++i) {
        if (i == x || s.is_witness(i) || s.is_stopped(i) || s.sends(x, i)) {
            continue;
        }
        silent += !s.is_heard(i) || s.quarantine(i) != node_reason::none;
    }
    return 2 * silent > s.voters() - 1;
}

// The isolation has ended, but not everybody who was silent has been heard. Those who have may
// follow the primary still, and have elected another one, whom they do not know yet how to follow.
bool arbiter::may_have_been_succeeded(const survey& s, std::size_t primary) const {
    if (cut_off_ == no_time || !is_granted(s, primary) ||
        s.now() - cut_off_ >= settings_.partition_grace) {
        return false;
    }
    for (std::size_t i = 0; i < s.size(); ++i) {
        const bool is_heard = s.answers(i) && s.of(i).role()->asked >= cut_off_;
        if (i != primary && !s.is_witness(i) && !s.is_stopped(i) && !is_heard) {
            return true;
        }
    }
    return false;
}

// Promoted while the primary was well, and nothing but its timeline speaks for it.
bool arbiter::is_stray(const survey& s, std::size_t x) const {
    return memory_[x].contests && s.followers(x) == 0 && s.claims_itself(x) != true;
}

bool arbiter::is_granted(const survey& s, std::size_t i) const {
    return s.who(i).name == state_.granted && s.tli(i) == state_.max_granted_tli;
}

}  // namespace pgweir::cluster
