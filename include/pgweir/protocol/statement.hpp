// Prepared statements as pgweir knows them: what a name of a client stands for on any server.
#pragma once

#include "pgweir/protocol/session_marks.hpp"
#include "pgweir/protocol/transaction_end.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace pgweir::protocol {

// Names of shared statements on servers begin so. A client's own name that does is never passed on.
inline constexpr std::string_view shared_prefix = "__pgweir_";
// Of these, two that are no statement of clients: one that is never there, and one that is there to
// be in the way; PostgreSQL's errors about them are what we asked for.
inline constexpr std::string_view no_statement = "__pgweir_none";
inline constexpr std::string_view decoy_statement = "__pgweir_0";

// Immutable but for its counter. Clients that prepare the same text with the same parameter types
// in the same scope hold the same object, and so share one statement on each server.
struct statement {
    std::uint64_t id = 0;  // of all statements of this process
    std::string name;      // on servers
    std::string parse;     // the whole Parse message under that name; empty: too long to be kept
    bool deallocates = false;                // running it may remove prepared statements
    bool changes_parsing = false;            // running it may change what another text means
    text_effect effect = text_effect::none;  // on the session that runs it
    transaction_control control = transaction_control::none;  // of its transaction
    // Every setting that parsing can see: literals are folded, and names looked up, when a
    // statement is parsed. Kept so that its address stays taken.
    std::shared_ptr<const void> scope;
    // How often clients have bound it. Only on the worker that has made it.
    mutable std::uint64_t binds = 0;

    // What of the message is behind the name: text, NUL, parameter types.
    [[nodiscard]] std::string_view body() const noexcept;
    [[nodiscard]] std::string_view text() const noexcept;
    // How many parameter types came with the text.
    [[nodiscard]] unsigned parameter_types() const noexcept;
};
using statement_ptr = std::shared_ptr<const statement>;

// Interns statements; one a slice. Entries live as long as somebody holds them. Worker thread only.
class statement_store {
public:
    // `worker` makes ids differ between workers: servers move between them. `made`: how many an
    // earlier store of this worker had made, whose names servers of the same pool may still have.
    explicit statement_store(unsigned worker, std::uint64_t made = 0) noexcept
        : worker_{worker}, made_{made} {}
    [[nodiscard]] std::uint64_t made() const noexcept { return made_; }

    // `body` as in statement::body(), `scope` as in statement::scope.
    [[nodiscard]] statement_ptr intern(const std::shared_ptr<const void>& scope,
                                       std::string_view body);
    // One for a client that has changed its session, or may be doing so. Nobody shares it, nor
    // itself under another name: the session may have changed again.
    [[nodiscard]] statement_ptr make_private(std::string_view body);
    // From now on every text is a new statement: a table has changed under one that is known, and a
    // client that prepares afterwards must not meet the old one.
    void retire_all() noexcept { known_.clear(); }
    // A statement that nobody else can share and whose text is not kept.
    [[nodiscard]] statement_ptr make_unshared(transaction_control control);

    // Calls `visit` with each that somebody holds.
    template <class Visitor>
    void for_each(Visitor visit) const {
        for (const auto& [hash, weak] : known_) {
            if (const auto s = weak.lock()) {
                visit(*s);
            }
        }
    }

private:
    [[nodiscard]] std::shared_ptr<statement> make();
    [[nodiscard]] std::shared_ptr<statement> make(std::string_view body);

    const unsigned worker_;
    std::uint64_t made_;
    std::unordered_multimap<std::size_t, std::weak_ptr<const statement>> known_;  // by hash
    std::size_t sweep_at_ = 64;
};

// The names of statements are compared as PostgreSQL does: by their first 63 bytes (NAMEDATALEN).
[[nodiscard]] constexpr std::string_view significant(std::string_view name) noexcept {
    return name.substr(0, 63);
}

// Could running this SQL text remove prepared statements? May say yes too often, never too seldom.
[[nodiscard]] bool may_deallocate(std::string_view sql) noexcept;

// Is this a single SELECT, INSERT, UPDATE or DELETE, as nearly all are? It controls no transaction.
// For the data path: may say no too often.
[[nodiscard]] bool is_lone_query(std::string_view sql) noexcept;

// Does this begin as a query or as transaction control, and is it a single statement? What it may
// do to the session is then in its words (names_session_state()) or in its tag.
[[nodiscard]] bool begins_harmlessly(std::string_view sql) noexcept;

// Is this a single statement that leaves alone what the parsing of others depends on (settings,
// temporary tables)? May say no too often; says yes only for what begins as a query or as
// transaction control and names no session state.
[[nodiscard]] bool leaves_parsing_alone(std::string_view sql) noexcept;

// The name in a text that is nothing but `DEALLOCATE [PREPARE] name`, folded as PostgreSQL folds
// identifiers; empty for anything else, also for ALL.
[[nodiscard]] std::string deallocated_name(std::string_view sql);

}  // namespace pgweir::protocol
