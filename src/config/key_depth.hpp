// Refuses dotted keys of absurd depth before a recursive parser sees them.
#pragma once

#include "config/document.hpp"

#include <optional>
#include <string_view>

namespace pgweir::config {

// Our deepest key, database.NAME.pool.size, has four parts.
inline constexpr unsigned max_key_parts = 8;

// Where the first key or header with more than max_key_parts parts stands in `toml`. Exact for
// valid TOML; the parser stops at the first invalid byte, so what this makes of later text is
// harmless.
[[nodiscard]] std::optional<position> find_deep_key(std::string_view toml);

}  // namespace pgweir::config
