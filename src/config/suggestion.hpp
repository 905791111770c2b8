// What a mistyped or foreign name was probably meant to be.
#pragma once

#include <string_view>
#include <vector>

namespace pgweir::config {

// The candidate with the smallest edit distance to `name`, or empty when none is near enough to be
// a slip of the fingers. Candidates must outlive the result.
[[nodiscard]] std::string_view nearest(std::string_view name,
                                       const std::vector<std::string_view>& candidates);

// Our key for one of PgBouncer's settings, such as "pool.size" for "default_pool_size"; empty when
// there is none.
[[nodiscard]] std::string_view from_pgbouncer(std::string_view name);

}  // namespace pgweir::config
