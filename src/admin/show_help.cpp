// SHOW HELP: the verbs, as a notice like PgBouncer's.
#include "admin/commands.hpp"
#include "admin/verbs.hpp"
#include "pgweir/protocol/error_response.hpp"

#include <algorithm>

namespace pgweir::admin {

std::optional<failure> show_help(std::span<const token>, session_scope& scope) {
    constexpr std::size_t usage_width = 36;
    std::string text;
    for (const verb& v : verbs()) {
        if (std::holds_alternative<not_supported>(v.how)) {
            continue;
        }
        const std::string_view usage = v.usage;
        text += "\n\t";
        text += usage;
        text.append(usage_width - std::min(usage.size(), usage_width - 1), ' ');
        text += v.help;
        if (v.role == config::console_role::admin) {
            text += " (admin only)";
        }
    }
    protocol::append_notice(scope.out, {"NOTICE", "00000", "Console usage", text, {}});
    return std::nullopt;
}

}  // namespace pgweir::admin
