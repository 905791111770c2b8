// The counters of a database in the order of PgBouncer's columns.
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

inline void append_traffic(row_writer& rows, const metrics::traffic& t) {
    for (const auto value : in_column_order(t)) {
        rows.number(value);
    }
}

}  // namespace pgweir::admin
