// Cancel keys.
#include "pgweir/session/cancel_registry.hpp"

#include "pgweir/auth/random.hpp"

#include <cstring>

namespace pgweir::session {
namespace {

// 31 bits, since some clients dislike negative process ids: 6 for the worker, 25 for slot + 1.
constexpr unsigned slot_bits = 25;
constexpr std::uint32_t slot_mask = (1U << slot_bits) - 1;

}  // namespace

std::optional<unsigned> worker_of(std::int32_t pid) noexcept {
    if (pid <= 0) {
        return std::nullopt;
    }
    return static_cast<std::uint32_t>(pid) >> slot_bits;
}

cancel_key cancel_registry::add(client& c) {
    if (free_.empty()) {
        slots_.emplace_back();
        free_.reserve(slots_.capacity());
        free_.push_back(static_cast<std::uint32_t>(slots_.size()));
    }
    const auto number = free_.back();
    free_.pop_back();
    unsigned char random[4];
    auth::random_bytes(random);
    auto& s = slots_[number - 1];
    s.owner = &c;
    std::memcpy(&s.secret, random, sizeof random);
    return {static_cast<std::int32_t>((worker_ << slot_bits) | number), s.secret};
}

void cancel_registry::remove(cancel_key key) noexcept {
    const auto number = static_cast<std::uint32_t>(key.pid) & slot_mask;
    slots_[number - 1] = {};
    free_.push_back(number);
}

client* cancel_registry::find(cancel_key key) const noexcept {
    const auto number = static_cast<std::uint32_t>(key.pid) & slot_mask;
    if (number == 0 || number > slots_.size()) {
        return nullptr;
    }
    const auto& s = slots_[number - 1];
    return s.owner != nullptr && s.secret == key.secret ? s.owner : nullptr;
}

}  // namespace pgweir::session
