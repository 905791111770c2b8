// BEGIN, COMMIT and ROLLBACK: drivers send them; they change nothing but the status they show.
#include "admin/commands.hpp"
#include "pgweir/protocol/error_response.hpp"

#include <algorithm>

namespace pgweir::admin {
namespace {

void warn(session_scope& scope, std::string_view sqlstate, std::string_view message) {
    protocol::append_notice(scope.out, {"WARNING", sqlstate, message, {}, {}});
}

}  // namespace

std::optional<failure> begin_block(std::span<const token>, session_scope& scope) {
    if (scope.transaction == 'T') {
        warn(scope, "25001", "there is already a transaction in progress");
    }
    scope.transaction = 'T';
    return std::nullopt;
}

std::optional<failure> end_block(std::span<const token> arguments, session_scope& scope) {
    const auto is_filler = [](const token& t) {
        return t.is_word("work") || t.is_word("transaction");
    };
    if (!std::ranges::all_of(arguments, is_filler)) {
        return failure{"0A000", "the console has neither savepoints nor chained transactions"};
    }
    if (scope.transaction != 'T') {
        warn(scope, "25P01", "there is no transaction in progress");
    }
    scope.transaction = 'I';
    return std::nullopt;
}

}  // namespace pgweir::admin
