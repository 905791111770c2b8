// Hints for keys and sections that do not exist.
#pragma once

#include <string>
#include <string_view>

namespace pgweir::config {

// `section` is as the schema says it ("database.NAME.pool", "" for the root), `shown` as the file
// does ("database.shop.pool"). Empty when nothing comes to mind.
[[nodiscard]] std::string hint_for_key(std::string_view section,
                                       std::string_view shown,
                                       std::string_view name);
[[nodiscard]] std::string hint_for_section(std::string_view name);

}  // namespace pgweir::config
