// The life of a client connection.
#include "pgweir/session/client.hpp"

#include "pgweir/base/log.hpp"
#include "pgweir/net/turn.hpp"
#include "pgweir/protocol/error_response.hpp"
#include "session/client_state.hpp"

#include <algorithm>
#include <exception>
#include <limits>
#include <unistd.h>

namespace pgweir::session {
namespace {

// How long the last words may take to reach a client.
constexpr auto closing_patience = std::chrono::seconds{2};
// Longer than the pool keeps trying to pass a cancel request on.
constexpr auto pass_patience = std::chrono::seconds{10};
// How long PostgreSQL may take to obey a cancel request before the connection is given up.
constexpr auto cancel_patience = std::chrono::seconds{5};

// How often a client that may have stopped reading is looked at.
base::duration stall_check_period(config::milliseconds limit) noexcept {
    return std::min<base::duration>(limit / 4, std::chrono::seconds{1});
}

constexpr protocol::error_fields idle_too_long{
    .severity = "FATAL",
    .sqlstate = "57P05",
    .message = "terminating connection due to idle-session timeout",
    .hint = "timeouts.client_idle of pgweir"};

base::time_point after(base::time_point since, config::milliseconds limit) noexcept {
    return limit.count() == 0 ? base::never : since + limit;
}

std::uint32_t seconds_now() noexcept {
    return static_cast<std::uint32_t>(
        std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()));
}

// Which setting to look at when no server came.
const char* hint_for(pool::directory::refusal in_the_way) noexcept {
    using refusal = pool::directory::refusal;
    switch (in_the_way) {
        case refusal::database_full:
            return "max_server_connections of the database, and timeouts.query_wait of pgweir";
        case refusal::user_full:
            return "max_server_connections of the user, and timeouts.query_wait of pgweir";
        case refusal::none:
        case refusal::pool_full:
        case refusal::busy: break;
    }
    return "pool.size and timeouts.query_wait of pgweir";
}

}  // namespace

client::client(worker& home, net::descriptor fd, client_count in_load)
    : home_{home},
      channel_{home.loop()},
      id_{home.pools().next_id()},
      in_load_{std::move(in_load)},
      since_{home.loop().now()},
      query_since_{base::no_time},
      transaction_since_{base::no_time},
      connected_at_{seconds_now()},
      login_{std::make_unique<login>()} {
    login_->since = since_;
    channel_.attach(fd.release(), *this);
    home_.enlist(*this);
}

client::~client() { channel_.stream().close(); }

void client::enter(phase p) {
    if (gate_) {
        gate_->clients_idle -= phase_ == phase::idle;
        gate_->clients_active -= phase_ == phase::active || phase_ == phase::failed;
        gate_->clients_idle += p == phase::idle;
        gate_->clients_active += p == phase::active || p == phase::failed;
    }
    phase_ = p;
    since_ = now();
    arm_timer();
}

void client::arm_timer() { home_.loop().timers().set(*this, deadline()); }

base::time_point client::deadline() const noexcept {
    const auto& general = home_.snapshot().timeouts;
    switch (phase_) {
        case phase::startup:
        case phase::securing:
        case phase::looking_up:
        case phase::authenticating:
        case phase::hashing: return after(login_->since, general.client_login);
        case phase::delayed:
            return std::min(since_ + home_.snapshot().auth.failure_delay,
                            after(login_->since, general.client_login));
        case phase::welcome_wait:
            return std::min(after(login_->since, gate_->timeouts().client_login), hold_deadline());
        case phase::closing: return since_ + (passes_cancel_ ? pass_patience : closing_patience);
        case phase::local:
        case phase::refusing: return base::never;
        case phase::idle: return after(since_, gate_->timeouts().client_idle);
        case phase::waiting:
            return std::min(after(since_, gate_->timeouts().query_wait), hold_deadline());
        case phase::failed: return request_deadline();
        case phase::active: break;
    }
    const bool may_stall = channel_.has_backlog() && stall_check_ != base::no_time &&
                           gate_->timeouts().client_stall.count() != 0;
    const auto due = std::min(request_deadline(), hold_deadline());
    return may_stall ? std::min(due, stall_check_) : due;
}

// How long it waits for a node that may serve it.
base::time_point client::hold_deadline() const noexcept {
    if (!is_held() && !held_back_) {
        return base::never;
    }
    return after(std::max(since_, gate_->hold_since()), gate_->cluster().hold_timeout);
}

// When an active client has used up the time for what it is doing.
base::time_point client::request_deadline() const noexcept {
    if (is_dedicated_) {
        return base::never;  // a stream without an end
    }
    if (cancelled_) {
        return since_ + cancel_patience;
    }
    const auto& limits = gate_->timeouts();
    auto due = base::never;
    if (query_since_ != base::no_time) {
        due = after(query_since_, limits.query);
    } else if (transaction_since_ != base::no_time) {
        due = after(since_, limits.idle_in_transaction);
    } else {
        due = after(since_, limits.client_idle);  // session mode, between two queries
    }
    if (transaction_since_ != base::no_time) {
        due = std::min(due, after(transaction_since_, limits.transaction));
    }
    return due;
}

void client::on_io() try {
    go_on();
    watch_backlog();
} catch (const std::exception& e) {
    give_up(e);
}

void client::go_on() {
    switch (phase_) {
        case phase::startup:
        case phase::authenticating:
            if (!channel_.flush()) {
                return leave(false);
            }
            return phase_ == phase::startup ? read_startup() : read_login();
        case phase::securing: return pump_handshake();
        case phase::delayed: return;  // whatever it does meanwhile
        case phase::looking_up:
        case phase::hashing:
        case phase::waiting:
        case phase::welcome_wait:
            // A client that hangs up leaves the queue at once.
            if (channel_.stream().hung_up()) {
                return leave(false);
            }
            if (!channel_.flush()) {
                return leave(false);
            }
            return;
        case phase::idle:
            if (!channel_.flush()) {
                return leave(false);
            }
            if (!channel_.has_backlog()) {
                pump_idle();
            }
            return;
        case phase::active: {
            const bool was_blocked = channel_.has_backlog();
            if (!channel_.flush()) {
                return leave(false);
            }
            if (!channel_.has_backlog()) {
                stall_check_ = base::no_time;
            }
            pump_client();
            if (was_blocked && phase_ == phase::active) {
                pump_server();
            }
            return;
        }
        case phase::failed: return pump_failed();
        case phase::refusing: return pump_refusal();
        case phase::local: return pump_local();
        case phase::closing: return finish_closing();
    }
}

void client::on_timer() try {
    switch (phase_) {
        case phase::securing:
        case phase::startup:
        case phase::looking_up:
        case phase::authenticating:
        case phase::hashing:
            return fail({.severity = "FATAL",
                         .sqlstate = "57014",
                         .message = "canceling authentication due to timeout",
                         .hint = "timeouts.client_login of pgweir"});
        case phase::delayed: return refuse_login(login_->refusal);
        case phase::welcome_wait: {
            if (is_held()) {
                return on_unavailable(gate_->no_node());
            }
            const auto last = gate_->last_error();
            return fail({.severity = "FATAL",
                         .sqlstate = "57P03",
                         .message = "no server connection became available during login",
                         .detail = last,
                         .hint = "timeouts.client_login of pgweir"});
        }
        case phase::idle: return fail(idle_too_long);
        case phase::waiting: {
            if (is_held() && now() >= hold_deadline()) {
                return on_unavailable(gate_->no_node());
            }
            const auto last = gate_->last_error();
            const auto hint = hint_for(gate_->in_the_way());
            withdraw();
            return refuse_request({.severity = "ERROR",
                                   .sqlstate = "53300",
                                   .message = "no server connection became available in time",
                                   .detail = last,
                                   .hint = hint});
        }
        case phase::active:
        case phase::failed: break;
        case phase::closing: return die();
        default: return;
    }
    if (phase_ == phase::active && held_back_ && now() >= hold_deadline()) {
        return on_server_lost();
    }
    if (phase_ == phase::active && is_stalled()) {
        PGWEIR_LOG(warn, "client {}: reads nothing while others wait, closing", id_);
        return leave(false);
    }
    if (now() < request_deadline()) {
        return arm_timer();
    }
    const auto& own = gate_->timeouts();
    const auto expired = [this](base::time_point since, config::milliseconds limit) {
        return limit.count() != 0 && since != base::no_time && now() >= since + limit;
    };
    if (expired(transaction_since_, own.transaction)) {
        return fail({.severity = "FATAL",
                     .sqlstate = "25P04",
                     .message = "terminating connection due to transaction timeout",
                     .hint = "timeouts.transaction of pgweir"});
    }
    if (query_since_ == base::no_time && transaction_since_ == base::no_time) {
        return fail(idle_too_long);
    }
    if (query_since_ == base::no_time) {
        return fail({.severity = "FATAL",
                     .sqlstate = "25P03",
                     .message = "terminating connection due to idle-in-transaction timeout",
                     .hint = "timeouts.idle_in_transaction of pgweir"});
    }
    if (cancelled_) {
        return fail({.severity = "FATAL",
                     .sqlstate = "57014",
                     .message = "terminating connection: the query did not end when cancelled",
                     .hint = "timeouts.query of pgweir"});
    }
    // PostgreSQL itself ends the query with an error, and the connection lives.
    cancelled_ = true;
    since_ = now();
    lease_->cancel();
    arm_timer();
} catch (const std::exception& e) {
    give_up(e);
}

// A backlog may have begun that no server's reply has made: replies of ours, or what TLS has to say
// by itself. It counts from its beginning as well.
void client::watch_backlog() {
    if (phase_ == phase::active && channel_.has_backlog() && stall_check_ == base::no_time) {
        watch_reading();
    }
}

// A backlog towards an active client has begun. How much it reads is asked by the timer: that takes
// a system call.
void client::watch_reading() {
    stall_since_ = now();
    stall_check_ = now() + stall_check_period(gate_->timeouts().client_stall);
    stall_left_ = std::numeric_limits<std::size_t>::max();
    arm_timer();
}

// Has an active client read nothing of its answer for too long, while somebody needs its server?
bool client::is_stalled() noexcept {
    const auto limit = gate_->timeouts().client_stall;
    if (!channel_.has_backlog() || stall_check_ == base::no_time || limit.count() == 0 ||
        now() < stall_check_) {
        return false;
    }
    const auto left = channel_.unread();
    if (left < stall_left_) {
        stall_left_ = left;
        stall_since_ = now();
    }
    stall_check_ = now() + stall_check_period(limit);
    return now() - stall_since_ >= limit && gate_->has_waiters();
}

void client::on_refused(const pool::connect_failure& why) try {
    fail(why.as_fatal());
} catch (const std::exception& e) {
    give_up(e);
}

// No node may serve us. After the login that is an error, not the end.
void client::on_unavailable(const pool::unavailable& why) try {
    withdraw();
    gate_->counts().hold_rejected.fetch_add(1, std::memory_order_relaxed);
    const bool is_login = phase_ == phase::welcome_wait;
    const protocol::error_fields error{.severity = is_login ? "FATAL" : "ERROR",
                                       .sqlstate = why.sqlstate,
                                       .message = why.message,
                                       .detail = why.detail,
                                       .hint = why.hint};
    return is_login ? fail(error) : refuse_request(error);
} catch (const std::exception& e) {
    give_up(e);
}

void client::on_cancel_request(std::shared_ptr<void> until) try {
    switch (phase_) {
        case phase::waiting:
            withdraw();
            return refuse_request({.severity = "ERROR",
                                   .sqlstate = "57014",
                                   .message = "canceling statement due to user request"});
        case phase::active: return lease_->cancel(std::move(until));
        case phase::local:
            if (command_cancelled_) {
                command_cancelled_->store(true);
            }
            return;
        default: return;
    }
} catch (const std::exception& e) {
    give_up(e);
}

void client::on_configured() try {
    if (phase_ == phase::delayed) {
        return arm_timer();
    }
    if (gate_ && phase_ != phase::closing) {
        if (gate_->is_removed() && (phase_ == phase::idle || phase_ == phase::welcome_wait)) {
            const bool is_left = home_.snapshot().find_database(gate_->key().database) != nullptr;
            return fail({.severity = "FATAL",
                         .sqlstate = "57P01",
                         .message = is_left ? "terminating connection: the user of the database "
                                              "was changed in the configuration"
                                            : "terminating connection: the database was removed "
                                              "from the configuration"});
        }
        arm_timer();
    }
} catch (const std::exception& e) {
    give_up(e);
}

void client::on_drain() try {
    const bool busy = phase_ == phase::active || phase_ == phase::closing;
    const bool owes_nothing = phase_ == phase::active && query_since_ == base::no_time &&
                              transaction_since_ == base::no_time;
    if (!busy || owes_nothing) {
        fail({.severity = "FATAL",
              .sqlstate = "57P01",
              .message = "terminating connection due to administrator command",
              .detail = "pgweir is shutting down."});
    }
} catch (const std::exception& e) {
    give_up(e);
}

void client::send_or_leave(std::string_view bytes) {
    if (!channel_.send(bytes)) {
        leave(false);
    }
}

void client::fail(const protocol::error_fields& why) {
    if (phase_ == phase::closing) {
        return;
    }
    PGWEIR_LOG(info, "client {}: {} ({})", id_, why.message, why.sqlstate);
    if (phase_ == phase::securing) {
        return leave(false);  // it could not read that
    }
    std::string out;
    if (login_) {
        out = std::move(login_->out);
    }
    // In the middle of a reply an error would be read as a part of it.
    if (!lease_ || lease_->backend().at_boundary()) {
        protocol::append_error(out, why);
    }
    withdraw();
    const bool sent = out.empty() || channel_.send(out);
    const bool dirty = gate_ && is_session();
    enter(phase::closing);
    lease_.release(frontend_.at_boundary(), dirty, false);
    if (!sent) {
        return die();
    }
    finish_closing();
}

// Sends what is left, then waits for the client to close: closing first, with bytes of the client
// unread, would reset the connection and the error might never be seen.
void client::finish_closing() {
    if (!channel_.flush() || !channel_.end_tls()) {
        return die();
    }
    if (channel_.has_backlog()) {
        return;
    }
    channel_.stream().shut_down_sending();
    const auto scratch = home_.loop().scratch();
    for (int turns = 0; channel_.stream().readable(); ++turns) {
        if (turns == net::receives_a_turn) {
            return channel_.stream().call_again();
        }
        if (channel_.stream().receive(scratch).status == net::io_status::closed) {
            return die();
        }
    }
}

void client::leave(bool has_terminated) {
    if (phase_ == phase::closing) {
        return die();
    }
    if (home_.snapshot().log.connections) {
        PGWEIR_LOG(info, "client {}: {}", id_, has_terminated ? "disconnected" : "connection lost");
    }
    withdraw();
    const bool dirty = gate_ && is_session();
    enter(phase::closing);
    lease_.release(frontend_.at_boundary(), dirty, has_terminated);
    die(has_terminated);
}

// Something that cannot go on, such as want of memory. What was left half done is unknown, so
// nobody else gets the server.
void client::give_up(const std::exception& why) {
    PGWEIR_LOG(err, "client {}: given up: {}", id_, why.what());
    withdraw();
    enter(phase::closing);
    lease_.reset();
    die();
}

void client::die(bool is_expected) {
    if (dead_) {
        return;
    }
    dead_ = true;
    enter(phase::closing);
    net::timer::unlink_now();
    // Whoever has ended the session himself needs not be told, and has mostly closed the
    // connection.
    if (!is_expected && !channel_.has_backlog()) {
        (void)channel_.end_tls();  // nothing depends on it any more
    }
    // Who has said goodbye in both protocols is reset, as PostgreSQL does by leaving the latter
    // unread: to see TCP's goodbye through takes two in a hundred of a login's time. Not while
    // something is on its way, which a reset would throw away.
    if (is_expected && channel_.has_ended_tls() && channel_.unread() == 0) {
        channel_.stream().reset_on_close();
    }
    channel_.stream().close();
    channel_.drop_all();
    client_hook::unlink();
    in_all_.reset();
    in_load_.reset();
    if (login_) {
        login_->place.give_back();
    }
    slot_ = {};
    if (key_.pid != 0) {
        home_.cancels().remove(key_);
        key_ = {};
    }
    home_.loop().bury(std::unique_ptr<net::mortal>{static_cast<net::mortal*>(this)});
    home_.on_client_gone();
}

metrics::client_row client::describe() const {
    metrics::client_row row;
    row.id = id_;
    if (login_) {
        row.user = login_->startup.user;
        row.database = login_->startup.database;
    }
    if (gate_) {
        row.user = user_;
        row.database = gate_->key().database;
        row.application_name = settings_ ? settings_->value_of("application_name") : "";
    }
    switch (phase_) {
        case phase::idle: row.state = metrics::client_state::idle; break;
        case phase::active:
        case phase::failed: row.state = metrics::client_state::active; break;
        case phase::local: row.state = metrics::client_state::active; break;
        case phase::waiting:
        case phase::welcome_wait: row.state = metrics::client_state::waiting; break;
        default: row.state = metrics::client_state::login; break;
    }
    row.prepared_statements = statement_names();
    const auto peer = net::peer_of(channel_.stream().fd());
    const auto local = net::local_of(channel_.stream().fd());
    row.address = peer.host;
    row.port = peer.port;
    row.local_address = local.host;
    row.local_port = local.port;
    const auto to_system = [](base::time_point t) {
        return std::chrono::system_clock::now() -
               std::chrono::duration_cast<std::chrono::system_clock::duration>(base::steady::now() -
                                                                               t);
    };
    if (const auto tls = channel_.security()) {
        row.tls = std::string{tls->version} + "/" + std::string{tls->cipher};
    }
    row.connected = std::chrono::system_clock::from_time_t(connected_at_);
    row.last_request = to_system(since_);
    if (row.state == metrics::client_state::waiting) {
        row.wait_us = static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::microseconds>(base::steady::now() - since_)
                .count());
    }
    row.linked_server = lease_ ? lease_->id() : 0;
    row.worker = home_.index();
    return row;
}

}  // namespace pgweir::session
