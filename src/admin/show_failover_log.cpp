// SHOW FAILOVER_LOG: what was decided of clusters, and on what evidence; newest last.
#include "admin/commands.hpp"
#include "admin/connection_columns.hpp"

#include <array>

namespace pgweir::admin {
namespace {

constexpr std::array columns{
    column{"time", column_type::text},  column{"cluster", column_type::text},
    column{"event", column_type::text}, column{"epoch", column_type::int8},
    column{"text", column_type::text},  column{"evidence", column_type::text},
};

void fill(const metrics::report& report, const config::snapshot&, row_writer& rows) {
    for (const auto& f : report.failovers) {
        rows.text(format_time(f.at)).text(f.cluster).text(f.event).number(f.epoch);
        rows.text(f.text).text_or_null(f.evidence);
    }
}

}  // namespace

const report_table show_failover_log{columns, fill};

}  // namespace pgweir::admin
