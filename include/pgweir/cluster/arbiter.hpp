// Decides which node of a cluster is the primary that may be written to: from evidence, and purely.
#pragma once

#include "pgweir/cluster/evidence.hpp"
#include "pgweir/cluster/member.hpp"
#include "pgweir/cluster/state.hpp"
#include "pgweir/cluster/view.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace pgweir::cluster {

class survey;

// What to do while the silent nodes could have elected another primary. With fewer than three nodes
// it is off: one silent node would stop every write.
enum class isolation_guard : std::uint8_t { off, hold, reject };
// Who gets the first grant: the node that a majority vouches for, or whoever claims alone.
enum class cold_start : std::uint8_t { majority, self };

struct arbiter_settings {
    duration check_interval = std::chrono::seconds{1};        // between probes, pace::normal
    duration quick_interval = std::chrono::milliseconds{50};  // pace::quick
    // How long a sign of life lasts. Longer than check_interval and a probe's timeout together.
    duration lease = std::chrono::milliseconds{2'500};
    // Ambiguity holds writes this long, then rejects them.
    duration conflict_hold = std::chrono::seconds{5};
    // A primary that is silent for longer may be succeeded without its metadata saying so, and one
    // that was in trouble for less time ago does not serve beside another claimant.
    duration partition_grace = std::chrono::seconds{10};
    // A claimant that the primary outlives this long, followed by nobody, is a rogue. Longer than
    // repmgr takes to write its metadata and to let the standbys follow.
    duration rogue_after = std::chrono::seconds{5};
    // A sender's standby that has not replied for longer does not count. Longer than
    // wal_receiver_status_interval, 10 s by default.
    duration follower_silence = std::chrono::seconds{15};
    isolation_guard guard = isolation_guard::hold;
    cold_start start = cold_start::majority;
    std::uint64_t system_identifier = 0;  // 0: learned from the first majority that agrees
};

// How an operator's command ended.
enum class verb_result : std::uint8_t {
    done,
    unknown_node,
    not_a_primary,  // FORCE PRIMARY of a node that does not answer as a writable primary
    quarantined,    // ... that does not belong to this cluster
    no_primary,     // SWITCHOVER while none is served
    no_switchover,  // there is none to end
};

// The rules are in arbiter.cpp, in the order in which they apply. They use timelines, repmgr's
// metadata and who streams from whom; never an LSN, the order of nodes, or who answered last. So
// several poolers come to the same view without talking to each other.
//
// Sans-io: time comes in as values that never fall. Owned by whoever collects the evidence; one
// thread.
class arbiter {
public:
    // `state`: as it was before the restart, or empty.
    arbiter(const arbiter_settings& settings, std::vector<member> members, cluster_state state);

    // After a reload or a discovery. What is remembered of nodes stays with their names.
    void configure(const arbiter_settings& settings, std::vector<member> members);

    // The node is another server from now on: what is remembered of the one at its old address does
    // not count, and what was granted to that does not hold for this one.
    void note_move(std::string_view name);

    // The one decision. `evidence[i]` is that of member i. Call it when evidence has changed, after
    // each command, and when the last view asked for it. Before its view is used, state() must be
    // on disk if it differs from what is there. The view is valid until the next call.
    const cluster_view& decide(std::span<const node_evidence> evidence, time_point now);

    // Grants the node whatever speaks against it except that it is no writable primary of this
    // cluster; all others are disowned.
    verb_result force_primary(std::string_view name,
                              std::span<const node_evidence> evidence,
                              time_point now);
    // The node gets nothing, whatever it is, until unfence(), which also lifts what disowned it.
    verb_result fence(std::string_view name);
    verb_result unfence(std::string_view name);
    // After pg_upgrade or a restore: as if started without a state file. The epoch goes on, and
    // what an operator has fenced stays so.
    void forget_cluster();
    // Holds writes until the next grant, switchover_end(), or `until`.
    verb_result switchover_begin(time_point until);
    verb_result switchover_end() noexcept;

    [[nodiscard]] const cluster_state& state() const noexcept { return state_; }
    [[nodiscard]] const cluster_view& view() const noexcept { return view_; }
    [[nodiscard]] std::span<const member> members() const noexcept { return members_; }

private:
    // What is remembered of a node between decisions, and forgotten by a restart.
    struct memory {
        time_point claims_since =
            no_time;  // it has claimed its timeline since; no_time: it does not
        timeline claimed = 0;
        bool contests = false;          // the primary was seen well after this claim began
        bool seen_in_recovery = false;  // as a standby of this cluster
        bool read_well = false;         // its reads were good when a primary was last served
        time_point troubled = no_time;  // not well, last time
        time_point back = no_time;      // when its first good answer after that was asked
    };
    struct verdict {
        std::optional<std::size_t> primary;
        cause why = cause::none;
    };
    // Why the granted node does not serve.
    enum class absence : std::uint8_t {
        suspect,    // not confirmed
        stopped,    // nobody can write to it: it has stopped, or is in recovery
        silent,     // it may be alive
        set_aside,  // it answers, and must not be used
    };
    // What becomes of a claimant beside a primary that is well.
    enum class outcome : std::uint8_t {
        pending,  // the primary has not been asked since
        wins,
        loses,
        undecided,
    };
    using indices = std::vector<std::size_t>;

    // Before the verdict: what this round of evidence changes in what is remembered.
    void learn_system(const survey& s);
    void remember(const survey& s);
    void readmit(const survey& s);
    void disown_by_metadata(const survey& s);

    // The verdict.
    verdict judge(const survey& s);
    [[nodiscard]] verdict judge_first_grant(const survey& s, const indices& candidates) const;
    verdict judge_challenge(const survey& s, std::size_t primary, const indices& challengers);
    [[nodiscard]] outcome judge_challenger(const survey& s,
                                           std::size_t x,
                                           std::size_t primary) const;
    [[nodiscard]] verdict judge_succession(const survey& s,
                                           std::size_t primary,
                                           const indices& claimants) const;
    [[nodiscard]] bool succeeds(const survey& s, std::size_t x, std::size_t primary) const;
    [[nodiscard]] absence absence_of(const survey& s, std::size_t i) const;

    // What the rules ask.
    [[nodiscard]] node_reason fence_of(const survey& s, std::size_t i) const;
    [[nodiscard]] bool is_discredited(const survey& s, std::size_t i) const;
    [[nodiscard]] bool is_vouched_for(const survey& s, std::size_t x) const;
    [[nodiscard]] bool may_resume(const survey& s, std::size_t primary) const;
    [[nodiscard]] bool is_overtaken(const survey& s, std::size_t x) const;
    [[nodiscard]] bool is_cut_off(const survey& s, std::size_t x) const;
    [[nodiscard]] bool may_have_been_succeeded(const survey& s, std::size_t primary) const;
    [[nodiscard]] bool is_stray(const survey& s, std::size_t x) const;
    [[nodiscard]] bool is_granted(const survey& s, std::size_t i) const;
    [[nodiscard]] std::optional<std::size_t> find(std::string_view name) const;

    // After the verdict.
    void disown(std::string_view name, disowning why);
    void grant(const survey& s, std::size_t i);
    void publish(const survey& s, const verdict& v);
    [[nodiscard]] write_mode writes_of(const verdict& v, time_point now) const;
    node_view describe(const survey& s, std::size_t i, const verdict& v);
    void describe_reads(const survey& s, std::size_t i, const verdict& v, node_view& out);
    [[nodiscard]] pace pace_of(const survey& s, const verdict& v) const;

    arbiter_settings settings_;
    std::vector<member> members_;
    std::vector<memory> memory_;  // parallel to members_
    cluster_state state_;
    cluster_view view_;
    time_point started_ = no_time;  // the first decision
    time_point decided_ = no_time;  // the last decision
    time_point cut_off_ = no_time;  // when the primary was alone with us, last
    bool has_served_ = false;       // since the start, or since the cluster was forgotten
    time_point switchover_until_ = no_time;
};

[[nodiscard]] const char* to_string(verb_result) noexcept;

}  // namespace pgweir::cluster
