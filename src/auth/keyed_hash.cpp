// HMAC-SHA-256 for other layers.
#include "pgweir/auth/keyed_hash.hpp"

#include "auth/crypto.hpp"

namespace pgweir::auth {

digest keyed_hash(const digest& key, std::string_view text) {
    return crypto::hmac_sha256(crypto::as_text(key), text);
}

bool is_same_secret(std::string_view a, std::string_view b) noexcept { return crypto::equal(a, b); }

}  // namespace pgweir::auth
