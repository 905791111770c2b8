// The counters of a database: in the order of PgBouncer's columns, then our own.
#pragma once

#include "admin/row_writer.hpp"
#include "pgweir/metrics/report.hpp"

#include <array>

namespace pgweir::admin {

inline constexpr std::size_t traffic_column_count = 12;

[[nodiscard]] inline std::array<std::uint64_t, traffic_column_count> in_column_order(
    const metrics::traffic& t) noexcept {
    return {t.server_assignments, t.transactions,   t.queries,  t.bytes_received,
            t.bytes_sent,         t.transaction_us, t.query_us, t.wait_us,
            t.client_parses,      t.server_parses,  t.binds,    t.client_logins};
}

// pgweir's own, which come after PgBouncer's.
inline constexpr std::array sharing_names{
    "statement_hit_count", "statement_repair_count", "settings_change_count",
    "server_clean_count",  "server_recovery_count",  "server_move_count",
    "cancel_count",
};

[[nodiscard]] inline std::array<std::uint64_t, sharing_names.size()> sharing_of(
    const metrics::traffic& t) noexcept {
    return {t.statement_hits, t.statement_repairs, t.settings_changes,
            t.cleanings,      t.recoveries,        t.moves,
            t.cancels};
}

inline void append_sharing(row_writer& rows, const metrics::traffic& t) {
    for (const auto value : sharing_of(t)) {
        rows.number(value);
    }
}

inline void append_traffic(row_writer& rows, const metrics::traffic& t) {
    for (const auto value : in_column_order(t)) {
        rows.number(value);
    }
}

}  // namespace pgweir::admin
