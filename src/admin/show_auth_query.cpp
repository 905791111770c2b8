// SHOW AUTH_QUERY: where users are looked up that the configuration does not name, and how it goes.
#include "admin/commands.hpp"

#include <array>

namespace pgweir::admin {
namespace {

constexpr std::array columns{
    column{"place", column_type::text},   column{"database", column_type::text},
    column{"user", column_type::text},    column{"connections", column_type::int4},
    column{"waiting", column_type::int8}, column{"known", column_type::int8},
    column{"unknown", column_type::int8}, column{"asked", column_type::int8},
    column{"reused", column_type::int8},  column{"failed", column_type::int8},
    column{"stale", column_type::int8},   column{"last_error", column_type::text},
};

void fill(const metrics::report& report, const config::snapshot&, row_writer& rows) {
    for (const auto& l : report.lookups) {
        rows.text(l.place).text(l.database).text(l.user).number(l.connections).number(l.waiting);
        rows.number(l.known).number(l.unknown).number(l.asked).number(l.reused);
        rows.number(l.failed).number(l.stale).text_or_null(l.last_error);
    }
}

}  // namespace

const report_table show_auth_query{columns, fill};

}  // namespace pgweir::admin
