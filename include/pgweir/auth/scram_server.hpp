// The server's side of SCRAM-SHA-256 without channel binding (RFC 5802, RFC 7677).
#pragma once

#include "pgweir/auth/scram_error.hpp"
#include "pgweir/auth/scram_keys.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace pgweir::auth {

// One exchange with one client: on_client_first(), on_client_final(), each once; after an error
// every call answers `malformed`. Sans-io, total for any bytes, cheap (no PBKDF2).
class scram_server {
public:
    // `server_nonce`: printable, without ',', fresh for every exchange (random_nonce()).
    // `mock`: `verifier` is made up (mock_verifier()); the exchange runs as any other and ends in
    // authentication_failed.
    scram_server(scram_verifier verifier, std::string server_nonce, bool mock);

    // client-first-message -> server-first-message. As PostgreSQL without TLS: "n" and "y" are
    // accepted, "p=" is not; the user name in it is ignored, the startup packet has it.
    [[nodiscard]] std::variant<std::string, scram_error> on_client_first(std::string_view message);
    // client-final-message -> server-final-message ("v=...").
    [[nodiscard]] std::variant<std::string, scram_error> on_client_final(std::string_view message);

    // Replaces the keys of a verifier whose salt and iterations alone were known so far. Call
    // before on_client_final(); `keys` belong to that same salt and iterations.
    void use_keys(const scram_keys& keys);

    // The ClientKey that the proof gave away; with it pgweir can log in as this client where the
    // verifier is the same. Valid after on_client_final() succeeded.
    [[nodiscard]] const digest& client_key() const noexcept { return client_key_; }
    [[nodiscard]] const scram_verifier& verifier() const noexcept { return verifier_; }

    ~scram_server();
    scram_server(const scram_server&) = default;
    scram_server& operator=(const scram_server&) = default;

private:
    enum class state : std::uint8_t { expect_first, expect_final, done };

    scram_error fail(scram_error error);
    [[nodiscard]] bool proves(std::string_view proof, std::string_view auth_message);

    state state_ = state::expect_first;
    bool mock_;
    char channel_flag_ = 'n';  // of the gs2 header, which "c=" must repeat
    scram_verifier verifier_;
    std::string nonce_;  // the server's part, then the combined one
    std::string client_first_bare_;
    std::string server_first_;
    digest client_key_{};
};

}  // namespace pgweir::auth
