// SHOW MEM: PgBouncer's columns; the rows are what pgweir has.
#include "admin/commands.hpp"

#include <array>

namespace pgweir::admin {
namespace {

constexpr std::array columns{
    column{"name", column_type::text},     column{"size", column_type::int4},
    column{"used", column_type::int4},     column{"free", column_type::int4},
    column{"memtotal", column_type::int8},
};

void fill(const metrics::report& report, const config::snapshot&, row_writer& rows) {
    for (const auto& m : report.memory) {
        rows.text(m.name).number(m.size).number(m.used).number(m.free).number(m.total);
    }
}

}  // namespace

const report_table show_mem{columns, fill};

}  // namespace pgweir::admin
