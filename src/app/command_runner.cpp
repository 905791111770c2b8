// From a console's command to the workers and the watch thread.
#include "pgweir/app/command_runner.hpp"

#include "pgweir/base/log.hpp"

#include <boost/asio/post.hpp>

#include <atomic>
#include <mutex>
#include <utility>

namespace pgweir::app {
namespace {

using session::command_outcome;
using verb = session::console_command::verb;

command_outcome no_such(const std::string& kind, const std::string& name) {
    return {.sqlstate = "3D000",
            .message = "no such " + kind + ": " + name,
            .detail = {},
            .hint = {},
            .notices = {}};
}

// Is this one of the databases that a command may name? "*" has none of its own.
bool is_database(const config::snapshot& snapshot, const std::string& name) {
    return name.empty() || snapshot.find_database(name) != nullptr;
}

// The cluster that a command means which need not name one. Empty: `outcome` says why there is
// none.
std::string cluster_of(const config::snapshot& snapshot,
                       const std::string& name,
                       command_outcome& outcome) {
    if (!name.empty() && !snapshot.clusters.contains(name)) {
        outcome = no_such("cluster", name);
        return {};
    }
    if (name.empty() && snapshot.clusters.size() != 1) {
        outcome.sqlstate = "42601";
        outcome.message = snapshot.clusters.empty() ? "there is no cluster"
                                                    : "there is more than one cluster: name one";
        outcome.hint = "[cluster.NAME] in the configuration of pgweir";
        return {};
    }
    return name.empty() ? snapshot.clusters.begin()->first : name;
}

command_outcome outcome_of(const watch::order_outcome& o) {
    return {o.sqlstate, o.message, o.detail, o.hint, {}};
}

bool is_cancelled(const session::console_command& c) {
    return c.cancelled != nullptr && c.cancelled->load();
}

command_outcome cancellation() {
    return {.sqlstate = "57014",
            .message = "canceling statement due to user request",
            .detail = {},
            .hint = {},
            .notices = {}};
}

// The clusters whose switchover a RESUME ends.
std::vector<std::string> clusters_of(const config::snapshot& snapshot, const std::string& name) {
    std::vector<std::string> found;
    if (name.empty()) {
        for (const auto& [cluster, settings] : snapshot.clusters) {
            found.push_back(cluster);
        }
    } else if (const auto* database = snapshot.find_database(name);
               database != nullptr && !database->cluster.empty()) {
        found.push_back(database->cluster);
    }
    return found;
}

}  // namespace

void command_runner::run(const session::console_command& c,
                         const config::snapshot& snapshot,
                         const done& when_done) {
    switch (c.what) {
        case verb::pause: return pause(c, snapshot, when_done);
        case verb::resume: return resume(c, snapshot, when_done);
        case verb::reconnect: return reconnect(c, snapshot, when_done);
        case verb::switchover: return switchover(c, snapshot, when_done);
        case verb::recheck:
        case verb::force_primary:
        case verb::fence:
        case verb::unfence:
        case verb::forget_cluster: return pass_on(c, snapshot, when_done);
    }
}

void command_runner::run_on_all(const std::function<void(pool::slices&)>& what) {
    for (const auto& w : workers_) {
        w->run(what);
    }
}

void command_runner::set_paused(const std::string& database, bool paused) {
    run_on_all([database, paused](pool::slices& s) { s.set_paused(database, paused); });
}

void command_runner::poll_all(std::function<bool(pool::slices&)> what,
                              std::function<void()> when_done) {
    const auto left = std::make_shared<std::atomic<std::size_t>>(workers_.size());
    for (const auto& w : workers_) {
        w->poll(what, [left, when_done] {
            if (left->fetch_sub(1) == 1) {
                when_done();
            }
        });
    }
}

void command_runner::pause(const command& c,
                           const config::snapshot& snapshot,
                           const done& when_done) {
    if (!is_database(snapshot, c.name)) {
        return when_done(no_such("database", c.name));
    }
    if (!paused_.insert(c.name).second) {
        return when_done({.sqlstate = "55000",
                          .message = "already paused",
                          .detail = {},
                          .hint = "RESUME on the console of pgweir",
                          .notices = {}});
    }
    PGWEIR_LOG(info, "PAUSE {}", c.name);
    set_paused(c.name, true);
    poll_all(
        [c](pool::slices& s) {
            return is_cancelled(c) || !s.is_paused(c.name) || !s.has_servers(c.name);
        },
        [this, c, when_done] {
            if (!is_cancelled(c)) {
                return when_done({});
            }
            boost::asio::post(control_, [this, c, when_done] {
                if (paused_.erase(c.name) != 0) {
                    PGWEIR_LOG(info, "PAUSE {} was cancelled", c.name);
                    set_paused(c.name, false);
                }
                when_done(cancellation());
            });
        });
}

void command_runner::resume(const command& c,
                            const config::snapshot& snapshot,
                            const done& when_done) {
    if (!is_database(snapshot, c.name)) {
        return when_done(no_such("database", c.name));
    }
    const bool has_paused = c.name.empty() ? !paused_.empty() : paused_.contains(c.name);
    if (has_paused) {
        if (c.name.empty()) {
            paused_.clear();
        } else {
            paused_.erase(c.name);
        }
        PGWEIR_LOG(info, "RESUME {}", c.name);
        set_paused(c.name, false);
    }
    end_switchovers(c, snapshot, when_done, has_paused);
}

// The rest of RESUME: it has done something if there was a pause or a switchover to end.
void command_runner::end_switchovers(const command& c,
                                     const config::snapshot& snapshot,
                                     const done& when_done,
                                     bool has_resumed) {
    struct tally {
        std::mutex lock;
        std::size_t left = 0;
        bool has_resumed = false;
        command_outcome problem;
    };
    const auto clusters = clusters_of(snapshot, c.name);
    const auto so_far = std::make_shared<tally>();
    so_far->left = clusters.size() + 1;
    so_far->has_resumed = has_resumed;
    so_far->problem = {
        .sqlstate = "55000",
        .message = c.name.empty() ? "pgweir is not paused" : "database is not paused",
        .detail = {},
        .hint = {},
        .notices = {}};
    const auto count = [so_far, when_done](const watch::order_outcome& ended) {
        const std::lock_guard hold{so_far->lock};
        so_far->has_resumed = so_far->has_resumed || ended.sqlstate.empty();
        if (!ended.sqlstate.empty() && ended.sqlstate != "55000") {
            so_far->problem = outcome_of(ended);
        }
        if (--so_far->left == 0) {
            when_done(so_far->has_resumed ? command_outcome{} : so_far->problem);
        }
    };
    for (const auto& cluster : clusters) {
        watch::order o;
        o.what = watch::order::verb::switchover_end;
        o.cluster = cluster;
        watcher_.carry_out(std::move(o), count);
    }
    count({.sqlstate = "55000", .message = {}, .detail = {}, .hint = {}});
}

void command_runner::reconnect(const command& c,
                               const config::snapshot& snapshot,
                               const done& when_done) {
    if (!is_database(snapshot, c.name)) {
        return when_done(no_such("database", c.name));
    }
    // Told when every worker has done it: no transaction that begins after the answer meets an
    // old server.
    poll_all(
        [name = c.name](pool::slices& s) {
            s.reconnect(name);
            return true;
        },
        [when_done] { when_done({}); });
}

// Writes are held by the arbiter; then what is open on the primary ends, and its idle servers are
// closed, so that a fast shutdown of it ends nobody's work. The next grant lets writes go on.
void command_runner::switchover(const command& c,
                                const config::snapshot& snapshot,
                                const done& when_done) {
    command_outcome refusal;
    std::string cluster;
    if (c.name.empty()) {
        cluster = cluster_of(snapshot, {}, refusal);
    } else if (const auto* database = snapshot.find_database(c.name); database == nullptr) {
        refusal = no_such("database", c.name);
    } else if (database->cluster.empty()) {
        refusal = {"55000",
                   "database \"" + c.name + "\" has no cluster",
                   {},
                   "cluster of the database in pgweir",
                   {}};
    } else {
        cluster = database->cluster;
    }
    if (cluster.empty()) {
        return when_done(refusal);
    }
    const auto timeout =
        c.timeout.count() != 0 ? c.timeout : snapshot.clusters.at(cluster).switchover_timeout;
    PGWEIR_LOG(info, "SWITCHOVER of cluster {}, at most {} ms", cluster, timeout.count());
    watch::order o;
    o.what = watch::order::verb::switchover_begin;
    o.cluster = cluster;
    o.timeout = timeout;
    watcher_.carry_out(std::move(o), [this, c, cluster, timeout,
                                      when_done](const watch::order_outcome& begun) {
        if (!begun.sqlstate.empty()) {
            return when_done(outcome_of(begun));
        }
        const auto until = watcher_.board_of(cluster)->view()->view.switchover_until;
        poll_all([c, cluster,
                  until](pool::slices& s) { return is_cancelled(c) || s.drain(cluster, until); },
                 [this, c, cluster, until, timeout, when_done] {
                     if (!is_cancelled(c)) {
                         return on_drained(cluster, until, timeout, when_done);
                     }
                     watch::order end;
                     end.what = watch::order::verb::switchover_end;
                     end.cluster = cluster;
                     watcher_.carry_out(std::move(end), [when_done](const watch::order_outcome&) {
                         when_done(cancellation());
                     });
                 });
    });
}

// Nothing is under way on the primary any more, or the switchover that lasts `until` then has ended
// before that.
void command_runner::on_drained(const std::string& cluster,
                                base::time_point until,
                                std::chrono::milliseconds timeout,
                                const done& when_done) {
    command_outcome ended;
    const auto view = watcher_.board_of(cluster)->view();
    // By then another one may have begun.
    if (until == base::no_time || view->view.switchover_until != until) {
        ended.sqlstate = "55000";
        ended.message = "the switchover ended before the primary was drained";
        ended.detail = view->summary;
        ended.hint = "TIMEOUT of SWITCHOVER, or switchover_timeout of the cluster in pgweir";
    } else {
        ended.notices.push_back(
            "drained: no transaction is open on the primary; writes are held until "
            "another node is granted, at most " +
            std::to_string(timeout.count()) + " ms");
    }
    when_done(std::move(ended));
}

void command_runner::pass_on(const command& c,
                             const config::snapshot& snapshot,
                             const done& when_done) {
    watch::order o;
    switch (c.what) {
        case verb::force_primary: o.what = watch::order::verb::force_primary; break;
        case verb::fence: o.what = watch::order::verb::fence; break;
        case verb::unfence: o.what = watch::order::verb::unfence; break;
        case verb::forget_cluster: o.what = watch::order::verb::forget_cluster; break;
        default: break;
    }
    o.node = c.node;
    const bool is_for_all = c.what == verb::recheck && c.name.empty() && !snapshot.clusters.empty();
    if (!is_for_all) {
        command_outcome refusal;
        o.cluster = cluster_of(snapshot, c.name, refusal);
        if (o.cluster.empty()) {
            return when_done(refusal);
        }
    }
    watcher_.carry_out(std::move(o), [when_done](const watch::order_outcome& outcome) {
        when_done(outcome_of(outcome));
    });
}

}  // namespace pgweir::app
