// One line of pg_hba.conf as a rule.
#pragma once

#include "auth/rule_lines.hpp"
#include "pgweir/auth/access_rules.hpp"

#include <variant>

namespace pgweir::auth {

// `number` of the rule is left to the caller. Total.
[[nodiscard]] std::variant<hba_rule, rule_problem> parse_hba_line(const rule_line& line);

}  // namespace pgweir::auth
