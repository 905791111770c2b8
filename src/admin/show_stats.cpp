// SHOW STATS: totals, then averages of the last finished period; ours behind PgBouncer's.
#include "admin/commands.hpp"
#include "admin/traffic_columns.hpp"

#include <array>

namespace pgweir::admin {
namespace {

constexpr auto numeric = column_type::numeric;

constexpr std::array columns{
    column{"database", column_type::text},
    column{"total_server_assignment_count", numeric},
    column{"total_xact_count", numeric},
    column{"total_query_count", numeric},
    column{"total_received", numeric},
    column{"total_sent", numeric},
    column{"total_xact_time", numeric},
    column{"total_query_time", numeric},
    column{"total_wait_time", numeric},
    column{"total_client_parse_count", numeric},
    column{"total_server_parse_count", numeric},
    column{"total_bind_count", numeric},
    column{"total_client_login_count", numeric},
    column{"avg_server_assignment_count", numeric},
    column{"avg_xact_count", numeric},
    column{"avg_query_count", numeric},
    column{"avg_recv", numeric},
    column{"avg_sent", numeric},
    column{"avg_xact_time", numeric},
    column{"avg_query_time", numeric},
    column{"avg_wait_time", numeric},
    column{"avg_client_parse_count", numeric},
    column{"avg_server_parse_count", numeric},
    column{"avg_bind_count", numeric},
    column{"avg_client_login_count", numeric},
    column{"total_statement_hit_count", numeric},
    column{"total_statement_repair_count", numeric},
    column{"total_settings_change_count", numeric},
    column{"total_server_clean_count", numeric},
    column{"total_server_recovery_count", numeric},
    column{"total_server_move_count", numeric},
    column{"total_cancel_count", numeric},
    column{"avg_statement_hit_count", numeric},
    column{"avg_statement_repair_count", numeric},
    column{"avg_settings_change_count", numeric},
    column{"avg_server_clean_count", numeric},
    column{"avg_server_recovery_count", numeric},
    column{"avg_server_move_count", numeric},
    column{"avg_cancel_count", numeric},
};

void fill(const metrics::report& report, const config::snapshot&, row_writer& rows) {
    for (const auto& t : report.traffics) {
        rows.text(t.database);
        append_traffic(rows, t.total);
        append_traffic(rows, t.average);
        append_sharing(rows, t.total);
        append_sharing(rows, t.average);
    }
}

}  // namespace

const report_table show_stats{columns, fill};

}  // namespace pgweir::admin
