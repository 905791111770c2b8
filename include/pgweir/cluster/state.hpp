// What pgweir must still know of a cluster after a restart, and its text form.
#pragma once

#include "pgweir/cluster/evidence.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <variant>

namespace pgweir::cluster {

// Why a node gets nothing until it is seen in recovery on the granted timeline.
enum class disowning : std::uint8_t {
    replaced,  // another node was granted while it was the primary, or claimed to be
    metadata,  // repmgr's metadata, on a newer timeline, say that it is no longer the primary
    rogue,     // it was promoted while the primary was well, and nobody follows it
    forced,    // an operator chose another node
};

// The arbiter's memory across restarts. A value: whoever publishes a view writes this to disk
// first, atomically, whenever it differs from what was written last.
struct cluster_state {
    std::uint64_t system_identifier = 0;  // 0: not learned yet
    std::uint64_t epoch = 0;              // counts grants; never falls, also not when forgotten
    timeline max_granted_tli = 0;         // raised by a grant; only an operator's force lowers it
    std::string granted;                  // name of the node; empty: no grant yet
    bool forced = false;  // the grant was an operator's, for whom no other node vouches yet
    std::map<std::string, disowning, std::less<>> disowned;  // by name of the node
    std::set<std::string, std::less<>> fenced;               // by an operator, until UNFENCE

    friend bool operator==(const cluster_state&, const cluster_state&) = default;
};

struct state_error {
    unsigned line = 0;  // from 1
    std::string message;
};

// Lines of "key value", ended by a checksum. Any node name survives the round trip.
[[nodiscard]] std::string to_text(const cluster_state& state);
// Total. A file that is cut, changed or of another version is an error, never a guess: with less
// than was known before, pgweir might grant a primary it has refused.
[[nodiscard]] std::variant<cluster_state, state_error> parse_state(std::string_view text);

[[nodiscard]] const char* to_string(disowning) noexcept;

}  // namespace pgweir::cluster
