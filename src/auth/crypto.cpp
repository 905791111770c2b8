// The few primitives SCRAM and md5 are made of, by OpenSSL 3.
#include "auth/crypto.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cstdio>
#include <cstdlib>

namespace pgweir::auth::crypto {
namespace {

const unsigned char* bytes(std::string_view s) noexcept {
    return reinterpret_cast<const unsigned char*>(s.data());
}

void require(bool worked, const char* what) {
    if (!worked) {
        std::fprintf(stderr, "pgweir: OpenSSL failed: %s\n", what);
        std::abort();
    }
}

}  // namespace

digest sha256(std::string_view data) {
    digest out{};
    unsigned int size = 0;
    const int rc = EVP_Digest(data.data(), data.size(), out.data(), &size, EVP_sha256(), nullptr);
    require(rc == 1 && size == out.size(), "SHA-256");
    return out;
}

digest hmac_sha256(std::string_view key, std::string_view data) {
    digest out{};
    unsigned int size = 0;
    // A null key would mean "the key of the call before".
    const char* key_bytes = key.empty() ? "" : key.data();
    const unsigned char* done = HMAC(EVP_sha256(), key_bytes, static_cast<int>(key.size()),
                                     bytes(data), data.size(), out.data(), &size);
    require(done != nullptr && size == out.size(), "HMAC-SHA-256");
    return out;
}

digest pbkdf2_sha256(std::string_view password, std::string_view salt, int iterations) {
    digest out{};
    const char* password_bytes = password.empty() ? "" : password.data();
    const int rc = PKCS5_PBKDF2_HMAC(password_bytes, static_cast<int>(password.size()), bytes(salt),
                                     static_cast<int>(salt.size()), iterations, EVP_sha256(),
                                     static_cast<int>(out.size()), out.data());
    require(rc == 1, "PBKDF2");
    return out;
}

std::optional<md5_digest> md5(std::string_view data) {
    md5_digest out{};
    unsigned int size = 0;
    const int rc = EVP_Digest(data.data(), data.size(), out.data(), &size, EVP_md5(), nullptr);
    if (rc != 1 || size != out.size()) {
        return std::nullopt;
    }
    return out;
}

bool equal(std::string_view a, std::string_view b) noexcept {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace pgweir::auth::crypto
