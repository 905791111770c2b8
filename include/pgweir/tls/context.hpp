// What TLS connections of one kind share: certificate, whom they trust, versions and ciphers.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

struct ssl_ctx_st;

namespace pgweir::tls {

enum class role : std::uint8_t { server, client };
enum class version : std::uint8_t { any, tls_1_0, tls_1_1, tls_1_2, tls_1_3 };
// What is asked of the peer's certificate.
enum class verification : std::uint8_t {
    none,      // it is not looked at
    if_given,  // a client may have none, but one that it has must be valid: PostgreSQL's
               // ssl_ca_file
    required,  // there must be one, and it must be valid
};

// Files are PEM; an empty name stands for none.
struct context_settings {
    role side = role::server;
    verification peer = verification::none;
    std::string certificate{};  // with its chain behind it; REQUIRED for a server
    std::string key{};
    std::string
        ca{};  // who may have signed the peer's certificate; "system": whom the system trusts
    std::string crl{};  // certificates that were revoked
    version min_version = version::tls_1_2;
    version max_version = version::any;
    std::string ciphers{};  // up to TLS 1.2, as in openssl-ciphers(1); empty: OpenSSL's default
    std::string cipher_suites{};  // TLS 1.3, likewise, in a server with AES-128-GCM in front
    std::string groups{};  // for the key exchange, "X25519:prime256v1"; empty: OpenSSL's default

    auto operator<=>(const context_settings&) const = default;
};

// Why there is no context. `setting` is the member of context_settings to look at.
struct context_fault {
    std::string context_settings::*setting = nullptr;  // null: min_version and max_version
    std::string message;                               // names the file
    std::string hint;
};

class context;
using context_ptr = std::shared_ptr<const context>;

// Immutable, so any thread's. Connections keep the one they began with: replacing it for later ones
// disturbs nobody. Offers neither session tickets nor resumption, compression or renegotiation, as
// PostgreSQL does not either.
class context {
public:
    // Reads all files; blocks.
    [[nodiscard]] static std::variant<context_ptr, context_fault> load(
        const context_settings& settings);

    ~context();
    context(const context&) = delete;
    context& operator=(const context&) = delete;

    [[nodiscard]] role side() const noexcept { return side_; }
    // When our own certificate expires; empty when there is none.
    [[nodiscard]] std::optional<std::chrono::system_clock::time_point> not_after() const noexcept {
        return not_after_;
    }
    // Of our own certificate; see facts::server_end_point.
    [[nodiscard]] std::string_view end_point() const noexcept { return end_point_; }
    // Does a signature with our own key take some hundredths of a millisecond? That of RSA takes
    // half of one and more.
    [[nodiscard]] bool signs_quickly() const noexcept { return signs_quickly_; }

private:
    friend class engine;
    explicit context(role side);

    const role side_;
    ssl_ctx_st* ctx_ = nullptr;
    std::optional<std::chrono::system_clock::time_point> not_after_;
    std::string end_point_;
    bool signs_quickly_ = false;
};

}  // namespace pgweir::tls
