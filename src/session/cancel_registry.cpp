// Cancel keys.
#include "pgweir/session/cancel_registry.hpp"

#include "pgweir/auth/keyed_hash.hpp"
#include "pgweir/auth/random.hpp"
#include "pgweir/config/snapshot.hpp"
#include "pgweir/pool/shelf.hpp"

#include <cstring>

namespace pgweir::session {
namespace {

// 31 bits, since some clients dislike negative process ids: 5 for the peer, 6 for the worker, 20
// for slot + 1, which is more than limits.max_clients may be.
constexpr unsigned slot_bits = 20;
constexpr unsigned worker_bits = 6;
constexpr std::uint32_t slot_mask = (1U << slot_bits) - 1;
constexpr std::uint32_t worker_mask = (1U << worker_bits) - 1;
static_assert(pool::max_workers <= worker_mask + 1);
static_assert(config::max_peer_id < 1U << (31 - worker_bits - slot_bits));

}  // namespace

std::optional<key_issuer> issuer_of(std::int32_t pid) noexcept {
    if (pid <= 0) {
        return std::nullopt;
    }
    const auto bits = static_cast<std::uint32_t>(pid);
    return key_issuer{.peer = bits >> (worker_bits + slot_bits),
                      .worker = bits >> slot_bits & worker_mask};
}

std::uint32_t cancel_registry::number_of(std::int32_t pid) noexcept {
    return static_cast<std::uint32_t>(pid) & slot_mask;
}

cancel_key cancel_registry::add(client& c, bool is_long) {
    if (free_.empty()) {
        slots_.emplace_back();
        free_.reserve(slots_.capacity());
        free_.push_back(static_cast<std::uint32_t>(slots_.size()));
    }
    const auto number = free_.back();
    free_.pop_back();
    auto& s = slots_[number - 1];
    s.owner = &c;
    s.is_long = is_long;
    auth::random_bytes({reinterpret_cast<unsigned char*>(&s.secret), sizeof s.secret});
    return {static_cast<std::int32_t>((issuer_.peer << (worker_bits + slot_bits)) |
                                      (issuer_.worker << slot_bits) | number),
            s.secret};
}

void cancel_registry::remove(cancel_key key) noexcept {
    const auto number = number_of(key.pid);
    slots_[number - 1] = {};
    free_.push_back(number);
}

// A long key begins with the slot's secret, which nobody else knows, and goes on with its hash.
std::string cancel_registry::secret_of(cancel_key key) const {
    std::string secret(short_size, '\0');
    std::memcpy(secret.data(), &key.secret, short_size);
    if (slots_[number_of(key.pid) - 1].is_long) {
        std::string text(sizeof key.pid, '\0');
        std::memcpy(text.data(), &key.pid, sizeof key.pid);
        const auto hash = auth::keyed_hash(seed_, text + secret);
        secret.append(reinterpret_cast<const char*>(hash.data()), long_size - short_size);
    }
    return secret;
}

client* cancel_registry::find(std::int32_t pid, std::string_view secret) const {
    const auto number = number_of(pid);
    if (number == 0 || number > slots_.size()) {
        return nullptr;
    }
    const auto& s = slots_[number - 1];
    return s.owner != nullptr && auth::is_same_secret(secret, secret_of({pid, s.secret})) ? s.owner
                                                                                          : nullptr;
}

}  // namespace pgweir::session
