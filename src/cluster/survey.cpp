// Identity, roles and streaming relations, from the evidence of all nodes.
#include "cluster/survey.hpp"

#include <algorithm>
#include <string>

namespace pgweir::cluster {
namespace {

bool is_active_primary(const repmgr_row& row) { return row.type == "primary" && row.active; }

}  // namespace

health survey::state(std::size_t i) const { return evidence_[i].state(now_, settings_.lease); }

node_reason survey::quarantine(std::size_t i) const {
    const auto* role = evidence_[i].role();
    if (role == nullptr) {
        return node_reason::none;
    }
    if (is_witness(i)) {
        return node_reason::witness;
    }
    if (system_ != 0 && role->system_identifier != system_) {
        return node_reason::foreign_system;
    }
    if (is_other_node(i)) {
        return node_reason::wrong_identity;
    }
    return is_duplicate(i) ? node_reason::duplicate : node_reason::none;
}

// A witness answers as a primary and has a table of nodes like one, in which it says what it is.
bool survey::is_witness(std::size_t i) const {
    for (std::size_t j = 0; j < size(); ++j) {
        const auto* table = repmgr(j);
        const auto* row = table != nullptr ? row_of(*table, i) : nullptr;
        if (row != nullptr && row->type == "witness") {
            return true;
        }
    }
    return false;
}

// Its address leads to another node: swapped DNS, a VIP that moved.
bool survey::is_other_node(std::size_t i) const {
    const auto* table = repmgr(i);
    if (table == nullptr || !table->local_id) {
        return false;
    }
    if (members_[i].repmgr_id) {
        return *members_[i].repmgr_id != *table->local_id;
    }
    const auto row = std::ranges::find(table->nodes, *table->local_id, &repmgr_row::id);
    return row != table->nodes.end() && row->name != members_[i].name &&
           std::ranges::any_of(members_, [&](const member& m) { return m.name == row->name; });
}

// Two addresses of one server are one node: the one that led there first.
bool survey::is_duplicate(std::size_t i) const {
    const auto& mine = *evidence_[i].role();
    for (std::size_t j = 0; j < size(); ++j) {
        const auto* other = evidence_[j].role();
        if (j == i || other == nullptr || state(j) != health::well ||
            other->postmaster_started == 0 ||
            other->postmaster_started != mine.postmaster_started ||
            other->system_identifier != mine.system_identifier) {
            continue;
        }
        const auto here = evidence_[i].same_since();
        const auto there = evidence_[j].same_since();
        if (there < here || (there == here && j < i)) {
            return true;
        }
    }
    return false;
}

bool survey::answers(std::size_t i) const {
    return state(i) == health::well && quarantine(i) == node_reason::none;
}

bool survey::claims(std::size_t i) const {
    return answers(i) && !evidence_[i].role()->in_recovery && !evidence_[i].role()->read_only;
}

bool survey::in_recovery(std::size_t i) const {
    return answers(i) && evidence_[i].role()->in_recovery;
}

timeline survey::tli(std::size_t i) const {
    const auto* role = evidence_[i].role();
    if (role == nullptr) {
        return 0;
    }
    return streams(i) ? std::max(role->tli, evidence_[i].receiver()->tli) : role->tli;
}

bool survey::is_stopped(std::size_t i) const {
    return state(i) == health::down && evidence_[i].has_stopped();
}

bool survey::is_known_down(std::size_t i) const {
    return state(i) == health::down && is_fresh(evidence_[i].last_asked());
}

bool survey::is_heard(std::size_t i) const {
    return state(i) != health::down && evidence_[i].role() != nullptr &&
           is_fresh(evidence_[i].alive());
}

std::optional<bool> survey::claims_itself(std::size_t i) const {
    const auto* table = repmgr(i);
    const auto* row = table != nullptr ? row_of(*table, i) : nullptr;
    if (row == nullptr) {
        return std::nullopt;
    }
    return is_active_primary(*row);
}

bool survey::streams(std::size_t i) const {
    const auto* receiver = evidence_[i].receiver();
    return in_recovery(i) && receiver != nullptr && receiver->streaming &&
           is_fresh(receiver->asked);
}

// Up the chain of a cascade, as far as it is known. It may end at a node that does not answer.
std::optional<std::size_t> survey::root(std::size_t i) const {
    auto top = sender_of(i);
    for (std::size_t steps = 0; top && streams(*top); ++steps) {
        if (steps == size()) {
            return std::nullopt;  // a circle
        }
        top = sender_of(*top);
    }
    return top;
}

// Who sends to standby i: by the address it streams from, or else by who lists it, or by who has
// its slot in use. An address may be written in many ways; what two nodes match proves nothing.
std::optional<std::size_t> survey::sender_of(std::size_t i) const {
    const auto& receiver = *evidence_[i].receiver();
    if (const auto by_address = only_one(i, [&](std::size_t j) {
            return members_[j].port == receiver.sender_port &&
                   std::ranges::find(members_[j].hosts, receiver.sender_host) !=
                       members_[j].hosts.end();
        })) {
        return by_address;
    }
    if (const auto by_list = only_one(i, [&](std::size_t j) { return sends(j, i); })) {
        return by_list;
    }
    return only_one(i, [&](std::size_t j) {
        const auto* senders = evidence_[j].senders();
        return senders != nullptr && is_fresh(senders->asked) && !receiver.slot.empty() &&
               std::ranges::any_of(senders->slots, [&](const slot_row& slot) {
                   return slot.active && slot.name == receiver.slot;
               });
    });
}

template <class Predicate>
std::optional<std::size_t> survey::only_one(std::size_t but, Predicate p) const {
    std::optional<std::size_t> found;
    for (std::size_t j = 0; j < size(); ++j) {
        if (j != but && p(j)) {
            if (found) {
                return std::nullopt;
            }
            found = j;
        }
    }
    return found;
}

bool survey::follows(std::size_t y, std::size_t x) const {
    return y != x && streams(y) && evidence_[y].receiver()->tli == tli(x) && root(y) == x;
}

unsigned survey::followers(std::size_t x) const {
    unsigned count = 0;
    for (std::size_t y = 0; y < size(); ++y) {
        count += follows(y, x) ? 1 : 0;
    }
    return count;
}

bool survey::is_heard_by_standby(std::size_t x) const {
    if (state(x) == health::well) {
        return false;
    }
    for (std::size_t y = 0; y < size(); ++y) {
        if (follows(y, x) && evidence_[y].receiver()->silence &&
            evidence_[y].receiver()->asked - *evidence_[y].receiver()->silence >
                evidence_[x].failed()) {
            return true;
        }
    }
    return false;
}

// y's table must be that of the primary it names: y itself, or the one it streams from. The table
// of a node that was promoted by accident is as old as its promotion.
bool survey::has_written_off(std::size_t y, std::size_t x) const {
    const auto* table = repmgr(y);
    const auto* row = table != nullptr ? row_of(*table, x) : nullptr;
    if (row == nullptr || is_active_primary(*row)) {
        return false;
    }
    const auto primary = claims(y) ? y : streams(y) ? root(y) : std::nullopt;
    const auto* successor = primary ? row_of(*table, *primary) : nullptr;
    return primary ? successor != nullptr && is_active_primary(*successor)
                   : std::ranges::any_of(table->nodes, is_active_primary);
}

bool survey::sends(std::size_t x, std::size_t y) const {
    const auto* facts = evidence_[x].senders();
    if (facts == nullptr || !is_fresh(facts->asked) || !answers(x)) {
        return false;
    }
    const auto* receiver = evidence_[y].receiver();
    const auto* table = repmgr(x);
    const auto* row = table != nullptr ? row_of(*table, y) : nullptr;
    return std::ranges::any_of(facts->senders, [&](const sender_row& sender) {
        const bool is_named =
            sender.name == members_[y].name || (row != nullptr && sender.name == row->name);
        const bool has_slot =
            !sender.slot.empty() &&
            ((receiver != nullptr && sender.slot == receiver->slot) ||
             (row != nullptr && sender.slot == "repmgr_slot_" + std::to_string(row->id)));
        return sender.streaming && (is_named || has_slot) &&
               sender.silence.value_or(duration::zero()) < settings_.follower_silence;
    });
}

std::size_t survey::voters() const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < size(); ++i) {
        count += is_witness(i) ? 0 : 1;
    }
    return count;
}

const repmgr_facts* survey::repmgr(std::size_t i) const {
    const auto* table = evidence_[i].repmgr();
    return table != nullptr && is_fresh(table->asked) && state(i) == health::well ? table : nullptr;
}

const repmgr_row* survey::row_of(const repmgr_facts& table, std::size_t i) const {
    auto id = members_[i].repmgr_id;
    if (const auto* own = evidence_[i].repmgr(); !id && own != nullptr) {
        id = own->local_id;
    }
    const auto row = id ? std::ranges::find(table.nodes, *id, &repmgr_row::id)
                        : std::ranges::find(table.nodes, members_[i].name, &repmgr_row::name);
    return row != table.nodes.end() ? &*row : nullptr;
}

}  // namespace pgweir::cluster
