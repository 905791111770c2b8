// Signs that a statement left something behind in the session of its server.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace pgweir::protocol {

// What a server connection still carries of those it served.
struct session_marks {
    bool dirty = false;               // must be cleaned before another client gets it
    bool permanent = false;           // cannot be cleaned: must be closed instead
    std::uint64_t unnamed_owner = 0;  // client whose unnamed statement it may hold; 0: nobody's
    std::uint64_t unnamed_count = 0;  // and which of all that this client has parsed
};

// What a CommandComplete tag says about the session (the tags are PostgreSQL's cmdtaglist.h).
enum class tag_effect : std::uint8_t {
    none,
    dirty,      // session state that the cleaning statements remove
    permanent,  // LOAD: nothing but a new connection removes it
};
[[nodiscard]] tag_effect effect_of_tag(std::string_view tag) noexcept;

// Does this SQL text name something that changes the session although its tag does not tell:
// set_config, pg_settings (an UPDATE of it sets), advisory locks, temporary objects, nextval (which
// lastval tells later), or identifiers spelled with Unicode escapes, which could be any of these?
// May answer yes too often, never too seldom for these names.
[[nodiscard]] bool names_session_state(std::string_view sql) noexcept;

// The same for text that comes in pieces.
class session_probe {
public:
    void restart() noexcept { *this = {}; }
    // Returns true once any text since restart() named session state.
    bool feed(std::string_view piece) noexcept;

private:
    static constexpr std::size_t overlap = 16;  // longer than the longest name looked for

    std::array<char, overlap> tail_{};
    std::uint8_t tail_size_ = 0;
    bool found_ = false;
};

}  // namespace pgweir::protocol
