// SET and RESET: drivers send them after login; the console has nothing to set.
#include "admin/commands.hpp"
#include "pgweir/protocol/error_response.hpp"

namespace pgweir::admin {

std::optional<failure> ignore_setting(std::span<const token> arguments, session_scope& scope) {
    if (arguments.empty()) {
        return failure{"42601", "the name of a setting is missing"};
    }
    protocol::append_notice(
        scope.out, {"NOTICE", "00000", "setting ignored", "The console has no session settings.",
                    "To change pgweir's own, edit its configuration file and use RELOAD."});
    return std::nullopt;
}

}  // namespace pgweir::admin
