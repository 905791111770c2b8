// Wiring, signals and reload.
#include "pgweir/app/server_process.hpp"

#include "pgweir/app/mock_seed.hpp"
#include "pgweir/auth/likeness.hpp"
#include "pgweir/auth/random.hpp"
#include "pgweir/base/log.hpp"

#include <boost/asio/post.hpp>

#include <systemd/sd-daemon.h>

#include <algorithm>
#include <csignal>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>

namespace pgweir::app {
namespace {

spdlog::level::level_enum level_of(const std::string& name) {
    return name == "error" ? spdlog::level::err : spdlog::level::from_str(name);
}

// Descriptors are needed for every client and every server; the soft limit is often a mere 1024.
void raise_descriptor_limit(const config::snapshot& snapshot) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::getrlimit(RLIMIT_NOFILE, &limit);
    rlim_t servers = 0;
    for (const auto& [name, d] : snapshot.databases) {
        servers += d.pool.size + d.pool.reserve_size;
    }
    const auto wanted =
        snapshot.limits.max_clients + snapshot.limits.max_login_clients + servers + 100;
    if (limit.rlim_cur < wanted) {
        PGWEIR_LOG(
            warn,
            "only {} descriptors are allowed (RLIMIT_NOFILE), but limits.max_clients and the "
            "pools may need {}",
            limit.rlim_cur, wanted);
    }
}

}  // namespace

server_process::server_process(std::shared_ptr<const config::snapshot> snapshot)
    : snapshot_{std::move(snapshot)},
      signals_{io_},
      shutdown_timer_{io_},
      watcher_{[this](const std::string& cluster, const cluster::view_ptr& view) {
          for (const auto& w : workers_) {
              w->on_view(cluster, view);
          }
      }},
      listener_{io_, [this](int fd) { on_client(fd); }} {}

server_process::~server_process() {
    users_.stop();
    watcher_.stop();
    for (const auto& w : workers_) {
        w->stop();
    }
    fleet_.pools.keys.stop();
    fleet_.pools.handshakes.stop();
    fleet_.pools.names.stop();
    // What dies with a worker may free permits that another one waited for.
    fleet_.pools.pools.freed = nullptr;
}

int server_process::run() {
    base::start_logging({level_of(snapshot_->log.level),
                         snapshot_->log.format == config::log_format::json, snapshot_->log.file});
    PGWEIR_LOG(info, "pgweir {} starting, configuration {}", PGWEIR_VERSION, snapshot_->path);
    raise_descriptor_limit(*snapshot_);
    load_certificates();
    make_workers();
    watch_signals();
    http_.open(snapshot_);  // who finds clients served can ask how
    listener_.open(snapshot_->listen);
    for (const auto& w : workers_) {
        w->start();
    }
    watcher_.start();
    ::sd_notify(0, "READY=1");
    PGWEIR_LOG(info, "ready with {} workers", workers_.size());
    io_.run();
    listener_.close();
    users_.stop();
    watcher_.stop();
    for (const auto& w : workers_) {
        w->stop();
    }
    PGWEIR_LOG(info, "stopped");
    return exit_code_;
}

void server_process::load_certificates() {
    auto loaded = pool::tls_contexts::load(*snapshot_);
    if (const auto* problems = std::get_if<std::vector<std::string>>(&loaded)) {
        throw std::runtime_error{problems->front()};
    }
    certificates_.use(snapshot_, std::get<certificate_keeper::contexts_ptr>(std::move(loaded)));
}

void server_process::make_workers() {
    fleet_.mock_seed = load_mock_seed(snapshot_->state_dir);
    auth::random_bytes(fleet_.cancel_seed);
    fleet_.services = &console_;
    fleet_.pools.pools.freed = [this](pool::shelf& s) { pool::slices::on_freed(fleet_.pools, s); };
    fleet_.reload = [this](std::function<void(session::reload_outcome)> done) {
        boost::asio::post(io_, [this, done = std::move(done)] { done(reload()); });
    };
    fleet_.execute = [this](const session::console_command& c, command_runner::done done) {
        boost::asio::post(
            io_, [this, c, done = std::move(done)] { commands_.run(c, *snapshot_, done); });
    };
    fleet_.report_clusters = [this](std::function<void(metrics::report)> done) {
        watcher_.report(std::move(done));
    };
    fleet_.look_up_user = [this](const std::string& database, const std::string& user,
                                 lookup::user_directory::done done) {
        users_.find(database, user, std::move(done));
    };
    fleet_.pools.doubt_user = [this](const std::string& database, const std::string& user,
                                     std::uint64_t serial) {
        users_.doubt(database, user, serial);
    };
    fleet_.report_lookups = [this](std::function<void(metrics::report)> done) {
        users_.report(std::move(done));
    };
    watcher_.configure(snapshot_);
    users_.configure(snapshot_);
    fleet_.pools.board_of = [this](const std::string& cluster) {
        return watcher_.board_of(cluster);
    };
    apply_limits();
    const auto cores = std::max(1U, std::thread::hardware_concurrency());
    const auto count = std::min(snapshot_->workers.count == 0 ? cores : snapshot_->workers.count,
                                pool::max_workers);
    for (unsigned i = 0; i < count; ++i) {
        workers_.push_back(std::make_unique<session::worker>(fleet_, i, snapshot_));
    }
}

void server_process::apply_limits() {
    fleet_.max_clients = snapshot_->limits.max_clients;
    fleet_.logins.configure({.in_all = snapshot_->limits.max_login_clients,
                             .per_origin = snapshot_->limits.max_login_clients_per_address,
                             .rate = snapshot_->limits.login_rate_per_address});
    auth::census users;
    for (const auto& [name, user] : snapshot_->users) {
        users.add(user.password.reveal());
    }
    fleet_.likeness = users.most();
}

void server_process::on_client(int fd) {
    // Whoever has no address any more is gone already.
    const auto peer = net::peer_address(fd);
    auto ticket = peer ? fleet_.logins.admit(session::origin_of(*peer), base::steady::now())
                       : session::admission::ticket{};
    if (!ticket) {
        ::close(fd);
        return;
    }
    net::apply_tcp_options(fd, pool::tcp_options_of(*snapshot_));
    workers_[next_worker_++ % workers_.size()]->accept(fd, std::move(ticket));
}

// --- signals

void server_process::watch_signals() {
    for (const int s : {SIGHUP, SIGTERM, SIGINT, SIGQUIT}) {
        signals_.add(s);
    }
    std::signal(SIGPIPE, SIG_IGN);
    signals_.async_wait([this](boost::system::error_code error, int number) {
        if (!error) {
            on_signal(number);
        }
    });
}

void server_process::on_signal(int number) {
    PGWEIR_LOG(info, "got signal {}", strsignal(number));
    if (number == SIGHUP) {
        base::reopen_log();
        reload();
    } else if (number == SIGQUIT || draining_) {
        stop(number == SIGQUIT || number == SIGINT ? 1 : 0);
        return;
    } else {
        drain();
    }
    signals_.async_wait([this](boost::system::error_code error, int next) {
        if (!error) {
            on_signal(next);
        }
    });
}

void server_process::drain() {
    draining_ = true;
    http_.drain();
    ::sd_notify(0, "STOPPING=1");
    listener_.close();
    PGWEIR_LOG(info, "draining: transactions may take {} ms to finish",
               snapshot_->timeouts.shutdown.count());
    if (snapshot_->timeouts.shutdown.count() != 0) {
        shutdown_timer_.expires_after(snapshot_->timeouts.shutdown);
        shutdown_timer_.async_wait([this](boost::system::error_code error) {
            if (!error) {
                PGWEIR_LOG(warn, "drain took longer than timeouts.shutdown, stopping now");
                stop(0);
            }
        });
    }
    for (const auto& w : workers_) {
        w->drain([this] {
            boost::asio::post(io_, [this] {
                if (++drained_workers_ == workers_.size()) {
                    stop(0);
                }
            });
        });
    }
}

void server_process::stop(int exit_code) {
    exit_code_ = exit_code;
    io_.stop();
}

// --- reload

session::reload_outcome server_process::reload() {
    ::sd_notify(0, "RELOADING=1");
    session::reload_outcome outcome;
    auto loaded = config::load_file(snapshot_->path);
    if (const auto* problems = std::get_if<std::vector<config::problem>>(&loaded)) {
        for (const auto& p : *problems) {
            outcome.problems.push_back(p.text());
        }
    } else {
        auto next = std::get<std::shared_ptr<const config::snapshot>>(loaded);
        auto tls = pool::tls_contexts::load(*next);
        if (auto* refused = std::get_if<std::vector<std::string>>(&tls)) {
            outcome.problems = std::move(*refused);
        } else {
            apply(std::move(next), std::get<certificate_keeper::contexts_ptr>(std::move(tls)),
                  outcome);
        }
    }
    for (const auto& p : outcome.problems) {
        PGWEIR_LOG(err, "reload refused: {}", p);
    }
    ::sd_notify(0, "READY=1");
    return outcome;
}

void server_process::apply(std::shared_ptr<const config::snapshot> next,
                           certificate_keeper::contexts_ptr tls,
                           session::reload_outcome& outcome) {
    auto difference = config::diff(*snapshot_, *next);
    outcome.changed = std::move(difference.changed);
    outcome.needs_restart = std::move(difference.needs_restart);
    snapshot_ = std::move(next);
    certificates_.use(snapshot_, std::move(tls));  // before workers may ask for them
    apply_limits();
    base::set_log_level(level_of(snapshot_->log.level));
    watcher_.configure(snapshot_);
    users_.configure(snapshot_);
    http_.configure(snapshot_);
    for (const auto& w : workers_) {
        w->configure(snapshot_);
    }
    PGWEIR_LOG(info, "reloaded {}: {} keys changed, {} need a restart", snapshot_->path,
               outcome.changed.size(), outcome.needs_restart.size());
}

}  // namespace pgweir::app
