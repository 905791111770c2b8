// Carries out what a console asks of the whole of pgweir: PAUSE, SWITCHOVER, FORCE PRIMARY, ...
#pragma once

#include "pgweir/base/clock.hpp"
#include "pgweir/config/snapshot.hpp"
#include "pgweir/session/worker.hpp"
#include "pgweir/watch/watcher.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace pgweir::app {

// Control thread. Outlives no worker that it is asked through.
class command_runner {
public:
    using done = std::function<void(session::command_outcome)>;

    // `control` runs the control thread.
    command_runner(boost::asio::io_context& control,
                   std::vector<std::unique_ptr<session::worker>>& workers,
                   watch::watcher& watcher)
        : control_{control}, workers_{workers}, watcher_{watcher} {}

    // `when_done` is called once, on any thread: after a PAUSE when no server is left, after a
    // SWITCHOVER when none of the primary is in use. Either is taken back when it is cancelled
    // before that.
    void run(const session::console_command& c,
             const config::snapshot& snapshot,
             const done& when_done);

private:
    using command = session::console_command;

    void pause(const command& c, const config::snapshot& snapshot, const done& when_done);
    void resume(const command& c, const config::snapshot& snapshot, const done& when_done);
    void reconnect(const command& c, const config::snapshot& snapshot, const done& when_done);
    void end_switchovers(const command& c,
                         const config::snapshot& snapshot,
                         const done& when_done,
                         bool has_resumed);
    void switchover(const command& c, const config::snapshot& snapshot, const done& when_done);
    void on_drained(const std::string& cluster,
                    base::time_point until,
                    std::chrono::milliseconds timeout,
                    const done& when_done);
    void pass_on(const command& c, const config::snapshot& snapshot, const done& when_done);
    // Runs `what` on every worker until it is true there, then `when_done`.
    void poll_all(std::function<bool(pool::slices&)> what, std::function<void()> when_done);
    void run_on_all(const std::function<void(pool::slices&)>& what);
    void set_paused(const std::string& database, bool paused);

    boost::asio::io_context& control_;
    std::vector<std::unique_ptr<session::worker>>& workers_;
    watch::watcher& watcher_;
    std::set<std::string, std::less<>> paused_;  // databases; an empty name: all
};

}  // namespace pgweir::app
