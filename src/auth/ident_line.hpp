// One line of pg_ident.conf as an entry of a map (PostgreSQL docs 21.2).
#pragma once

#include "auth/rule_lines.hpp"
#include "pgweir/auth/access_rules.hpp"

#include <optional>
#include <string_view>
#include <variant>

namespace pgweir::auth {

// Total.
[[nodiscard]] std::variant<identity_map_entry, rule_problem> parse_ident_line(
    const rule_line& line);

// Does the entry let `identity` log in as `user`?
struct mapping {
    bool is_found = false;
    std::string error;  // what ends the search, in PostgreSQL's words
};
[[nodiscard]] mapping look_up(const identity_map_entry& entry,
                              std::string_view identity,
                              std::string_view user);

}  // namespace pgweir::auth
