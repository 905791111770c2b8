// Signs of session state in tags and in SQL text.
#include "pgweir/protocol/session_marks.hpp"

#include "protocol/sql_text.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

namespace pgweir::protocol {
namespace {

// TEMP and TEMPORARY as words, and the pg_temp schemas; not "temperature" or "temp_readings".
bool names_temporary(std::string_view text) noexcept {
    constexpr std::string_view word = "temp";
    constexpr std::string_view rest_of_long_form = "orary";
    for (auto from = text.begin();;) {
        const auto at = std::search(from, text.end(), word.begin(), word.end(),
                                    [](char a, char b) { return lower(a) == b; });
        if (at == text.end()) {
            return false;
        }
        from = at + 1;
        const auto before = text.substr(0, static_cast<std::size_t>(at - text.begin()));
        auto after = text.substr(before.size() + word.size());
        if (before.size() >= 3 && contains(before.substr(before.size() - 3), "pg_")) {
            return true;
        }
        if (contains(after.substr(0, rest_of_long_form.size()), rest_of_long_form)) {
            after.remove_prefix(rest_of_long_form.size());
        }
        if ((before.empty() || !continues_identifier(before.back())) &&
            (after.empty() || !continues_identifier(after.front()))) {
            return true;
        }
    }
}

using chunk = unsigned char __attribute__((vector_size(16)));

chunk load_lower(const char* p) noexcept {
    chunk c;
    std::memcpy(&c, p, sizeof c);
    return c | static_cast<unsigned char>(0x20);
}

// Looks at 16 places for the letters below; reads `window` bytes.
constexpr std::size_t window = sizeof(chunk) + 2;

bool might_name_at(const char* p) noexcept {
    const auto a = load_lower(p);
    const auto b = load_lower(p + 1);
    const auto c = load_lower(p + 2);
    const auto hits = ((a == ('_' | 0x20)) & (b == 'c')) | ((a == 'd') & (b == 'v')) |
                      ((a == 'm') & (b == 'p')) | ((a == 'u') & (b == '&')) |
                      ((a == 'g') & (b == 's')) | ((a == 't') & (b == 'v')) |
                      ((a == 't') & (b == 's') & (c == 'e'));
    std::array<std::uint64_t, sizeof(chunk) / sizeof(std::uint64_t)> halves;
    std::memcpy(halves.data(), &hits, sizeof hits);
    return (halves[0] | halves[1]) != 0;
}

// Could any of the names be in here? Every query is searched, so this looks only for neighbours
// that are rare in SQL, 16 places at a time: se"t_c"onfig, a"dv"isory, te"mp", "U&", pg_settin"gs",
// nex"tv"al, se"tse"ed. The last places may be looked at twice.
bool might_name(std::string_view text) noexcept {
    std::array<char, window> copy{};
    if (text.size() < window) {
        std::memcpy(copy.data(), text.data(), text.size());
        text = {copy.data(), copy.size()};
    }
    const char* const last = text.data() + text.size() - window;
    for (const char* at = text.data();; at = std::min(at + sizeof(chunk), last)) {
        if (might_name_at(at)) {
            return true;
        }
        if (at == last) {
            return false;
        }
    }
}

}  // namespace

tag_effect effect_of_tag(std::string_view tag) noexcept {
    if (tag.empty()) {
        return tag_effect::none;
    }
    const auto is = [&](auto... words) { return ((tag == std::string_view{words}) || ...); };
    switch (tag.front()) {
        case 'S':
            // Not SELECT and SAVEPOINT, nor SET CONSTRAINTS, which ends with its transaction.
            return is("SET") ? tag_effect::settings : tag_effect::none;
        case 'R': return is("RESET") ? tag_effect::reset : tag_effect::none;
        case 'D':
            if (is("DEALLOCATE ALL", "DISCARD ALL")) {
                return tag_effect::deallocated;
            }
            if (is("DO")) {
                return tag_effect::prepared;
            }
            if (is("DEALLOCATE")) {
                return tag_effect::removed;
            }
            return is("DECLARE CURSOR") || tag.starts_with("DISCARD") ? tag_effect::dirty
                                                                      : tag_effect::none;
        case 'L':
            if (is("LISTEN")) {
                return tag_effect::dirty;
            }
            return is("LOAD") ? tag_effect::permanent : tag_effect::none;
        case 'U': return is("UNLISTEN") ? tag_effect::dirty : tag_effect::none;
        case 'P': return is("PREPARE") ? tag_effect::prepared : tag_effect::none;
        // The body of a procedure may SET, LISTEN or PREPARE, and only CALL comes back.
        case 'C': return is("CALL") ? tag_effect::prepared : tag_effect::none;
        default: return tag_effect::none;
    }
}

text_effect names_session_state(std::string_view sql) noexcept {
    if (!might_name(sql)) {
        return text_effect::none;
    }
    if (contains(sql, "set_config") || names_temporary(sql) || contains(sql, "u&\"") ||
        contains(sql, "pg_settings")) {
        return text_effect::settings;
    }
    const bool is_dirty =
        contains(sql, "advisory") || contains(sql, "nextval") || contains(sql, "setseed");
    return is_dirty ? text_effect::dirty : text_effect::none;
}

text_effect session_probe::feed(std::string_view piece) noexcept {
    if (found_ == text_effect::settings || piece.empty()) {
        return found_;
    }
    if (tail_size_ != 0) {
        std::array<char, 2 * overlap> seam{};
        const auto more = std::min(piece.size(), overlap);
        std::memcpy(seam.data(), tail_.data(), tail_size_);
        std::memcpy(seam.data() + tail_size_, piece.data(), more);
        found_ = std::max(found_, names_session_state({seam.data(), tail_size_ + more}));
    }
    found_ = std::max(found_, names_session_state(piece));
    if (piece.size() >= overlap) {
        std::memcpy(tail_.data(), piece.data() + piece.size() - overlap, overlap);
        tail_size_ = overlap;
    } else {
        const auto keep = std::min<std::size_t>(tail_size_, overlap - piece.size());
        std::memmove(tail_.data(), tail_.data() + tail_size_ - keep, keep);
        std::memcpy(tail_.data() + keep, piece.data(), piece.size());
        tail_size_ = static_cast<std::uint8_t>(keep + piece.size());
    }
    return found_;
}

}  // namespace pgweir::protocol
