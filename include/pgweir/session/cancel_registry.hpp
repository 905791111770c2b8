// Cancel keys of one worker's clients: given out at login, found again in constant time.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace pgweir::session {

class client;

// What BackendKeyData tells a client. `pid` names worker and slot, `secret` is random: neither
// guesses the other, and a slot used again has another secret.
struct cancel_key {
    std::int32_t pid = 0;
    std::int32_t secret = 0;
};

// The worker that gave out `pid`; empty when no worker can have.
[[nodiscard]] std::optional<unsigned> worker_of(std::int32_t pid) noexcept;

// Worker thread only.
class cancel_registry {
public:
    explicit cancel_registry(unsigned worker) noexcept : worker_{worker} {}

    [[nodiscard]] cancel_key add(client& c);
    void remove(cancel_key key) noexcept;
    // Null unless both halves of the key are right.
    [[nodiscard]] client* find(cancel_key key) const noexcept;

private:
    struct slot {
        client* owner = nullptr;
        std::int32_t secret = 0;
    };

    const unsigned worker_;
    std::vector<slot> slots_;
    std::vector<std::uint32_t> free_;
};

}  // namespace pgweir::session
