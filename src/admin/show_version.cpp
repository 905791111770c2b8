// SHOW VERSION: one row, one column.
#include "admin/commands.hpp"

#include <array>

namespace pgweir::admin {
namespace {

constexpr std::array columns{column{"version", column_type::text}};

void fill(const metrics::report&, const config::snapshot&, row_writer& rows) {
    rows.text("pgweir " PGWEIR_VERSION);
}

}  // namespace

const report_table show_version{columns, fill};

}  // namespace pgweir::admin
