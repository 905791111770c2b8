// The table of RFC 3629, section 4.
#include "pgweir/base/utf8.hpp"

namespace pgweir::base {

std::size_t utf8_sequence_length(std::string_view s) noexcept {
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

}  // namespace pgweir::base
