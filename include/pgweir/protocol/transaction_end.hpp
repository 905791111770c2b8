// What SQL text does to the transaction block that it is run in.
#pragma once

#include <cstdint>
#include <string_view>

namespace pgweir::protocol {

enum class transaction_verb : std::uint8_t {
    other,   // none of these; also what is no valid SQL
    empty,   // nothing but white space, comments and semicolons
    begin,   // or START TRANSACTION
    commit,  // or END
    commit_and_chain,
    prepare_transaction,
    rollback,  // or ABORT
    rollback_and_chain,
    rollback_to,
    savepoint,
    release,
};
struct statement_look {
    transaction_verb verb = transaction_verb::other;
    // What is left behind its semicolon, from the next statement on; empty when that was the last.
    // Always empty for `other`, savepoint, release and rollback_to.
    std::string_view rest = {};
};
// Looks at the first statement of `sql` that is not empty. Exact for what PostgreSQL's grammar
// takes. Total.
[[nodiscard]] statement_look look_at_statement(std::string_view sql) noexcept;

}  // namespace pgweir::protocol
