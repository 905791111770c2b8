// The life of one connection to PostgreSQL.
#include "pgweir/pool/server.hpp"

#include "pgweir/auth/random.hpp"
#include "pgweir/base/log.hpp"
#include "pgweir/net/tls_handshake.hpp"
#include "pgweir/net/turn.hpp"
#include "pgweir/pool/slice.hpp"
#include "pgweir/protocol/frame.hpp"
#include "pgweir/protocol/frontend_stream.hpp"
#include "pgweir/protocol/message_writer.hpp"
#include "pgweir/protocol/startup.hpp"
#include "pool/canceller.hpp"
#include "pool/encryption.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <random>
#include <sys/socket.h>
#include <system_error>

namespace pgweir::pool {
namespace {

// How often a closing backend is asked again to give up its query.
constexpr auto cancel_again = std::chrono::milliseconds{100};
// A message while logging in is small; what claims more is not PostgreSQL.
constexpr std::size_t max_login_message = 64 * 1024;

// From 0.7 to 1: the part of server_lifetime that a server lives. Those made together do not end
// together.
double share_of_lifetime() {
    thread_local std::minstd_rand random{std::random_device{}()};
    return std::uniform_real_distribution<double>{0.7, 1.0}(random);
}

// From -1 to 1, not to be foreseen.
double random_seed() {
    std::array<unsigned char, sizeof(std::int64_t)> bytes;
    auth::random_bytes(bytes);
    std::int64_t n = 0;
    std::memcpy(&n, bytes.data(), sizeof n);
    return static_cast<double>(n) / 9223372036854775808.0;
}

// What a session cannot change with SET is not changed back by cleaning it.
bool is_settable(std::string_view name) noexcept { return name != "in_hot_standby"; }

// Does the error say that a shared statement is not there, or is, against all we know?
bool contradicts_us(const protocol::error_fields& error) noexcept {
    const auto quoted = [&error](std::string_view name) {
        return error.message.find('"' + std::string{name} + '"') != std::string_view::npos;
    };
    return (error.sqlstate == "26000" || error.sqlstate == "42P05") &&
           error.message.find(protocol::shared_prefix) != std::string_view::npos &&
           !quoted(protocol::no_statement) && !quoted(protocol::decoy_statement);
}

connect_failure insecure(const target& t, const std::string& reason) {
    return {"08006",
            "could not connect to server \"" + t.host + "\", port " + std::to_string(t.port) +
                ": " + reason,
            {},
            "check sslmode, sslrootcert and sslcert in [server_tls], or of the database or its "
            "cluster, in the configuration"};
}

connect_failure unreachable(const target& t, const std::string& reason) {
    return {"08006",
            "could not connect to server \"" + t.host + "\", port " + std::to_string(t.port) +
                ": " + reason,
            {},
            "check host and port of the database in the configuration"};
}

}  // namespace

struct server::securing {
    encryption choice;
    std::unique_ptr<net::tls_handshake> handshake{};  // once the server has agreed
};

server::server(slice& home, permit right, target_ptr where, std::uint64_t id)
    : slice_{&home},
      channel_{home.home().loop()},
      permit_{std::move(right)},
      target_{std::move(where)},
      id_{id},
      share_{share_of_lifetime()},
      born_{home.home().loop().now()},
      last_used_{born_},
      proven_{born_},
      connected_at_{std::chrono::system_clock::now()},
      self_{std::make_shared<server*>(this)} {
    slice_->enlist(*this);
    slice_->on_joined(state_);
}

server::~server() {
    channel_.stream().close();
    if (slice_ != nullptr) {
        slice_->on_left(state_);
    }
}

base::time_point server::expires() const noexcept {
    const auto lifetime = slice_->pool().server_lifetime;
    return lifetime.count() == 0
               ? base::never
               : born_ + std::chrono::duration_cast<base::duration>(lifetime * share_);
}

void server::enter(phase next) {
    if (next == state_) {
        return;
    }
    if (state_ == phase::idle && idle_hook::is_linked()) {
        idle_hook::unlink();
    }
    const auto before = std::exchange(state_, next);
    slice_->on_state(before, next);
}

// --- connecting and logging in

void server::dedicate(waiter& w) {
    dedicated_ = true;
    marks_.permanent = true;
    own_startup_ = w.startup_;
    set_preparing(&w);
    w.preparing_ = this;
    w.queue_ = slice_;
}

void server::start() {
    auto& home = slice_->home();
    connect_by_ = home.loop().now() + slice_->pool().server_connect_timeout;
    home.loop().timers().set(*this, connect_by_);
    if (auto a = net::parse_address(target_->leads_to(), target_->port)) {
        connect_to({*a});
        return;
    }
    const bool accepted = home.all().names.submit(
        [weak = std::weak_ptr{self_}, where = target_, &all = home.all(), &loop = home.loop()] {
            if (weak.expired()) {
                return;  // it gave up meanwhile
            }
            std::string error;
            auto found = all.look_up(where->leads_to(), where->port, error);
            loop.post([weak, found = std::move(found), error = std::move(error)]() mutable {
                const auto alive = weak.lock();
                if (!alive || (*alive)->state_ != phase::connecting) {
                    return;
                }
                if (found.empty()) {
                    (*alive)->fail_login(unreachable(*(*alive)->target_, error));
                } else {
                    (*alive)->connect_to(std::move(found));
                }
            });
        });
    if (!accepted) {
        fail_login(unreachable(*target_, "too many name look-ups are waiting"));
    }
}

void server::connect_to(std::vector<net::address> addresses) {
    addresses_.assign(addresses.rbegin(), addresses.rend());
    errno = 0;
    connect_next();
}

void server::connect_next() {
    channel_.stream().close();
    connected_ = false;
    int error = errno;
    while (!addresses_.empty()) {
        address_ = addresses_.back();
        addresses_.pop_back();
        const int fd = net::start_connect(address_, target_->tcp);
        if (fd >= 0 && attach(fd)) {
            // Each address gets its share, so that a silent one does not hide those behind it.
            auto& loop = slice_->home().loop();
            const auto left = connect_by_ - loop.now();
            const auto share = left / static_cast<int>(addresses_.size() + 1);
            return loop.timers().set(*this, loop.now() + share);
        }
        error = errno;
    }
    fail_login(unreachable(*target_, std::strerror(error)));
}

// False, with errno set, when the kernel cannot watch another socket.
bool server::attach(int fd) {
    try {
        channel_.attach(fd, *this, net::stream::origin::connecting);
        return true;
    } catch (const std::system_error& e) {
        channel_.stream().close();
        errno = e.code().value();
        return false;
    }
}

void server::on_connected() {
    connected_ = true;
    addresses_.clear();
    slice_->home().loop().timers().set(*this, connect_by_);
    begin_encryption();
}

void server::begin_encryption() {
    if (securing_ == nullptr) {
        securing_ = std::make_unique<securing>(securing{encryption{target_->tls.sslmode}});
    }
    if (securing_->choice.begin(address_.is_unix()) == encryption::step::plain) {
        return begin_startup();
    }
    if (!channel_.send(protocol::ssl_request_packet)) {
        fail_login(unreachable(*target_, "connection lost while logging in"));
    }
}

void server::pump_encryption() {
    if (securing_->handshake) {
        switch (securing_->handshake->advance(channel_)) {
            case net::tls_handshake::outcome::pending: return;
            case net::tls_handshake::outcome::done: return begin_startup();
            case net::tls_handshake::outcome::crowded:
                // Our own shortage is no reason to go on without TLS.
                return fail_login(unreachable(*target_, "too many TLS handshakes are waiting"));
            case net::tls_handshake::outcome::failed: break;
        }
        if (securing_->choice.tries_again({})) {
            return connect_again();
        }
        return fail_login(insecure(*target_, "SSL error: " + securing_->handshake->error()));
    }
    const auto [data, status] = channel_.receive();
    if (data.empty()) {
        if (status == net::io_status::closed) {
            fail_login(unreachable(*target_, "the server closed the connection"));
        }
        return;
    }
    switch (securing_->choice.on_answer(data.front(), data.size() > 1)) {
        case encryption::step::plain: return begin_startup();
        case encryption::step::shake: return begin_handshake();
        default: return fail_login(insecure(*target_, securing_->choice.why()));
    }
}

tls::expectation server::expected_peer() const {
    return {.host = target_->host,
            .verify_host = target_->tls.sslmode == config::tls_mode::verify_full};
}

void server::begin_handshake() {
    auto& all = slice_->home().all();
    auto context = all.tls.for_servers(target_->tls);
    if (context == nullptr) {
        // A reload has changed what this server was to be connected with.
        return fail_login(insecure(*target_, "the configuration has changed"));
    }
    securing_->handshake = std::make_unique<net::tls_handshake>(
        std::make_unique<tls::engine>(std::move(context), expected_peer()), all.handshakes,
        slice_->home().loop(), [this] {
            if (state_ == phase::connecting) {
                pump_encryption();
            }
        });
    pump_encryption();
}

// To the same address, once more.
void server::connect_again() {
    addresses_.assign(1, address_);
    securing_->handshake.reset();
    startup_.reset();
    channel_.drop_all();
    channel_.secure(nullptr);
    connect_next();
}

void server::begin_startup() {
    auth::server_credentials who;
    who.user = target_->user;
    who.password = target_->password.reveal();
    if (const auto proven = slice_->home().all().keys.recall(target_->identity)) {
        if (proven->iterations != 0) {
            who.keys = proven->keys;
            who.keys_salt = proven->salt;
            who.keys_iterations = proven->iterations;
        }
        if (who.password.empty()) {
            who.password = proven->secret.reveal();
        }
        proven_by_ = proven->serial;
    }
    startup_ =
        std::make_unique<server_startup>(target_->dbname, std::move(who), auth::random_nonce(),
                                         own_startup_, target_->protocol_minor, binding());
    take({server_startup::step::kind::send, startup_->startup_packet()});
}

auth::channel_binding server::binding() const {
    auth::channel_binding out;
    out.policy = target_->tls.channel_binding;
    if (const auto security = channel_.security()) {
        out.is_encrypted = true;
        out.end_point = std::string{security->server_end_point};
    }
    return out;
}

void server::take(server_startup::step s) {
    using kind = server_startup::step::kind;
    switch (s.what) {
        case kind::read_more: return;
        case kind::send: {
            if (!channel_.send(s.send)) {
                fail_login(unreachable(*target_, "connection lost while logging in"));
            }
            return;
        }
        case kind::hash: {
            securing_->choice.settle();  // the keys would come to another login
            const bool accepted = slice_->home().all().keys.derive(
                startup_->request(), slice_->home().loop(),
                [weak = std::weak_ptr{self_}](const auth::scram_keys& keys) {
                    const auto alive = weak.lock();
                    if (alive && (*alive)->startup_ && (*alive)->state_ == phase::connecting) {
                        (*alive)->take((*alive)->startup_->on_hashed(keys));
                    }
                });
            if (!accepted) {
                fail_login(unreachable(*target_, "too many password hashings are waiting"));
            }
            return;
        }
        case kind::ready: return on_logged_in();
        case kind::failed:
            // What pgweir does not put up with it does not try to get without TLS either.
            if (startup_->is_refused_by_server() &&
                securing_->choice.tries_again(startup_->why().sqlstate)) {
                return connect_again();
            }
            return fail_login(startup_->why());
    }
}

void server::read_login() {
    for (int turns = 0; channel_.readable() && state_ == phase::connecting; ++turns) {
        if (turns == net::receives_a_turn) {
            return channel_.stream().call_again();
        }
        auto [data, status] = channel_.receive();
        while (state_ == phase::connecting && data.size() >= protocol::header_size) {
            const auto f = protocol::read_frame(data.data());
            if (f.size < protocol::header_size || f.size > max_login_message) {
                return fail_login(unreachable(*target_, "not a PostgreSQL server"));
            }
            if (data.size() < f.size) {
                break;
            }
            auto step = startup_->on_message(
                f.type, data.substr(protocol::header_size, f.size - protocol::header_size));
            data.remove_prefix(f.size);
            if (step.what == server_startup::step::kind::send) {
                securing_->choice.settle();  // what was said over TLS is not said again without
            }
            if (step.what == server_startup::step::kind::ready) {
                if (!data.empty()) {
                    return fail_login(unreachable(*target_, "not a PostgreSQL server"));
                }
                return on_logged_in();  // the last touch: it may move to another worker at once
            }
            take(std::move(step));
            if (startup_ == nullptr) {
                return;  // another connection is being made
            }
        }
        if (state_ != phase::connecting) {
            return;
        }
        channel_.keep(data);
        if (status == net::io_status::closed) {
            // A server that does not like our certificate says so only now, in TLS 1.3.
            const std::string why{channel_.tls_error()};
            return fail_login(why.empty()
                                  ? unreachable(*target_, "the server closed the connection")
                                  : insecure(*target_, "SSL error: " + why));
        }
    }
}

void server::on_logged_in() {
    parameters_ = std::move(startup_->parameters());
    pid_ = startup_->backend_pid();
    key_ = startup_->backend_key();
    startup_.reset();
    securing_.reset();
    slice_->home().loop().timers().set(*this, base::never);
    born_ = last_used_ = proven_ = slice_->home().loop().now();
    PGWEIR_LOG(debug, "server {}: connected to {}:{} as {}, backend {}", id_, target_->host,
               target_->port, target_->user, pid_);
    enter(phase::checking);  // neither connecting nor idle while the slice takes note
    slice_->on_connected();
    if (slice_->is_primary() && parameters_.value_of("in_hot_standby") == "on") {
        // It has been demoted since we were told that it is the primary: the next probe sees it.
        slice_->note_failure({"25006", "node " + node() + " is in recovery", {}, {}});
        slice_->smell(cluster::smell::in_recovery);
        return close(ending::at_once);
    }
    if (!dedicated_) {
        slice_->verify_welcome(nullptr, parameters_);
        return become_available();
    }
    if (auto* w = take_waiter()) {
        lend(*w);
        return w->on_server(lease{*this});
    }
    close(ending::at_once);  // it has left meanwhile
}

// The password of a user who was looked up is not, or no longer, what its client proved to know.
bool server::is_outdated(const connect_failure& why) const {
    return target_->is_looked_up && (why.is_outdated || why.sqlstate == "28P01");
}

void server::fail_login(connect_failure why) {
    if (is_outdated(why)) {
        auto& all = slice_->home().all();
        if (all.doubt_user) {
            all.doubt_user(slice_->common().key.database, target_->user, proven_by_);
        }
        const auto newest = all.keys.recall(target_->identity);
        if (!dedicated_ && newest && newest->serial > proven_by_) {
            return close(ending::at_once);  // and who waits makes another, with the new one
        }
        PGWEIR_LOG(warn, "server {}: {}:{} does not let {} in any more: {} ({})", id_,
                   target_->host, target_->port, target_->user, why.message, why.sqlstate);
        why = {"28P01",
               "password authentication failed for user \"" + target_->user + '"',
               {},
               "The password has been changed since the client logged in."};
    }
    PGWEIR_LOG(warn, "server {}: no connection to {}:{} as {}: {} ({})", id_, target_->host,
               target_->port, target_->user, why.message, why.sqlstate);
    auto* home = slice_;
    if (dedicated_) {
        // Nothing says that the pool's own logins, which ask for less, would fail as well.
        auto* own = take_waiter();
        close(ending::at_once);
        if (own != nullptr) {
            own->on_refused(why);
        }
        return;
    }
    home->note_failure(why);  // first: a permit that comes back makes waiting clients try again
    close(ending::at_once);
    home->on_connect_failed(why);
}

// --- readiness

void server::on_io() {
    switch (state_) {
        case phase::connecting:
            if (!connected_) {
                if (const int error = net::connect_error(channel_.stream().fd()); error != 0) {
                    errno = error;
                    return connect_next();
                }
                if (!channel_.stream().writable()) {
                    return;
                }
                on_connected();
            }
            if (state_ == phase::connecting && !channel_.flush()) {
                return fail_login(unreachable(*target_, "connection lost while logging in"));
            }
            if (state_ == phase::connecting && connected_) {
                startup_ == nullptr ? pump_encryption() : read_login();
            }
            return;
        case phase::active:
            if (user_ != nullptr) {
                user_->on_server_io();
            }
            return;
        case phase::closing: return drain();
        case phase::moving: return;
        case phase::idle:
        case phase::checking:
        case phase::cleaning:
        case phase::cancelling:
            if (!channel_.flush()) {
                return close(ending::at_once);
            }
            return read_own();
    }
}

void server::on_timer() {
    switch (state_) {
        case phase::connecting:
            if (!connected_ && !addresses_.empty()) {
                errno = ETIMEDOUT;
                return connect_next();
            }
            return fail_login(unreachable(*target_, "timeout (server_connect_timeout)"));
        case phase::checking:
        case phase::cleaning:
            PGWEIR_LOG(warn, "server {}: no answer while {}, closing", id_,
                       metrics::to_string(state_));
            return close(ending::cancel);
        case phase::cancelling: {
            auto& loop = slice_->home().loop();
            if (loop.now() >= close_by_) {
                return close(ending::cancel);
            }
            cancel();  // one that overtakes its query is ignored, so one is not enough
            return loop.timers().set(*this, std::min(close_by_, loop.now() + cancel_again));
        }
        case phase::closing: {
            auto& loop = slice_->home().loop();
            if (loop.now() >= close_by_ && !closing_cancels_ && !ledger_.is_empty()) {
                // It was allowed to finish what its client had sent, but not to take for ever.
                closing_cancels_ = true;
                close_by_ = loop.now() + slice_->pool().server_close_timeout;
            }
            if (loop.now() >= close_by_) {
                PGWEIR_LOG(warn, "server {}: backend {} did not end within server_close_timeout",
                           id_, pid_);
                return gone();
            }
            // A cancel request that overtakes its query is ignored, so one is not enough.
            cancel();
            return loop.timers().set(*this, std::min(close_by_, loop.now() + cancel_again));
        }
        default: return;
    }
}

// --- conversations of our own

bool server::put_query(std::string_view sql) {
    std::string message;
    protocol::message_writer{message}.begin('Q').put_cstr(sql).end();
    ledger_.sent(protocol::request::query, protocol::origin::pooler);
    return channel_.send(message);
}

void server::ask(std::string_view sql) {
    if (!put_query(sql)) {
        close(ending::at_once);
    }
}

void server::check() {
    enter(phase::checking);
    auto& home = slice_->home();
    home.loop().timers().set(*this, home.loop().now() + slice_->pool().server_connect_timeout);
    ledger_.sent(protocol::request::sync, protocol::origin::pooler);
    if (!channel_.send(protocol::sync_message)) {
        close(ending::at_once);
    }
}

void server::set_preparing(waiter* w) noexcept {
    slice_->on_preparing((w != nullptr ? 1 : 0) - (preparing_for_ != nullptr ? 1 : 0));
    preparing_for_ = w;
}

void server::forget_waiter() {
    set_preparing(nullptr);
    if (dedicated_) {
        close(ending::at_once);  // nobody else can use it
    }
}

// The one it was made ready for, who waits no more; null when there is none.
waiter* server::take_waiter() noexcept {
    auto* w = preparing_for_;
    set_preparing(nullptr);
    if (w != nullptr) {
        w->preparing_ = nullptr;
        w->queue_ = nullptr;
    }
    return w;
}

void server::prepare_for(waiter& w) {
    set_preparing(&w);
    w.preparing_ = this;
    next_settings_ = w.wanted_;
    refused_.reset();
    enter(phase::cleaning);
    cleans_ = false;
    ++slice_->traffic().settings_changes;
    auto& home = slice_->home();
    home.loop().timers().set(*this, home.loop().now() + slice_->pool().server_connect_timeout);
    ask(preparation_sql(cleansing::settings, next_settings_.get(), 0));
}

void server::clean() {
    next_settings_ = settings_;
    refused_.reset();
    enter(phase::cleaning);
    cleans_ = was_dirty_ = true;
    ++slice_->traffic().cleanings;
    auto& home = slice_->home();
    home.loop().timers().set(*this, home.loop().now() + slice_->pool().server_connect_timeout);
    if (backend_.status() != 'I') {
        ask("ROLLBACK");
    }
    if (state_ == phase::cleaning) {
        // Shared statements stay; those under names of clients cannot be told apart from them.
        const bool all = marks_.hides_statements() ||
                         slice_->pool().clean == config::cleaning::always ||
                         slice_->pool().mode == config::pool_mode::session;
        ask(preparation_sql(all ? cleansing::all : cleansing::session, next_settings_.get(),
                            random_seed()));
    }
}

void server::read_own() {
    // What a client has left unread may be all that comes.
    int turns = 0;
    for (bool more = channel_.has_input();
         more && user_ == nullptr && state_ != phase::closing && state_ != phase::moving;
         more = channel_.readable()) {
        if (turns++ == net::receives_a_turn) {
            return channel_.stream().call_again();
        }
        auto [data, status] = channel_.receive();
        bool settled = false;
        while (!data.empty()) {
            const auto step = backend_.scan(data, ledger_, marks_, false, *this);
            data.remove_prefix(step.size);
            if (step.why == protocol::backend_stream::stop::violation) {
                PGWEIR_LOG(err, "server {}: unexpected message while {}, closing", id_,
                           metrics::to_string(state_));
                return close(ending::at_once);
            }
            if (step.why == protocol::backend_stream::stop::known) {
                skip_known();
            }
            settled = settled || step.why == protocol::backend_stream::stop::idle;
            if (step.why == protocol::backend_stream::stop::held) {
                break;
            }
        }
        channel_.keep(data);
        if (status == net::io_status::closed || dying_) {
            note_loss();
            return close(ending::at_once);
        }
        if (recovering_) {
            skip_known();
            end_requests();  // a COPY may have begun only now
            settled = settled || is_quiet();
        }
        if (settled) {
            return on_own_ready();
        }
    }
}

// Replies of ours to a client that has left.
void server::skip_known() {
    while (ledger_.next_is_known()) {
        (void)ledger_.answer_known();
    }
    (void)ledger_.take_settlement();
}

void server::on_own_ready() {
    slice_->home().loop().timers().set(*this, base::never);
    if (!is_healthy(true)) {
        return close(ending::at_once);  // what no cleaning removes has come to light meanwhile
    }
    if (recovering_) {
        recovering_ = false;
        ++slice_->traffic().recoveries;
        if (cancels_ == 0) {
            settle();
        }
        return;
    }
    if (state_ == phase::checking) {
        proven_ = slice_->home().loop().now();
        return become_available();
    }
    if (state_ != phase::cleaning) {
        return;
    }
    proven_ = slice_->home().loop().now();
    if (refused_) {
        return on_preparation_refused(*std::exchange(refused_, std::nullopt));
    }
    settings_ = std::move(next_settings_);
    marks_ = {};
    overridden_.clear();
    was_cancelled_ = false;
    slice_->verify_welcome(settings_.get(), parameters_);
    if (preparing_for_ != nullptr && !slice_->is_open()) {
        slice_->requeue(*take_waiter());  // the node was put in doubt meanwhile
    }
    if (auto* w = take_waiter()) {
        lend(*w);
        return w->on_server(lease{*this});
    }
    become_available();
}

void server::on_preparation_refused(const connect_failure& why) {
    // A timeout that the previous client had set, a lack of memory, a shutdown: not what this
    // client asked for. It gets another server.
    const bool is_passing =
        why.is_temporary() || why.sqlstate.starts_with("57") || why.sqlstate.starts_with("55P03");
    // Nor is what a session refuses for its own past (temp_buffers, after temporary tables).
    const bool is_doubtful = was_dirty_ && !slice_->was_refused(next_settings_);
    if (cleans_ || is_passing || is_doubtful) {
        PGWEIR_LOG(err, "server {}: {} failed: {} ({})", id_, cleans_ ? "cleaning" : "preparing",
                   why.message, why.sqlstate);
        return close(ending::at_once);
    }
    slice_->note_refused(next_settings_);
    auto* w = take_waiter();
    // What of it was set is unknown; a full cleaning tells.
    settings_ = nullptr;
    clean();
    if (w != nullptr) {
        w->on_refused(why);
    }
}

void server::on_parameter(std::string_view name, std::string_view value) {
    if (user_ != nullptr && is_settable(name) &&
        std::ranges::find(overridden_, name, &parameter::first) == overridden_.end()) {
        overridden_.emplace_back(name, parameters_.value_of(name));
    }
    if (name == "in_hot_standby" && value == "on") {
        slice_->smell(cluster::smell::in_recovery);
    }
    parameters_.set(name, value);
    if (state_ == phase::idle) {
        slice_->on_parameters_changed();
    }
}

std::string server::take_overridden() {
    std::string messages;
    for (const auto& [name, value] : overridden_) {
        if (parameters_.value_of(name) != value) {
            protocol::append_parameter_status(messages, name, value);
        }
    }
    overridden_.clear();
    return messages;
}

bool server::may_begin() const noexcept { return slice_->may_begin(); }

bool server::may_continue() const noexcept { return slice_->may_continue(); }

const std::string& server::node() const noexcept { return slice_->common().key.node; }

bool server::is_on_primary() const noexcept { return slice_->is_primary(); }

bool server::is_on_standby() const noexcept { return slice_->is_standby(); }

void server::await_standing() { slice_->await_standing(); }

void server::note_reply(base::time_point asked) noexcept { slice_->note_reply(asked); }

void server::note_loss() const {
    if (is_sent_away_) {
        slice_->smell(cluster::smell::lost);
    } else {
        slice_->note_break(cluster::smell::lost);
    }
}

bool server::restore_settings() {
    marks_.resets = false;
    const auto sql =
        settings_ == nullptr ? std::string{} : restoring_sql(*settings_, target_->user);
    return sql.empty() || put_query(sql);
}

void server::on_error(const protocol::error_fields& error, protocol::origin owner) {
    // On a standby that is as it should be. Whether the client itself has asked for a read-only
    // transaction is not known; the inbox keeps this smell rare.
    if (error.sqlstate == "25006" && owner == protocol::origin::client && slice_->is_primary()) {
        slice_->smell(cluster::smell::read_only);
    }
    if (error.is_fatal() || state_ == phase::idle) {
        dying_ = true;
        // A shutdown or a crash of the whole server, perhaps; any other word ends this one backend.
        if (error.sqlstate == "57P01" || error.sqlstate == "57P02") {
            slice_->note_break(cluster::smell::going);
        } else {
            is_sent_away_ = true;
            slice_->smell(cluster::smell::lost);
        }
        PGWEIR_LOG(info, "server {}: backend {} ends: {} ({})", id_, pid_, error.message,
                   error.sqlstate);
    } else if (owner == protocol::origin::pooler) {
        refused_ = connect_failure{std::string{error.sqlstate}, std::string{error.message},
                                   std::string{error.detail}, std::string{error.hint}};
    } else if (error.routine == "RevalidateCachedQuery" || contradicts_us(error)) {
        // "cached plan must not change result type", or a statement is gone that should be here (a
        // function may DEALLOCATE), or there that should not: nothing prepared here is to be relied
        // on.
        marks_.dirty = marks_.has_statements = true;
        slice_->statements().retire_all();
    }
}

void server::on_settlement(const protocol::ledger::settlement& s) {
    if (auto* client = user_ == nullptr ? nullptr : user_->statements()) {
        statements_.finish(s, *client, marks_);
    }
}

void server::on_deallocated() {
    statements_.forget_all();
    if (auto* client = user_ == nullptr ? nullptr : user_->statements()) {
        client->forget_all();
    }
}

void server::become_available() {
    enter(phase::idle);
    if (channel_.readable()) {
        channel_.stream().call_again();  // what came behind the last reply brings no new event
    }
    slice_->on_available(*this);
}

// --- the lease

void server::lend(server_user& user) {
    user_ = &user;
    enter(phase::active);
}

// Nobody follows any more what the requests under way do to the statements here.
void server::forget_changes() {
    if (statements_.abandon()) {
        marks_.dirty = marks_.has_statements = true;
    }
}

// Nothing is asked, owed or half read.
bool server::is_quiet() const noexcept {
    return ledger_.is_empty() && backend_.at_boundary() && !channel_.has_kept();
}

bool server::is_at_work() const noexcept {
    return !ledger_.is_empty() || !backend_.at_boundary() || backend_.status() != 'I';
}

// The connection works, and what is asked and owed on it is exactly known.
bool server::is_healthy(bool at_boundary) const noexcept {
    return at_boundary && !revoked_ && channel_.stream().is_open() &&
           !channel_.stream().hung_up() && !dying_ && !marks_.permanent && !ledger_.is_doubtful() &&
           !channel_.has_backlog();
}

bool server::is_reusable(bool at_boundary) const noexcept {
    return is_healthy(at_boundary) && is_quiet();
}

void server::release(bool at_boundary, bool dirty, bool let_finish) {
    user_ = nullptr;
    last_used_ = proven_ = slice_->home().loop().now();
    if (state_ != phase::active) {
        return;  // closing already
    }
    cut_ = !at_boundary;
    forget_changes();
    if (!is_reusable(at_boundary)) {
        if (is_healthy(at_boundary) && !let_finish) {
            return recover();
        }
        return close(let_finish && at_boundary ? ending::finish
                     : let_finish              ? ending::at_once
                                               : ending::cancel);
    }
    marks_.dirty = marks_.dirty || dirty;
    if (cancels_ != 0) {
        return enter(phase::cancelling);
    }
    settle();
}

// Its client has left in the middle of something. PostgreSQL would end that when it notices.
void server::recover() {
    marks_.dirty = true;
    recovering_ = true;
    enter(phase::cancelling);
    auto& loop = slice_->home().loop();
    close_by_ = loop.now() + slice_->pool().server_close_timeout;
    loop.timers().set(*this, std::min(close_by_, loop.now() + cancel_again));
    cancel();
    end_requests();
    if (state_ == phase::cancelling) {
        read_own();
    }
}

// Says in the client's place what PostgreSQL waits for: the end of a COPY, a Sync. A Sync alone
// would commit what an open batch has done; a ROLLBACK before it is skipped if the batch fails.
void server::end_requests() {
    std::string bytes;
    if (ledger_.is_copying_in()) {
        protocol::message_writer{bytes}.begin('f').put_cstr("the client has left").end();
        ledger_.sent(protocol::request::copy_end, protocol::origin::pooler);
    }
    if (ledger_.needs_sync()) {
        if (!ledger_.is_skipping()) {
            protocol::message_writer{bytes}.begin('Q').put_cstr("ROLLBACK").end();
            ledger_.sent(protocol::request::query, protocol::origin::pooler);
        }
        bytes += protocol::sync_message;
        ledger_.sent(protocol::request::sync, protocol::origin::pooler);
    }
    if (!bytes.empty() && !channel_.send(bytes)) {
        close(ending::at_once);
    }
}

// What must happen between two clients.
void server::settle() {
    if (marks_.dirty || backend_.status() != 'I' ||
        slice_->pool().clean == config::cleaning::always) {
        clean();
    } else if (was_cancelled_) {
        // The signal may reach the backend late. Its answer to a Sync proves that it is through.
        was_cancelled_ = false;
        check();
    } else {
        become_available();
    }
}

void server::cancel(std::shared_ptr<void> until) {
    if (!ledger_.owes_reply() || key_.empty()) {
        return;
    }
    if (until) {
        cancel_holds_.push_back(std::move(until));
    }
    if (cancels_ != 0) {
        return;
    }
    // As secret as the session is.
    const bool sent = canceller::send(
        slice_->home(), {address_, target_->tcp, channel_.tls_context(), expected_peer()},
        cancel_packet(pid_, key_), [weak = std::weak_ptr{self_}](canceller::outcome what) {
            if (const auto alive = weak.lock()) {
                (*alive)->on_cancelled(what != canceller::outcome::uncertain);
            }
        });
    if (sent) {
        ++cancels_;
        ++slice_->traffic().cancels;
        was_cancelled_ = true;
    } else {
        cancel_holds_.clear();
    }
}

void server::on_cancelled(bool certain) {
    --cancels_;
    cancel_holds_.clear();
    // PostgreSQL may still read a request that was given up, and then signal whoever is served.
    marks_.permanent = marks_.permanent || !certain;
    if (cancels_ == 0 && state_ == phase::cancelling && !recovering_) {
        return certain ? settle() : close(ending::at_once);
    }
}

// --- the end

void server::revoke() {
    revoked_ = true;
    if (state_ == phase::active && user_ != nullptr) {
        user_->on_server_revoked();
    }
    close(ending::reset);
}

void server::tell_standing() {
    if (user_ != nullptr) {
        user_->on_server_standing();
    }
}

void server::close(ending how) {
    if (state_ == phase::closing) {
        return;
    }
    if (revoked_) {
        how = ending::reset;
    }
    forget_changes();
    recovering_ = false;
    permit_.leave();
    if (auto* w = preparing_for_) {
        set_preparing(nullptr);
        if (dedicated_) {
            slice_->on_lost(*w);
        } else {
            slice_->requeue(*w);
        }
    }
    if (how == ending::cancel) {
        cancel();
    }
    const bool has_backend = state_ != phase::connecting || connected_;
    enter(phase::closing);
    user_ = nullptr;
    if (how == ending::reset && channel_.stream().is_open()) {
        // What our kernel has not sent yet is dropped, and an open transaction ends. The backend
        // may be frozen, so nothing is waited for.
        const linger drop{1, 0};
        ::setsockopt(channel_.stream().fd(), SOL_SOCKET, SO_LINGER, &drop, sizeof drop);
        return gone();
    }
    if (!channel_.stream().is_open() || !has_backend) {
        return gone();
    }
    auto& loop = slice_->home().loop();
    closing_cancels_ = how == ending::cancel;
    close_by_ = loop.now() + slice_->pool().server_close_timeout;
    loop.timers().set(
        *this, closing_cancels_ ? std::min(close_by_, loop.now() + cancel_again) : close_by_);
    unsent_ = how == ending::finish && channel_.has_backlog();
    if (!unsent_) {
        say_goodbye();
    }
    drain();
}

void server::say_goodbye() {
    if (!channel_.has_backlog() && !cut_) {  // behind half a message it would be part of that
        (void)(channel_.send(protocol::terminate_message) && channel_.end_tls());
    }
    channel_.drop_all();
    channel_.stream().shut_down_sending();
}

void server::drain() {
    if (unsent_) {
        unsent_ = channel_.flush() && channel_.has_backlog();
        if (!unsent_) {
            say_goodbye();
        }
    }
    const auto scratch = slice_->home().loop().scratch();
    for (int turns = 0; channel_.stream().readable(); ++turns) {
        if (turns == net::receives_a_turn) {
            return channel_.stream().call_again();
        }
        if (channel_.stream().receive(scratch).status == net::io_status::closed) {
            return gone();
        }
    }
}

// The backend has ended (or we have waited long enough): the permit goes back.
void server::gone() {
    if (!self_) {
        return;
    }
    self_.reset();
    enter(phase::closing);
    channel_.stream().close();
    net::timer::unlink_now();
    member_hook::unlink();
    auto& home = *slice_;
    home.on_left(state_);
    slice_ = nullptr;
    home.home().loop().bury(std::unique_ptr<net::mortal>{this});
    permit_ = permit{};
    home.on_gone();
}

// --- moving between workers

void server::leave_slice() {
    enter(phase::moving);
    in_transit_ = net::descriptor{channel_.stream().detach()};
    net::timer::unlink_now();
    member_hook::unlink();
    slice_->on_left(state_);
    slice_ = nullptr;
}

void server::join_slice(slice& to) {
    slice_ = &to;
    ++to.traffic().moves;
    to.enlist(*this);
    to.on_joined(state_);
    channel_.set_loop(to.home().loop());
    if (!attach(in_transit_.release())) {
        PGWEIR_LOG(err, "server {}: cannot change workers: {}", id_, std::strerror(errno));
        return close(ending::at_once);
    }
    become_available();
}

metrics::server_row server::describe() const {
    metrics::server_row row;
    row.id = id_;
    row.user = target_->user;
    row.database = slice_->common().key.database;
    row.application_name = parameters_.value_of("application_name");
    row.state = state_;
    const auto peer = net::describe(address_);
    const auto local = net::local_of(channel_.stream().fd());
    row.address = peer.host;
    row.port = peer.port == 0 ? target_->port : peer.port;
    row.local_address = local.host;
    row.local_port = local.port;
    if (const auto tls = channel_.security()) {
        row.tls = std::string{tls->version} + "/" + std::string{tls->cipher};
    }
    row.connected = connected_at_;
    row.last_request = std::chrono::system_clock::now() -
                       std::chrono::duration_cast<std::chrono::system_clock::duration>(
                           base::steady::now() - last_used_);
    row.close_needed = dying_ || marks_.permanent;
    row.linked_client = user_ != nullptr ? user_->user_id() : 0;
    row.backend_pid = pid_;
    row.prepared_statements = static_cast<unsigned>(statements_.size());
    row.worker = slice_->home().index();
    return row;
}

}  // namespace pgweir::pool
