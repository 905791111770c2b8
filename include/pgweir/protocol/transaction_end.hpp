// What SQL text does to the transaction block that it is run in.
#pragma once

#include <cstdint>
#include <cstring>
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

// What running a whole text may do to the transaction block around it. Procedures and DO are not
// among it, nor COMMIT PREPARED: within a block they can end nothing, and outside of one every text
// may commit what it does.
enum class transaction_control : std::uint8_t {
    none,
    begins,      // nothing but BEGIN or START TRANSACTION
    commits,     // nothing but COMMIT, END or PREPARE TRANSACTION
    rolls_back,  // nothing but ROLLBACK or ABORT
    mixed,       // several statements with one of these among them, or AND CHAIN
    may_commit,  // none as it seems, but it might be read otherwise, or was not seen whole
};
[[nodiscard]] constexpr bool may_commit(transaction_control c) noexcept {
    return c == transaction_control::commits || c == transaction_control::mixed ||
           c == transaction_control::may_commit;
}
// What is one of these, without knowing which.
[[nodiscard]] constexpr transaction_control either(transaction_control a,
                                                   transaction_control b) noexcept {
    return a == b || b == transaction_control::none ? a
           : a == transaction_control::none         ? b
                                                    : transaction_control::mixed;
}

// Never says that a text cannot commit, or that it cannot begin a block, when it can, but that a
// BEGIN is not found behind a string constant that ends elsewhere than the standard says
// (standard_conforming_strings off). Total.
[[nodiscard]] transaction_control study_control(std::string_view sql) noexcept;
// The same of a text of which only the beginning is in sight.
[[nodiscard]] transaction_control study_beginning(std::string_view sql) noexcept;

// Does no text that begins with these letters control transactions by its first word?
[[nodiscard]] constexpr bool begins_elsewhere(char first, char second) noexcept {
    // ABORT, BEGIN, COMMIT, END, PREPARE, ROLLBACK; START
    constexpr std::uint32_t suspects = 1U << ('a' - 'a') | 1U << ('b' - 'a') | 1U << ('c' - 'a') |
                                       1U << ('e' - 'a') | 1U << ('p' - 'a') | 1U << ('r' - 'a');
    const auto letter = static_cast<unsigned>(static_cast<unsigned char>(first) | 0x20U) - 'a';
    return letter < 26 && (suspects >> letter & 1U) == 0 &&
           (letter != 's' - 'a' || (static_cast<unsigned char>(second) | 0x20U) != 't');
}

// For the data path: nearly all texts are done with in here.
[[nodiscard]] inline transaction_control control_of(std::string_view sql) noexcept {
    if (sql.size() < 2 || !begins_elsewhere(sql[0], sql[1])) {
        return study_control(sql);
    }
    const auto* const first = std::memchr(sql.data(), ';', sql.size());
    const bool is_single = first == nullptr || first == &sql.back();
    return is_single ? transaction_control::none : study_control(sql);
}

}  // namespace pgweir::protocol
