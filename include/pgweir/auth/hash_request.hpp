// Work for a thread that may be slow: keys to derive from a password.
#pragma once

#include "pgweir/auth/scram_keys.hpp"
#include "pgweir/base/secret.hpp"

#include <string>
#include <utility>

namespace pgweir::auth {

// Run derive_scram_keys(password, salt, iterations) off the worker and hand the keys to on_hashed()
// of the machine that asked. The result may be cached under exactly these three values.
struct hash_request {
    std::string password;  // wiped when this dies
    std::string salt;      // raw bytes
    int iterations = 0;

    hash_request() = default;
    hash_request(std::string secret, std::string with_salt, int times)
        : password{std::move(secret)}, salt{std::move(with_salt)}, iterations{times} {}
    hash_request(const hash_request&) = default;
    hash_request& operator=(const hash_request&) = default;
    ~hash_request() { base::wipe(password.data(), password.size()); }
};

}  // namespace pgweir::auth
