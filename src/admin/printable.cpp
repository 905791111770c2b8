// Makes text of unknown origin safe to send to a client whose encoding is UTF-8.
#include "admin/printable.hpp"

#include <algorithm>
#include <cstdint>

namespace pgweir::admin {
namespace {

constexpr std::size_t excerpt_size = 64;

bool is_plain(char c) noexcept {
    return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7f;
}

// Length of the well-formed sequence at the start of `s` that is worth printing, 0 if there is
// none. RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF; C1 controls are left
// out too.
std::size_t sequence_length(std::string_view s) noexcept {
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
    const auto first = at(0);
    const std::size_t length = first < 0xc2   ? 0
                               : first < 0xe0 ? 2
                               : first < 0xf0 ? 3
                               : first < 0xf5 ? 4
                                              : 0;
    if (length == 0 || length > s.size()) {
        return 0;
    }
    for (std::size_t i = 1; i < length; ++i) {
        if ((at(i) & 0xc0) != 0x80) {
            return 0;
        }
    }
    const auto second = at(1);
    const bool is_refused = (first == 0xc2 && second < 0xa0) || (first == 0xe0 && second < 0xa0) ||
                            (first == 0xed && second >= 0xa0) || (first == 0xf0 && second < 0x90) ||
                            (first == 0xf4 && second >= 0x90);
    return is_refused ? 0 : length;
}

}  // namespace

void append_printable(std::string& out, std::string_view text) {
    while (!text.empty()) {
        const auto plain = static_cast<std::size_t>(
            std::find_if_not(text.begin(), text.end(), is_plain) - text.begin());
        out.append(text.substr(0, plain));
        text.remove_prefix(plain);
        if (text.empty()) {
            return;
        }
        const auto length = sequence_length(text);
        out.append(length == 0 ? std::string_view{"?"} : text.substr(0, length));
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
}

std::string excerpt(std::string_view text) {
    std::string out;
    append_printable(out, text.substr(0, excerpt_size));
    if (text.size() > excerpt_size) {
        out += "...";
    }
    return out;
}

}  // namespace pgweir::admin
