// What PostgreSQL answers, as text.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace pgweir::watch {

// Cells as text; absent: NULL.
using result_row = std::vector<std::optional<std::string>>;
using result_rows = std::vector<result_row>;

// No more of a result is kept than this.
inline constexpr std::size_t max_result_rows = 1'000;
inline constexpr std::size_t max_cell_size = 1'024;

}  // namespace pgweir::watch
