// What the arbiter has decided: who may be written to, who may be read from, and why.
#pragma once

#include "pgweir/cluster/evidence.hpp"
#include "pgweir/cluster/state.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace pgweir::cluster {

// What becomes of a transaction that wants the primary.
enum class write_mode : std::uint8_t {
    serve,   // it goes to the primary
    hold,    // it waits for one
    reject,  // 57P03: waiting is not expected to help
};

// Why no primary is served.
enum class cause : std::uint8_t {
    none,            // one is
    starting,        // not every node has been asked yet
    no_majority,     // too few nodes vouch for a first grant, or for going on after a restart
    no_claimant,     // no node says that it is a primary
    suspect,         // the primary failed a probe or its lease ran out; not confirmed yet
    looking_around,  // the primary is back; first every other node must have been asked since
    unconfirmed,     // a node claims to be the successor, and evidence for it is still missing
    contested,       // the primary was in trouble, and now it and another node both claim
    ambiguous,       // several nodes claim, and the evidence does not order them
    overtaken,       // a standby streams on a newer timeline, from a primary that is not seen
    isolated,        // the silent nodes could have elected another primary
    set_aside,       // the primary is fenced, disowned or read-only
    switchover,      // an operator holds writes while the role moves
    unsaved,         // the grant could not be written to the state file (never the arbiter's)
};
inline constexpr std::size_t cause_count = static_cast<std::size_t>(cause::unsaved) + 1;

enum class node_state : std::uint8_t {
    unknown,      // not asked yet, or it does not tell
    standby,      // in recovery
    claimant,     // says that it is a primary, and is not granted
    primary,      // granted
    suspect,      // a probe failed, or its lease ran out
    down,         // confirmed
    fenced,       // says that it is a primary and must not be, or was set aside
    quarantined,  // not a node of this cluster, or not the node it should be
};

// The reason behind a node's state, or behind what it is not used for.
enum class node_reason : std::uint8_t {
    none,
    foreign_system,    // another system identifier
    wrong_identity,    // another repmgr node answers at its address
    duplicate,         // the same server as another node
    witness,           // repmgr's witness: it holds no data
    old_timeline,      // claims a timeline older than one that was granted
    disowned,          // lost its role; see disowned()
    operator_fence,    // FENCE
    read_only,         // its server is set to default_transaction_read_only
    rival,             // claims beside the primary, and has not convinced
    not_streaming,     // a standby without a sender, or with one that is not the primary
    replay_paused,     // a standby that was told to stop applying
    follows_fenced,    // a standby of a node that lost its role
    last_probe,        // see contact: silent, refused, ...
    lease_expired,     // nothing heard for longer than a lease
    says_in_recovery,  // a connection of it said so; the next probe tells
};

enum class read_quality : std::uint8_t {
    none,
    stale,  // of this cluster, but how far behind is not known: for want of anything better
    good,
};

struct node_view {
    node_state state = node_state::unknown;
    node_reason reason = node_reason::none;
    read_quality reads = read_quality::none;
    // All server connections to it must be closed, and none made: nothing may be sent there.
    bool cut = false;
    timeline tli = 0;
    unsigned followers = 0;              // standbys that answer and stream from it on its timeline
    std::optional<bool> claims_itself;   // repmgr: its own row says active primary
    std::optional<disowning> disowned;   // until it is seen in recovery on the granted timeline
    std::optional<std::uint64_t> lag;    // bytes it has still to replay; absent: not known
    std::optional<duration> replay_lag;  // absent: not known

    friend bool operator==(const node_view&, const node_view&) = default;
};

// How often the nodes want to be probed.
enum class pace : std::uint8_t {
    normal,
    quick,    // something smells
    at_once,  // each node now, then quick: a decision waits for answers asked from now on
};

// Index i of `nodes` is member i of the arbiter.
struct cluster_view {
    std::uint64_t epoch = 0;
    write_mode writes = write_mode::hold;
    cause why = cause::starting;
    time_point since = no_time;  // `why` has been the cause since
    // The node that may be written to; absent unless `writes` is serve.
    std::optional<std::size_t> primary;
    timeline tli = 0;                  // the newest granted
    time_point lease_until = no_time;  // of the primary
    // An operator moves the role: nothing begins on the primary until then, whatever `why` says
    // meanwhile. no_time: nobody does.
    time_point switchover_until = no_time;
    // Who has the grant, served or not; absent: no node of this cluster.
    std::optional<std::size_t> granted;
    bool split_brain = false;  // more than one node of this cluster says it is a primary
    std::vector<node_view> nodes;
    pace probes = pace::quick;
    // decide() wants to be called then at the latest, and whenever evidence has changed.
    time_point ask_again = no_time;
};

[[nodiscard]] const char* to_string(write_mode) noexcept;
[[nodiscard]] const char* to_string(cause) noexcept;
[[nodiscard]] const char* to_string(node_state) noexcept;
[[nodiscard]] const char* to_string(node_reason) noexcept;
[[nodiscard]] const char* to_string(read_quality) noexcept;

}  // namespace pgweir::cluster
