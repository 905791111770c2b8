// One connection to PostgreSQL, from its permit to the end of its backend.
#pragma once

#include "pgweir/metrics/report.hpp"
#include "pgweir/net/channel.hpp"
#include "pgweir/net/descriptor.hpp"
#include "pgweir/pool/server_startup.hpp"
#include "pgweir/pool/settings.hpp"
#include "pgweir/pool/shelf.hpp"
#include "pgweir/pool/target.hpp"
#include "pgweir/protocol/backend_stream.hpp"
#include "pgweir/protocol/ledger.hpp"
#include "pgweir/protocol/statement_state.hpp"

#include <boost/intrusive/list.hpp>

#include <memory>
#include <optional>
#include <string>

namespace pgweir::pool {

class slice;
class waiter;

// Whoever a server serves. Called on the worker's thread; may end the lease.
class server_user {
public:
    // The server's stream is readable, writable or broken.
    virtual void on_server_io() = 0;
    // The node it is on has lost its role: the lease must end at once, and nothing more be sent.
    virtual void on_server_revoked() {}
    // server::may_begin() may have changed.
    virtual void on_server_standing() {}
    [[nodiscard]] virtual std::uint64_t user_id() const noexcept = 0;
    // What it has prepared; null when that has never been needed.
    [[nodiscard]] virtual protocol::client_statements* statements() noexcept = 0;

protected:
    ~server_user() = default;
};

using idle_hook =
    boost::intrusive::list_base_hook<boost::intrusive::tag<struct idle_tag>,
                                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
using member_hook =
    boost::intrusive::list_base_hook<boost::intrusive::tag<struct member_tag>,
                                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

// Its state is one of metrics::server_state; enter() is the only place that changes it. Owned by
// its slice, and lent to one server_user at a time. Worker thread only. Ends by close(): told to
// Terminate, then waits for the backend's end of file, and only then gives its permit back.
class server final : public net::mortal,
                     public idle_hook,
                     public member_hook,
                     private net::io_handler,
                     private net::timer,
                     private protocol::backend_listener {
public:
    server(slice& home, permit right, target_ptr where, std::uint64_t id);
    ~server() override;

    // --- for the slice
    void dedicate(waiter& w);      // to it alone; before start()
    void start();                  // resolves, connects, logs in
    void lend(server_user& user);  // REQUIRES: idle
    // Brings an idle server into the state `w` asks for; then the slice hands it over.
    void prepare_for(waiter& w);
    // The waiter it is being prepared for has left.
    void forget_waiter();
    // A server idle for long proves that it is alive by answering a Sync.
    void check();
    enum class ending : std::uint8_t {
        at_once,  // what is not sent yet is dropped
        cancel,   // the same, and the query under way is cancelled
        reset,    // the node must not be spoken to: the connection is reset, and that is all
        finish,   // what is not sent yet is sent, and run
    };
    // Tells the backend to end.
    void close(ending how);
    // Its node has lost its role: the holder is told, then the connection is reset.
    void revoke();
    // may_begin() may have changed; tells the holder.
    void tell_standing();
    // An idle server changes to another worker.
    void leave_slice();
    void join_slice(slice& to);

    // --- for the lease holder
    // Its bytes; receive() and send() as the holder likes.
    [[nodiscard]] net::channel& channel() noexcept { return channel_; }
    // Asks PostgreSQL to cancel the query under way; nothing when there is none. `until` is held
    // until PostgreSQL has taken the request.
    void cancel(std::shared_ptr<void> until = {});
    // Ends the lease. `at_boundary`: no message to the server is half sent. `dirty`: clean it in
    // any case. A server that is busy is brought back: its query is cancelled, what is left of its
    // replies is read, its transaction rolled back. It is closed when that takes longer than
    // server_close_timeout, when its state is not exactly known, or with `let_finish`: then what
    // was asked of it is run first.
    void release(bool at_boundary, bool dirty, bool let_finish);

    [[nodiscard]] protocol::ledger& ledger() noexcept { return ledger_; }
    [[nodiscard]] protocol::session_marks& marks() noexcept { return marks_; }
    [[nodiscard]] protocol::backend_stream& backend() noexcept { return backend_; }
    [[nodiscard]] protocol::server_statements& statements() noexcept { return statements_; }
    [[nodiscard]] const protocol::server_statements& statements() const noexcept {
        return statements_;
    }
    [[nodiscard]] protocol::backend_listener& listener() noexcept { return *this; }
    // May a transaction begin on it now? Not while its node is not known to be the rightful one.
    [[nodiscard]] bool may_begin() const noexcept;
    // And one that is open go on? That also while an operator moves the role.
    [[nodiscard]] bool may_continue() const noexcept;
    // Is that node the primary now, as far as this worker knows? Not while it is in doubt.
    [[nodiscard]] bool is_on_primary() const noexcept;
    // Was it a standby when it was last heard of? As long as it is one, nothing commits there.
    [[nodiscard]] bool is_on_standby() const noexcept;
    // What its holder has sent, for as long as that can be sent again elsewhere; the holder's.
    [[nodiscard]] std::string& retained() noexcept { return retained_; }
    // The name of its node; empty unless the database has a cluster.
    [[nodiscard]] const std::string& node() const noexcept;
    // The holder waits for that to change; it is told by on_server_standing().
    void await_standing();
    // A request of the holder's was answered that was sent at `asked` or later: the node was alive
    // then. (Of the time of its answer nothing is known: it may have waited in the kernel for a
    // client that does not read, or for a process that was stopped.)
    void note_reply(base::time_point asked) noexcept;
    // The holder noticed that the connection has ended.
    void note_loss() const;
    // Is anything owed or open on it: a reply, a batch, a transaction?
    [[nodiscard]] bool is_at_work() const noexcept;
    // The server said FATAL: it closes the connection.
    [[nodiscard]] bool is_dying() const noexcept { return dying_; }

    [[nodiscard]] metrics::server_state state() const noexcept { return state_; }
    [[nodiscard]] const parameter_set& parameters() const noexcept { return parameters_; }
    // Has the holder's session changed what ParameterStatus tells?
    [[nodiscard]] bool has_overridden() const noexcept { return !overridden_.empty(); }
    // The ParameterStatus messages that take that back: cleaning will. Forgets it.
    [[nodiscard]] std::string take_overridden();
    // After the holder's RESET or DISCARD ALL (session_marks::resets), between two requests: sets
    // again what it asked for at startup. False: the connection broke.
    [[nodiscard]] bool restore_settings();
    [[nodiscard]] const settings* applied() const noexcept { return settings_.get(); }
    [[nodiscard]] const target& where() const noexcept { return *target_; }
    [[nodiscard]] base::time_point born() const noexcept { return born_; }
    // By the server_lifetime in force now.
    [[nodiscard]] base::time_point expires() const noexcept;
    // When its last client left it, or it was born; and when it was last known to be alive.
    [[nodiscard]] base::time_point last_used() const noexcept { return last_used_; }
    [[nodiscard]] base::time_point proven() const noexcept { return proven_; }
    [[nodiscard]] permit& right() noexcept { return permit_; }
    [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
    [[nodiscard]] metrics::server_row describe() const;

private:
    using phase = metrics::server_state;

    void on_io() override;
    void on_timer() override;
    void on_parameter(std::string_view name, std::string_view value) override;
    void on_error(const protocol::error_fields& error, protocol::origin owner) override;
    void on_settlement(const protocol::ledger::settlement& s) override;
    void on_deallocated() override;

    void enter(phase next);
    void connect_to(std::vector<net::address> addresses);
    void connect_next();
    [[nodiscard]] bool attach(int fd);
    void on_connected();
    void begin_encryption();
    void pump_encryption();
    void begin_handshake();
    void begin_startup();
    void connect_again();
    [[nodiscard]] auth::channel_binding binding() const;
    [[nodiscard]] tls::expectation expected_peer() const;
    void read_login();
    void take(server_startup::step s);
    void on_logged_in();
    [[nodiscard]] bool is_outdated(const connect_failure& why) const;
    void fail_login(connect_failure why);
    void read_own();
    void skip_known();
    void on_own_ready();
    void on_preparation_refused(const connect_failure& why);
    void set_preparing(waiter* w) noexcept;
    [[nodiscard]] waiter* take_waiter() noexcept;
    void ask(std::string_view sql);
    [[nodiscard]] bool put_query(std::string_view sql);
    void forget_changes();
    [[nodiscard]] bool is_quiet() const noexcept;
    void become_available();
    void clean();
    void settle();
    void recover();
    void end_requests();
    void say_goodbye();
    void drain();
    void gone();
    void on_cancelled(bool certain);
    [[nodiscard]] bool is_healthy(bool at_boundary) const noexcept;
    [[nodiscard]] bool is_reusable(bool at_boundary) const noexcept;

    slice* slice_;
    net::channel channel_;
    permit permit_;
    target_ptr target_;
    const std::uint64_t id_;
    phase state_ = phase::connecting;

    struct securing;
    std::unique_ptr<securing> securing_;  // while connecting
    std::unique_ptr<server_startup> startup_;
    std::vector<net::address> addresses_;
    net::address address_;
    bool connected_ = false;
    base::time_point connect_by_ = base::never;

    protocol::ledger ledger_;
    protocol::backend_stream backend_;
    protocol::session_marks marks_;
    protocol::server_statements statements_;
    parameter_set parameters_;
    using parameter = std::pair<std::string, std::string>;
    std::vector<parameter> overridden_;  // as it was before the holder changed it
    std::int32_t pid_ = 0;
    std::string key_;

    settings_ptr settings_;                   // what is set now
    settings_ptr next_settings_;              // what a preparation under way sets
    std::optional<connect_failure> refused_;  // a preparation's error
    waiter* preparing_for_ = nullptr;
    bool dedicated_ = false;  // to one client, with the startup parameters it asked for
    startup_parameters own_startup_;
    std::uint64_t proven_by_ = 0;  // serial of what it logs in with; see key_ring::proven
    server_user* user_ = nullptr;
    bool dying_ = false;
    bool is_sent_away_ = false;  // by words that are for this session alone
    bool revoked_ = false;
    bool cleans_ = false;  // while cleaning: the session is cleaned, not only set up for a waiter
    bool was_dirty_ = false;  // has been cleaned before
    bool cut_ = false;        // its last client left in the middle of a message to it
    unsigned cancels_ = 0;    // cancel requests under way
    std::vector<std::shared_ptr<void>> cancel_holds_;
    bool was_cancelled_ = false;  // one was sent since the last proof that none is pending
    std::string retained_;
    net::descriptor in_transit_;  // the socket, between two workers

    const double share_;  // of server_lifetime
    base::time_point born_;
    base::time_point last_used_;
    base::time_point proven_;
    bool recovering_ = false;  // while cancelling: its last client's replies are still to come
    bool closing_cancels_ = false;
    bool unsent_ = false;        // while closing: the client's last requests are still on their way
    base::time_point close_by_;  // while closing: when we stop waiting for the backend
    std::chrono::system_clock::time_point connected_at_;
    // Callbacks from other threads hold this weakly; it dies with the server.
    std::shared_ptr<server*> self_;
};

// The right to use a server; move-only. Without an explicit release the server is closed, since
// nobody knows then how it was left.
class lease {
public:
    lease() = default;
    explicit lease(server& s) noexcept : server_{&s} {}
    lease(lease&& o) noexcept : server_{std::exchange(o.server_, nullptr)} {}
    lease& operator=(lease&& o) noexcept {
        reset();
        server_ = std::exchange(o.server_, nullptr);
        return *this;
    }
    ~lease() { reset(); }

    explicit operator bool() const noexcept { return server_ != nullptr; }
    server* operator->() const noexcept { return server_; }
    server& operator*() const noexcept { return *server_; }
    [[nodiscard]] server* get() const noexcept { return server_; }

    // See server::release().
    void release(bool at_boundary, bool dirty, bool let_finish) {
        if (auto* s = std::exchange(server_, nullptr)) {
            s->release(at_boundary, dirty, let_finish);
        }
    }
    void reset() { release(false, false, false); }

private:
    server* server_ = nullptr;
};

}  // namespace pgweir::pool
