// Keys that are dear to make or only clients can give: derived SCRAM keys, and clients' own.
#pragma once

#include "pgweir/auth/hash_request.hpp"
#include "pgweir/net/background.hpp"

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

    // SCRAM pass-through: what `user` proved to know at its last login, good for one salt.
    struct proven {
        auth::scram_keys keys;
        std::string salt;
        int iterations = 0;
    };
    void remember(const std::string& user, proven p);
    [[nodiscard]] std::optional<proven> recall(const std::string& user) const;

private:
    [[nodiscard]] std::optional<auth::scram_keys> cached(const std::string& key) const;
    auth::scram_keys derive_now(const auth::hash_request& request, const std::string& key);

    static constexpr std::size_t cache_limit = 4096;

    mutable std::mutex mutex_;
    std::unordered_map<std::string, auth::scram_keys> derived_;  // by digest of what went in
    std::map<std::string, proven> proven_;
    net::background hashers_;  // last: its threads use the rest
};

}  // namespace pgweir::pool
