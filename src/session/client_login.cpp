// A client's way in: first packet, authentication, welcome.
#include "pgweir/auth/secret_kind.hpp"
#include "pgweir/base/byte_order.hpp"
#include "pgweir/base/log.hpp"
#include "pgweir/cluster/routing.hpp"
#include "pgweir/net/address.hpp"
#include "pgweir/pool/peer_cancel.hpp"
#include "pgweir/protocol/error_response.hpp"
#include "pgweir/protocol/frame.hpp"
#include "pgweir/protocol/message_writer.hpp"
#include "pgweir/session/client.hpp"
#include "session/client_state.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <iterator>

namespace pgweir::session {
namespace {

using setting = std::pair<std::string, std::string>;
constexpr std::string_view target_parameter = "pgweir.target";
constexpr std::array targets{config::access_target::primary, config::access_target::standby,
                             config::access_target::prefer_standby, config::access_target::any};

// The first byte of a TLS record that carries a handshake (RFC 8446, section 5.1). No startup
// packet is long enough to begin like that.
bool begins_handshake(std::string_view data) noexcept {
    return !data.empty() && data.front() == '\x16';
}

// Bytes behind the request were meant for an encrypted stream, or were slipped in (CVE-2021-23214,
// CVE-2021-3935).
protocol::error_fields unencrypted_data(bool is_ssl) noexcept {
    return {.severity = "FATAL",
            .sqlstate = "08P01",
            .message = is_ssl ? "received unencrypted data after SSL request"
                              : "received unencrypted data after GSSAPI encryption request",
            .detail =
                "This could be either a client-software bug or evidence of an attempted "
                "man-in-the-middle attack."};
}

}  // namespace

void client::begin(worker& home,
                   net::descriptor fd,
                   const net::address& peer,
                   admission::ticket in_login) {
    try {
        auto made =
            std::unique_ptr<client>{new client{home, std::move(fd), client_count{home.load}}};
        made->login_->place = std::move(in_login);
        made->login_->is_local = peer.is_unix();
        made.release()->enter(phase::startup);
    } catch (const std::exception& e) {
        PGWEIR_LOG(err, "cannot serve a new client: {}", e.what());
    }
}

void client::resume(worker& home, arrival a) {
    client* owned_by_itself = nullptr;
    try {
        auto made =
            std::unique_ptr<client>{new client{home, std::move(a.fd), std::move(a.in_load)}};
        made->login_->place = std::move(a.in_login);
        made->login_->is_local = a.is_local;
        made->login_->since = a.since;
        made->channel_.secure(std::move(a.tls));
        made->channel_.keep(a.unread);
        owned_by_itself = made.release();
        owned_by_itself->begin_login(std::move(a.startup));
    } catch (const std::exception& e) {
        if (owned_by_itself != nullptr) {
            return owned_by_itself->give_up(e);
        }
        PGWEIR_LOG(err, "cannot take over a client: {}", e.what());
    }
}

// --- the first packet

void client::read_startup() {
    while (phase_ == phase::startup && channel_.has_input()) {
        auto [data, status] = channel_.receive();
        if (status == net::io_status::closed && begins_handshake(data)) {
            return leave(false);  // the end is told once: a handshake would wait for more
        }
        if (begins_handshake(data) && !login_->ssl_answered && !login_->gssenc_answered) {
            if (auto context = offered_tls()) {
                login_->ssl_answered = login_->is_direct = true;
                channel_.keep(data);
                return begin_tls(std::move(context));
            }
        }
        if (data.size() >= 4) {
            const auto length = protocol::startup_length(base::load_be32(data.data()));
            if (length == 0) {
                return leave(false);  // PostgreSQL only logs it
            }
            if (data.size() >= length) {
                auto packet = protocol::parse_startup(data.substr(0, length));
                channel_.keep(data.substr(length));
                on_startup(std::move(packet));
                continue;
            }
        }
        if (status == net::io_status::closed) {
            return leave(false);
        }
        channel_.keep(data);
        if (status == net::io_status::would_block || !channel_.readable()) {
            return;
        }
    }
}

void client::on_startup(protocol::startup_packet packet) {
    if (auto* refused = std::get_if<protocol::startup_error>(&packet)) {
        if (refused->sqlstate.empty()) {
            return leave(false);
        }
        if (refused->old_style) {
            // A client of protocol 2 understands no other error.
            enter(phase::closing);
            if (!channel_.send("EFATAL:  " + refused->message + "\n" + '\0')) {
                return die();
            }
            return finish_closing();
        }
        return fail(
            {.severity = "FATAL", .sqlstate = refused->sqlstate, .message = refused->message});
    }
    const bool is_ssl = std::holds_alternative<protocol::ssl_request>(packet);
    if (is_ssl || std::holds_alternative<protocol::gssenc_request>(packet)) {
        return on_encryption_request(is_ssl);
    }
    if (const auto* cancel = std::get_if<protocol::cancel_request>(&packet)) {
        return pass_cancel(*cancel);
    }
    auto m = std::get<protocol::startup_message>(std::move(packet));
    if (!move_home(m)) {
        begin_login(std::move(m));
    }
}

void client::on_encryption_request(bool is_ssl) {
    auto& answered = is_ssl ? login_->ssl_answered : login_->gssenc_answered;
    if (answered && !(is_ssl && login_->is_direct)) {
        // PostgreSQL takes the second one for a startup packet.
        return fail({.severity = "FATAL",
                     .sqlstate = "0A000",
                     .message = is_ssl ? "unsupported frontend protocol 1234.5679: "
                                         "server supports 3.0 to 3.2"
                                       : "unsupported frontend protocol 1234.5680: "
                                         "server supports 3.0 to 3.2"});
    }
    answered = true;
    if (is_ssl) {
        login_->is_direct = false;
        if (auto context = offered_tls()) {
            // Told about once nobody in between can swallow it, as PostgreSQL does.
            login_->is_stuffed = channel_.has_kept();
            (void)channel_.take_kept();
            if (!channel_.send("S")) {
                return leave(false);
            }
            return begin_tls(std::move(context));
        }
    }
    if (channel_.has_kept()) {
        return fail(unencrypted_data(is_ssl));
    }
    send_or_leave("N");
}

// --- TLS

// What this connection may still be secured with; null: nothing.
tls::context_ptr client::offered_tls() const {
    auto context = home_.all().pools.tls.for_clients();
    return context == nullptr || channel_.is_secure() || login_->is_local ? nullptr : context;
}

// Bytes that are kept are its first ones.
void client::begin_tls(tls::context_ptr context) {
    enter(phase::securing);
    login_->handshake =
        std::make_unique<net::tls_handshake>(std::make_unique<tls::engine>(std::move(context)),
                                             home_.all().pools.handshakes, home_.loop(), [this] {
                                                 try {
                                                     if (phase_ == phase::securing) {
                                                         pump_handshake();
                                                     }
                                                 } catch (const std::exception& e) {
                                                     give_up(e);
                                                 }
                                             });
    pump_handshake();
}

void client::pump_handshake() {
    switch (login_->handshake->advance(channel_)) {
        case net::tls_handshake::outcome::pending: return;
        case net::tls_handshake::outcome::done: login_->handshake.reset(); return on_secured();
        case net::tls_handshake::outcome::failed:
        case net::tls_handshake::outcome::crowded: break;
    }
    PGWEIR_LOG(info, "client {}: could not accept SSL connection: {}", id_,
               login_->handshake->error());
    enter(phase::closing);
    finish_closing();  // an alert may be on its way
}

void client::on_secured() {
    // PostgreSQL docs 55.2.11: or a server of another protocol might be talked into answering.
    if (login_->is_direct && !channel_.security()->has_alpn) {
        PGWEIR_LOG(info,
                   "client {}: received direct SSL connection request without ALPN protocol "
                   "negotiation extension",
                   id_);
        return leave(false);
    }
    if (login_->is_stuffed) {
        enter(phase::startup);
        return fail(unencrypted_data(true));
    }
    enter(phase::startup);
    read_startup();
}

// What does not come over the unix socket must be encrypted, where that is required. True when it
// is not, and has been refused.
bool client::refuse_plain_text() {
    const auto mode = home_.snapshot().client_tls.mode;
    if (mode < config::tls_mode::require || channel_.is_secure() || login_->is_local) {
        return false;
    }
    const auto& startup = login_->startup;
    const bool is_physical = startup.replication && !startup.replication_database;
    const auto host = net::peer_of(channel_.stream().fd()).host;
    fail({.severity = "FATAL",
          .sqlstate = "28000",
          .message = is_physical ? "no pg_hba.conf entry for replication connection from host \"" +
                                       host + "\", user \"" + startup.user + "\", no encryption"
                                 : "no pg_hba.conf entry for host \"" + host + "\", user \"" +
                                       startup.user + "\", database \"" + startup.database +
                                       "\", no encryption",
          .hint = "client_tls.mode of pgweir requires TLS: connect with sslmode=require"});
    return true;
}

// As PostgreSQL does, the connection is closed once the cancel has been passed on: whoever asked
// for it may then send the next query without fear for that.
void client::pass_cancel(protocol::cancel_request request) {
    const auto issuer = issuer_of(request.pid);
    const bool was_passed_on = pool::unmark_passed_on(request);
    const bool is_ours = issuer && issuer->peer == home_.peer_id();
    const auto& peers = home_.snapshot().peers;
    const bool has_owner =
        is_ours ? issuer->worker < home_.all().workers.size()
                : issuer && !was_passed_on && home_.peer_id() != 0 && peers.contains(issuer->peer);
    if (!has_owner) {
        return die();
    }
    passes_cancel_ = true;
    enter(phase::closing);
    self_ = std::make_shared<client*>(this);
    const auto close = [weak = std::weak_ptr{self_}, &all = home_.all(),
                        &loop = home_.loop()](void*) {
        // Whoever holds on longest may be destroyed after our worker.
        if (!all.is_over) {
            loop.post([weak] {
                if (const auto alive = weak.lock()) {
                    (*alive)->die();
                }
            });
        }
    };
    const std::shared_ptr<void> until{nullptr, close};
    if (is_ours) {
        home_.all().workers[issuer->worker]->cancel(std::move(request), until);
    } else {
        home_.send_to_peer(issuer->peer, request, until);
    }
}

// Places the client, not the server: it is served for life by a worker where its pool lives.
bool client::move_home(protocol::startup_message& m) {
    const auto& snapshot = home_.snapshot();
    const auto* database = snapshot.find_database(m.database);
    const auto* user = snapshot.find_user(m.user);
    const auto& workers = home_.all().workers;
    const bool may_be_served =
        database != nullptr && (user != nullptr || config::has_auth_query(snapshot, *database));
    if (workers.size() == 1 || !may_be_served) {
        return false;
    }
    const bool forced = !database->user.empty();
    const pool::shelf_key key{m.database, forced ? std::string{} : m.user};
    const auto size = config::effective_pool(*database, forced ? nullptr : user).size;
    const auto homes = pool::slices::homes_of(key, size, static_cast<unsigned>(workers.size()));
    // Counted where it goes from this moment on: of those who come in one turn, or while that
    // worker is busy, each must see the ones before.
    in_load_.reset();
    const auto best = *std::ranges::min_element(homes, {}, [&](unsigned w) {
        return std::pair{workers[w]->load.load(), w != home_.index()};
    });
    in_load_ = client_count{workers[best]->load};
    if (best == home_.index()) {
        return false;
    }
    arrival a;
    a.startup = std::move(m);
    a.unread = channel_.take_kept();
    a.tls = channel_.take_tls();
    a.in_login = std::move(login_->place);
    a.in_load = std::move(in_load_);
    a.is_local = login_->is_local;
    a.since = login_->since;
    a.fd = net::descriptor{channel_.stream().detach()};
    die();
    workers[best]->send_arrival(std::move(a));
    return true;
}

// --- authentication

void client::begin_login(protocol::startup_message m) {
    login_->startup = std::move(m);
    const auto& startup = login_->startup;
    enter(phase::authenticating);
    protocol::append_negotiate_version(login_->out, startup.minor, startup.protocol_options);
    // Counted from here on: before, it may be a cancel request, or nobody.
    auto& all = home_.all();
    in_all_ = client_count{all.clients};
    if (all.clients.load() > all.max_clients.load()) {
        in_all_.reset();
        return fail({.severity = "FATAL",
                     .sqlstate = "53300",
                     .message = "sorry, too many clients already",
                     .hint = "limits.max_clients of pgweir"});
    }
    if (home_.is_draining()) {
        return fail({.severity = "FATAL",
                     .sqlstate = "57P03",
                     .message = "the database system is shutting down",
                     .detail = "pgweir is shutting down."});
    }
    if (!refuse_plain_text() && choose_rule()) {
        log_in();
    }
}

void client::log_in() {
    const auto& startup = login_->startup;
    const auto& all = home_.all();
    const auto& snapshot = home_.snapshot();
    const auto* user = snapshot.find_user(startup.user);
    const auto* database = snapshot.find_database(startup.database);
    if (user == nullptr && database != nullptr && config::has_auth_query(snapshot, *database) &&
        all.look_up_user && !asks_for_console(startup.database)) {
        return look_up();
    }
    auth::credentials who;
    who.user = startup.user;
    who.known = user != nullptr;
    if (user != nullptr) {
        who.secret = user->password.reveal();
    }
    who.others = all.likeness.load();
    authenticate(std::move(who));
}

bool client::asks_for_console(const std::string& database) const {
    const auto* services = home_.all().services;
    return services != nullptr && services->serves(database);
}

void client::authenticate(auth::credentials who) {
    login_->dialogue.emplace(login_method(), std::move(who), home_.all().mock_seed,
                             auth::login_entropy::draw(), channel_binding());
    take(login_->dialogue->start());
    if (phase_ == phase::authenticating) {
        read_login();
    }
}

// What SCRAM may bind to, and whether it must.
auth::channel_binding client::channel_binding() const {
    auth::channel_binding out;
    out.policy = home_.snapshot().client_tls.channel_binding;
    if (const auto security = channel_.security()) {
        out.is_encrypted = true;
        out.end_point = std::string{security->server_end_point};
    }
    // Nobody sits in the middle of a unix socket, or passes on the proof of a certificate's key.
    const auto* rule = login_->rule;
    const bool is_proved = rule != nullptr && rule->method == auth::hba_method::cert;
    if (out.policy == auth::binding_policy::require && (is_proved || login_->is_local)) {
        out.policy = auth::binding_policy::prefer;
    }
    return out;
}

// Nothing has been said to the client yet, so who is unknown cannot be told from who is known.
void client::look_up() {
    enter(phase::looking_up);
    login_->looked_up_at = lookup_place();
    if (!self_) {
        self_ = std::make_shared<client*>(this);
    }
    home_.all().look_up_user(
        login_->startup.database, login_->startup.user,
        [weak = std::weak_ptr{self_}, &loop = home_.loop()](std::optional<auth::found_user> found) {
            loop.post([weak, found = std::move(found)] {
                if (const auto alive = weak.lock()) {
                    (*alive)->on_looked_up(found);
                }
            });
        });
}

// Where this client's user is looked up, by the configuration in force.
std::optional<config::lookup_place> client::lookup_place() const {
    const auto& snapshot = home_.snapshot();
    const auto* database = snapshot.find_database(login_->startup.database);
    return database == nullptr ? std::nullopt : config::find_lookup_place(snapshot, *database);
}

void client::on_looked_up(const std::optional<auth::found_user>& found) try {
    if (phase_ != phase::looking_up) {
        return;
    }
    const auto& user = login_->startup.user;
    if (const auto place = lookup_place(); place && place != login_->looked_up_at) {
        return look_up();  // a reload came meanwhile: the answer is of a place that counts no more
    }
    if (!found) {
        return fail({.severity = "FATAL",
                     .sqlstate = "57P03",
                     .message = "user \"" + user + "\" cannot be looked up at this moment",
                     .hint = "auth_query of pgweir, whose log says why"});
    }
    login_->found = found;
    enter(phase::authenticating);
    auth::credentials who;
    who.user = user;
    who.known = found->known;
    who.secret = found->secret.reveal();
    who.others = found->others.value_or(home_.all().likeness.load());
    authenticate(std::move(who));
} catch (const std::exception& e) {
    give_up(e);
}

void client::read_login() {
    while (phase_ == phase::authenticating && channel_.has_input()) {
        auto [data, status] = channel_.receive();
        if (data.size() >= protocol::header_size) {
            const auto f = protocol::read_frame(data.data());
            // It is read as a whole, so it must fit what one receive brings.
            if (f.size < protocol::header_size || f.size > net::loop::scratch_size) {
                return fail({.severity = "FATAL",
                             .sqlstate = "08P01",
                             .message = "invalid message length"});
            }
            if (data.size() >= f.size) {
                if (f.type == 'X') {
                    return leave(true);
                }
                auto step = login_->dialogue->on_message(
                    f.type, data.substr(protocol::header_size, f.size - protocol::header_size));
                channel_.keep(data.substr(f.size));
                take(std::move(step));
                continue;
            }
        }
        if (status == net::io_status::closed) {
            return leave(false);
        }
        channel_.keep(data);
        if (status == net::io_status::would_block || !channel_.readable()) {
            return;
        }
    }
}

void client::take(auth::client_login::step s) {
    using kind = auth::client_login::step::kind;
    switch (s.what) {
        case kind::read_more: {
            login_->out += s.send;
            const auto out = std::exchange(login_->out, {});
            return send_or_leave(out);
        }
        case kind::hash: {
            enter(phase::hashing);
            if (!self_) {
                self_ = std::make_shared<client*>(this);
            }
            const bool accepted = home_.all().pools.keys.derive(
                login_->dialogue->request(), home_.loop(),
                [weak = std::weak_ptr{self_}](const auth::scram_keys& keys) {
                    if (const auto alive = weak.lock()) {
                        (*alive)->on_hashed(keys);
                    }
                });
            if (!accepted) {
                fail({.severity = "FATAL",
                      .sqlstate = "53000",
                      .message = "too many logins are waiting for password hashing"});
            }
            return;
        }
        case kind::accepted:
            if (!has_certificate_of_user()) {
                return;
            }
            login_->out += s.send;
            return on_authenticated();
        case kind::refused: {
            const auto& why = login_->dialogue->why();
            const auto& doubt = home_.all().pools.doubt_user;
            if (login_->found && why.sqlstate == "28P01" && doubt) {
                // The password may have been changed since the user was looked up.
                doubt(login_->startup.database, login_->startup.user, login_->found->serial);
            }
            return refuse_later(why);
        }
    }
}

void client::on_hashed(const auth::scram_keys& keys) try {
    if (phase_ == phase::hashing) {
        enter(phase::authenticating);
        take(login_->dialogue->on_hashed(keys));
        if (phase_ == phase::authenticating) {
            read_login();
        }
    }
} catch (const std::exception& e) {
    give_up(e);
}

void client::on_authenticated() {
    const auto& startup = login_->startup;
    // A reload may have come since the login began: only what is configured now gets further.
    const auto& snapshot = home_.snapshot();
    const auto* user = snapshot.find_user(startup.user);
    const auto* database = snapshot.find_database(startup.database);
    const bool may_be_found = database != nullptr && config::has_auth_query(snapshot, *database);
    if (login_->found ? user != nullptr || !may_be_found : user == nullptr) {
        return refuse_later(
            {"28P01", "password authentication failed for user \"" + startup.user + '"', {}});
    }
    if (login_->found && lookup_place() != login_->looked_up_at) {
        // What the client has proved is good for a place that counts no more.
        return fail({.severity = "FATAL",
                     .sqlstate = "57P03",
                     .message = "user \"" + startup.user + "\" cannot be looked up at this moment",
                     .detail = "The configuration was changed while the client logged in."});
    }
    remember_proof();
    // Who is known may wait for a server without keeping others, such as cancel requests, out.
    login_->place.give_back();
    if (asks_for_console(startup.database)) {
        return open_local(user->console);
    }
    if (database == nullptr) {
        const auto text = "database \"" + startup.database + "\" does not exist";
        return fail({.severity = "FATAL", .sqlstate = "3D000", .message = text});
    }
    open_pool();
}

// What the client has shown to know lets pgweir log in as it at PostgreSQL.
void client::remember_proof() {
    const auto& startup = login_->startup;
    const auto& dialogue = *login_->dialogue;
    pool::key_ring::proven proof;
    if (dialogue.client_key() && dialogue.verifier()) {
        proof.keys = *dialogue.client_key();
        proof.salt = dialogue.verifier()->salt;
        proof.iterations = dialogue.verifier()->iterations;
    }
    auto& ring = home_.all().pools.keys;
    const auto remember = [&](const std::string& identity) {
        login_->identity = ring.hold(identity);
        ring.remember(identity, std::move(proof));
    };
    const auto& snapshot = home_.snapshot();
    if (login_->found) {
        proof.serial = login_->found->serial;
        proof.secret = dialogue.password();
        if (proof.secret.empty() &&
            auth::kind_of(login_->found->secret.reveal()) != auth::secret_kind::scram) {
            proof.secret = login_->found->secret;
        }
        const auto& database = *snapshot.find_database(startup.database);
        remember(pool::identity_of(snapshot, database, startup.user));
    } else if (proof.iterations != 0) {
        remember(startup.user);
    }
}

// --- the welcome

// What a client asks for that is meant for pgweir: which nodes of the database's cluster serve it.
// False: it has been refused.
bool client::take_target(const config::database_settings& database,
                         pool::startup_parameters& values) {
    login_->target = database.target;
    const auto it = std::ranges::find(values, target_parameter, &setting::first);
    if (it == values.end()) {
        return true;
    }
    const auto wanted = std::move(it->second);
    values.erase(it);
    const auto known = std::ranges::find(targets, wanted, [](auto t) { return to_string(t); });
    if (known == targets.end()) {
        fail({.severity = "FATAL",
              .sqlstate = "22023",
              .message = "invalid value for parameter \"pgweir.target\": \"" + wanted + '"',
              .hint = "Available values: primary, standby, prefer-standby, any."});
        return false;
    }
    if (database.cluster.empty() && *known != config::access_target::primary) {
        fail({.severity = "FATAL",
              .sqlstate = "22023",
              .message = "database \"" + database.name + "\" has no standbys to choose",
              .hint = "cluster of the database in pgweir"});
        return false;
    }
    login_->target = *known;
    return true;
}

std::optional<pool::settings_ptr> client::read_settings(const config::database_settings& database) {
    const auto& startup = login_->startup;
    auto options = protocol::parse_options(startup.options);
    if (!options.error.empty()) {
        fail({.severity = "FATAL", .sqlstate = "42601", .message = options.error});
        return std::nullopt;
    }
    // As in PostgreSQL, the packet's own parameters win over those in options.
    auto values = std::move(options.settings);
    values.insert(values.end(), startup.settings.begin(), startup.settings.end());
    if (!take_target(database, values)) {
        return std::nullopt;
    }
    // A node for reading may be promoted at any moment, by whomever: writes are for those who ask
    // for the primary.
    constexpr std::string_view read_only = "default_transaction_read_only";
    if (login_->target != config::access_target::primary &&
        std::ranges::find(values, read_only, &setting::first) == values.end()) {
        values.emplace_back(read_only, "on");
    }
    return home_.all().pools.settings.intern(std::move(values));
}

void client::open_pool() {
    const auto& startup = login_->startup;
    const auto& snapshot = home_.snapshot();
    const auto& database = *snapshot.find_database(startup.database);
    const auto* user = snapshot.find_user(startup.user);
    auto& pools = home_.all().pools.pools;
    const bool forced = !database.user.empty();
    const auto shelf = pools.open({startup.database, forced ? std::string{} : startup.user},
                                  config::effective_pool(database, forced ? nullptr : user),
                                  database, forced ? snapshot.find_user(database.user) : user);
    pools.limit_clients(startup.user, user == nullptr ? 0 : user->max_client_connections);
    if (slot_.take(shelf->database_account(), pools.user_account(startup.user)) !=
        pool::client_slot::refusal::none) {
        return fail({.severity = "FATAL",
                     .sqlstate = "53300",
                     .message = "too many connections for this database or user",
                     .hint = "max_client_connections of the database or user in pgweir"});
    }
    auto wanted = read_settings(database);
    if (!wanted) {
        return;
    }
    settings_ = std::move(*wanted);
    user_ = startup.user;
    gate_ = pool::residence{home_.pools().open(
        pool::gate_key{startup.database, shelf->key.role, login_->target}, snapshot)};
    if (gate_->has_cluster()) {
        balance_key_ = cluster::hash_of(balance_text());
    }
    ++gate_->traffic().client_logins;
    return startup.replication ? ask_for_own_server() : ask_for_welcome();
}

// Clients of whom this is equal read from the same node, where that is how reads are spread.
std::string client::balance_text() const {
    switch (gate_->cluster().hash_by) {
        case config::hash_key::user: return user_;
        case config::hash_key::database: return gate_->key().database;
        case config::hash_key::application_name:
            return std::string{settings_->value_of("application_name")};
        case config::hash_key::client_address: return net::peer_of(channel_.stream().fd()).host;
    }
    return {};
}

// A replication connection: PostgreSQL has to know at its start, and it cannot be shared.
void client::ask_for_own_server() {
    const auto& startup = login_->startup;
    pool::startup_parameters own{
        {"replication", startup.replication_database ? "database" : "true"}};
    if (!startup.options.empty()) {
        own.emplace_back("options", startup.options);
    }
    std::ranges::copy_if(startup.settings, std::back_inserter(own),
                         [](const auto& s) { return s.first != target_parameter; });
    is_dedicated_ = true;
    enter(phase::welcome_wait);
    gate_->dial(*this, std::move(own));
}

void client::ask_for_welcome() {
    if (const auto known = gate_->welcome_for(settings_.get())) {
        return send_welcome(*known);
    }
    enter(phase::welcome_wait);
    if (auto server = gate_->acquire(*this, settings_)) {
        on_server(std::move(server));
    }
}

void client::send_welcome(std::string_view parameters) {
    key_ = home_.cancels().add(*this, login_->startup.minor >= 2);
    auto out = std::move(login_->out);
    out += parameters;
    protocol::message_writer{out}
        .begin('K')
        .put_int32(key_.pid)
        .put_bytes(home_.cancels().secret_of(key_))
        .end();
    protocol::append_ready(out, 'I');
    login_.reset();
    enter(local_ ? phase::local : lease_ ? phase::active : phase::idle);
    if (home_.snapshot().log.connections) {
        PGWEIR_LOG(info, "client {}: logged in as {}", id_, user_);
    }
    send_or_leave(out);
    if (phase_ == phase::idle && channel_.has_input()) {
        pump_idle();
    } else if (phase_ == phase::active) {
        pump_client();
    } else if (phase_ == phase::local && channel_.has_input()) {
        pump_local();
    }
}

void client::open_local(config::console_role role) {
    if (role == config::console_role::none) {
        return fail({.severity = "FATAL",
                     .sqlstate = "42501",
                     .message = "permission denied for the pgweir console",
                     .hint = "console = \"stats\" or \"admin\" for this user in pgweir"});
    }
    local_ = home_.all().services->open(role);
    user_ = login_->startup.user;
    std::string parameters;
    local_->welcome(parameters);
    send_welcome(parameters);
}

}  // namespace pgweir::session
