// SHOW CLUSTERS: who is primary, and what becomes of writes.
#include "admin/commands.hpp"

#include <array>

namespace pgweir::admin {
namespace {

constexpr std::array columns{
    column{"name", column_type::text},
    column{"discovery", column_type::text},
    column{"writes", column_type::text},
    column{"cause", column_type::text},
    column{"primary", column_type::text},
    column{"epoch", column_type::int8},
    column{"tli", column_type::int8},
    column{"system_identifier", column_type::int8},
    column{"split_brain", column_type::int4},
    column{"since_ms", column_type::int8},
    column{"lease_ms", column_type::int8},
    column{"held_clients", column_type::int8},
    column{"held_bytes", column_type::int8},
    column{"failovers", column_type::int8},
    column{"in_doubt", column_type::int8},
    column{"rolled_back", column_type::int8},
    column{"hold_rejected", column_type::int8},
    column{"fenced_closed", column_type::int8},
    column{"metadata_error", column_type::text},
    column{"unserved_ms", column_type::int8},
    column{"lease_least_ms", column_type::int8},
    column{"lease_lapses", column_type::int8},
};

void fill(const metrics::report& report, const config::snapshot&, row_writer& rows) {
    for (const auto& c : report.clusters) {
        rows.text(c.name).text(c.discovery).text(c.writes).text(c.cause).text_or_null(c.primary);
        rows.number(c.epoch).number(c.tli).number_or_null(c.system_identifier);
        rows.number(c.split_brain ? 1 : 0).number(c.since_ms).number(c.lease_ms);
        rows.number(c.held_clients).number(c.held_bytes).number(c.failovers).number(c.in_doubt);
        rows.number(c.rolled_back).number(c.hold_rejected).number(c.fenced_closed);
        rows.text_or_null(c.metadata_error).number(c.unserved_ms);
        rows.number_if_known(c.lease_least_ms).number(c.lease_lapses);
    }
}

}  // namespace

const report_table show_clusters{columns, fill};

}  // namespace pgweir::admin
