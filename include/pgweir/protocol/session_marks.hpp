// Signs that a statement left something behind in the session of its server.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace pgweir::protocol {

// How SQL text that is run affects its session; see names_session_state().
enum class text_effect : std::uint8_t {
    none,
    dirty,     // advisory locks, nextval, setseed
    settings,  // all others: what another SQL text means may depend on it
};

// What a server connection still carries of those it served.
struct session_marks {
    bool dirty = false;            // must be cleaned before another client gets it
    bool permanent = false;        // cannot be cleaned: must be closed instead
    bool changes_parsing = false;  // dirty by something that lets SQL text mean something else
    bool has_statements = false;   // dirty by prepared statements under names of its clients
    bool resets = false;           // settings may be back at what the session began with
    // How often DEALLOCATE has removed something else than was made for it (server_statements).
    std::uint32_t deallocated = 0;
    std::uint64_t unnamed_owner = 0;  // client whose unnamed statement it may hold; 0: nobody's
    std::uint64_t unnamed_count = 0;  // and which of all that this client has parsed

    // Is it unknown which prepared statements there are?
    [[nodiscard]] bool hides_statements() const noexcept {
        return has_statements || deallocated != 0;
    }
    void add(text_effect e) noexcept {
        dirty = dirty || e != text_effect::none;
        changes_parsing = changes_parsing || e == text_effect::settings;
    }
};

// What a CommandComplete tag says about the session (the tags are PostgreSQL's cmdtaglist.h).
enum class tag_effect : std::uint8_t {
    none,
    dirty,        // session state that the cleaning statements remove
    settings,     // the same, and it decides how SQL text is understood
    reset,        // the same: settings are back at what the session began with
    prepared,     // the same, and maybe prepared statements
    removed,      // as dirty, and a prepared statement is gone
    deallocated,  // as reset, and all prepared statements are gone
    permanent,    // LOAD: nothing but a new connection removes it
};
[[nodiscard]] tag_effect effect_of_tag(std::string_view tag) noexcept;
// For the data path: does the tag that a CommandComplete begins with surely have no effect? Says so
// of SELECT, INSERT, UPDATE, DELETE, MERGE, BEGIN, COMMIT and ROLLBACK.
[[nodiscard]] constexpr bool has_plain_tag(std::string_view body) noexcept {
    if (body.size() < 4) {
        return false;
    }
    switch (body[0]) {
        case 'I':
        case 'M':
        case 'B': return true;
        case 'S':
        case 'D': return body[2] == 'L';  // not SET, nor DEALLOCATE, DECLARE CURSOR, DISCARD, DO
        case 'U': return body[1] == 'P';  // not UNLISTEN
        case 'C':
        case 'R': return body[1] == 'O';  // not CALL, nor RESET
        default: return false;
    }
}

// Does this SQL text name something that changes the session although its tag does not tell:
// set_config, pg_settings (an UPDATE of it sets), advisory locks, temporary objects, nextval (which
// lastval tells later), setseed (which lets others foresee random()), or identifiers spelled with
// Unicode escapes, which could be any of these? May answer yes too often, never too seldom for
// these names.
[[nodiscard]] text_effect names_session_state(std::string_view sql) noexcept;

// The same for text that comes in pieces.
class session_probe {
public:
    void restart() noexcept { *this = {}; }
    // The strongest effect of all text since restart().
    text_effect feed(std::string_view piece) noexcept;

private:
    static constexpr std::size_t overlap = 16;  // longer than the longest name looked for

    std::array<char, overlap> tail_{};
    std::uint8_t tail_size_ = 0;
    text_effect found_ = text_effect::none;
};

}  // namespace pgweir::protocol
