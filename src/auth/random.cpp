// Randomness fit for keys and nonces, from OpenSSL.
#include "pgweir/auth/random.hpp"

#include "auth/base64.hpp"

#include <openssl/rand.h>

#include <array>
#include <cstdio>
#include <cstdlib>

namespace pgweir::auth {

void random_bytes(std::span<unsigned char> out) {
    if (RAND_bytes(out.data(), static_cast<int>(out.size())) != 1) {
        std::fputs("pgweir: no randomness: RAND_bytes failed\n", stderr);
        std::abort();
    }
}

std::string random_nonce() {
    std::array<unsigned char, nonce_bytes> raw{};
    random_bytes(raw);
    return nonce_of(raw);
}

std::string nonce_of(std::span<const unsigned char, nonce_bytes> raw) {
    return base64::encode({reinterpret_cast<const char*>(raw.data()), raw.size()});
}

}  // namespace pgweir::auth
