// Decides how a client proves who it is: the server's half of PostgreSQL's password methods.
#pragma once

#include "pgweir/auth/channel_binding.hpp"
#include "pgweir/auth/hash_request.hpp"
#include "pgweir/auth/likeness.hpp"
#include "pgweir/auth/scram_server.hpp"
#include "pgweir/auth/secret_kind.hpp"
#include "pgweir/base/secret.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgweir::auth {

enum class method : std::uint8_t { trust, password, md5, scram_sha_256 };

// Who wants in, and what is known about them.
struct credentials {
    std::string user;    // from the startup packet
    std::string secret;  // as configured: plain, "md5...", "SCRAM-SHA-256$..." or empty
    // Unknown users go through the same messages as known ones with a wrong password.
    bool known = false;
    // Of a plain secret, made from an earlier hash_request of this class: saves the hashing.
    std::optional<scram_verifier> verifier = std::nullopt;
    // Whom the login of a user looks like who is unknown or has no password.
    likeness others = {};
};

// The random values of one login, injected so that dialogues can be replayed.
struct login_entropy {
    std::string nonce;  // as random_nonce() makes them
    std::array<char, 4> md5_salt{};

    [[nodiscard]] static login_entropy draw();
};

// Why a client was refused, as the ErrorResponse (FATAL) should say it. `detail` may be empty.
struct refusal {
    std::string sqlstate;
    std::string message;
    std::string detail;
};

// One login. Sans-io: owned and fed by the glue, on one thread; never slow itself. start() once,
// then on_message() or on_hashed() as the last step asks; `accepted` and `refused` are final and
// further calls are refused. PostgreSQL docs 55.2.1 "Start-up" and 55.3 "SASL Authentication".
//
//   method    secret             exchange
//   trust     any                none; unknown users are refused as PostgreSQL refuses them
//   password  any                cleartext; with a SCRAM verifier the answer is hashed first
//   md5       plain, md5         md5
//   md5       SCRAM              SCRAM, as PostgreSQL does
//   scram     SCRAM, plain       SCRAM; plain is hashed first unless `verifier` is given
//   scram     md5, none          SCRAM that fails at its end: the secret cannot be checked with it
//
// Unknown users get cleartext (hashed, then refused), md5 or SCRAM by the method, as `others` says
// that most users do. The salt of a plain secret comes from the mock seed too, so repeated attempts
// show no difference.
class client_login {
public:
    struct step {
        enum class kind : std::uint8_t {
            read_more,  // send `send`, then pass the next message to on_message()
            hash,       // do what request() says on a slow thread, then call on_hashed()
            accepted,   // send `send`: AuthenticationSASLFinal where it applies, AuthenticationOk
            refused,    // send why() as FATAL and close; `send` is empty
        };
        kind what;
        std::string send;  // complete protocol messages
    };

    // The longest 'p' message taken, type byte and length word apart (PG_MAX_AUTH_TOKEN_LENGTH).
    static constexpr std::size_t max_body = 65535;

    // `mock_seed`: secret, and the same for all logins and threads of this process (better, of all
    // processes that serve these users).
    // `channel`: SCRAM-SHA-256-PLUS is offered where it can bind; where it must, nobody gets in
    // without, whatever the method.
    client_login(method how,
                 credentials who,
                 const digest& mock_seed,
                 login_entropy entropy,
                 channel_binding channel = {});
    ~client_login();
    client_login(const client_login&) = delete;
    client_login& operator=(const client_login&) = delete;

    [[nodiscard]] step start();
    // Any frontend message: `body` is what follows the length word. Total for any bytes; anything
    // but a well-formed 'p' is refused with 08P01. Terminate ('X') is the caller's to notice.
    [[nodiscard]] step on_message(char type, std::string_view body);
    [[nodiscard]] step on_hashed(const scram_keys& keys);

    // Valid after a `hash` step, until on_hashed().
    [[nodiscard]] const hash_request& request() const noexcept { return request_; }
    // Valid after `refused`.
    [[nodiscard]] const refusal& why() const noexcept { return why_; }
    // Keys that log in as this client at a server whose verifier has the salt and iterations of
    // verifier(). Set after a SCRAM exchange, or a cleartext one against a verifier, succeeded.
    [[nodiscard]] const std::optional<scram_keys>& client_key() const noexcept { return keys_; }
    // What the client sent in clear. Empty unless it did, and was accepted.
    [[nodiscard]] const base::secret& password() const noexcept { return password_; }
    // Set together with client_key().
    [[nodiscard]] const std::optional<scram_verifier>& verifier() const noexcept {
        return verifier_;
    }

private:
    enum class state : std::uint8_t {
        idle,            // before start()
        cleartext,       // waits for the password
        cleartext_hash,  // waits for its keys
        md5,             // waits for the md5 response
        sasl_initial,    // waits for SASLInitialResponse
        sasl_first,      // as before, but the client-first-message comes on its own
        sasl_final,      // waits for the client-final-message
        sasl_hash,       // has it, waits for the keys of a plain secret
        done,
    };

    [[nodiscard]] bool fits_scram() const noexcept;
    [[nodiscard]] scram_verifier made_up_verifier() const;
    step start_sasl();
    step on_cleartext(std::string_view body);
    step on_md5(std::string_view body);
    step on_sasl_initial(std::string_view body);
    step on_sasl_first(std::string_view message);
    step on_sasl_final(std::string_view message);
    step finish_sasl(std::string_view message);
    // The password of a PasswordMessage, or nullopt after refusing it.
    std::optional<std::string_view> read_password(std::string_view body);
    step accept_cleartext(std::string_view password);
    step accept(std::string send);
    step refuse(std::string sqlstate, std::string message, std::string detail = {});
    step refuse_wrong_password();
    step refuse_scram(scram_error error);

    method how_;
    state state_ = state::idle;
    credentials who_;
    const std::optional<scram_verifier> stored_;  // what the secret is, if it is that
    const secret_kind kind_;                      // of the secret
    digest mock_seed_;
    login_entropy entropy_;
    channel_binding channel_;
    bool is_plus_ = false;     // the client has chosen SCRAM-SHA-256-PLUS
    bool hash_plain_ = false;  // SCRAM against a plain secret whose verifier is still to be made
    std::optional<scram_server> scram_;
    std::string client_final_;  // kept while the keys are derived
    hash_request request_;
    base::secret password_;
    refusal why_;
    std::optional<scram_keys> keys_;
    std::optional<scram_verifier> verifier_;
};

}  // namespace pgweir::auth
