// What the configuration says about TLS on each leg.
#pragma once

#include "pgweir/auth/channel_binding.hpp"

#include <cstdint>
#include <string>

namespace pgweir::config {

// Towards servers as libpq's sslmode, towards clients as PgBouncer's client_tls_sslmode.
enum class tls_mode : std::uint8_t { disable, allow, prefer, require, verify_ca, verify_full };
enum class tls_version : std::uint8_t { any, tls_1_0, tls_1_1, tls_1_2, tls_1_3 };

[[nodiscard]] const char* to_string(tls_mode) noexcept;
[[nodiscard]] const char* to_string(auth::binding_policy) noexcept;

// [client_tls]: what clients are offered and asked for. Files are absolute; empty: none.
struct client_tls_settings {
    tls_mode mode = tls_mode::disable;
    std::string certificate;  // with its chain behind it
    std::string key;
    std::string ca;   // who may have signed clients' certificates
    std::string crl;  // which of these were revoked
    tls_version min_version = tls_version::tls_1_2;
    tls_version max_version = tls_version::any;
    std::string ciphers;        // up to TLS 1.2; empty: OpenSSL's default
    std::string cipher_suites;  // TLS 1.3, likewise
    std::string groups = "X25519:prime256v1";
    // Where required, who comes by TCP logs in with SCRAM-SHA-256-PLUS or by a certificate only.
    auth::binding_policy channel_binding = auth::binding_policy::prefer;
};

// [server_tls], and what a cluster or a database says differently; named as libpq does.
struct server_tls_settings {
    tls_mode sslmode = tls_mode::prefer;
    std::string sslrootcert;  // "system": whom the system trusts
    std::string sslcrl;
    std::string sslcert;
    std::string sslkey;
    tls_version ssl_min_protocol_version = tls_version::tls_1_2;
    tls_version ssl_max_protocol_version = tls_version::any;
    auth::binding_policy channel_binding = auth::binding_policy::prefer;

    auto operator<=>(const server_tls_settings&) const = default;
};

}  // namespace pgweir::config
