// What a verb of the console is made of, and a statement that was recognised as one.
#pragma once

#include "admin/failure.hpp"
#include "admin/lexer.hpp"
#include "admin/row_writer.hpp"
#include "pgweir/config/snapshot.hpp"
#include "pgweir/metrics/report.hpp"
#include "pgweir/session/local_service.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pgweir::admin {

class prepared_store;

// Rows made of what the workers report.
struct report_table {
    std::span<const column> columns;
    void (*fill)(const metrics::report&, const config::snapshot&, row_writer&);
};

// The part of a session that commands without rows work on.
struct session_scope {
    char& transaction;  // as in ReadyForQuery: 'I' or 'T'
    prepared_store& prepared;
    std::string& out;  // for notices
};

// `arguments` are the words after the verb.
using action = std::optional<failure> (*)(std::span<const token> arguments, session_scope&);

// What is asked of the rest of pgweir; empty when the arguments are not what the verb takes.
using order_reader = std::optional<session::console_command> (*)(std::span<const token> arguments);

// How a verb is carried out.
struct from_report {
    const report_table* table;
    unsigned parts;  // of metrics::part
};
struct from_parameters {};  // SHOW of a session parameter that drivers ask for
struct in_session {
    action run;
};
struct by_reload {};
struct by_order {
    order_reader read;
};
struct not_supported {};  // PgBouncer has it
using handler =
    std::variant<from_report, from_parameters, in_session, by_reload, by_order, not_supported>;

struct verb {
    std::string_view first;   // lower case
    std::string_view second;  // empty: one word is the whole verb
    bool takes_arguments;
    config::console_role role;  // the least that may use it
    const char* tag;            // of its CommandComplete
    handler how;
    const char* usage;  // "SHOW POOLS"
    const char* help;   // one line
};

// A statement whose verb is known.
struct command {
    const verb* what = nullptr;         // static
    std::span<const column> columns{};  // static; empty: answers no rows
    std::vector<token> arguments{};
    session::console_command order{};  // of by_order
};

}  // namespace pgweir::admin
