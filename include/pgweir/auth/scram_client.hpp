// The client's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677).
#pragma once

#include "pgweir/auth/scram_error.hpp"
#include "pgweir/auth/scram_keys.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgweir::auth {

// One exchange with one server: first_message(), on_server_first(), final_message(),
// verify_server_final(), in this order. Sans-io, total for any bytes, cheap (no PBKDF2).
class scram_client {
public:
    // More iterations than this are taken for an attempt to burn our CPU.
    static constexpr int max_iterations = 1'000'000;

    // `client_nonce`: printable, without ',', fresh for every exchange (random_nonce()).
    explicit scram_client(std::string client_nonce);

    // The gs2 header that goes first; without a call it is `none`. Before first_message().
    enum class binding : std::uint8_t {
        none,       // "n": we could not
        unoffered,  // "y": we could, the server does not offer it
        end_point,  // "p=tls-server-end-point": SCRAM-SHA-256-PLUS
    };
    // `end_point`: channel_binding::end_point, for the last one.
    void bind(binding how, std::string end_point = {});

    // "n,,n=,r=...": PostgreSQL takes the user from the startup packet.
    [[nodiscard]] std::string first_message() const;
    // nullopt: go on, salt() and iterations() say which keys final_message() needs.
    [[nodiscard]] std::optional<scram_error> on_server_first(std::string_view message);
    // Raw bytes. Valid after on_server_first() succeeded.
    [[nodiscard]] const std::string& salt() const noexcept { return salt_; }
    [[nodiscard]] int iterations() const noexcept { return iterations_; }
    // REQUIRES: on_server_first() succeeded; `keys` belong to salt() and iterations().
    [[nodiscard]] std::string final_message(const scram_keys& keys);
    // Does the server know the verifier? False for "e=..." too. Compares in constant time.
    [[nodiscard]] bool verify_server_final(std::string_view message) const;

private:
    std::string nonce_;  // ours, then the combined one
    std::string gs2_header_ = "n,,";
    std::string end_point_;
    std::string client_first_bare_;
    std::string server_first_;
    std::string salt_;
    int iterations_ = 0;
    std::optional<digest> expected_signature_;
};

}  // namespace pgweir::auth
