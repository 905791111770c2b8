// SHOW STATS_TOTALS: the totals of SHOW STATS under names without prefix.
#include "admin/commands.hpp"
#include "admin/traffic_columns.hpp"

#include <array>

namespace pgweir::admin {
namespace {

constexpr auto numeric = column_type::numeric;

constexpr std::array columns{
    column{"database", column_type::text},
    column{"server_assignment_count", numeric},
    column{"xact_count", numeric},
    column{"query_count", numeric},
    column{"bytes_received", numeric},
    column{"bytes_sent", numeric},
    column{"xact_time", numeric},
    column{"query_time", numeric},
    column{"wait_time", numeric},
    column{"client_parse_count", numeric},
    column{"server_parse_count", numeric},
    column{"bind_count", numeric},
    column{"client_login_count", numeric},
    column{"statement_hit_count", numeric},
    column{"statement_repair_count", numeric},
    column{"settings_change_count", numeric},
    column{"server_clean_count", numeric},
    column{"server_recovery_count", numeric},
    column{"server_move_count", numeric},
    column{"cancel_count", numeric},
};

void fill(const metrics::report& report, const config::snapshot&, row_writer& rows) {
    for (const auto& t : report.traffics) {
        rows.text(t.database);
        append_traffic(rows, t.total);
        append_sharing(rows, t.total);
    }
}

}  // namespace

const report_table show_stats_totals{columns, fill};

}  // namespace pgweir::admin
