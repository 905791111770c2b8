// What is read from a certificate.
#pragma once

#include "tls/openssl.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace pgweir::tls {

// The subject as PostgreSQL matches it (be-secure-openssl.c). Empty, with `error` set, when a name
// has a NUL in it: what stands before that would be taken for all of it (CVE-2009-4034).
struct subject {
    std::string common_name;
    std::string distinguished_name;
};
[[nodiscard]] std::optional<subject> subject_of(X509* certificate, std::string& error);

// tls-server-end-point, RFC 5929, section 4.1: the hash of the whole certificate by the hash of its
// signature, or SHA-256 where that is MD5 or SHA-1. Empty where the signature has none.
[[nodiscard]] std::string end_point_of(X509* certificate);

[[nodiscard]] std::optional<std::chrono::system_clock::time_point> not_after_of(
    const X509* certificate);

// Is the certificate one for `host`, a name or an address? By libpq's rules: a wildcard stands for
// one whole label at the front, and the common name counts only where there is no alternative name
// of the host's kind (RFC 6125, section 6.4.4).
[[nodiscard]] bool is_for_host(X509* certificate, const std::string& host);
// The name to tell in an error: that of libpq.
[[nodiscard]] std::string name_of(X509* certificate);
[[nodiscard]] bool is_address(const std::string& host) noexcept;

}  // namespace pgweir::tls
