// Randomness fit for keys and nonces, from OpenSSL.
#include "pgweir/auth/random.hpp"

#include "auth/base64.hpp"
#include "pgweir/base/secret.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

namespace pgweir::auth {
namespace {

void draw(std::span<unsigned char> out) {
    if (RAND_bytes(out.data(), static_cast<int>(out.size())) != 1) {
        std::fputs("pgweir: no randomness: RAND_bytes failed\n", stderr);
        std::abort();
    }
}

// OpenSSL's generator costs more by the call, which includes a system call, than by the byte: what
// is small is drawn for many at once. Nothing in pgweir forks but to exec, so none of it is ever
// given out twice.
struct reservoir {
    reservoir() = default;
    reservoir(const reservoir&) = delete;
    reservoir& operator=(const reservoir&) = delete;
    ~reservoir() { base::wipe(bytes.data(), bytes.size()); }

    std::array<unsigned char, 1024> bytes{};
    std::size_t left = 0;
};
constexpr std::size_t small = 64;

}  // namespace

void random_bytes(std::span<unsigned char> out) {
    if (out.size() > small) {
        return draw(out);
    }
    thread_local reservoir drawn;
    if (drawn.left < out.size()) {
        draw(drawn.bytes);
        drawn.left = drawn.bytes.size();
    }
    drawn.left -= out.size();
    const auto taken = std::span{drawn.bytes}.subspan(drawn.left, out.size());
    std::ranges::copy(taken, out.begin());
    base::wipe(taken.data(), taken.size());
}

std::string random_nonce() {
    std::array<unsigned char, 18> raw{};
    random_bytes(raw);
    return base64::encode({reinterpret_cast<const char*>(raw.data()), raw.size()});
}

}  // namespace pgweir::auth
