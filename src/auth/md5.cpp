// PostgreSQL's md5 password method.
#include "pgweir/auth/md5.hpp"

#include "auth/crypto.hpp"
#include "pgweir/auth/secret_kind.hpp"
#include "pgweir/base/secret.hpp"

namespace pgweir::auth {
namespace {

std::string prefixed_hex(const std::optional<crypto::md5_digest>& digest) {
    static constexpr char digits[] = "0123456789abcdef";
    if (!digest) {
        return {};
    }
    std::string out = "md5";
    for (const unsigned char byte : *digest) {
        out.push_back(digits[byte >> 4]);
        out.push_back(digits[byte & 15]);
    }
    return out;
}

}  // namespace

std::string md5_secret(std::string_view user, std::string_view password) {
    const base::secret text{std::string{password}.append(user)};
    return prefixed_hex(crypto::md5(text.reveal()));
}

std::string md5_response(std::string_view stored, std::string_view salt4) {
    if (kind_of(stored) != secret_kind::md5) {
        return {};
    }
    return prefixed_hex(crypto::md5(std::string{stored.substr(3)}.append(salt4)));
}

}  // namespace pgweir::auth
