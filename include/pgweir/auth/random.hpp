// Randomness fit for keys and nonces.
#pragma once

#include <span>
#include <string>

namespace pgweir::auth {

// Fills `out` from the operating system's generator, through OpenSSL. Any thread. Ends the process
// when there is no randomness to be had: every way to go on would be guessable.
void random_bytes(std::span<unsigned char> out);

// 24 characters of base64: 18 random bytes, as PostgreSQL's SCRAM nonces.
[[nodiscard]] std::string random_nonce();

}  // namespace pgweir::auth
