// The way from the clients of a pool to its servers: which node they get them from, and the hold.
#pragma once

#include "pgweir/cluster/board.hpp"
#include "pgweir/cluster/routing.hpp"
#include "pgweir/pool/slice.hpp"

#include <compare>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace pgweir::pool {

// Without a cluster a gate is one slice. With one it finds, for each transaction, the slice of a
// node that may serve it; while there is none its clients are held: they wait here, and go to the
// slice of the next node in the order of their coming. Worker thread only; owned by `slices`.
class gate {
public:
    gate(slices& home, gate_key key);
    ~gate();
    gate(const gate&) = delete;
    gate& operator=(const gate&) = delete;

    // Takes over what the configuration says now.
    void configure(const config::snapshot& snapshot);
    // The cluster's view has changed; after the slices have taken note.
    void on_view();

    // As slice::acquire(), take_ready(), dial() and has_ready().
    [[nodiscard]] lease acquire(waiter& w, const settings_ptr& wanted);
    [[nodiscard]] lease take_ready(waiter& w, const settings* wanted) {
        w.origin_ = this;
        auto* s = way_of(w);
        auto taken = s == nullptr ? lease{} : s->take_ready(w, wanted);
        if (taken) {
            next_ = nullptr;  // the choice was for this transaction
        }
        return taken;
    }
    void dial(waiter& w, startup_parameters startup);
    [[nodiscard]] bool has_ready(const waiter& w, const settings* wanted) {
        auto* s = way_of(w);
        return s != nullptr && s->has_ready(wanted);
    }

    // The ParameterStatus messages for a client's welcome, once some server has told. With a
    // cluster, in_hot_standby is what the target promises.
    [[nodiscard]] std::shared_ptr<const std::string> welcome_for(const settings* s) const;
    // A server has told; what a client is told that has waited for it.
    std::string learn_welcome(const settings_ptr& s, const parameter_set& parameters);

    // The database is not configured any more, or not with this kind of user.
    [[nodiscard]] bool is_removed() const noexcept { return removed_; }
    [[nodiscard]] bool has_cluster() const noexcept { return board_ != nullptr; }
    [[nodiscard]] bool is_for_reading() const noexcept {
        return key_.target != config::access_target::primary;
    }
    // --- with a cluster
    [[nodiscard]] const config::cluster_settings& cluster() const noexcept { return cluster_; }
    [[nodiscard]] cluster::board_counts& counts() noexcept { return board_->counts; }
    // Of the last grant that this worker has seen.
    [[nodiscard]] std::uint64_t epoch() const noexcept { return epoch_; }
    // Since when there has been no node for its clients.
    [[nodiscard]] base::time_point hold_since() const noexcept { return hold_since_; }
    // What a client is told that has waited for a node in vain.
    [[nodiscard]] unavailable no_node() const;

    // For those who have waited in vain: what the last failed login said, and what was in the way.
    [[nodiscard]] std::string last_error() const;
    [[nodiscard]] directory::refusal in_the_way() const noexcept;
    // Does anybody wait for a server of this pool, on any worker?
    [[nodiscard]] bool has_waiters() const noexcept;

    [[nodiscard]] const gate_key& key() const noexcept { return key_; }
    [[nodiscard]] const config::pool_settings& pool() const noexcept { return pool_; }
    [[nodiscard]] const config::timeout_settings& timeouts() const noexcept { return timeouts_; }
    [[nodiscard]] metrics::traffic& traffic() noexcept { return *traffic_; }
    [[nodiscard]] protocol::statement_store& statements() noexcept { return *statements_; }
    [[nodiscard]] bool is_deserted() const noexcept { return residents_ == 0; }
    // Clients of this gate, by what they do; kept by the clients.
    unsigned clients_idle = 0;
    unsigned clients_active = 0;

    void fill(metrics::report& r) const;

    // --- called by slices and waiters
    // Does it send clients there now?
    [[nodiscard]] bool sends_to(const slice& s) const noexcept;
    // A waiter of this gate whose slice cannot serve it any more.
    void take_back(waiter& w);
    void on_withdrawn(waiter& w) noexcept;

private:
    friend class residence;
    // A node and our part of its pool. Keeps the slice.
    struct branch {
        branch(std::string name, slice& s) noexcept : node{std::move(name)}, where{&s} {
            ++s.gates;
        }
        branch(branch&& o) noexcept
            : node{std::move(o.node)},
              where{std::exchange(o.where, nullptr)},
              readable{o.readable},
              back{o.back} {}
        branch& operator=(branch&& o) noexcept {
            std::swap(node, o.node);
            std::swap(where, o.where);
            std::swap(readable, o.readable);
            std::swap(back, o.back);
            return *this;
        }
        ~branch() {
            if (where != nullptr) {
                --where->gates;
            }
        }

        std::string node;
        slice* where;
        bool readable = false;
        base::time_point back = base::no_time;  // see cluster::read_candidate
    };

    [[nodiscard]] connect_failure removal() const;
    [[nodiscard]] std::string promise_in(std::string welcome) const;
    void attach(const config::snapshot& snapshot, const config::database_settings& database);
    [[nodiscard]] waiter_list detach();
    void open_branches(const config::snapshot& snapshot);
    void note_readable();
    void send_on();
    [[nodiscard]] slice* route_read(const waiter& w);
    // Where a client goes that asks now; null: nowhere.
    [[nodiscard]] slice* way_of(const waiter& w) {
        return !is_for_reading() || board_ == nullptr ? current_ : route_read(w);
    }
    void hold(waiter& w) noexcept;
    void hold_all(waiter_list& from) noexcept;
    void unhold(waiter& w) noexcept;
    // As unhold(), and its time counts.
    void end_hold(waiter& w) noexcept;
    void note_hold(bool is_on) noexcept;
    void enter_hold(waiter& w);
    [[nodiscard]] bool rejects() const noexcept;
    void refuse_held(const unavailable& why);
    [[nodiscard]] base::time_point now() const noexcept { return home_.loop().now(); }

    slices& home_;
    const gate_key key_;
    bool removed_ = false;
    config::pool_settings pool_;
    config::timeout_settings timeouts_;
    metrics::traffic* traffic_;
    std::shared_ptr<protocol::statement_store> statements_;
    unsigned residents_ = 0;
    key_ring::interest identity_;  // its clients may need a server at any time

    // Where clients go now; null: nowhere, or wherever route_read() says.
    slice* current_ = nullptr;
    std::vector<branch> branches_;  // without a cluster one

    std::shared_ptr<cluster::board> board_;  // null: no cluster
    std::string cluster_name_;
    std::uint64_t epoch_ = 0;
    config::cluster_settings cluster_;
    cluster::read_router router_;
    std::vector<cluster::read_candidate> candidates_;  // parallel to branches_
    bool has_seen_nodes_ = false;
    // What route_read() has chosen, and for whom: the acquire() that follows takes it.
    slice* next_ = nullptr;
    const waiter* next_for_ = nullptr;
    base::time_point hold_since_ = base::no_time;
    base::time_point hold_began_ = base::no_time;  // of the present hold, or else of the last one
    waiter_list held_;
};

// A client's place at a gate, from its login to its end; the gate stays as long. Move-only.
// Worker thread only.
class residence {
public:
    residence() = default;
    explicit residence(gate& g) noexcept : gate_{&g} { ++g.residents_; }
    residence(residence&& o) noexcept : gate_{std::exchange(o.gate_, nullptr)} {}
    residence& operator=(residence&& o) noexcept {
        leave();
        gate_ = std::exchange(o.gate_, nullptr);
        return *this;
    }
    ~residence() { leave(); }

    explicit operator bool() const noexcept { return gate_ != nullptr; }
    gate* operator->() const noexcept { return gate_; }

private:
    void leave() noexcept {
        if (gate_ != nullptr) {
            --gate_->residents_;
        }
    }

    gate* gate_ = nullptr;
};

}  // namespace pgweir::pool
