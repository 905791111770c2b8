// Decides whether a connection to PostgreSQL is encrypted: libpq's sslmode.
#pragma once

#include "pgweir/config/tls_settings.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace pgweir::pool {

// PostgreSQL docs 34.19.3 and 55.2.10. Sans-io; one for all attempts at one server.
class encryption {
public:
    explicit encryption(config::tls_mode mode) noexcept : mode_{mode} {}

    enum class step : std::uint8_t {
        plain,   // send the startup packet as it is
        ask,     // send SSLRequest; its answer goes to on_answer()
        shake,   // the server is ready: begin the handshake
        failed,  // why() says what
    };
    // A connection is there, over TCP or over a unix socket, which needs no TLS.
    [[nodiscard]] step begin(bool is_unix) noexcept;
    // The first byte that came, and whether others came with it: those were not encrypted.
    [[nodiscard]] step on_answer(char first, bool has_more);
    // This attempt has failed: the server refused the login with `sqlstate`, or, where that is
    // empty, the handshake went wrong. True: connect once more, which is tried the other way.
    [[nodiscard]] bool tries_again(std::string_view sqlstate) noexcept;

    // The login goes on: this way it is, whatever comes of it.
    void settle() noexcept { is_second_ = true; }

    [[nodiscard]] const std::string& why() const noexcept { return why_; }

private:
    step fail(std::string why);

    const config::tls_mode mode_;
    bool is_unix_ = false;
    bool is_second_ = false;     // the other way is being tried, or is not to be
    bool is_encrypted_ = false;  // this attempt speaks TLS, or has asked to
    std::string why_;
};

}  // namespace pgweir::pool
