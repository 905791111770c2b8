// A hash that only who has the key can make: for values that we give out and must know again.
#pragma once

#include "pgweir/auth/scram_keys.hpp"

#include <string_view>

namespace pgweir::auth {

// HMAC-SHA-256 (RFC 2104). Any thread; ends the process where OpenSSL has no such thing.
[[nodiscard]] digest keyed_hash(const digest& key, std::string_view text);

// Takes the same time whatever the contents; that lengths differ is no secret.
[[nodiscard]] bool is_same_secret(std::string_view a, std::string_view b) noexcept;

}  // namespace pgweir::auth
