// The server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677).
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
    // authentication_failed. `end_point`: channel_binding::end_point where SCRAM-SHA-256-PLUS was
    // offered, else empty.
    scram_server(scram_verifier verifier,
                 std::string server_nonce,
                 bool mock,
                 std::string end_point = {});

    // client-first-message -> server-first-message. `is_plus`: the client has chosen
    // SCRAM-SHA-256-PLUS. As PostgreSQL: who says "y" ("you cannot bind channels, I could") where
    // it was offered is being deceived; the user name is ignored, the startup packet has it.
    // REQUIRES: `is_plus` only where it was offered.
    [[nodiscard]] std::variant<std::string, scram_error> on_client_first(std::string_view message,
                                                                         bool is_plus = false);
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
    std::string end_point_;
    std::string channel_input_;  // what "c=" must be, decoded: RFC 5802 section 7, cbind-input
    bool is_plus_ = false;
    scram_verifier verifier_;
    std::string nonce_;  // the server's part, then the combined one
    std::string client_first_bare_;
    std::string server_first_;
    digest client_key_{};
};

}  // namespace pgweir::auth
