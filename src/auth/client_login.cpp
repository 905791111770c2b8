// The server's half of PostgreSQL's password methods: one login of one client.
#include "pgweir/auth/client_login.hpp"

#include "auth/auth_messages.hpp"
#include "auth/crypto.hpp"
#include "pgweir/auth/md5.hpp"
#include "pgweir/auth/random.hpp"
#include "pgweir/base/byte_order.hpp"
#include "pgweir/base/secret.hpp"

#include <utility>

namespace pgweir::auth {

login_entropy login_entropy::draw() {
    login_entropy e{random_nonce(), {}};
    random_bytes({reinterpret_cast<unsigned char*>(e.md5_salt.data()), e.md5_salt.size()});
    return e;
}

client_login::client_login(method how,
                           credentials who,
                           const digest& mock_seed,
                           login_entropy entropy,
                           channel_binding channel)
    : how_{how},
      who_{std::move(who)},
      stored_{scram_verifier::parse(who_.secret)},
      kind_{stored_ ? secret_kind::scram : kind_of(who_.secret)},
      mock_seed_{mock_seed},
      entropy_{std::move(entropy)},
      channel_{std::move(channel)} {}

client_login::~client_login() { base::wipe(who_.secret.data(), who_.secret.size()); }

client_login::step client_login::start() {
    if (state_ != state::idle) {
        return refuse("08P01", "authentication was already begun");
    }
    // Who has no password is asked for one as the others are, as in PostgreSQL.
    const bool has_verifier =
        who_.known && kind_ != secret_kind::none ? kind_ == secret_kind::scram : who_.others.scram;
    const bool is_scram = how_ == method::scram_sha_256 || (how_ == method::md5 && has_verifier);
    if (channel_.policy == binding_policy::require && !(is_scram && channel_.can_bind())) {
        return refuse("28000", "connection requires channel binding",
                      "Only SCRAM-SHA-256-PLUS over TLS is accepted here: see "
                      "client_tls.channel_binding of pgweir.");
    }
    switch (how_) {
        case method::trust:
            return who_.known ? accept({})
                              : refuse("28000", "role \"" + who_.user + "\" does not exist");
        case method::password:
            state_ = state::cleartext;
            return {step::kind::read_more, authentication(auth_code::cleartext_password)};
        case method::md5:
            if (is_scram) {
                return start_sasl();
            }
            state_ = state::md5;
            return {step::kind::read_more,
                    authentication(auth_code::md5_password,
                                   {entropy_.md5_salt.data(), entropy_.md5_salt.size()})};
        case method::scram_sha_256: break;
    }
    return start_sasl();
}

// With the two other kinds of secret SCRAM cannot be done; a login against them fails at its end.
bool client_login::fits_scram() const noexcept {
    return who_.known && (kind_ == secret_kind::plain || kind_ == secret_kind::scram);
}

// That of a plain secret is not made up: only its salt comes from the seed.
scram_verifier client_login::made_up_verifier() const {
    return mock_verifier(who_.user, mock_seed_,
                         fits_scram() ? default_scram_iterations : who_.others.iterations);
}

client_login::step client_login::start_sasl() {
    const bool mock = !fits_scram();
    const auto& own = stored_ ? stored_ : who_.verifier;
    hash_plain_ = !mock && !own;
    const bool can_bind = channel_.can_bind();
    scram_.emplace(mock || !own ? made_up_verifier() : *own, entropy_.nonce, mock,
                   can_bind ? channel_.end_point : std::string{});
    state_ = state::sasl_initial;
    std::string mechanisms;
    if (can_bind) {
        mechanisms.append(scram_plus_mechanism).push_back('\0');
    }
    if (channel_.policy != binding_policy::require) {
        mechanisms.append(scram_mechanism).push_back('\0');
    }
    mechanisms.push_back('\0');  // the list's end
    return {step::kind::read_more, authentication(auth_code::sasl, mechanisms)};
}

client_login::step client_login::on_message(char type, std::string_view body) {
    if (state_ == state::idle || state_ == state::cleartext_hash || state_ == state::sasl_hash ||
        state_ == state::done) {
        return refuse("08P01", "unexpected message during authentication");
    }
    if (type != 'p') {
        const bool sasl = scram_.has_value();
        return refuse("08P01", std::string{"expected "} + (sasl ? "SASL" : "password") +
                                   " response, got message type " +
                                   std::to_string(static_cast<unsigned char>(type)));
    }
    if (body.size() > max_body) {
        return refuse("08P01", "invalid message length");
    }
    switch (state_) {
        case state::cleartext: return on_cleartext(body);
        case state::md5: return on_md5(body);
        case state::sasl_initial: return on_sasl_initial(body);
        case state::sasl_first: return on_sasl_first(body);
        default: return on_sasl_final(body);
    }
}

std::optional<std::string_view> client_login::read_password(std::string_view body) {
    if (body.empty() || body.find('\0') != body.size() - 1) {
        (void)refuse("08P01", "invalid password packet size");
        return std::nullopt;
    }
    body.remove_suffix(1);
    if (body.empty()) {
        (void)refuse("28P01", "empty password returned by client");
        return std::nullopt;
    }
    return body;
}

client_login::step client_login::on_cleartext(std::string_view body) {
    const auto password = read_password(body);
    if (!password) {
        return {step::kind::refused, {}};
    }
    if (who_.known && kind_ == secret_kind::plain) {
        // Digests have one length, so the comparison does not tell how long the secret is.
        const bool same = crypto::equal(crypto::as_text(crypto::sha256(*password)),
                                        crypto::as_text(crypto::sha256(who_.secret)));
        return same ? accept_cleartext(*password) : refuse_wrong_password();
    }
    if (who_.known && kind_ == secret_kind::md5) {
        const bool same = crypto::equal(md5_secret(who_.user, *password), who_.secret);
        return same ? accept_cleartext(*password) : refuse_wrong_password();
    }
    // An unknown user costs the hashing that a known one with a verifier does.
    verifier_ = who_.known && stored_ ? *stored_ : made_up_verifier();
    request_ = hash_request{std::string{*password}, verifier_->salt, verifier_->iterations};
    state_ = state::cleartext_hash;
    return {step::kind::hash, {}};
}

client_login::step client_login::on_md5(std::string_view body) {
    const auto response = read_password(body);
    if (!response) {
        return {step::kind::refused, {}};
    }
    std::string stored = who_.secret;
    if (!who_.known || kind_ != secret_kind::md5) {
        stored = md5_secret(who_.user, stored);
    }
    const std::string expected =
        md5_response(stored, {entropy_.md5_salt.data(), entropy_.md5_salt.size()});
    base::wipe(stored.data(), stored.size());
    const bool same = !expected.empty() && crypto::equal(*response, expected);
    return same && who_.known && !who_.secret.empty() ? accept({}) : refuse_wrong_password();
}

// PostgreSQL docs 55.7 "SASLInitialResponse": mechanism, length or -1, the client-first-message.
client_login::step client_login::on_sasl_initial(std::string_view body) {
    const std::size_t end = body.find('\0');
    if (end == std::string_view::npos) {
        return refuse("08P01", "invalid string in message");
    }
    const auto mechanism = body.substr(0, end);
    is_plus_ = mechanism == scram_plus_mechanism && channel_.can_bind();
    if (!is_plus_ && (mechanism != scram_mechanism || channel_.policy == binding_policy::require)) {
        return refuse("08P01", "client selected an invalid SASL authentication mechanism");
    }
    body.remove_prefix(end + 1);
    if (body.size() < 4) {
        return refuse("08P01", "insufficient data left in message");
    }
    const std::uint32_t size = base::load_be32(body.data());
    body.remove_prefix(4);
    constexpr std::uint32_t no_data = 0xffffffff;
    if (size == no_data && body.empty()) {
        state_ = state::sasl_first;
        return {step::kind::read_more, authentication(auth_code::sasl_continue)};
    }
    if (size != body.size()) {
        return refuse("08P01", size > body.size() ? "insufficient data left in message"
                                                  : "invalid message format");
    }
    return on_sasl_first(body);
}

client_login::step client_login::on_sasl_first(std::string_view message) {
    const auto answer = scram_->on_client_first(message, is_plus_);
    if (const auto* error = std::get_if<scram_error>(&answer)) {
        return refuse_scram(*error);
    }
    state_ = state::sasl_final;
    return {step::kind::read_more,
            authentication(auth_code::sasl_continue, std::get<std::string>(answer))};
}

client_login::step client_login::on_sasl_final(std::string_view message) {
    // Not sooner: whoever goes away after the first message has cost nothing yet.
    if (hash_plain_) {
        client_final_ = message;
        request_ =
            hash_request{who_.secret, scram_->verifier().salt, scram_->verifier().iterations};
        state_ = state::sasl_hash;
        return {step::kind::hash, {}};
    }
    return finish_sasl(message);
}

client_login::step client_login::finish_sasl(std::string_view message) {
    const auto answer = scram_->on_client_final(message);
    if (const auto* error = std::get_if<scram_error>(&answer)) {
        return refuse_scram(*error);
    }
    verifier_ = scram_->verifier();
    keys_.emplace(scram_->client_key(), verifier_->server_key);
    return accept(authentication(auth_code::sasl_final, std::get<std::string>(answer)));
}

client_login::step client_login::on_hashed(const scram_keys& keys) {
    const base::secret password{std::exchange(request_.password, {})};
    request_ = {};
    if (state_ == state::sasl_hash) {
        scram_->use_keys(keys);
        return finish_sasl(client_final_);
    }
    if (state_ != state::cleartext_hash) {
        return refuse("08P01", "unexpected message during authentication");
    }
    const digest stored = crypto::sha256(crypto::as_text(keys.client_key));
    const bool same =
        crypto::equal(crypto::as_text(stored), crypto::as_text(verifier_->stored_key));
    if (!same || !fits_scram()) {
        return refuse_wrong_password();
    }
    keys_ = keys;
    return accept_cleartext(password.reveal());
}

client_login::step client_login::accept_cleartext(std::string_view password) {
    password_ = base::secret{std::string{password}};
    return accept({});
}

client_login::step client_login::accept(std::string send) {
    state_ = state::done;
    append_authentication(send, auth_code::ok);
    return {step::kind::accepted, std::move(send)};
}

client_login::step client_login::refuse(std::string sqlstate,
                                        std::string message,
                                        std::string detail) {
    state_ = state::done;
    keys_.reset();
    verifier_.reset();
    why_ = {std::move(sqlstate), std::move(message), std::move(detail)};
    return {step::kind::refused, {}};
}

client_login::step client_login::refuse_wrong_password() {
    return refuse("28P01", "password authentication failed for user \"" + who_.user + '"');
}

// Codes and texts of PostgreSQL's src/backend/libpq/auth-scram.c.
client_login::step client_login::refuse_scram(scram_error error) {
    constexpr auto malformed = "malformed SCRAM message";
    switch (error) {
        case scram_error::unwanted_binding:
            return refuse("08P01", malformed,
                          "The client selected SCRAM-SHA-256 without channel binding, but the "
                          "SCRAM message includes channel binding data.");
        case scram_error::missing_binding:
            return refuse("08P01", malformed,
                          "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not "
                          "include channel binding data.");
        case scram_error::unknown_binding:
            return refuse("08P01", "unsupported SCRAM channel-binding type");
        case scram_error::binding_downgraded:
            return refuse("28000", "SCRAM channel binding negotiation error",
                          "The client supports SCRAM channel binding but thinks the server does "
                          "not.  However, this server does support channel binding.");
        case scram_error::wrong_end_point:
            return refuse("28000", "SCRAM channel binding check failed");
        case scram_error::channel_binding_mismatch:
            return refuse("08P01",
                          "unexpected SCRAM channel-binding attribute in client-final-message");
        case scram_error::authzid_unsupported:
            return refuse("0A000", "client uses authorization identity, but it is not supported");
        case scram_error::extension_unsupported:
            return refuse("0A000", "client requires an unsupported SCRAM extension");
        case scram_error::unprintable_nonce:
            return refuse("08P01", "non-printable characters in SCRAM nonce");
        case scram_error::nonce_mismatch:
            return refuse("08P01", "invalid SCRAM response", "Nonce does not match.");
        case scram_error::authentication_failed: return refuse_wrong_password();
        case scram_error::malformed:
        case scram_error::iterations_refused: break;
    }
    return refuse("08P01", malformed);
}

}  // namespace pgweir::auth
