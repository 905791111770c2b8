// Decides how pgweir proves itself to a PostgreSQL server: the client's half of password methods.
#pragma once

#include "pgweir/auth/channel_binding.hpp"
#include "pgweir/auth/hash_request.hpp"
#include "pgweir/auth/scram_client.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgweir::auth {

// What pgweir may log in with.
struct server_credentials {
    std::string user;
    std::string password;            // plain, "md5...", or empty; a SCRAM verifier counts as empty
    std::optional<scram_keys> keys;  // from a client's own login (client_login::client_key())
    std::string keys_salt;           // raw; what `keys` are good for, and nothing else
    int keys_iterations = 0;
};

// The authentication phase of one server connection, from the startup packet to AuthenticationOk.
// Sans-io: owned and fed by the glue, on one thread; never slow itself. Only 'R' messages come
// here; an ErrorResponse is the caller's to handle. `ok` and `failed` are final.
//
// Supported (PostgreSQL docs 55.7): AuthenticationOk, CleartextPassword, MD5Password, SASL with
// SCRAM-SHA-256 and SCRAM-SHA-256-PLUS. A server that began SASL must prove that it knows the
// verifier before its AuthenticationOk counts. As libpq: where channel binding is required,
// nothing counts but SCRAM-SHA-256-PLUS; a server that offers it without TLS is not believed.
class server_login {
public:
    struct step {
        enum class kind : std::uint8_t {
            ok,      // logged in
            send,    // write `send`, then read on
            hash,    // do what request() says on a slow thread, then call on_hashed()
            wait,    // nothing to write; read on
            failed,  // why() says what; close the connection
        };
        kind what;
        std::string send;  // one complete 'p' message
    };
    struct failure {
        std::string message;
        std::string hint;  // names the setting that helps; may be empty
        // The keys that a client gave away do not fit the server's verifier: the password has been
        // changed on one side only.
        bool is_outdated = false;
    };

    // `nonce`: random_nonce(), injected so that dialogues can be replayed.
    server_login(server_credentials who, std::string nonce, channel_binding channel = {});
    ~server_login();
    server_login(const server_login&) = delete;
    server_login& operator=(const server_login&) = delete;

    // `body`: what follows the length word of an 'R' message. Total for any bytes.
    [[nodiscard]] step on_authentication(std::string_view body);
    [[nodiscard]] step on_hashed(const scram_keys& keys);

    // Valid after a `hash` step, until on_hashed().
    [[nodiscard]] const hash_request& request() const noexcept { return request_; }
    // Valid after `failed`.
    [[nodiscard]] const failure& why() const noexcept { return why_; }

private:
    enum class state : std::uint8_t {
        start,       // nothing asked yet
        answered,    // a password or md5 response is out, or SCRAM is through: only Ok may follow
        sasl_first,  // waits for the server-first-message
        sasl_hash,   // has it, waits for keys
        sasl_final,  // waits for the server's proof
        done,
    };

    step on_ok();
    step on_cleartext();
    step on_md5(std::string_view salt);
    step on_sasl(std::string_view mechanisms);
    step on_sasl_continue(std::string_view message);
    step on_sasl_final(std::string_view message);
    step send_proof(const scram_keys& keys);
    step send_password(std::string_view response);
    step fail(std::string message, std::string hint = {});
    [[nodiscard]] bool must_bind() const noexcept {
        return channel_.policy == binding_policy::require && !is_bound_;
    }
    step fail_unbound(std::string message);
    step fail_without_password(std::string_view asked);

    state state_ = state::start;
    server_credentials who_;
    channel_binding channel_;
    bool is_bound_ = false;  // by SCRAM-SHA-256-PLUS
    scram_client scram_;
    hash_request request_;
    failure why_;
};

}  // namespace pgweir::auth
