// What the answer to auth_query says. Total: whoever wrote the query may have made any mistake.
#pragma once

#include "pgweir/base/secret.hpp"
#include "pgweir/watch/postgres_link.hpp"

#include <optional>
#include <string>
#include <variant>

namespace pgweir::lookup {

// Nothing: there is no such user. An empty secret: it has no password.
using found_secret = std::optional<base::secret>;

// Why an answer cannot be used.
struct lookup_failure {
    std::string sqlstate;   // of PostgreSQL's error; empty: the answer is not what was asked for
    std::string text;       // one line for the log
    bool may_pass = false;  // the same question may be answered a moment later, or elsewhere
};

// Wipes the answer's cells.
[[nodiscard]] std::variant<found_secret, lookup_failure> read_lookup(const std::string& user,
                                                                     watch::batch_result& answer);

// Would trying again, soon or elsewhere, make a difference to this error of PostgreSQL?
[[nodiscard]] bool may_pass(const std::string& sqlstate) noexcept;

}  // namespace pgweir::lookup
