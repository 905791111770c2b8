// Keys that are dear to make or only clients can give: derived SCRAM keys, and clients' own.
#pragma once

#include "pgweir/auth/hash_request.hpp"
#include "pgweir/base/secret.hpp"
#include "pgweir/net/background.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

namespace pgweir::net {
class loop;
}

namespace pgweir::pool {

// Any thread. Hashing runs on threads of its own, never on a worker.
class key_ring {
public:
    explicit key_ring(unsigned threads) : hashers_{threads, 4096} {}
    // Before the workers die that wait for keys.
    void stop() { hashers_.stop(); }

    // Derives keys off the calling thread, then runs `done(keys)` on `back`. Answers are cached, so
    // that the same password and salt cost one hashing however many connections log in. False when
    // too many wait already: fail the login.
    [[nodiscard]] bool derive(const auth::hash_request& request,
                              net::loop& back,
                              std::function<void(const auth::scram_keys&)> done);

    // What whoever goes by an identity (see identity_of()) proved to know at its last login: SCRAM
    // keys, good for one salt, and where the user was looked up also a secret that PostgreSQL
    // takes.
    struct proven {
        auth::scram_keys keys;
        std::string salt;
        int iterations = 0;        // 0: no keys
        base::secret secret = {};  // plain or md5; empty: none
        std::uint64_t serial = 0;  // of the answer that it was checked with; see found_user
    };
    // What was checked with an older answer than what is known already is dropped: the password has
    // been changed since. With the same answer, each adds what the other lacks.
    void remember(const std::string& identity, proven p);
    [[nodiscard]] std::optional<proven> recall(const std::string& identity) const;

private:
    [[nodiscard]] std::optional<auth::scram_keys> cached(const std::string& key) const;
    auth::scram_keys derive_now(const auth::hash_request& request, const std::string& key);

    static constexpr std::size_t cache_limit = 4096;

    mutable std::mutex mutex_;
    std::unordered_map<std::string, auth::scram_keys> derived_;  // by digest of what went in
    std::map<std::string, proven> proven_;                       // by identity
    net::background hashers_;                                    // last: its threads use the rest
};

}  // namespace pgweir::pool
