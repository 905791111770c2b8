// Cached SCRAM keys.
#include "pgweir/pool/key_ring.hpp"

#include "pgweir/net/loop.hpp"

#include <openssl/evp.h>

namespace pgweir::pool {
namespace {

// The cache must not hold passwords, so what went in is kept as a digest only.
std::string cache_key(const auth::hash_request& request) {
    std::string in = std::to_string(request.iterations) + ':' +
                     std::to_string(request.salt.size()) + ':' + request.salt + request.password;
    std::string out(32, '\0');
    std::size_t size = out.size();
    EVP_Q_digest(nullptr, "SHA256", nullptr, in.data(), in.size(),
                 reinterpret_cast<unsigned char*>(out.data()), &size);
    base::wipe(in.data(), in.size());
    return out;
}

}  // namespace

std::optional<auth::scram_keys> key_ring::cached(const std::string& key) const {
    const std::lock_guard lock{mutex_};
    const auto it = derived_.find(key);
    return it == derived_.end() ? std::nullopt : std::optional{it->second};
}

auth::scram_keys key_ring::derive_now(const auth::hash_request& request, const std::string& key) {
    if (const auto known = cached(key)) {
        return *known;
    }
    const auto keys = auth::derive_scram_keys(request.password, request.salt, request.iterations);
    const std::lock_guard lock{mutex_};
    if (derived_.size() >= cache_limit) {
        derived_.clear();
    }
    derived_.emplace(key, keys);
    return keys;
}

bool key_ring::derive(const auth::hash_request& request,
                      net::loop& back,
                      std::function<void(const auth::scram_keys&)> done) {
    return hashers_.submit(
        [this, request, key = cache_key(request), &back, done = std::move(done)]() mutable {
            back.post([keys = derive_now(request, key), done = std::move(done)] { done(keys); });
        });
}

key_ring::interest key_ring::hold(const std::string& identity) {
    const std::lock_guard lock{mutex_};
    const auto it = records_.try_emplace(identity).first;
    ++it->second.holders;
    return {*this, it};
}

void key_ring::release(records::iterator held) noexcept {
    const std::lock_guard lock{mutex_};
    if (--held->second.holders == 0) {
        records_.erase(held);
    }
}

void key_ring::remember(const std::string& identity, proven p) {
    const std::lock_guard lock{mutex_};
    const auto it = records_.find(identity);
    if (it == records_.end()) {
        return;
    }
    auto& known = it->second.known;
    if (known && p.serial < known->serial) {
        return;
    }
    if (known && p.serial == known->serial && p.serial != 0) {
        if (p.secret.empty()) {
            p.secret = known->secret;
        }
        if (p.iterations == 0) {
            p.keys = known->keys;
            p.salt = known->salt;
            p.iterations = known->iterations;
        }
    }
    known = std::move(p);
}

std::optional<key_ring::proven> key_ring::recall(const std::string& identity) const {
    const std::lock_guard lock{mutex_};
    const auto it = records_.find(identity);
    return it == records_.end() ? std::nullopt : it->second.known;
}

}  // namespace pgweir::pool
