// The few primitives SCRAM and md5 are made of; the only door to OpenSSL in this layer.
#pragma once

#include "pgweir/auth/scram_keys.hpp"

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace pgweir::auth::crypto {

using md5_digest = std::array<unsigned char, 16>;

// These end the process when OpenSSL fails, which it does only out of memory or without its default
// algorithms: a digest of zeros would be a key everybody knows.
[[nodiscard]] digest sha256(std::string_view data);
[[nodiscard]] digest hmac_sha256(std::string_view key, std::string_view data);
[[nodiscard]] digest pbkdf2_sha256(std::string_view password,
                                   std::string_view salt,
                                   int iterations);
// nullopt where policy forbids md5.
[[nodiscard]] std::optional<md5_digest> md5(std::string_view data);

// Takes the same time whatever the contents; that lengths differ is no secret.
[[nodiscard]] bool equal(std::string_view a, std::string_view b) noexcept;

[[nodiscard]] inline std::string_view as_text(const digest& d) noexcept {
    return {reinterpret_cast<const char*>(d.data()), d.size()};
}

}  // namespace pgweir::auth::crypto
