// Cancel keys of one worker's clients: given out at login, found again in constant time.
#pragma once

#include "pgweir/auth/scram_keys.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::session {

class client;

// A client's place in the registry. `pid` names peer, worker and slot and is told to the client;
// `secret` is random: neither guesses the other, and a slot used again has another secret.
struct cancel_key {
    std::int32_t pid = 0;
    std::int32_t secret = 0;
};

// Who gave out a key: which pgweir of those that share a name (config::snapshot::peer_id), and
// which of its workers.
struct key_issuer {
    unsigned peer = 0;
    unsigned worker = 0;

    friend bool operator==(const key_issuer&, const key_issuer&) = default;
};
// Empty when nobody can have given out `pid`.
[[nodiscard]] std::optional<key_issuer> issuer_of(std::int32_t pid) noexcept;

// Worker thread only.
class cancel_registry {
public:
    static constexpr std::size_t short_size = 4;
    static constexpr std::size_t long_size = 32;  // as PostgreSQL 18

    // `seed`: secret, random, the same while the registry lives. Long keys follow from it, so that
    // they take no memory.
    cancel_registry(key_issuer issuer, const auth::digest& seed) noexcept
        : issuer_{issuer}, seed_{seed} {}

    // `is_long`: the client speaks protocol 3.2, and is not to be found with a short key.
    [[nodiscard]] cancel_key add(client& c, bool is_long);
    void remove(cancel_key key) noexcept;
    // What BackendKeyData tells besides the pid. REQUIRES: `key` is of add() and not removed.
    [[nodiscard]] std::string secret_of(cancel_key key) const;
    // Null unless both are right: `secret` as a CancelRequest has it, of any size.
    [[nodiscard]] client* find(std::int32_t pid, std::string_view secret) const;

private:
    struct slot {
        client* owner = nullptr;
        std::int32_t secret = 0;
        bool is_long = false;
    };

    [[nodiscard]] static std::uint32_t number_of(std::int32_t pid) noexcept;

    const key_issuer issuer_;
    const auth::digest seed_;
    std::vector<slot> slots_;
    std::vector<std::uint32_t> free_;
};

}  // namespace pgweir::session
