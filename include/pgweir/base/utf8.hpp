// Tells well-formed UTF-8 from other bytes.
#pragma once

#include <cstddef>
#include <string_view>

namespace pgweir::base {

// Length of the well-formed sequence of two to four bytes at the start of `s`, 0 if there is none.
// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF; the controls U+0080 to U+009F
// are left out too.
// REQUIRES: `s` is not empty.
[[nodiscard]] std::size_t utf8_sequence_length(std::string_view s) noexcept;

}  // namespace pgweir::base
