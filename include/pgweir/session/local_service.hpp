// A database that pgweir answers itself, such as the console: the seam between a client and it.
#pragma once

#include "pgweir/metrics/report.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::config {
struct snapshot;
enum class console_role : std::uint8_t;
}  // namespace pgweir::config

namespace pgweir::session {

// What the console asks of the rest of pgweir; see docs/console.md.
struct console_command {
    enum class verb : std::uint8_t {
        pause,       // of `name`, a database; empty: of all. Done when no server serves them
        resume,      // ends pauses, likewise, and the switchover of the cluster
        reconnect,   // likewise: servers are closed when their transaction ends
        switchover,  // of the cluster of database `name` (or of the only one); done when drained
        recheck,     // cluster `name`; empty: all
        force_primary,
        fence,
        unfence,
        forget_cluster,
    };
    verb what = verb::pause;
    std::string name;  // database or cluster; may be empty where there is only one
    std::string node;  // force_primary, fence, unfence
    std::chrono::milliseconds timeout{0};  // switchover; 0: as configured
    // Becomes true, on any thread, when who waits asks to cancel it: what has been begun is taken
    // back then. Null: never.
    std::shared_ptr<const std::atomic<bool>> cancelled;
};
// How it ended. An empty sqlstate means well.
struct command_outcome {
    std::string sqlstate, message, detail, hint;
    std::vector<std::string> notices;  // one line each, told before the end
};

// What a local session wants after it was given something. `close` may come with output: that is
// sent first.
struct local_outcome {
    enum class kind : std::uint8_t {
        wait_for_input,    // nothing more to do until the client sends bytes
        wait_for_report,   // call on_report() with the `parts` filled in
        wait_for_reload,   // reload the configuration, then call on_reload()
        wait_for_command,  // have `command` carried out, then call on_command()
        close,             // the client said Terminate, or broke the protocol
    };
    kind what = kind::wait_for_input;
    unsigned parts = 0;  // of metrics::part, for wait_for_report
    console_command command{};
};

// What RELOAD did. Empty `problems` means the new configuration is in force.
struct reload_outcome {
    std::vector<std::string> problems;       // one readable line each
    std::vector<std::string> changed;        // keys in force now
    std::vector<std::string> needs_restart;  // keys that differ but are read at start only
};

// One client's conversation with a local service, after its login. Sans-io: bytes in, bytes out.
// Owned by the client; used on the client's worker thread only. While a call is outstanding
// (wait_for_...) on_bytes() is not called; input waits.
class local_session {
public:
    virtual ~local_session() = default;
    // ParameterStatus messages for the welcome, appended to `out`.
    virtual void welcome(std::string& out) = 0;
    // Takes whole or partial messages from the client. Keeps what is incomplete. Replies are
    // appended to `out`. Total: any bytes are answered, at worst with an error and `close`.
    virtual local_outcome on_bytes(std::string_view in, std::string& out) = 0;
    // `snapshot` is the configuration in force. Goes on with input kept from before.
    virtual local_outcome on_report(const metrics::report& report,
                                    const config::snapshot& snapshot,
                                    std::string& out) = 0;
    virtual local_outcome on_reload(const reload_outcome& outcome, std::string& out) = 0;
    virtual local_outcome on_command(const command_outcome& outcome, std::string& out) = 0;
};

// Makes local sessions. Shared by all workers: implementations are immutable.
class local_service {
public:
    virtual ~local_service() = default;
    // Is `database` one of ours ("pgweir", "pgbouncer")?
    [[nodiscard]] virtual bool serves(std::string_view database) const = 0;
    [[nodiscard]] virtual std::unique_ptr<local_session> open(config::console_role role) const = 0;
};

}  // namespace pgweir::session
