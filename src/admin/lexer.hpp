// Cuts the text of a query into statements and these into words.
#pragma once

#include "admin/failure.hpp"

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pgweir::admin {

struct token {
    enum class kind : std::uint8_t {
        word,    // identifier or keyword, folded to lower case
        quoted,  // "identifier", as written, quotes taken off
        string,  // 'text', quotes taken off
        number,
        parameter,  // $1
        symbol,     // any other single character
    };
    kind what = kind::symbol;
    std::string text;

    [[nodiscard]] bool is_word(std::string_view w) const { return what == kind::word && text == w; }
    // A name, quoted or not, that equals `w`.
    [[nodiscard]] bool is_name(std::string_view w) const {
        return (what == kind::word || what == kind::quoted) && text == w;
    }
};

// Never empty.
using token_list = std::vector<token>;

// Words of one statement; more are an error, so that what is kept of a statement stays small.
inline constexpr std::size_t statement_limit = 100;

// The statements of `sql`, without empty ones. Comments, strings and quoted identifiers follow
// PostgreSQL docs 4.1; numbers are what starts with a digit. Total.
[[nodiscard]] std::variant<std::vector<token_list>, failure> read_statements(std::string_view sql);

}  // namespace pgweir::admin
