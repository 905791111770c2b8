// A worker's thread and what it owns.
#include "pgweir/session/worker.hpp"

#include "pgweir/base/log.hpp"
#include "pgweir/pool/peer_cancel.hpp"
#include "pgweir/session/client.hpp"

#include <pthread.h>
#include <signal.h>
#include <string>

namespace pgweir::session {
namespace {

constexpr auto tick = std::chrono::seconds{1};
constexpr unsigned stats_period = 60;  // ticks; what averages are taken over

bool has(unsigned parts, metrics::part p) noexcept {
    return (parts & static_cast<unsigned>(p)) != 0;
}

}  // namespace

// What a worker does once a second: gives unused buffers back, and closes a period of averages.
class worker::housekeeping final : public net::timer {
public:
    explicit housekeeping(worker& home) : home_{home} { arm(tick); }

    // Looks again soon whether a drain is through.
    void hurry() { arm(std::chrono::milliseconds{20}); }

    [[nodiscard]] metrics::traffic average_of(const std::string& database) const {
        const auto it = periods_.find(database);
        return it == periods_.end() ? metrics::traffic{} : it->second.average;
    }

private:
    struct period {
        metrics::traffic begin, average;
    };

    void arm(base::duration in) { home_.loop_.timers().set(*this, home_.loop_.now() + in); }
    void on_timer() override {
        if (home_.draining_) {
            arm(tick);
            return home_.check_drained();
        }
        home_.loop_.buffers().trim();
        if (home_.pools_.sweep(*home_.snapshot_)) {
            // Should the database come back, it counts from nothing.
            std::erase_if(periods_, [this](const auto& p) {
                return !home_.pools_.traffic().contains(p.first);
            });
        }
        if (++ticks_ == stats_period) {
            ticks_ = 0;
            for (const auto& [database, now] : home_.pools_.traffic()) {
                auto& p = periods_[database];
                p.average = now.rate_since(p.begin, stats_period);
                p.begin = now;
            }
        }
        arm(tick);
    }

    worker& home_;
    unsigned ticks_ = 0;
    std::map<std::string, period> periods_;
};

worker::worker(fleet& all, unsigned index, std::shared_ptr<const config::snapshot> snapshot)
    : all_{all},
      index_{index},
      snapshot_{std::move(snapshot)},
      peer_id_{snapshot_->peer_id},
      pools_{all.pools, loop_, index},
      cancels_{{.peer = peer_id_, .worker = index}, all.cancel_seed},
      housekeeping_{std::make_unique<housekeeping>(*this)} {
    all_.workers.push_back(this);
    all_.pools.workers.push_back(&pools_);
}

worker::~worker() {
    stop();
    while (!clients_.empty()) {
        delete &clients_.front();
    }
}

void worker::start() {
    loop_.post([this] { prewarm(); });
    thread_ = std::thread{[this] {
        ::pthread_setname_np(::pthread_self(), ("worker " + std::to_string(index_)).c_str());
        // Signals are the control thread's.
        sigset_t every;
        sigfillset(&every);
        ::pthread_sigmask(SIG_BLOCK, &every, nullptr);
        loop_.run();
    }};
}

void worker::stop() {
    all_.is_over = true;
    if (thread_.joinable()) {
        loop_.stop();
        thread_.join();
    }
}

void worker::listen(net::descriptor socket) {
    loop_.post([this, owned = std::move(socket)]() mutable {
        if (draining_) {
            return;
        }
        acceptors_.push_back(std::make_unique<net::acceptor>(
            loop_, std::move(owned), [this](net::descriptor client, const net::address& peer) {
                if (auto ticket = all_.logins.admit(origin_of(peer), loop_.now())) {
                    client::begin(*this, std::move(client), peer, std::move(ticket));
                }
            }));
    });
}

void worker::send_arrival(arrival a) {
    loop_.post([this, a = std::move(a)]() mutable { client::resume(*this, std::move(a)); });
}

void worker::configure(std::shared_ptr<const config::snapshot> snapshot) {
    loop_.post([this, snapshot = std::move(snapshot)] {
        snapshot_ = snapshot;
        pools_.configure(*snapshot_);
        prewarm();
        for (auto* c : everybody()) {
            c->on_configured();
        }
    });
}

void worker::on_view(const std::string& cluster, cluster::view_ptr view) {
    loop_.post([this, cluster, view = std::move(view)] { pools_.on_view(cluster, view); });
}

// Asks again and again; owned by the slices, as other errands.
class worker::poller final : public net::mortal, private net::timer {
public:
    poller(worker& home, std::function<bool(pool::slices&)> what, std::function<void()> done)
        : home_{home}, what_{std::move(what)}, done_{std::move(done)} {}
    ~poller() override { net::timer::unlink_now(); }
    void ask() {
        if (!what_(home_.pools_)) {
            home_.loop_.timers().set(*this, home_.loop_.now() + std::chrono::milliseconds{5});
            return;
        }
        const auto done = std::move(done_);
        home_.pools_.done(*this);
        done();
    }

private:
    void on_timer() override { ask(); }

    worker& home_;
    std::function<bool(pool::slices&)> what_;
    std::function<void()> done_;
};

void worker::poll(std::function<bool(pool::slices&)> what, std::function<void()> done) {
    loop_.post([this, what = std::move(what), done = std::move(done)]() mutable {
        auto made = std::make_unique<poller>(*this, std::move(what), std::move(done));
        auto& asked = *made;
        pools_.keep(std::move(made));
        asked.ask();
    });
}

void worker::run(std::function<void(pool::slices&)> what) {
    loop_.post([this, what = std::move(what)] { what(pools_); });
}

void worker::cancel(protocol::cancel_request request, std::shared_ptr<void> until) {
    loop_.post([this, request = std::move(request), until = std::move(until)]() mutable {
        if (auto* c = cancels_.find(request.pid, request.key)) {
            c->on_cancel_request(std::move(until));
        }
    });
}

void worker::send_to_peer(unsigned peer,
                          const protocol::cancel_request& request,
                          std::shared_ptr<void> until) {
    // Anybody can send a request, and each may need a look-up and a handshake.
    constexpr unsigned most_under_way = 16;
    if (passing_on_ >= most_under_way) {
        ++sent_cancels_[peer].failed;
        return;
    }
    ++passing_on_;
    pool::send_to_peer(pools_, *snapshot_, snapshot_->peers.at(peer), request,
                       [this, peer, until = std::move(until)](bool taken) {
                           --passing_on_;
                           auto& sent = sent_cancels_[peer];
                           ++(taken ? sent.taken : sent.failed);
                           if (!taken) {
                               PGWEIR_LOG(warn, "a cancel request did not reach peer {}", peer);
                           }
                       });
}

// Pools of a forced user keep their minimum from the start; others from their first client on.
void worker::prewarm() {
    for (const auto& [name, database] : snapshot_->databases) {
        if (name == "*" || database.user.empty() || database.pool.min_size == 0) {
            continue;
        }
        pools_.open(pool::gate_key{name, {}, database.target}, *snapshot_);
    }
}

void worker::enlist(client& c) { clients_.push_back(c); }

// What one client is told may end others, but those who die stay in memory up to the turn's end.
std::vector<client*> worker::everybody() {
    std::vector<client*> all;
    for (auto& c : clients_) {
        all.push_back(&c);
    }
    return all;
}

// --- the end

void worker::drain(std::function<void()> done) {
    loop_.post([this, done = std::move(done)] {
        draining_ = true;
        acceptors_.clear();
        drained_ = done;
        for (auto* c : everybody()) {
            c->on_drain();
        }
        check_drained();
    });
}

void worker::on_client_gone() {
    if (draining_) {
        check_drained();
    }
}

void worker::check_drained() {
    if (!clients_.empty() || !drained_) {
        return;
    }
    bool empty = true;
    for (const auto& [shelf, slice] : pools_.each()) {
        slice->close_all();
        empty = empty && !slice->has_servers();
    }
    if (empty) {
        const auto done = std::exchange(drained_, nullptr);
        return done();
    }
    housekeeping_->hurry();  // backends take a moment to end
}

// --- reports

void worker::fill_databases(metrics::report& r) const {
    for (const auto& [name, d] : snapshot_->databases) {
        metrics::database_row row;
        row.name = name;
        row.host = d.host;
        row.port = d.port;
        row.dbname = d.dbname.empty() ? name : d.dbname;
        row.forced_user = d.user;
        row.mode = config::to_string(d.pool.mode);
        row.pool_size = d.pool.size;
        row.min_pool_size = d.pool.min_size;
        row.reserve_size = d.pool.reserve_size;
        row.server_lifetime_s = d.pool.server_lifetime.count() / 1000;
        row.max_connections = d.max_server_connections;
        row.max_client_connections = d.max_client_connections;
        const auto use = all_.pools.pools.use_of(name);
        row.current_connections = use.servers;
        row.current_client_connections = use.clients;
        row.is_paused = pools_.is_paused(name);
        r.databases.push_back(std::move(row));
    }
}

void worker::fill_traffic(metrics::report& r) const {
    for (const auto& [database, total] : pools_.traffic()) {
        r.traffics.push_back({database, total, housekeeping_->average_of(database)});
    }
}

void worker::fill(metrics::report& r, unsigned parts) const {
    // Not for every report: there may be very many.
    if (has(parts, metrics::part::clients) || has(parts, metrics::part::counts)) {
        for (const auto& c : clients_) {
            ++(c.is_logged_in() ? r.used_clients : r.login_clients);
            if (has(parts, metrics::part::clients)) {
                r.clients.push_back(c.describe());
            }
        }
    }
    pools_.fill(r, parts);
    if (has(parts, metrics::part::traffic)) {
        fill_traffic(r);
    }
    fill_peers(r);
    if (has(parts, metrics::part::memory)) {
        fill_memory(r);
    }
    if (has(parts, metrics::part::client_memory)) {
        fill_client_memory(r);
    }
}

void worker::fill_peers(metrics::report& r) const {
    for (const auto& [id, peer] : snapshot_->peers) {
        const auto sent = sent_cancels_.find(id);
        const auto counts = sent == sent_cancels_.end() ? sent_cancels{} : sent->second;
        r.peers.push_back({id, peer.host, peer.port, id == peer_id_, counts.taken, counts.failed});
    }
}

// What slices do not know of.
void worker::fill_memory(metrics::report& r) const {
    metrics::memory_row clients{.name = "client", .size = sizeof(client), .used = load.load()};
    clients.total = clients.used * clients.size;
    r.memory.push_back(std::move(clients));
    for (const auto& b : loop_.buffers().use()) {
        r.memory.push_back({b.size == 0 ? "buffer_large" : "buffer_" + std::to_string(b.size),
                            b.size, b.used, b.free, b.bytes});
    }
    const std::uint64_t scratch = net::loop::scratch_size + sizeof(arena_);
    r.memory.push_back({"scratch", scratch, 1, 0, scratch});
}

void worker::fill_client_memory(metrics::report& r) const {
    metrics::memory_row names{.name = "client_statement", .size = client::statement_name_size};
    for (const auto& c : clients_) {
        names.used += c.statement_names();
    }
    names.total = names.used * names.size;
    r.memory.push_back(std::move(names));
}

void worker::gather(unsigned parts, std::function<void(metrics::report)> done) {
    struct collection {
        std::mutex mutex;
        metrics::report all;
        std::size_t missing;
    };
    auto shared = std::make_shared<collection>();
    const bool asks_watch = has(parts, metrics::part::clusters) && all_.report_clusters;
    const bool asks_lookup = has(parts, metrics::part::lookups) && all_.report_lookups;
    shared->missing = all_.workers.size() + (asks_watch ? 1 : 0) + (asks_lookup ? 1 : 0);
    if (has(parts, metrics::part::databases)) {
        fill_databases(shared->all);
    }
    shared->all.certificates = all_.pools.tls.all()->certificates;
    const auto add = [this, shared, done](metrics::report part) {
        bool complete = false;
        {
            const std::lock_guard lock{shared->mutex};
            shared->all.merge(std::move(part));
            complete = --shared->missing == 0;
        }
        if (complete) {
            loop_.post([shared, done] { done(std::move(shared->all)); });
        }
    };
    for (auto* w : all_.workers) {
        w->loop_.post([w, add, parts] {
            metrics::report mine;
            w->fill(mine, parts);
            add(std::move(mine));
        });
    }
    if (asks_watch) {
        all_.report_clusters(add);
    }
    if (asks_lookup) {
        all_.report_lookups(add);
    }
}

}  // namespace pgweir::session
