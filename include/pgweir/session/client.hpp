// One client connection: its login, and its way between waiting and being served.
#pragma once

#include "pgweir/auth/client_login.hpp"
#include "pgweir/config/lookup_place.hpp"
#include "pgweir/net/address.hpp"
#include "pgweir/net/channel.hpp"
#include "pgweir/pool/gate.hpp"
#include "pgweir/protocol/batch_refusal.hpp"
#include "pgweir/protocol/frontend_stream.hpp"
#include "pgweir/session/worker.hpp"

#include <exception>
#include <memory>
#include <optional>
#include <string>

namespace pgweir::session {

class outgoing;

// The glue between a client's socket, the protocol's state machines and the pool. Belongs to one
// worker for life, once its startup packet has said which; owned by itself: made with `new`, it
// gives itself to loop::bury() in die(). Worker thread only.
class client final : public net::mortal,
                     public pool::waiter,
                     public client_hook,
                     private net::io_handler,
                     private net::timer {
public:
    enum class phase : std::uint8_t {
        startup,         // the first packet is being read
        securing,        // the TLS handshake
        looking_up,      // PostgreSQL is asked who the client says it is
        authenticating,  // the login dialogue
        hashing,         // another thread hashes a password, or looks up who is at a unix socket
        delayed,         // its login has failed, which it will be told in a while
        welcome_wait,    // logged in; waits for a server to tell its parameters
        idle,            // nothing asked, no server
        waiting,         // in the queue for a server
        active,          // served
        failed,          // has lost its server in a transaction, and that is not over yet
        refusing,        // its request is being thrown away and answered with an error
        local,           // talks to pgweir itself
        closing,         // the last bytes are on their way
    };

    // A new connection, not yet read from.
    static void begin(worker& home,
                      net::descriptor fd,
                      const net::address& peer,
                      admission::ticket in_login);
    // One that another worker, or this, has read the startup packet of.
    static void resume(worker& home, arrival a);
    ~client() override;

    // The worker's configuration has changed.
    void on_configured();
    // The worker drains: leave now, or with the end of the transaction.
    void on_drain();
    // A CancelRequest with our key came. `until` is held until PostgreSQL has taken ours.
    void on_cancel_request(std::shared_ptr<void> until);
    [[nodiscard]] metrics::client_row describe() const;
    // How many prepared statements it has names for, and the bytes of one.
    [[nodiscard]] unsigned statement_names() const noexcept {
        return statements_ == nullptr ? 0 : static_cast<unsigned>(statements_->size());
    }
    static constexpr std::size_t statement_name_size = sizeof(protocol::client_statements::named);
    [[nodiscard]] bool is_logged_in() const noexcept {
        return phase_ >= phase::welcome_wait && phase_ != phase::closing;
    }

private:
    struct login;

    client(worker& home, net::descriptor fd, client_count in_load);

    // Whoever calls one of these has others to serve, so nothing is thrown at them: see give_up().
    // pool::waiter
    void on_server(pool::lease server) override;
    void on_refused(const pool::connect_failure& why) override;
    void on_unavailable(const pool::unavailable& why) override;
    void on_hold_changed() override { arm_timer(); }
    [[nodiscard]] std::uint64_t balance_key() const noexcept override { return balance_key_; }
    [[nodiscard]] std::size_t kept_bytes() const noexcept override { return channel_.kept(); }
    void on_server_io() override;
    void on_server_revoked() override;
    void on_server_standing() override;
    [[nodiscard]] std::uint64_t user_id() const noexcept override { return id_; }
    [[nodiscard]] protocol::client_statements* statements() noexcept override {
        return statements_.get();
    }
    void on_io() override;
    void on_timer() override;

    // login (client_login.cpp)
    void read_startup();
    void on_startup(protocol::startup_packet packet);
    void on_encryption_request(bool is_ssl);
    [[nodiscard]] tls::context_ptr offered_tls() const;
    void begin_tls(tls::context_ptr context);
    void pump_handshake();
    void on_secured();
    [[nodiscard]] bool refuse_plain_text();
    void pass_cancel(protocol::cancel_request request);
    bool move_home(protocol::startup_message& m);
    void begin_login(protocol::startup_message m);
    void log_in();
    [[nodiscard]] bool asks_for_console(const std::string& database) const;
    void look_up();
    [[nodiscard]] std::optional<config::lookup_place> lookup_place() const;
    void on_looked_up(const std::optional<auth::found_user>& found);
    void authenticate(auth::credentials who);
    [[nodiscard]] auth::channel_binding channel_binding() const;
    void read_login();
    void take(auth::client_login::step s);
    void on_hashed(const auth::scram_keys& keys);
    void on_authenticated();
    void remember_proof();
    void open_pool();
    [[nodiscard]] std::string balance_text() const;
    void ask_for_welcome();
    void ask_for_own_server();
    void send_welcome(std::string_view parameters);
    void open_local(config::console_role role);
    bool take_target(const config::database_settings& database, pool::startup_parameters& values);
    std::optional<pool::settings_ptr> read_settings(const config::database_settings& database);

    // rules for the login (client_access.cpp)
    bool choose_rule();
    bool has_certificate_of_user();
    void identify();
    void on_identified(const std::string& name, const std::string& error);
    void refuse_login(const auth::refusal& why, std::string hint = {});
    void refuse_later(auth::refusal why);
    [[nodiscard]] auth::method login_method() const noexcept;

    // relay (client_relay.cpp)
    void pump_idle();
    void begin_wait();
    void serve_with(pool::lease server);
    void begin_link(pool::lease server);
    void pump_client();
    void read_client();
    void forward(std::string_view data);
    void retain(std::string_view sent);
    void pump_server();
    struct passed {
        bool sent = true;          // the client's connection holds
        bool ready = false;        // a ReadyForQuery came
        bool settled = false;      // and was the last that was due
        bool refused = false;      // and showed what the pool's mode does not allow
        bool broken = false;       // the server does not keep to the protocol
        std::string_view fatal{};  // its last words
    };
    passed pass_replies(std::string_view data);
    [[nodiscard]] bool pass_restored(std::string_view replies, outgoing& out);
    [[nodiscard]] bool pass_error(std::string_view message, outgoing& out);
    void add_known(outgoing& out);
    [[nodiscard]] bool answer_known(outgoing& out);
    bool on_ready(bool settled, bool counts);
    void on_batch_paused();
    bool on_settled();
    [[nodiscard]] bool may_part() const noexcept;
    bool give_back();
    void read_on();
    void look_again();
    void read_further();
    // The server's own last words, if it had any: a whole ErrorResponse.
    void on_server_lost(std::string_view last_words = {});
    [[nodiscard]] bool may_survive() const noexcept;
    [[nodiscard]] bool only_reads() const noexcept;
    [[nodiscard]] bool may_send_again() const noexcept;
    void send_again();
    void survive(std::string_view last_words);
    void pump_failed();
    [[nodiscard]] bool may_send() const noexcept;
    void hold_back();

    // local service and refusal (client_local.cpp)
    void pump_local();
    void take(const local_outcome& o, std::string& out);
    void refuse_request(const protocol::error_fields& why);
    void pump_refusal();

    void go_on();
    void enter(phase p);
    void arm_timer();
    [[nodiscard]] base::time_point deadline() const noexcept;
    // Does the client keep its server between transactions?
    [[nodiscard]] bool is_session() const noexcept {
        return is_dedicated_ || gate_->pool().mode == config::pool_mode::session;
    }
    [[nodiscard]] base::time_point request_deadline() const noexcept;
    [[nodiscard]] base::time_point hold_deadline() const noexcept;
    void watch_backlog();
    void watch_reading();
    [[nodiscard]] bool is_stalled() noexcept;
    [[nodiscard]] base::time_point now() const noexcept { return home_.loop().now(); }
    void send_or_leave(std::string_view bytes);
    // Tells the client why, unless it has only part of a message yet, then closes. What is queued
    // before goes first.
    void fail(const protocol::error_fields& why);
    void finish_closing();
    // The connection ends now. `has_terminated`: the client said so, hence what it sent is run.
    void leave(bool has_terminated);
    void give_up(const std::exception& why);
    // `is_expected`: by the client, who is not told of it.
    void die(bool is_expected = false);

    worker& home_;
    net::channel channel_;
    phase phase_ = phase::startup;
    bool dead_ = false;            // buried, and only waits for the turn to end
    bool awaits_replies_ = false;  // reading stopped until some have come
    bool passes_cancel_ = false;   // a CancelRequest that PostgreSQL has not taken yet
    bool cancelled_ = false;       // query timeout: our cancel request is out
    bool is_dedicated_ = false;    // a replication connection: one server, to the end
    bool local_busy_ = false;      // the console waits for other threads
    bool may_write_ = false;       // the node was no standby when it began to serve us
    bool retains_ = false;         // what this link has sent so far could be sent again
    bool sent_again_ = false;      // the request under way has lost a server before
    bool held_back_ = false;       // served, but its node may not be written to for now
    std::uint64_t id_;
    std::uint64_t balance_key_ = 0;
    client_count in_all_;
    client_count in_load_;
    pool::client_slot slot_;
    pool::residence gate_;
    pool::settings_ptr settings_;
    std::string user_;  // as it logged in
    pool::lease lease_;
    protocol::frontend_stream frontend_;
    std::unique_ptr<protocol::client_statements> statements_;  // made when first needed
    cancel_key key_;
    base::time_point since_;              // when the phase began
    base::time_point query_since_;        // begin of the request now being answered; no_time: none
    base::time_point asked_since_;        // when the first of those not answered yet was sent
    base::time_point transaction_since_;  // no_time: none
    // Of a backlog in the channel of an active client.
    base::time_point stall_since_;    // when the client was last seen to read
    base::time_point stall_check_;    // when to look again; no_time: there is none yet
    std::size_t stall_left_ = 0;      // what it had not read then
    std::uint32_t connected_at_ = 0;  // seconds since 1970
    std::unique_ptr<login> login_;
    std::unique_ptr<local_session> local_;
    struct refusal;
    std::unique_ptr<refusal> refusal_;
    struct failure;
    std::unique_ptr<failure> failure_;
    std::shared_ptr<client*> self_;  // made when another thread must find us again
    std::shared_ptr<std::atomic<bool>> command_cancelled_;  // of the console's command under way
};

}  // namespace pgweir::session
