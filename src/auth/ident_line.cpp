// Entries of maps, and what they say of a name.
#include "auth/ident_line.hpp"

namespace pgweir::auth {
namespace {

constexpr std::string_view reference = "\\1";

bool is_user(const name_pattern& pattern, std::string_view user) {
    return pattern.is_keyword("all") || pattern.matches(user);
}

}  // namespace

std::variant<identity_map_entry, rule_problem> parse_ident_line(const rule_line& line) {
    const auto refuse = [&](std::string message, std::string hint = {}) {
        return rule_problem{line.file, line.line, std::move(message), std::move(hint)};
    };
    if (!line.error.empty()) {
        return refuse(line.error);
    }
    // PostgreSQL goes from left to right as well, and does not look behind the third.
    for (std::size_t i = 0; i < 3; ++i) {
        if (i >= line.fields.size()) {
            return refuse("missing entry at end of line");
        }
        if (line.fields[i].size() > 1) {
            return refuse("multiple values in ident field");
        }
    }
    identity_map_entry entry;
    entry.map = line.fields[0][0].text;
    const auto& system_user = line.fields[1][0];
    const auto& user = line.fields[2][0];
    if (auto wrong = entry.system_user.assign(system_user.text, system_user.is_quoted)) {
        return refuse(std::move(*wrong));
    }
    if (auto wrong = entry.user.assign(user.text, user.is_quoted)) {
        return refuse(std::move(*wrong));
    }
    if (entry.user.is_membership()) {
        return refuse("membership of roles is not known to pgweir: \"" + user.text + '"',
                      "name the users, or match them with a regular expression");
    }
    return entry;
}

mapping look_up(const identity_map_entry& entry, std::string_view identity, std::string_view user) {
    if (!entry.system_user.is_expression()) {
        return {entry.system_user.matches(identity) && is_user(entry.user, user), {}};
    }
    std::optional<std::string> group;
    if (!entry.system_user.captures(identity, group)) {
        return {};
    }
    const auto& wanted = entry.user.text();
    const auto at = wanted.find(reference);
    if (entry.user.is_expression() || at == std::string::npos) {
        return {is_user(entry.user, user), {}};
    }
    if (!group) {
        return {false, "regular expression \"" + entry.system_user.text().substr(1) +
                           "\" has no subexpressions as requested by backreference in \"" + wanted +
                           '"'};
    }
    // What comes out is a name, whatever it looks like.
    return {wanted.substr(0, at) + *group + wanted.substr(at + reference.size()) == user, {}};
}

}  // namespace pgweir::auth
