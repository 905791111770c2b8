// Wiring, signals and reload.
#include "pgweir/app/server_process.hpp"

#include "pgweir/app/mock_seed.hpp"
#include "pgweir/auth/likeness.hpp"
#include "pgweir/auth/random.hpp"
#include "pgweir/base/log.hpp"

#include <boost/asio/post.hpp>

#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <sys/resource.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace pgweir::app {
namespace {

spdlog::level::level_enum level_of(const std::string& name) {
    return name == "error" ? spdlog::level::err : spdlog::level::from_str(name);
}

unsigned workers_of(const config::snapshot& snapshot) {
    const auto cores = std::max(1U, std::thread::hardware_concurrency());
    return std::min(snapshot.workers.count == 0 ? cores : snapshot.workers.count,
                    pool::max_workers);
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
    // Each worker listens too.
    const auto wanted = snapshot.limits.max_clients + snapshot.limits.max_login_clients + servers +
                        100 + workers_of(snapshot) * (snapshot.listen.addresses.size() + 1);
    if (limit.rlim_cur < wanted) {
        PGWEIR_LOG(
            warn,
            "only {} descriptors are allowed (RLIMIT_NOFILE), but limits.max_clients and the "
            "pools may need {}",
            limit.rlim_cur, wanted);
    }
}

void warn_of(const config::snapshot& snapshot) {
    for (const auto& w : snapshot.warnings) {
        PGWEIR_LOG(warn, "{}", w);
    }
}

// Whoever can write to a folder can put another file in the place of ours.
void check_folders(const config::snapshot& snapshot) {
    struct stat status {};
    const auto& state = snapshot.process.state_dir;
    if (::stat(state.c_str(), &status) == 0 && (status.st_mode & S_IWOTH) != 0) {
        throw std::runtime_error{"process.state_dir " + state +
                                 ": every user of this machine can write to it; chmod o-w the "
                                 "directory, or name another one"};
    }
    const auto& sockets = snapshot.listen.unix_socket_dir;
    if (!sockets.empty() && ::stat(sockets.c_str(), &status) == 0 &&
        (status.st_mode & S_IWOTH) != 0 && (status.st_mode & S_ISVTX) == 0) {
        PGWEIR_LOG(warn,
                   "listen.unix_socket_dir {}: every user of this machine can replace the socket "
                   "and ask clients for passwords; chmod +t the directory",
                   sockets);
    }
}

}  // namespace

server_process::server_process(std::shared_ptr<const config::snapshot> snapshot, privileges rights)
    : snapshot_{std::move(snapshot)},
      rights_{std::move(rights)},
      signals_{io_},
      shutdown_timer_{io_},
      watcher_{[this](const std::string& cluster, const cluster::view_ptr& view) {
          for (const auto& w : workers_) {
              w->on_view(cluster, view);
          }
      }} {}

server_process::~server_process() {
    users_.stop();
    watcher_.stop();
    for (const auto& w : workers_) {
        w->stop();
    }
    fleet_.pools.keys.stop();
    fleet_.pools.handshakes.stop();
    fleet_.pools.names.stop();
    fleet_.accounts.stop();
    // What dies with a worker may free permits that another one waited for.
    fleet_.pools.pools.freed = nullptr;
}

int server_process::run() {
    rights_.lower();  // before anything is written: it must be the account's
    base::start_logging({level_of(snapshot_->log.level),
                         snapshot_->log.format == config::log_format::json, snapshot_->log.file});
    PGWEIR_LOG(info, "pgweir {} starting, configuration {}", PGWEIR_VERSION, snapshot_->path);
    warn_of(*snapshot_);
    check_folders(*snapshot_);
    raise_descriptor_limit(*snapshot_);
    load_certificates();
    make_workers();
    watch_signals();
    open_addresses();
    rights_.drop(snapshot_->process.core_dumps);
    if (rights_.has_account()) {
        PGWEIR_LOG(info, "running as user {} from now on", rights_.user());
        rehearse_reload();
    }
    for (const auto& w : workers_) {
        w->start();
    }
    watcher_.start();
    let_clients_in();
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

// First as the account, which a reload will be: it need not own what root must read now.
void server_process::load_certificates() {
    auto loaded = pool::tls_contexts::load(*snapshot_);
    if (loaded.index() != 0 && rights_.has_account()) {
        rights_.as_root([&] { loaded = pool::tls_contexts::load(*snapshot_); });
    }
    if (const auto* problems = std::get_if<std::vector<std::string>>(&loaded)) {
        throw std::runtime_error{problems->front()};
    }
    certificates_.use(snapshot_, std::get<certificate_keeper::contexts_ptr>(std::move(loaded)));
}

// Ports below 1024 are root's; the unix socket's file must be the account's, which has to remove
// it.
void server_process::open_addresses() {
    const auto options = pool::tcp_options_of(*snapshot_);
    rights_.as_root([this, &options] {
        http_.open(snapshot_);  // who finds clients served can ask how
        auto tcp = snapshot_->listen;
        tcp.unix_socket_dir.clear();
        listener_.open(tcp, options);
    });
    auto local = snapshot_->listen;
    local.addresses.clear();
    listener_.open(local, options);
}

// What only root could read is in force, and will not be read again.
void server_process::rehearse_reload() {
    const auto warn = [this](const std::string& problem) {
        PGWEIR_LOG(warn, "a reload would be refused, since it is done as user {}: {}",
                   rights_.user(), problem);
    };
    const auto loaded = config::load_file(snapshot_->path);
    if (const auto* problems = std::get_if<std::vector<config::problem>>(&loaded)) {
        for (const auto& p : *problems) {
            warn(p.text());
        }
    }
    const auto tls = pool::tls_contexts::load(*snapshot_);
    if (const auto* problems = std::get_if<std::vector<std::string>>(&tls)) {
        for (const auto& p : *problems) {
            warn(p);
        }
    }
}

void server_process::make_workers() {
    fleet_.mock_seed = load_mock_seed(snapshot_->process.state_dir);
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
    for (unsigned i = 0; i < workers_of(*snapshot_); ++i) {
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

void server_process::let_clients_in() {
    for (const auto& w : workers_) {
        for (const auto& s : listener_.sockets()) {
            w->listen(s.duplicate());
        }
    }
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
        note_refused_rules(*problems);
    } else {
        auto next = std::get<std::shared_ptr<const config::snapshot>>(loaded);
        auto tls = pool::tls_contexts::load(*next);
        if (auto* refused = std::get_if<std::vector<std::string>>(&tls)) {
            outcome.problems = std::move(*refused);
            note_refused_rules({});
        } else {
            apply(std::move(next), std::get<certificate_keeper::contexts_ptr>(std::move(tls)),
                  outcome);
        }
    }
    explain_refusal(outcome);
    for (const auto& p : outcome.problems) {
        PGWEIR_LOG(err, "reload refused: {}", p);
    }
    ::sd_notify(0, "READY=1");
    return outcome;
}

// Root could read at the start what the account cannot read now.
void server_process::explain_refusal(session::reload_outcome& outcome) const {
    const auto is_denied = [](const std::string& p) {
        return p.find(std::strerror(EACCES)) != std::string::npos;
    };
    if (rights_.has_account() && std::ranges::any_of(outcome.problems, is_denied)) {
        outcome.problems.push_back("pgweir was started as root and runs as user \"" +
                                   rights_.user() +
                                   "\" (process.user), which must be able to read these files");
    }
}

// SHOW HBA tells them next to the rules in force. These stay as they are.
void server_process::note_refused_rules(const std::vector<config::problem>& problems) {
    std::vector<config::refused_line> refused;
    for (const auto& p : problems) {
        if (p.is_of_rules) {
            refused.push_back(
                {p.file, p.line, p.hint.empty() ? p.message : p.message + " (" + p.hint + ")"});
        }
    }
    if (refused.empty() && snapshot_->refused_rules.empty()) {
        return;
    }
    auto noted = std::make_shared<config::snapshot>(*snapshot_);
    noted->refused_rules = std::move(refused);
    snapshot_ = std::move(noted);
    for (const auto& w : workers_) {
        w->configure(snapshot_);
    }
}

void server_process::apply(std::shared_ptr<const config::snapshot> next,
                           certificate_keeper::contexts_ptr tls,
                           session::reload_outcome& outcome) {
    auto difference = config::diff(*snapshot_, *next);
    outcome.changed = std::move(difference.changed);
    outcome.needs_restart = std::move(difference.needs_restart);
    snapshot_ = std::move(next);
    warn_of(*snapshot_);
    certificates_.use(snapshot_, std::move(tls));  // before workers may ask for them
    apply_limits();
    listener_.configure(pool::tcp_options_of(*snapshot_));
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
