// Files of access rules as lines of fields of tokens: the syntax that pg_hba.conf and pg_ident.conf
// share (PostgreSQL docs 21.1).
#pragma once

#include "pgweir/auth/rule_source.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pgweir::auth {

struct token {
    std::string text;
    bool is_quoted = false;  // began with a quote: neither a keyword nor a file

    [[nodiscard]] bool is_keyword(std::string_view word) const noexcept {
        return !is_quoted && text == word;
    }
};

// What stands between blanks: tokens divided by commas, at least one.
using field = std::vector<token>;

struct rule_line {
    std::string file;
    unsigned line = 0;  // where it begins, 1-based
    std::vector<field> fields;
    std::string error;  // it cannot be taken apart; the fields are worth nothing
};

// Reads `path` and what it includes. A line holds fields or an error; empty lines and comments
// leave nothing. Total for any text; what includes itself ends in an error, after bounded work.
[[nodiscard]] std::vector<rule_line> read_rule_lines(const std::string& path, rule_source& source);

}  // namespace pgweir::auth
