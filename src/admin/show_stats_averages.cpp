// SHOW STATS_AVERAGES: the averages of SHOW STATS; only the newest counters have the prefix.
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
    column{"avg_client_parse_count", numeric},
    column{"avg_server_parse_count", numeric},
    column{"avg_bind_count", numeric},
    column{"avg_client_login_count", numeric},
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
        append_traffic(rows, t.average);
        append_sharing(rows, t.average);
    }
}

}  // namespace

const report_table show_stats_averages{columns, fill};

}  // namespace pgweir::admin
