// What logins of most users look like from outside, so that nobody's can look the same.
#pragma once

#include "pgweir/auth/scram_keys.hpp"

#include <map>
#include <string_view>

namespace pgweir::auth {

// How a login of somebody who does not exist has to look. Whoever probes for names would know one
// that exists by a salt, an iteration count or a method that no other has. Aligned so that an
// atomic one needs no lock.
struct alignas(8) likeness {
    int iterations = default_scram_iterations;  // of SCRAM
    bool scram = false;  // method md5 asks for SCRAM, as it does of users with such a verifier
    friend bool operator==(const likeness&, const likeness&) = default;
};

// Counts what the secrets of known users look like. Cheap to change one by one.
class census {
public:
    // `secret`: as pg_authid holds it, or plain. Empty ones do not count.
    void add(std::string_view secret) { count(secret, 1); }
    // REQUIRES: it was added.
    void remove(std::string_view secret) { count(secret, -1); }
    // Has anybody been counted?
    [[nodiscard]] bool empty() const noexcept { return users_ == 0; }
    // The most common iteration count, and whether most have a verifier.
    [[nodiscard]] likeness most() const;

private:
    void count(std::string_view secret, int change);

    std::map<int, int> by_iterations_;  // a plain secret is hashed with the default
    int users_ = 0;
    int verifiers_ = 0;
};

}  // namespace pgweir::auth
