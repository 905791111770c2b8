// The running pgweir: workers, listener, signals, reload. The only place that knows all types.
#pragma once

#include "pgweir/admin/console.hpp"
#include "pgweir/app/certificate_keeper.hpp"
#include "pgweir/app/command_runner.hpp"
#include "pgweir/app/http_service.hpp"
#include "pgweir/app/listener.hpp"
#include "pgweir/app/privileges.hpp"
#include "pgweir/config/load.hpp"
#include "pgweir/lookup/user_directory.hpp"
#include "pgweir/session/worker.hpp"
#include "pgweir/watch/watcher.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <memory>
#include <string>
#include <vector>

namespace pgweir::app {

// Lives on the control thread, which is the one that calls run().
//
//   SIGHUP            reload; the log file is opened anew
//   SIGTERM, SIGINT   drain: no new clients, transactions finish, at most timeouts.shutdown
//   a second of them  stop now
//   SIGQUIT           stop now
class server_process {
public:
    // `rights`: of the account that started it, not lowered yet.
    server_process(std::shared_ptr<const config::snapshot> snapshot, privileges rights);
    ~server_process();

    // Serves until it is told to end; returns the exit code. Throws std::runtime_error when it
    // cannot start.
    int run();

private:
    void make_workers();
    void watch_signals();
    void on_signal(int number);
    session::reload_outcome reload();
    void apply(std::shared_ptr<const config::snapshot> next,
               certificate_keeper::contexts_ptr tls,
               session::reload_outcome& outcome);
    void load_certificates();
    void open_addresses();
    void rehearse_reload();
    void explain_refusal(session::reload_outcome& outcome) const;
    void note_refused_rules(const std::vector<config::problem>& problems);
    void apply_limits();
    void drain();
    void stop(int exit_code);
    void let_clients_in();

    std::shared_ptr<const config::snapshot> snapshot_;
    privileges rights_;
    boost::asio::io_context io_;
    boost::asio::signal_set signals_;
    boost::asio::steady_timer shutdown_timer_;
    admin::console_service console_;
    session::fleet fleet_;
    certificate_keeper certificates_{io_, fleet_.pools.tls};
    std::vector<std::unique_ptr<session::worker>> workers_;
    watch::watcher watcher_;  // ends before the workers that it tells
    lookup::user_directory users_{
        [this](const std::string& cluster) { return watcher_.board_of(cluster); }};
    command_runner commands_{io_, workers_, watcher_};
    http_service http_{io_, fleet_, workers_, watcher_};
    listener listener_;
    unsigned drained_workers_ = 0;
    bool draining_ = false;
    int exit_code_ = 0;
};

}  // namespace pgweir::app
