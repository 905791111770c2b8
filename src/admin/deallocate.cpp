// DEALLOCATE and DISCARD ALL: forget prepared statements.
#include "admin/commands.hpp"
#include "admin/prepared_store.hpp"
#include "admin/printable.hpp"

namespace pgweir::admin {

std::optional<failure> deallocate(std::span<const token> arguments, session_scope& scope) {
    if (arguments.size() == 2 && arguments[0].is_word("prepare")) {
        arguments = arguments.subspan(1);
    }
    if (arguments.size() != 1 ||
        (arguments[0].what != token::kind::word && arguments[0].what != token::kind::quoted)) {
        return failure{"42601", "DEALLOCATE takes the name of a prepared statement, or ALL"};
    }
    if (arguments[0].is_word("all")) {
        scope.prepared.forget_statements();
    } else if (!scope.prepared.forget_statement(arguments[0].text)) {
        return failure{"26000",
                       "prepared statement \"" + excerpt(arguments[0].text) + "\" does not exist"};
    }
    return std::nullopt;
}

std::optional<failure> discard(std::span<const token> arguments, session_scope& scope) {
    if (arguments.size() != 1 || !arguments[0].is_word("all")) {
        return failure{"42601", "the console knows DISCARD ALL only"};
    }
    scope.prepared.forget_statements();
    return std::nullopt;
}

}  // namespace pgweir::admin
