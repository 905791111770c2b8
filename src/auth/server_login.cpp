// The client's half of password methods: one login at one PostgreSQL server.
#include "pgweir/auth/server_login.hpp"

#include "auth/auth_messages.hpp"
#include "pgweir/auth/md5.hpp"
#include "pgweir/auth/secret_kind.hpp"
#include "pgweir/base/byte_order.hpp"
#include "pgweir/base/secret.hpp"

#include <utility>

namespace pgweir::auth {
namespace {

constexpr std::size_t max_body = 65535;

// In libpq's words, as the other refusals for want of channel binding.
constexpr const char* unbound_method =
    "channel binding required but not supported by server's authentication request";

// AuthenticationSASL: names, each NUL-terminated, an empty one at the end and nothing behind it.
bool offers(std::string_view mechanisms, std::string_view wanted) {
    bool found = false;
    while (!mechanisms.empty() && mechanisms.front() != '\0') {
        const std::size_t end = mechanisms.find('\0');
        if (end == std::string_view::npos) {
            return false;
        }
        found = found || mechanisms.substr(0, end) == wanted;
        mechanisms.remove_prefix(end + 1);
    }
    return found && mechanisms.size() == 1;
}

const char* unsupported_name(auth_code code) {
    switch (code) {
        case auth_code::kerberos_v5: return "Kerberos V5";
        case auth_code::scm_credential: return "SCM credential";
        case auth_code::gss:
        case auth_code::gss_continue: return "GSSAPI";
        case auth_code::sspi: return "SSPI";
        default: return nullptr;
    }
}

}  // namespace

server_login::server_login(server_credentials who, std::string nonce, channel_binding channel)
    : who_{std::move(who)}, channel_{std::move(channel)}, scram_{std::move(nonce)} {}

server_login::~server_login() { base::wipe(who_.password.data(), who_.password.size()); }

server_login::step server_login::on_authentication(std::string_view body) {
    if (body.size() < 4 || body.size() > max_body) {
        return fail("the server sent a malformed authentication request");
    }
    const auto code = static_cast<auth_code>(base::load_be32(body.data()));
    body.remove_prefix(4);
    switch (code) {
        case auth_code::ok: return body.empty() ? on_ok() : fail("malformed AuthenticationOk");
        case auth_code::cleartext_password: return on_cleartext();
        case auth_code::md5_password: return on_md5(body);
        case auth_code::sasl: return on_sasl(body);
        case auth_code::sasl_continue: return on_sasl_continue(body);
        case auth_code::sasl_final: return on_sasl_final(body);
        default: break;
    }
    if (const char* name = unsupported_name(code)) {
        return fail(
            std::string{"the server asks for "} + name + " authentication, which is not supported",
            "Give pgweir's address a scram-sha-256 line in the server's pg_hba.conf.");
    }
    return fail("the server asks for unknown authentication method " +
                std::to_string(static_cast<std::int32_t>(code)));
}

server_login::step server_login::on_ok() {
    if (must_bind()) {
        return fail_unbound(
            "channel binding required, but server authenticated client without channel binding");
    }
    if (state_ == state::start || state_ == state::answered) {
        state_ = state::done;
        return {step::kind::ok, {}};
    }
    // RFC 5802 section 3: without its signature anybody could have said so.
    return fail(
        "the server did not prove that it knows the password: AuthenticationOk came "
        "before the end of SCRAM");
}

server_login::step server_login::on_cleartext() {
    if (state_ != state::start) {
        return fail("the server asks for a second password");
    }
    if (must_bind()) {
        return fail_unbound(unbound_method);
    }
    if (kind_of(who_.password) != secret_kind::plain) {
        return fail_without_password("a cleartext password");
    }
    return send_password(who_.password);
}

server_login::step server_login::on_md5(std::string_view salt) {
    if (state_ != state::start) {
        return fail("the server asks for a second password");
    }
    if (must_bind()) {
        return fail_unbound(unbound_method);
    }
    if (salt.size() != 4) {
        return fail("the server sent a malformed authentication request");
    }
    std::string stored = who_.password;
    const secret_kind kind = kind_of(stored);
    if (kind == secret_kind::plain) {
        stored = md5_secret(who_.user, who_.password);
    } else if (kind != secret_kind::md5) {
        return fail_without_password("an md5 password");
    }
    const std::string response = md5_response(stored, salt);
    if (response.empty()) {
        return fail("the server asks for md5, which OpenSSL refuses here (FIPS mode)");
    }
    return send_password(response);
}

server_login::step server_login::on_sasl(std::string_view mechanisms) {
    if (state_ != state::start) {
        return fail("the server asks for a second password");
    }
    const bool has_plus = offers(mechanisms, scram_plus_mechanism);
    if (has_plus && !channel_.is_encrypted) {
        return fail("the server offers SCRAM-SHA-256-PLUS over a connection without TLS");
    }
    is_bound_ = has_plus && channel_.can_bind();
    if (must_bind()) {
        return fail_unbound(!channel_.is_encrypted ? "channel binding required, but SSL not in use"
                            : has_plus
                                ? "could not determine server certificate signature algorithm"
                                : "channel binding is required, but server did not offer an "
                                  "authentication method that supports channel binding");
    }
    if (!is_bound_ && !offers(mechanisms, scram_mechanism)) {
        return fail("the server offers no SASL mechanism that pgweir supports (SCRAM-SHA-256)");
    }
    if (!who_.keys && kind_of(who_.password) != secret_kind::plain) {
        return fail_without_password("SCRAM-SHA-256");
    }
    state_ = state::sasl_first;
    if (is_bound_) {
        scram_.bind(scram_client::binding::end_point, channel_.end_point);
    } else if (channel_.can_bind()) {
        // Should the server have offered it and somebody in between have removed it, it will know.
        scram_.bind(scram_client::binding::unoffered);
    }
    return {step::kind::send,
            sasl_initial_response(is_bound_ ? scram_plus_mechanism : scram_mechanism,
                                  scram_.first_message())};
}

server_login::step server_login::on_sasl_continue(std::string_view message) {
    if (state_ != state::sasl_first) {
        return fail("the server sent a SCRAM message out of turn");
    }
    if (const auto error = scram_.on_server_first(message)) {
        return fail(std::string{"SCRAM with the server failed: "} + to_string(*error));
    }
    if (who_.keys && who_.keys_salt == scram_.salt() &&
        who_.keys_iterations == scram_.iterations()) {
        return send_proof(*who_.keys);
    }
    if (kind_of(who_.password) == secret_kind::plain) {
        request_ = hash_request{who_.password, scram_.salt(), scram_.iterations()};
        state_ = state::sasl_hash;
        return {step::kind::hash, {}};
    }
    auto failed = fail("the server's SCRAM verifier of user \"" + who_.user +
                           "\" differs from the one the client logged in with",
                       "Copy the verifier from the server's pg_authid, or set server_password.");
    why_.is_outdated = true;
    return failed;
}

server_login::step server_login::on_hashed(const scram_keys& keys) {
    request_ = {};
    if (state_ != state::sasl_hash) {
        return fail("keys came that nobody asked for");
    }
    return send_proof(keys);
}

server_login::step server_login::send_proof(const scram_keys& keys) {
    state_ = state::sasl_final;
    return {step::kind::send, sasl_response(scram_.final_message(keys))};
}

server_login::step server_login::on_sasl_final(std::string_view message) {
    if (state_ != state::sasl_final) {
        return fail("the server sent a SCRAM message out of turn");
    }
    if (!scram_.verify_server_final(message)) {
        return fail("the server did not prove that it knows the password: wrong SCRAM signature");
    }
    state_ = state::answered;
    return {step::kind::wait, {}};
}

server_login::step server_login::send_password(std::string_view response) {
    if (response.find('\0') != std::string_view::npos) {
        return fail("the password for user \"" + who_.user + "\" has a NUL byte in it");
    }
    state_ = state::answered;
    return {step::kind::send, password_message(response)};
}

server_login::step server_login::fail(std::string message, std::string hint) {
    state_ = state::done;
    why_ = {std::move(message), std::move(hint)};
    return {step::kind::failed, {}};
}

server_login::step server_login::fail_unbound(std::string message) {
    return fail(std::move(message),
                channel_.is_encrypted
                    ? "The server needs password_encryption = scram-sha-256 and a scram-sha-256 "
                      "line in its pg_hba.conf; or set channel_binding = \"prefer\"."
                    : "Channel binding needs TLS: set sslmode, or channel_binding = \"prefer\".");
}

server_login::step server_login::fail_without_password(std::string_view asked) {
    return fail("the server asks user \"" + who_.user + "\" for " + std::string{asked} +
                    ", and pgweir has no password that serves",
                "Set server_password for this user, or password for the database.");
}

}  // namespace pgweir::auth
