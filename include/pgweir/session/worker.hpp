// One worker: a thread with its event loop, its clients for life, and its slice of every pool.
#pragma once

#include "pgweir/auth/found_user.hpp"
#include "pgweir/auth/scram_keys.hpp"
#include "pgweir/base/clock.hpp"
#include "pgweir/config/snapshot.hpp"
#include "pgweir/metrics/report.hpp"
#include "pgweir/net/acceptor.hpp"
#include "pgweir/net/background.hpp"
#include "pgweir/net/descriptor.hpp"
#include "pgweir/pool/gate.hpp"
#include "pgweir/protocol/startup.hpp"
#include "pgweir/protocol/statement_relay.hpp"
#include "pgweir/session/admission.hpp"
#include "pgweir/session/cancel_registry.hpp"
#include "pgweir/session/local_service.hpp"
#include "pgweir/tls/engine.hpp"

#include <boost/intrusive/list.hpp>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace pgweir::session {

class client;
class worker;

using client_hook =
    boost::intrusive::list_base_hook<boost::intrusive::tag<struct client_tag>,
                                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

// What all workers share. Outlives them; complete before the first of them runs.
struct fleet {
    pool::slices::shared pools;
    const local_service* services = nullptr;  // may be null
    auth::digest mock_seed{};
    auth::digest cancel_seed{};  // see cancel_registry
    // Looks up who is at the other end of a unix socket. A directory service may take its time over
    // that, and only logins that ask for it wait.
    net::background accounts{2, 4096};
    std::vector<worker*> workers;
    std::atomic<bool> is_over = false;      // workers are being stopped: no more messages
    std::atomic<unsigned> clients = 0;      // from their startup packet on
    admission logins;                       // who is not authenticated yet
    std::atomic<unsigned> max_clients = 0;  // replaced on reload
    // Any thread: reloads the configuration on the control thread, then calls `done` there.
    std::function<void(std::function<void(reload_outcome)> done)> reload;
    // Any thread: has a console's command carried out; `done` is called on any thread, once.
    std::function<void(const console_command& command, std::function<void(command_outcome)> done)>
        execute;
    // Any thread: what the watch thread tells of clusters, nodes and failovers.
    std::function<void(std::function<void(metrics::report)> done)> report_clusters;
    // Any thread: finds a user at PostgreSQL whom the configuration does not name. `done` is called
    // on any thread, with nothing when PostgreSQL cannot be asked. Empty: nobody is looked up.
    std::function<void(const std::string& database,
                       const std::string& user,
                       std::function<void(std::optional<auth::found_user>)> done)>
        look_up_user;
    // Any thread: what the lookup thread tells.
    std::function<void(std::function<void(metrics::report)> done)> report_lookups;
    // Whom the login of an unknown user looks like: most users of the configuration. Replaced on
    // reload.
    std::atomic<auth::likeness> likeness = auth::likeness{};
};

// Counts a client in fleet::clients or worker::load; move-only.
class client_count {
public:
    client_count() = default;
    explicit client_count(std::atomic<unsigned>& counter) noexcept : counter_{&counter} {
        counter.fetch_add(1);
    }
    client_count(client_count&& o) noexcept : counter_{std::exchange(o.counter_, nullptr)} {}
    client_count& operator=(client_count&& o) noexcept {
        reset();
        counter_ = std::exchange(o.counter_, nullptr);
        return *this;
    }
    ~client_count() { reset(); }
    void reset() noexcept {
        if (counter_ != nullptr) {
            counter_->fetch_sub(1);
            counter_ = nullptr;
        }
    }

private:
    std::atomic<unsigned>* counter_ = nullptr;
};

// A client whose startup packet has been read, on its way to the worker that serves its pool.
struct arrival {
    net::descriptor fd;
    protocol::startup_message startup;
    std::unique_ptr<tls::engine> tls;  // null: plain text
    std::string unread;                // bytes that came behind the startup packet
    admission::ticket in_login;
    client_count in_load;    // of the worker that it goes to
    bool is_local = false;   // it comes by the unix socket
    base::time_point since;  // when the connection came
};

// Created and destroyed by the control thread; start() and stop() likewise. The rest is its own
// thread's, unless said otherwise.
class worker {
public:
    worker(fleet& all, unsigned index, std::shared_ptr<const config::snapshot> snapshot);
    ~worker();
    worker(const worker&) = delete;
    worker& operator=(const worker&) = delete;

    void start();
    // Any thread. Ends the loop and joins the thread; connections are cut.
    void stop();

    // Any thread: clients of this listening socket (non-blocking) are taken in from now on, until
    // the worker drains. Other workers may have duplicates of it.
    void listen(net::descriptor socket);
    // Any thread: the configuration in force from now on.
    void configure(std::shared_ptr<const config::snapshot> snapshot);
    // Any thread: what is decided of a cluster has changed.
    void on_view(const std::string& cluster, cluster::view_ptr view);
    // Any thread: runs `what` on this worker's thread every few milliseconds until it is true, then
    // `done` there. Given up silently when the worker ends.
    void poll(std::function<bool(pool::slices&)> what, std::function<void()> done);
    // Any thread: runs `what` on this worker's thread.
    void run(std::function<void(pool::slices&)> what);
    // Any thread: no new clients; idle ones are told to go, others when their transaction ends;
    // then servers are told to end. `done` is called on this worker's thread when nothing is left.
    void drain(std::function<void()> done);
    // Any thread: a CancelRequest with a key of this worker. `until` is held until the request has
    // had its effect, or has none; it may be dropped on any thread.
    void cancel(protocol::cancel_request request, std::shared_ptr<void> until);
    // This worker's thread: a CancelRequest with a key of another pgweir. As above.
    // REQUIRES: the configuration has this peer.
    void send_to_peer(unsigned peer,
                      const protocol::cancel_request& request,
                      std::shared_ptr<void> until);
    // Which of several pgweirs behind one name this is; 0: the only one.
    [[nodiscard]] unsigned peer_id() const noexcept { return peer_id_; }

    // Any thread: a client that is to live here.
    void send_arrival(arrival a);

    // --- this worker's thread
    void fill(metrics::report& r, unsigned parts) const;
    // Collects the parts of all workers; `done` is called on this thread.
    void gather(unsigned parts, std::function<void(metrics::report)> done);
    void on_client_gone();

    [[nodiscard]] fleet& all() noexcept { return all_; }
    [[nodiscard]] net::loop& loop() noexcept { return loop_; }
    [[nodiscard]] pool::slices& pools() noexcept { return pools_; }
    [[nodiscard]] cancel_registry& cancels() noexcept { return cancels_; }
    // For what is being sent, within one call.
    [[nodiscard]] protocol::byte_arena& arena() noexcept { return arena_; }
    [[nodiscard]] const config::snapshot& snapshot() const noexcept { return *snapshot_; }
    [[nodiscard]] unsigned index() const noexcept { return index_; }
    [[nodiscard]] bool is_draining() const noexcept { return draining_; }
    void enlist(client& c);
    // Clients of this worker and those on their way to it; read by others to choose a worker.
    std::atomic<unsigned> load = 0;

private:
    class housekeeping;
    class poller;
    [[nodiscard]] std::vector<client*> everybody();
    void check_drained();
    void prewarm();
    void fill_databases(metrics::report& r) const;
    void fill_traffic(metrics::report& r) const;
    void fill_memory(metrics::report& r) const;
    void fill_peers(metrics::report& r) const;
    void fill_client_memory(metrics::report& r) const;

    fleet& all_;
    const unsigned index_;
    std::shared_ptr<const config::snapshot> snapshot_;
    const unsigned peer_id_;
    net::loop loop_;
    pool::slices pools_;
    cancel_registry cancels_;
    // Cancel requests that were sent to peers, by their ids.
    struct sent_cancels {
        std::uint64_t taken = 0;
        std::uint64_t failed = 0;
    };
    std::map<unsigned, sent_cancels> sent_cancels_;
    unsigned passing_on_ = 0;  // of these, under way
    protocol::byte_arena arena_;
    boost::intrusive::list<client,
                           boost::intrusive::base_hook<client_hook>,
                           boost::intrusive::constant_time_size<false>>
        clients_;
    std::unique_ptr<housekeeping> housekeeping_;
    std::vector<std::unique_ptr<net::acceptor>> acceptors_;
    bool draining_ = false;
    std::function<void()> drained_;
    std::thread thread_;
};

}  // namespace pgweir::session
