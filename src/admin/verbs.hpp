// The table of all verbs, and the way from a statement to its verb.
#pragma once

#include "admin/command.hpp"

#include <span>
#include <variant>

namespace pgweir::admin {

[[nodiscard]] std::span<const verb> verbs() noexcept;

// Unknown verbs are 42601, PgBouncer's that pgweir lacks 0A000, parameters ("$1") 42P02.
[[nodiscard]] std::variant<command, failure> recognise(token_list words);

// May `role` use `v`?
[[nodiscard]] bool is_allowed(const verb& v, config::console_role role) noexcept;

}  // namespace pgweir::admin
