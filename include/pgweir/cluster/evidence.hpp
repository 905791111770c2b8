// What is known of one node of a cluster: each fact with the time it was asked for.
#pragma once

#include "pgweir/base/clock.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pgweir::cluster {

using base::duration;
using base::no_time;
using base::time_point;

using timeline = std::uint32_t;  // 0: not known
using lsn = std::uint64_t;       // 0: not known. For lag only; it never decides a role

// How one probe of a node ended.
enum class contact : std::uint8_t {
    none,         // never asked
    answered,     // the queries came back
    silent,       // nothing came back in time: frozen, unreachable, or very slow
    refused,      // nobody listens there (ECONNREFUSED)
    reset,        // the connection was there and ended (RST, EOF, FATAL 57P01)
    starting_up,  // 57P03: starting up, shutting down, or in crash recovery
    full,         // 53300: alive, but no connection left for us
    denied,       // any other refusal to let us in: alive, but it will not tell its role
};
inline constexpr std::size_t contact_count = static_cast<std::size_t>(contact::denied) + 1;

// Nobody can write to this node at this moment.
[[nodiscard]] constexpr bool proves_stopped(contact c) noexcept {
    return c == contact::refused || c == contact::reset;
}
// Alive, although it told nothing: being full is not being dead.
[[nodiscard]] constexpr bool proves_alive(contact c) noexcept {
    return c == contact::answered || c == contact::full || c == contact::denied;
}

// Who a node is and what it does.
struct role_facts {
    time_point asked = no_time;
    bool in_recovery = false;
    // default_transaction_read_only of the server (not of the monitor's role): whoever set it took
    // the node out of service.
    bool read_only = false;
    std::uint64_t system_identifier = 0;
    // Of the next WAL record on a primary (from pg_walfile_name of the insert LSN), which is exact
    // at once; in recovery the newest that the control file knows, which lags.
    timeline tli = 0;
    lsn position = 0;                     // written by a primary; received by a standby
    lsn replayed = 0;                     // in recovery
    std::optional<duration> replay_age;   // since the commit of the last transaction replayed
    bool replay_paused = false;           // in recovery
    std::int64_t postmaster_started = 0;  // microseconds of the server's clock; for identity only
};

// Where a standby has its WAL from (pg_stat_wal_receiver).
struct receiver_facts {
    time_point asked = no_time;
    bool streaming = false;  // false also where there is no receiver at all
    timeline tli = 0;        // received_tli
    std::string sender_host;
    std::uint16_t sender_port = 0;
    std::string slot;
    std::optional<duration> silence;  // since the last message of its sender
};

// A row of pg_stat_replication, with the slot it uses.
struct sender_row {
    std::string name;  // application_name: repmgr makes it the node's name
    std::string slot;
    bool streaming = false;
    std::optional<duration> silence;  // since the last reply of the standby
    std::string sync_state{};         // shown only
};
struct slot_row {
    std::string name;
    bool active = false;
};
// Whom a node sends WAL to.
struct sender_facts {
    time_point asked = no_time;
    std::vector<sender_row> senders;
    std::vector<slot_row> slots;
};

// A row of repmgr.nodes as the asked node has it.
struct repmgr_row {
    int id = 0;
    std::string name;
    std::string type;  // primary, standby, witness
    bool active = false;
    std::optional<int> upstream;
};
struct repmgr_facts {
    time_point asked = no_time;
    std::optional<int> local_id;  // absent: repmgrd has not attached since the server started
    int term = 0;                 // shown only: neither a switchover nor a person raises it
    std::vector<repmgr_row> nodes;
};

// What one probe brought home. Facts that were not asked for this time are absent, and the older
// ones stay.
struct probe_report {
    time_point asked = no_time;  // when the probe began, also for all its facts
    contact result = contact::none;
    std::optional<role_facts> role;
    std::optional<receiver_facts> receiver;
    std::optional<sender_facts> senders;
    std::optional<repmgr_facts> repmgr;
};

enum class health : std::uint8_t {
    unknown,  // never told its role
    well,
    suspect,  // a probe failed and no other has confirmed it, or its lease ran out
    down,     // confirmed: nobody listens, or it is silent
};

// Collects what is heard of one node. A value; one thread.
class node_evidence {
public:
    // Applies a probe, unless a later one has been applied.
    void apply(const probe_report& report);

    // A pooled connection was answered. `at`: a time at which the node was surely alive, so not
    // later than its answer; the time at which the request was sent is safe. (The time of reading
    // is not: answers wait in the kernel for a client that does not read, and for a process that
    // was stopped.)
    void note_reply(time_point at);
    // A pooled connection said in_hot_standby=on. A probe asked after `at` overrules it.
    void note_recovery(time_point at);
    // Anything else that smells (25006, 57P01, 57P02, 57P03, a reset, a failed connect). It decides
    // nothing, since one backend may end for reasons of its own, but makes probes quick.
    void note_smell(time_point at);

    // `lease`: how long a sign of life lasts.
    [[nodiscard]] health state(time_point now, duration lease) const noexcept;

    // How the last probe ended.
    [[nodiscard]] contact last() const noexcept { return last_; }
    // Did that prove that nobody can write there? Of 57P03 (starting up, shutting down) only behind
    // a connection that the server has ended: in a "smart" shutdown it lets nobody in any more, but
    // who is in goes on.
    [[nodiscard]] bool has_stopped() const noexcept;
    [[nodiscard]] time_point last_asked() const noexcept { return last_asked_; }
    // The newest sign of life; no_time: never.
    [[nodiscard]] time_point alive() const noexcept { return alive_; }
    // When the newest probe that failed was asked; no_time: never.
    [[nodiscard]] time_point failed() const noexcept { return failed_; }
    [[nodiscard]] time_point smelled() const noexcept { return smelled_; }
    // Since when it has been the server it is now: the probe that first told its start time.
    [[nodiscard]] time_point same_since() const noexcept { return same_since_; }

    // Null until told for the first time. Valid until the next apply().
    [[nodiscard]] const role_facts* role() const noexcept { return role_ ? &*role_ : nullptr; }
    [[nodiscard]] const receiver_facts* receiver() const noexcept {
        return receiver_ ? &*receiver_ : nullptr;
    }
    [[nodiscard]] const sender_facts* senders() const noexcept {
        return senders_ ? &*senders_ : nullptr;
    }
    [[nodiscard]] const repmgr_facts* repmgr() const noexcept {
        return repmgr_ ? &*repmgr_ : nullptr;
    }
    // The role told before this one, for a position to compare with what another node told then.
    [[nodiscard]] const role_facts* role_before() const noexcept {
        return role_before_ ? &*role_before_ : nullptr;
    }

private:
    void fail(contact c, time_point asked) noexcept;
    void live(time_point at) noexcept;
    [[nodiscard]] bool has_failed() const noexcept { return failed_ > alive_; }
    [[nodiscard]] bool is_confirmed() const noexcept;

    contact last_ = contact::none;
    time_point last_asked_ = no_time;
    time_point alive_ = no_time;
    time_point failed_ = no_time;
    time_point recovery_noted_ = no_time;
    time_point smelled_ = no_time;
    time_point same_since_ = no_time;
    unsigned stops_ = 0;     // probes in a row that proved it stopped
    unsigned silences_ = 0;  // probes in a row without an answer
    std::optional<role_facts> role_;
    std::optional<role_facts> role_before_;
    std::optional<receiver_facts> receiver_;
    std::optional<sender_facts> senders_;
    std::optional<repmgr_facts> repmgr_;
};

[[nodiscard]] const char* to_string(contact) noexcept;
[[nodiscard]] const char* to_string(health) noexcept;

}  // namespace pgweir::cluster
