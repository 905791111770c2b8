// How SQL text is looked at without parsing it: ASCII letters alike in both cases, as PostgreSQL
// folds identifiers and keywords.
#pragma once

#include <algorithm>
#include <string_view>

namespace pgweir::protocol {

[[nodiscard]] constexpr char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

// Is `word`, in lower case, somewhere in `text`, in any case?
[[nodiscard]] inline bool contains(std::string_view text, std::string_view word) noexcept {
    return std::search(text.begin(), text.end(), word.begin(), word.end(),
                       [](char a, char b) { return lower(a) == b; }) != text.end();
}

// PostgreSQL's white space (its scan.l).
[[nodiscard]] constexpr bool is_space(char c) noexcept {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

[[nodiscard]] constexpr bool begins_identifier(char c) noexcept {
    const char l = lower(c);
    return (l >= 'a' && l <= 'z') || l == '_' || static_cast<unsigned char>(c) >= 0x80;
}

[[nodiscard]] constexpr bool continues_identifier(char c) noexcept {
    return begins_identifier(c) || (c >= '0' && c <= '9') || c == '$';
}

}  // namespace pgweir::protocol
