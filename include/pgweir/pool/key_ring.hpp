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
#include <utility>

namespace pgweir::net {
class loop;
}

namespace pgweir::pool {

// Any thread. Hashing runs on threads of its own, never on a worker.
class key_ring {
public:
    explicit key_ring(unsigned threads) : hashers_{threads, 4096, net::background::priority::low} {}
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
    class interest;
    // Somebody may have to log in at PostgreSQL as this identity.
    [[nodiscard]] interest hold(const std::string& identity);
    // Does nothing for an identity that nobody holds. What was checked with an older answer than
    // what is known already is dropped: the password has been changed since. With the same answer,
    // each adds what the other lacks.
    void remember(const std::string& identity, proven p);
    [[nodiscard]] std::optional<proven> recall(const std::string& identity) const;

private:
    [[nodiscard]] std::optional<auth::scram_keys> cached(const std::string& key) const;
    auth::scram_keys derive_now(const auth::hash_request& request, const std::string& key);

    static constexpr std::size_t cache_limit = 4096;

    struct record {
        std::optional<proven> known;
        unsigned holders = 0;
    };
    using records = std::map<std::string, record>;  // by identity
    void release(records::iterator held) noexcept;

    mutable std::mutex mutex_;
    std::unordered_map<std::string, auth::scram_keys> derived_;  // by digest of what went in
    records records_;                                            // those with holders
    net::background hashers_;                                    // last: its threads use the rest
};

// While one of an identity lives, what was proved for that is kept; with the last one it is wiped.
// Move-only; any thread; the ring must outlive it.
class key_ring::interest {
public:
    interest() = default;
    interest(interest&& o) noexcept : ring_{std::exchange(o.ring_, nullptr)}, held_{o.held_} {}
    interest& operator=(interest&& o) noexcept {
        drop();
        ring_ = std::exchange(o.ring_, nullptr);
        held_ = o.held_;
        return *this;
    }
    ~interest() { drop(); }

    [[nodiscard]] bool is_of(const std::string& identity) const noexcept {
        return ring_ != nullptr && held_->first == identity;
    }

private:
    friend class key_ring;
    interest(key_ring& ring, records::iterator held) noexcept : ring_{&ring}, held_{held} {}
    void drop() noexcept {
        if (auto* ring = std::exchange(ring_, nullptr)) {
            ring->release(held_);
        }
    }

    key_ring* ring_ = nullptr;
    records::iterator held_{};
};

}  // namespace pgweir::pool
