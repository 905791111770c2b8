// What the evidence of all nodes says together, at one moment and without memory.
#pragma once

#include "pgweir/cluster/arbiter.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace pgweir::cluster {

// Questions of the arbiter's rules, answered from facts that are fresh: asked for within a lease.
// Lives for one decision; what it was made from must outlive it.
class survey {
public:
    // `system`: the identifier this cluster must have; 0: any.
    survey(std::span<const member> members,
           std::span<const node_evidence> evidence,
           const arbiter_settings& settings,
           std::uint64_t system,
           time_point now) noexcept
        : members_{members}, evidence_{evidence}, settings_{settings}, system_{system}, now_{now} {}

    [[nodiscard]] std::size_t size() const noexcept { return members_.size(); }
    [[nodiscard]] time_point now() const noexcept { return now_; }
    [[nodiscard]] const member& who(std::size_t i) const { return members_[i]; }
    [[nodiscard]] const node_evidence& of(std::size_t i) const { return evidence_[i]; }

    // Of one node.
    [[nodiscard]] health state(std::size_t i) const;
    // Why it is not the node of this cluster that it should be; none: nothing says so.
    [[nodiscard]] node_reason quarantine(std::size_t i) const;
    [[nodiscard]] bool is_witness(std::size_t i) const;
    // Well, and one of us.
    [[nodiscard]] bool answers(std::size_t i) const;
    // Says that it is a primary that can be written to.
    [[nodiscard]] bool claims(std::size_t i) const;
    [[nodiscard]] bool in_recovery(std::size_t i) const;
    // The newest timeline it is known to be on; 0: not known.
    [[nodiscard]] timeline tli(std::size_t i) const;
    // Nobody can write to it at this moment: confirmed.
    [[nodiscard]] bool is_stopped(std::size_t i) const;
    // Confirmed down, and asked within a lease.
    [[nodiscard]] bool is_known_down(std::size_t i) const;
    // Heard of within a lease, and not confirmed down.
    [[nodiscard]] bool is_heard(std::size_t i) const;
    // Its own row in repmgr's metadata, as it has them, says active primary; absent: not known.
    [[nodiscard]] std::optional<bool> claims_itself(std::size_t i) const;

    // Of two.
    // Standby i receives WAL now, from whomever.
    [[nodiscard]] bool streams(std::size_t i) const;
    // The node at the top of standby i's chain of senders; absent: it leads to none that is known.
    // REQUIRES: streams(i).
    [[nodiscard]] std::optional<std::size_t> root(std::size_t i) const;
    // Standby y streams from x, directly or through others, on the timeline x is on.
    [[nodiscard]] bool follows(std::size_t y, std::size_t x) const;
    [[nodiscard]] unsigned followers(std::size_t x) const;
    // x does not answer us, but a standby has got something from it since: x is alive.
    [[nodiscard]] bool is_heard_by_standby(std::size_t x) const;
    // y's metadata say that x is no longer an active primary.
    [[nodiscard]] bool has_written_off(std::size_t y, std::size_t x) const;
    // x sends WAL to y, as x sees it, and y replies.
    [[nodiscard]] bool sends(std::size_t x, std::size_t y) const;

    // Of all: how many hold data, whether they answer or not.
    [[nodiscard]] std::size_t voters() const;

private:
    [[nodiscard]] bool is_fresh(time_point asked) const { return now_ - asked < settings_.lease; }
    [[nodiscard]] bool is_other_node(std::size_t i) const;
    [[nodiscard]] bool is_duplicate(std::size_t i) const;
    [[nodiscard]] const repmgr_facts* repmgr(std::size_t i) const;
    [[nodiscard]] const repmgr_row* row_of(const repmgr_facts& table, std::size_t i) const;
    [[nodiscard]] std::optional<std::size_t> sender_of(std::size_t i) const;
    template <class Predicate>
    [[nodiscard]] std::optional<std::size_t> only_one(std::size_t but, Predicate p) const;

    std::span<const member> members_;
    std::span<const node_evidence> evidence_;
    const arbiter_settings& settings_;
    std::uint64_t system_;
    time_point now_;
};

}  // namespace pgweir::cluster
