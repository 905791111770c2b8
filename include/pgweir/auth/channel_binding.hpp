// What ties a SCRAM exchange to the TLS connection that carries it.
#pragma once

#include <cstdint>
#include <string>

namespace pgweir::auth {

// As libpq's channel_binding: `prefer` binds where the other side can, `require` refuses whoever
// does not, so that nobody in between can pass on what is said.
enum class binding_policy : std::uint8_t { disable, prefer, require };

// The connection, as a login on it sees it.
struct channel_binding {
    bool is_encrypted = false;
    // tls-server-end-point (RFC 5929 section 4): the hash of the server's certificate. Empty where
    // there is none, as for certificates that are signed with Ed25519.
    std::string end_point;
    binding_policy policy = binding_policy::prefer;

    [[nodiscard]] bool can_bind() const noexcept {
        return is_encrypted && !end_point.empty() && policy != binding_policy::disable;
    }
};

}  // namespace pgweir::auth
