// One worker's part of a pool: its servers, and the queue of its waiting clients.
#pragma once

#include "pgweir/cluster/board.hpp"
#include "pgweir/config/snapshot.hpp"
#include "pgweir/net/address.hpp"
#include "pgweir/net/background.hpp"
#include "pgweir/pool/key_ring.hpp"
#include "pgweir/pool/server.hpp"
#include "pgweir/pool/tls_store.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <vector>

namespace pgweir::pool {

class gate;
class slice;
class slices;

// Why a client that waits, or would have to, is sent on with an error; its connection goes on.
struct unavailable {
    std::string sqlstate;
    std::string message;
    std::string detail;
    std::string hint;
};

// A client in the queue for a server. Leaves the queue by withdraw() or by dying. Worker thread
// only.
class waiter : public server_user,
               public boost::intrusive::list_base_hook<
                   boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    // Its turn: the server is idle, clean, and has the settings asked for.
    virtual void on_server(lease server) = 0;
    // Waiting is in vain: PostgreSQL refuses the login or the settings.
    virtual void on_refused(const connect_failure& why) = 0;
    // No node of the cluster may serve it, and waiting longer is not expected to help.
    virtual void on_unavailable(const unavailable& why);
    // It is held now, or was and waits for a server again.
    virtual void on_hold_changed() {}
    // What balancing by hash goes by; and bytes of its request that are in our memory.
    [[nodiscard]] virtual std::uint64_t balance_key() const noexcept { return 0; }
    [[nodiscard]] virtual std::size_t kept_bytes() const noexcept { return 0; }

    [[nodiscard]] base::time_point waiting_since() const noexcept { return since_; }
    [[nodiscard]] bool is_waiting() const noexcept { return queue_ != nullptr || held_; }
    // Waits for a node, not for a server.
    [[nodiscard]] bool is_held() const noexcept { return held_; }
    void withdraw() noexcept;

protected:
    waiter() = default;
    ~waiter() { withdraw(); }

private:
    friend class gate;
    friend class slice;
    friend class server;
    slice* queue_ = nullptr;
    gate* origin_ = nullptr;       // where it came from, with a cluster
    bool held_ = false;            // in the gate's list
    server* preparing_ = nullptr;  // a server that is being made ready for us
    settings_ptr wanted_;
    startup_parameters startup_;  // for a server of its own; empty: any will do
    base::time_point since_{};
};

using waiter_list = boost::intrusive::list<waiter, boost::intrusive::constant_time_size<false>>;
using idle_list = boost::intrusive::list<server,
                                         boost::intrusive::base_hook<idle_hook>,
                                         boost::intrusive::constant_time_size<false>>;
using member_list = boost::intrusive::list<server,
                                           boost::intrusive::base_hook<member_hook>,
                                           boost::intrusive::constant_time_size<false>>;

// The queue and the servers of one pool on one worker. A client finds a server in
// three ways: an idle one of this slice, a new connection if a permit is to be had, or one that
// another worker gives away. Worker thread only; owned by `slices`.
class slice final : private net::timer {
public:
    slice(slices& home, shelf_ptr s);
    ~slice() override;

    // Takes over what the configuration says now. A pool whose database is gone closes its idle
    // servers and refuses clients.
    void configure(const config::snapshot& snapshot);
    [[nodiscard]] bool is_removed() const noexcept { return target_ == nullptr; }

    // A server at once, or a place in the queue. `wanted` must not be null.
    [[nodiscard]] lease acquire(waiter& w, const settings_ptr& wanted);
    // A server at once or nothing, which leaves `w` where it is. Asks for the right to begin, which
    // ends whenever the watch thread says so.
    [[nodiscard]] lease take_ready(waiter& w, const settings* wanted);
    // A new server for `w` alone, logged in with `startup` (not empty) besides user and database.
    // It counts in the pool; an idle one makes room for it. It is closed at the end of the lease.
    void dial(waiter& w, startup_parameters startup);
    // Would acquire() lend a server at once, if a transaction may begin? Not when the only idle one
    // must be checked or prepared first. Cheap; lets a client leave its query in the kernel. The
    // right to begin is asked for by take_ready(), once: whoever is told there that it has ended
    // waits, and with somebody in the queue this is false.
    [[nodiscard]] bool has_ready(const settings* wanted) noexcept {
        return ready(wanted) != nullptr;
    }

    // The ParameterStatus messages for a client's welcome, once some server of the pool has told,
    // on whichever worker.
    [[nodiscard]] std::shared_ptr<const std::string> welcome_for(const settings* s) const;
    void learn_welcome(const settings_ptr& s, const parameter_set& parameters);

    // What last kept this pool from another server, for those who have waited in vain.
    [[nodiscard]] directory::refusal in_the_way() const noexcept { return in_the_way_; }
    [[nodiscard]] shelf& common() noexcept { return *shelf_; }
    // Nobody is here, neither client nor server, and none is awaited.
    [[nodiscard]] bool is_deserted() const noexcept {
        return gates == 0 && members_.empty() && asked_ == 0;
    }
    [[nodiscard]] const config::pool_settings& pool() const noexcept { return pool_; }
    [[nodiscard]] const config::timeout_settings& timeouts() const noexcept { return timeouts_; }
    [[nodiscard]] metrics::traffic& traffic() noexcept { return *traffic_; }
    [[nodiscard]] slices& home() noexcept { return home_; }
    [[nodiscard]] protocol::statement_store& statements() noexcept { return *statements_; }
    // Gates that send clients here; kept by the gates.
    unsigned gates = 0;

    void fill(metrics::report& r, unsigned parts) const;

    // --- with a cluster: this is the pool of one node
    // Takes note of what the node may be used for now. One that lost its role has all its
    // connections reset before this returns.
    void on_view();
    // May a transaction begin here now? With a cluster one load and two compares.
    [[nodiscard]] bool is_open() const noexcept { return !guarded_ || allows(*open_word_); }
    // And on a server that is lent already? PAUSE takes nobody's server away.
    [[nodiscard]] bool may_begin() const noexcept { return !clustered_ || allows(*word_); }
    // May a transaction that is open go on?
    [[nodiscard]] bool may_continue() const noexcept { return may_begin() || finishes_; }
    // A client waits until may_begin() or may_continue() changes; all holders are told when it
    // does. A lease that has run out and is renewed makes no view, so this is looked for as well.
    void await_standing();
    // Moves the waiters of `of` to the end of `to`.
    void evacuate(const gate& of, waiter_list& to) noexcept;
    // Takes all of `from`, in the order of how long they have waited, and serves whom it can.
    void absorb(waiter_list& from);
    // Servers in use and clients waiting, on this worker.
    [[nodiscard]] unsigned load() const noexcept;
    // The node answered a request that was sent at `asked` or later.
    void note_reply(base::time_point asked) noexcept;
    void smell(cluster::smell what) const;
    // A connection of its ended as those of a dying node do. Nothing begins on the primary, on any
    // worker, until it has shown that it lives.
    void note_break(cluster::smell what) const;
    void count_fenced() noexcept;
    // The node is the one that may be written to, or is about to give that up.
    [[nodiscard]] bool is_primary() const noexcept { return primary_ || finishes_; }
    // The node was in recovery when it was last heard of.
    [[nodiscard]] bool is_standby() const noexcept { return standby_; }
    // A switchover is under way and this is the node that gives its role up, in doubt or not.
    [[nodiscard]] bool is_giving_up() const noexcept { return gives_up_; }
    // Is anything open on a server, or one being made ready for the next client? What a drain waits
    // for.
    [[nodiscard]] bool is_busy() const noexcept;

    // PAUSE and RESUME: while paused no transaction begins, and servers end when they are free.
    void set_paused(bool paused);
    // RECONNECT: servers of before end when they are free.
    void reconnect();

    // --- called by servers
    void on_available(server& s);  // idle and clean
    void on_connected();
    // Before the failed connection gives its permit back, which may begin the next one.
    void note_failure(const connect_failure& why);
    void on_connect_failed(const connect_failure& why);
    void on_joined(metrics::server_state s) noexcept;
    void on_left(metrics::server_state s) noexcept;
    void on_state(metrics::server_state from, metrics::server_state to) noexcept;
    void on_parameters_changed() { shelf_->welcomes.clear(); }
    // A clean server with these settings (null: none) tells this: is it what clients are told?
    void verify_welcome(const settings* s, const parameter_set& told);
    // A server that is as new refused these settings; others are believed then.
    void note_refused(const settings_ptr& s) { refused_ = s; }
    [[nodiscard]] bool was_refused(const settings_ptr& s) const noexcept { return refused_ == s; }
    void on_gone();
    void requeue(waiter& w);  // the server that was being prepared for it broke
    void on_lost(waiter& w);  // the server of its own is not going to be
    // Servers that are being prepared for a client are on their way to nobody else.
    void on_preparing(int change) noexcept { preparing_ += static_cast<unsigned>(change); }
    // --- called through other workers' messages
    using gift = std::vector<std::unique_ptr<server>>;
    [[nodiscard]] gift give_idle(unsigned most);
    void adopt(gift servers, unsigned asked);
    void close_one_idle();
    void on_freed();  // a permit that this pool may use came back
    // --- the end
    void close_idle();
    // Tells every server to end; those in use lose their client's work.
    void close_all();
    [[nodiscard]] bool has_servers() const noexcept { return !members_.empty(); }

    void enlist(server& s) { members_.push_back(s); }

private:
    friend class waiter;
    void on_timer() override;
    void enqueue(waiter& w, const settings_ptr& wanted);
    void dispatch();
    void dequeue(waiter& w) noexcept;
    void refuse_all(const connect_failure& why);
    [[nodiscard]] connect_failure removed() const;
    [[nodiscard]] bool waits_elsewhere() const noexcept;
    bool move_to_older_waiter(server& s, base::time_point local);
    void publish() noexcept;
    void publish_early() noexcept;
    void want_servers();
    directory::refusal connect_one(bool use_reserve, waiter* dialer = nullptr);
    void serve_dialers();
    [[nodiscard]] unsigned patient_waiters() const noexcept;
    unsigned ask_others(unsigned wanted);
    void evict(directory::refusal why);
    [[nodiscard]] bool close_idle_of(const shelf_ptr& pool);
    void hand_over(server& s, gift& to);
    void keep_minimum();
    void retire_old();
    void revoke_all();
    void revoke_moved();
    template <class Predicate>
    void revoke_if(Predicate must_end);
    [[nodiscard]] bool allows(const cluster::shared_lease& word) const noexcept {
        return word.load().allows(stamp_, now());
    }
    void go_by(const cluster::shared_lease& word) noexcept;
    void tell_standing();
    void set_minimum();
    void abandon_connects();
    void arm();
    [[nodiscard]] bool must_retire(const server& s) const noexcept;
    [[nodiscard]] server* pick(const settings* wanted) noexcept;
    [[nodiscard]] server* ready(const settings* wanted) noexcept;
    [[nodiscard]] const std::string& user() const noexcept;
    void fill_statements(metrics::report& r) const;
    void fill_memory(metrics::report& r) const;
    [[nodiscard]] base::time_point now() const noexcept;
    [[nodiscard]] bool is_shared() const noexcept;

    slices& home_;
    const shelf_ptr shelf_;
    target_ptr target_;
    key_ring::interest identity_;  // target_'s; kept while there is no node
    config::pool_settings pool_;
    config::timeout_settings timeouts_;
    metrics::traffic* traffic_;
    std::shared_ptr<protocol::statement_store> statements_;

    bool guarded_ = false;  // clustered_ or paused_
    bool paused_ = false;
    const cluster::shared_lease* open_word_ = &cluster::no_lease;  // no_lease while paused_
    base::time_point reconnect_since_ = base::no_time;

    // With a cluster; see on_view().
    bool clustered_ = false;
    bool primary_ = false;   // the node is the one that may be written to
    bool standby_ = false;   // see is_standby()
    bool cut_ = false;       // nothing may be sent to it
    bool gives_up_ = false;  // an operator moves its role to another node
    bool finishes_ = false;  // likewise, and what is open may end
    const cluster::shared_lease* word_ = &cluster::no_lease;  // what a transaction needs to begin
    cluster::grant_stamp stamp_ = cluster::grant_stamp::none;
    bool standing_awaited_ = false;  // see await_standing()
    std::shared_ptr<cluster::node_link> link_;
    std::shared_ptr<cluster::board> board_;
    unsigned configured_minimum_ = 0;
    unsigned standby_minimum_ = 0;

    idle_list idle_;
    member_list members_;
    waiter_list waiters_;
    waiter_list dialers_;  // those who want a server of their own
    unsigned waiting_count_ = 0;
    unsigned preparing_ = 0;  // servers being prepared for a waiter
    unsigned asked_ = 0;      // servers that other workers were asked for and have not refused
    directory::refusal in_the_way_ = directory::refusal::none;
    settings_ptr refused_;   // those that PostgreSQL refused last
    unsigned evicting_ = 0;  // other pools' servers that close for our sake
    base::time_point evicted_at_{};
    std::array<unsigned, metrics::server_state_count> states_{};
    bool dispatching_ = false;
};

// All slices of one worker, and its way to the other workers. Owned by the worker.
class slices {
public:
    struct shared {
        directory pools;
        settings_store settings;
        key_ring keys{2};
        // Finds the addresses of a name, as net::resolve() does. Called on the threads of `names`;
        // set before any worker runs.
        std::function<std::vector<net::address>(
            const std::string& host, std::uint16_t port, std::string& error)>
            look_up = net::resolve;
        // Told when PostgreSQL refuses what a client proved to know who was looked up: `serial` is
        // of the answer that it was checked with. Any thread; set before any worker runs, or left
        // empty where nobody is looked up.
        std::function<void(
            const std::string& database, const std::string& user, std::uint64_t serial)>
            doubt_user;
        static constexpr unsigned name_threads = 4;  // a slow look-up must not stop the others
        net::background names{name_threads, 4096};
        tls_store tls;
        // Takes the steps of handshakes. Few threads, for half of the processors, and nicer than
        // the workers, so that a storm of handshakes leaves room for queries.
        [[nodiscard]] static unsigned handshake_threads() noexcept {
            return std::clamp(std::thread::hardware_concurrency() / 2, 1U, 2U);
        }
        net::background handshakes{handshake_threads(), 16'384, net::background::priority::low};
        std::vector<slices*> workers;  // complete before any of them runs
        // The board of a cluster by its name; null where there is none. Any thread; set before any
        // worker runs, or left empty where no database has a cluster.
        std::function<std::shared_ptr<cluster::board>(const std::string& name)> board_of;
    };

    slices(shared& all, net::loop& l, unsigned index);
    ~slices();

    // Finds or makes this worker's part of the pool. `snapshot` must stay until the next
    // configure().
    slice& open(const shelf_ptr& s, const config::snapshot& snapshot);
    gate& open(const gate_key& key, const config::snapshot& snapshot);
    void configure(const config::snapshot& snapshot);
    // A cluster's view has changed.
    void on_view(const std::string& cluster, cluster::view_ptr view);
    // What this worker has seen of a cluster. Null: nothing yet, or there is none of that name.
    struct sight {
        std::shared_ptr<cluster::board> board;
        cluster::view_ptr view;
    };
    [[nodiscard]] const sight& sight_of(const std::string& cluster);
    // Null: not seen, or removed. Until the next on_view().
    [[nodiscard]] const cluster::published_node* find_node(const std::string& cluster,
                                                           const std::string& node);
    // Whom the servers of a role's clients log in as.
    [[nodiscard]] const std::string& user_of(const std::string& database,
                                             const std::string& role) const;
    // The statements that clients of one database and role share, whichever node serves them.
    [[nodiscard]] std::shared_ptr<protocol::statement_store> statements_of(const shelf_key& key);
    [[nodiscard]] const config::snapshot& snapshot() const noexcept { return *snapshot_; }
    void fill(metrics::report& r, unsigned parts) const;
    // Ends what is left of databases and users that the configuration does not name (clients of "*"
    // do, and users who were looked up) and that nobody uses any more. Called now and then.
    // True when it ended some.
    bool sweep(const config::snapshot& snapshot);
    // Runs `what(slice)` on another worker for its part of the pool, if it has one.
    void tell(unsigned worker, const shelf_ptr& s, std::function<void(slice&)> what);
    // Asks another worker for up to `count` idle servers of the pool; what it gives, if only
    // nothing, comes back to our part of the pool by slice::adopt().
    void ask(unsigned worker, const shelf_ptr& s, unsigned count);
    // The worker at home in the pool that has waited longest for a permit tries again.
    static void on_freed(shared& all, shelf& s);

    // See slice; an empty name stands for all databases.
    void set_paused(const std::string& database, bool paused);
    void reconnect(const std::string& database);
    [[nodiscard]] bool has_servers(const std::string& database) const;
    [[nodiscard]] bool is_paused(const std::string& database) const {
        return paused_.contains("") || paused_.contains(database);
    }
    // While the role of a cluster's primary is moved (cluster_view::switchover_until): closes its
    // idle servers. True when nothing is open on the others, or the move is over.
    [[nodiscard]] bool drain(const std::string& cluster, base::time_point until);

    // Owns something that runs by itself, until it is done or the worker ends.
    void keep(std::unique_ptr<net::mortal> errand) { errands_.push_back(std::move(errand)); }
    void done(net::mortal& errand);

    [[nodiscard]] shared& all() noexcept { return all_; }
    [[nodiscard]] net::loop& loop() noexcept { return loop_; }
    [[nodiscard]] unsigned index() const noexcept { return index_; }
    [[nodiscard]] unsigned worker_count() const noexcept {
        return static_cast<unsigned>(all_.workers.size());
    }
    [[nodiscard]] metrics::traffic& traffic_of(const std::string& database);
    // The most that a slice which has ended had made; see statement_store. Kept by the slices.
    std::uint64_t statements_made = 0;
    [[nodiscard]] std::uint64_t next_id() noexcept {
        return (std::uint64_t{++ids_} << 6) | index_;  // unique over all workers
    }
    [[nodiscard]] const std::map<shelf*, std::unique_ptr<slice>>& each() const noexcept {
        return slices_;
    }
    [[nodiscard]] const std::map<gate_key, std::unique_ptr<gate>>& gates() const noexcept {
        return gates_;
    }
    [[nodiscard]] const std::map<std::string, metrics::traffic>& traffic() const noexcept {
        return traffic_;
    }
    // Which workers serve a pool: small pools live on few, so that their servers are not split.
    // REQUIRES: workers >= 1.
    [[nodiscard]] static std::vector<unsigned> homes_of(const shelf_key& key,
                                                        unsigned size,
                                                        unsigned workers);

private:
    void tell_views();

    shared& all_;
    net::loop& loop_;
    const unsigned index_;
    std::uint64_t ids_ = 0;
    std::map<std::string, metrics::traffic> traffic_;
    const config::snapshot* snapshot_ = nullptr;
    std::map<std::string, sight> sights_;
    std::set<std::string, std::less<>> paused_;  // databases; an empty name: all
    std::map<std::pair<std::string, std::string>, std::weak_ptr<protocol::statement_store>> stores_;
    std::vector<std::unique_ptr<net::mortal>> errands_;
    std::map<shelf*, std::unique_ptr<slice>> slices_;
    std::map<gate_key, std::unique_ptr<gate>> gates_;  // before the slices that they use end
};

}  // namespace pgweir::pool
