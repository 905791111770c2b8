// SHOW TOTALS: the counters of all databases together, one a row.
#include "admin/commands.hpp"
#include "admin/traffic_columns.hpp"

#include <array>
#include <string>

namespace pgweir::admin {
namespace {

constexpr std::array columns{
    column{"name", column_type::text},
    column{"value", column_type::numeric},
};

constexpr std::array<const char*, traffic_column_count> names{
    "server_assignment_count",
    "xact_count",
    "query_count",
    "client_bytes",
    "server_bytes",
    "xact_time",
    "query_time",
    "wait_time",
    "ps_client_parse_count",
    "ps_server_parse_count",
    "ps_bind_count",
    "client_login_count",
};

// All databases as one: merging knows how averages add up.
metrics::traffic_row sum(const metrics::report& report) {
    metrics::report all;
    all.traffics.resize(1);
    for (const auto& t : report.traffics) {
        metrics::report one;
        one.traffics.push_back({"", t.total, t.average});
        all.merge(std::move(one));
    }
    return all.traffics[0];
}

template <std::size_t N>
void append(row_writer& rows,
            const std::string& prefix,
            const std::array<const char*, N>& of,
            const std::array<std::uint64_t, N>& values) {
    for (std::size_t i = 0; i < N; ++i) {
        rows.text(prefix + of[i]).number(values[i]);
    }
}

void fill(const metrics::report& report, const config::snapshot&, row_writer& rows) {
    const auto all = sum(report);
    append(rows, "total_", names, in_column_order(all.total));
    append(rows, "avg_", names, in_column_order(all.average));
    append(rows, "total_", sharing_names, sharing_of(all.total));
    append(rows, "avg_", sharing_names, sharing_of(all.average));
}

}  // namespace

const report_table show_totals{columns, fill};

}  // namespace pgweir::admin
