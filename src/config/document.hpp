// A parsed TOML file as plain values with positions; hides the TOML library from the other files.
#pragma once

#include "pgweir/config/load.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pgweir::config {

// 1-based; {0, 0} means that no place in the file is to blame.
struct position {
    unsigned line = 0;
    unsigned column = 0;
    friend auto operator<=>(const position&, const position&) = default;
};

// The children of a table or an array; their values are in node::children.
struct table_value {};
struct array_value {};
// A date or a time, which no key of ours takes.
struct other_value {};

struct node {
    std::string name;  // key within its table; empty in an array
    position name_at;
    position value_at;
    std::variant<table_value, array_value, other_value, bool, std::int64_t, double, std::string>
        value;
    std::vector<node> children;  // in the order of the file

    [[nodiscard]] bool is_table() const { return std::holds_alternative<table_value>(value); }
    [[nodiscard]] const node* child(std::string_view key) const;
};

// "a string", "a whole number", "a table", ...: how messages name what was found.
[[nodiscard]] const char* kind_of(const node& n);
// `text` as a TOML basic string with its quotes; control characters are escaped, so that the result
// is always one line of printable text.
[[nodiscard]] std::string toml_string(std::string_view text);
// `name` as one part of a dotted key: bare where TOML allows that, else quoted and shortened.
[[nodiscard]] std::string key_part(std::string_view name);

// The table at the root of the file, or what makes it invalid TOML. Total: neither long nor deep
// input overflows the stack, and no value of the file is quoted in the problem.
[[nodiscard]] std::variant<node, problem> parse_document(std::string_view toml,
                                                         const std::string& path);

}  // namespace pgweir::config
