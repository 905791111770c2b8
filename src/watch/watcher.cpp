// The watch thread, and the ways to it.
#include "pgweir/watch/watcher.hpp"

#include "pgweir/base/log.hpp"
#include "watch/cluster_watch.hpp"
#include "watch/state_file.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <exception>
#include <map>
#include <mutex>
#include <pthread.h>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>

namespace pgweir::watch {
namespace {

order_outcome no_cluster(const std::string& name) {
    return {.sqlstate = "42704",
            .message = "cluster \"" + name + "\" does not exist",
            .detail = {},
            .hint = "SHOW CLUSTERS lists them."};
}

std::string state_path_of(const config::snapshot& snapshot, const config::cluster_settings& c) {
    return c.state_file.empty() ? snapshot.process.state_dir + "/" + c.name + ".cluster"
                                : c.state_file;
}

}  // namespace

class watcher::body {
public:
    explicit body(view_listener changed) : changed_{std::move(changed)} {}
    ~body() { stop(); }

    void configure(std::shared_ptr<const config::snapshot> snapshot);
    void start();
    void stop();
    std::shared_ptr<cluster::board> board_of(const std::string& name) const;
    void carry_out(order o, std::function<void(order_outcome)> done);
    void report(std::function<void(metrics::report)> done);

private:
    using loaded_states = std::map<std::string, cluster_watch::loaded_state>;
    // What is left of a cluster for as long as the process lives.
    struct memorial {
        std::shared_ptr<cluster::board> board;
        std::shared_ptr<smell_inbox> inbox;
    };

    loaded_states load_states(const config::snapshot& snapshot);
    memorial make_memorial(const std::string& name);
    void begin_thread();
    void run();
    void apply(const std::shared_ptr<const config::snapshot>& snapshot, loaded_states loaded);
    void on_smell(const std::string& name);
    [[nodiscard]] bool is_running() const { return thread_.joinable() && !is_stopped_; }

    const view_listener changed_;
    // Shared with what wakes it, which may outlive it.
    std::shared_ptr<boost::asio::io_context> io_ = std::make_shared<boost::asio::io_context>(1);
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
        io_->get_executor()};

    // Control thread.
    bool is_started_ = false;
    std::set<std::string> readable_;  // clusters whose state has been read

    mutable std::mutex mutex_;
    std::map<std::string, memorial> memorials_;
    std::set<std::string> configured_;
    std::thread thread_;
    bool is_stopped_ = false;

    // Watch thread.
    name_lookup names_{*io_};
    failover_log log_;
    std::map<std::string, std::unique_ptr<cluster_watch>> clusters_;
};

// ---- The control thread

void watcher::body::configure(std::shared_ptr<const config::snapshot> snapshot) {
    auto loaded = load_states(*snapshot);
    {
        const std::lock_guard lock{mutex_};
        configured_.clear();
        for (const auto& [name, settings] : snapshot->clusters) {
            configured_.insert(name);
            if (!memorials_.contains(name)) {
                memorials_.emplace(name, make_memorial(name));
            }
        }
    }
    boost::asio::post(*io_, [this, snapshot, loaded = std::move(loaded)]() mutable {
        apply(snapshot, std::move(loaded));
    });
    if (is_started_ && !snapshot->clusters.empty()) {
        begin_thread();
    }
}

// Of clusters that are new, or were held because it could not be read.
watcher::body::loaded_states watcher::body::load_states(const config::snapshot& snapshot) {
    loaded_states out;
    std::erase_if(readable_,
                  [&](const std::string& name) { return !snapshot.clusters.contains(name); });
    for (const auto& [name, settings] : snapshot.clusters) {
        if (readable_.contains(name)) {
            continue;
        }
        try {
            out[name].state = load_state(state_path_of(snapshot, settings));
            readable_.insert(name);
        } catch (const std::runtime_error& e) {
            if (!is_started_) {
                throw std::runtime_error("cluster " + name + ": " + e.what());
            }
            PGWEIR_LOG(err, "cluster {} is held: {}", name, e.what());
            out[name].error = e.what();
        }
    }
    return out;
}

watcher::body::memorial watcher::body::make_memorial(const std::string& name) {
    memorial out;
    out.board = std::make_shared<cluster::board>();
    out.inbox = std::make_shared<smell_inbox>([io = std::weak_ptr{io_}, this, name] {
        // While this is held the io_context lives, and what it has not run goes with it.
        if (const auto context = io.lock()) {
            boost::asio::post(*context, [this, name] { on_smell(name); });
        }
    });
    if (changed_) {
        out.board->changed = [this, name](const cluster::view_ptr& view) { changed_(name, view); };
    }
    out.board->smelled = [inbox = out.inbox](const std::string& node, cluster::smell what,
                                             base::time_point at) { inbox->put(node, what, at); };
    return out;
}

void watcher::body::start() {
    is_started_ = true;
    const bool has_work = [this] {
        const std::lock_guard lock{mutex_};
        return !configured_.empty();
    }();
    if (has_work) {
        begin_thread();
    }
}

void watcher::body::begin_thread() {
    const std::lock_guard lock{mutex_};
    if (!thread_.joinable() && !is_stopped_) {
        thread_ = std::thread{[this] { run(); }};
        ::pthread_setname_np(thread_.native_handle(), "watch");
    }
}

void watcher::body::stop() {
    {
        const std::lock_guard lock{mutex_};
        if (std::exchange(is_stopped_, true) || !thread_.joinable()) {
            return;
        }
    }
    // Behind what has been ordered already. Without clusters and work the thread ends.
    boost::asio::post(*io_, [this] {
        clusters_.clear();
        work_.reset();
    });
    thread_.join();
}

// ---- Any thread

std::shared_ptr<cluster::board> watcher::body::board_of(const std::string& name) const {
    const std::lock_guard lock{mutex_};
    const auto found = memorials_.find(name);
    return found != memorials_.end() ? found->second.board : nullptr;
}

void watcher::body::carry_out(order o, std::function<void(order_outcome)> done) {
    const bool is_for_all = o.cluster.empty() && o.what == order::verb::recheck;
    order_outcome refused;
    {
        const std::lock_guard lock{mutex_};
        if (!is_for_all && !configured_.contains(o.cluster)) {
            refused = no_cluster(o.cluster);
        } else if (is_running()) {
            boost::asio::post(*io_, [this, o = std::move(o), is_for_all, done] {
                if (is_for_all) {
                    for (const auto& [name, c] : clusters_) {
                        c->recheck();
                    }
                    done({});
                    return;
                }
                const auto found = clusters_.find(o.cluster);
                done(found != clusters_.end() ? found->second->carry_out(o)
                                              : no_cluster(o.cluster));
            });
            return;
        } else if (!is_for_all) {
            refused = {.sqlstate = "57P03",
                       .message = "clusters are not watched at this moment",
                       .detail = "pgweir is starting up or shutting down.",
                       .hint = {}};
        }
    }
    done(std::move(refused));
}

void watcher::body::report(std::function<void(metrics::report)> done) {
    {
        const std::lock_guard lock{mutex_};
        if (is_running()) {
            boost::asio::post(*io_, [this, done = std::move(done)] {
                metrics::report out;
                for (const auto& [name, c] : clusters_) {
                    c->report(out);
                }
                out.failovers = log_.rows();
                done(std::move(out));
            });
            return;
        }
    }
    done({});
}

// ---- The watch thread

void watcher::body::run() {
    for (;;) {
        try {
            io_->run();
            return;
        } catch (const std::exception& e) {
            // Leases are not renewed by what did not happen, so nothing is granted by mistake.
            PGWEIR_LOG(err, "the watch thread met an error: {}", e.what());
        }
    }
}

void watcher::body::apply(const std::shared_ptr<const config::snapshot>& snapshot,
                          loaded_states loaded) {
    std::erase_if(clusters_, [&](const auto& entry) {
        return !snapshot->clusters.contains(entry.first) || loaded.contains(entry.first);
    });
    for (const auto& [name, settings] : snapshot->clusters) {
        if (const auto old = clusters_.find(name); old != clusters_.end()) {
            old->second->configure(settings, snapshot->tcp);
            continue;
        }
        memorial left;
        {
            const std::lock_guard lock{mutex_};
            left = memorials_.at(name);
        }
        clusters_.emplace(name,
                          std::make_unique<cluster_watch>(
                              cluster_watch::surroundings{.io = *io_, .names = names_, .log = log_},
                              left.board, left.inbox, settings, snapshot->tcp,
                              state_path_of(*snapshot, settings), std::move(loaded.at(name))));
    }
}

void watcher::body::on_smell(const std::string& name) {
    const auto found = clusters_.find(name);
    if (found != clusters_.end()) {
        found->second->on_smell();
    }
}

// ---- The class itself

watcher::watcher(view_listener changed) : body_{std::make_unique<body>(std::move(changed))} {}
watcher::~watcher() = default;

void watcher::configure(std::shared_ptr<const config::snapshot> snapshot) {
    body_->configure(std::move(snapshot));
}
void watcher::start() { body_->start(); }
void watcher::stop() { body_->stop(); }
std::shared_ptr<cluster::board> watcher::board_of(const std::string& cluster) const {
    return body_->board_of(cluster);
}
void watcher::carry_out(order o, std::function<void(order_outcome)> done) {
    body_->carry_out(std::move(o), std::move(done));
}
void watcher::report(std::function<void(metrics::report)> done) { body_->report(std::move(done)); }

}  // namespace pgweir::watch
