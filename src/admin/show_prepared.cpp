// SHOW PREPARED: the prepared statements that the clients of a pool share. Admins only, since texts
// may hold what only their client should know.
#include "admin/commands.hpp"
#include "admin/printable.hpp"

#include <array>

namespace pgweir::admin {
namespace {

constexpr std::array columns{
    column{"database", column_type::text},
    column{"user", column_type::text},
    column{"name", column_type::text},
    column{"query", column_type::text},
    column{"parameter_types", column_type::int4},
    column{"servers", column_type::int4},
    column{"bind_count", column_type::numeric},
};

void fill(const metrics::report& report, const config::snapshot&, row_writer& rows) {
    for (const auto& s : report.statements) {
        std::string query;
        append_printable(query, s.query);
        rows.text(s.database).text(s.user).text(s.name).text(query);
        rows.number(s.parameter_types).number(s.servers).number(s.binds);
    }
}

}  // namespace

const report_table show_prepared{columns, fill};

}  // namespace pgweir::admin
