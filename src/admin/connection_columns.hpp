// What SHOW CLIENTS and SHOW SERVERS have in common: PgBouncer gives both the same columns.
#pragma once

#include "admin/row_writer.hpp"

#include <array>
#include <chrono>
#include <string>

namespace pgweir::admin {

inline constexpr std::size_t connection_column_count = 21;

// PgBouncer's columns, then `Extra` of ours for the caller to fill in.
template <std::size_t Extra>
constexpr auto connection_columns(const std::array<column, Extra>& extra) {
    constexpr auto text = column_type::text;
    constexpr auto int4 = column_type::int4;
    std::array<column, connection_column_count + Extra> all{{
        {"type", text},
        {"user", text},
        {"database", text},
        {"replication", text},
        {"state", text},
        {"addr", text},
        {"port", int4},
        {"local_addr", text},
        {"local_port", int4},
        {"connect_time", text},
        {"request_time", text},
        {"wait", int4},
        {"wait_us", int4},
        {"close_needed", int4},
        {"ptr", text},
        {"link", text},
        {"remote_pid", int4},
        {"tls", text},
        {"application_name", text},
        {"prepared_statements", int4},
        {"id", int4},
    }};
    for (std::size_t i = 0; i < Extra; ++i) {
        all[connection_column_count + i] = extra[i];
    }
    return all;
}

// "2024-02-29 23:59:59 UTC", as PgBouncer writes it; empty for a time that was not set.
[[nodiscard]] std::string format_time(std::chrono::system_clock::time_point t);

// PgBouncer shows addresses of objects here; what matters is that `link` of one row is `ptr` of
// another. Empty for 0, which is no connection.
[[nodiscard]] std::string format_pointer(std::uint64_t id);

// The column is four bytes wide and PgBouncer's own: ids beyond that wrap; ptr has all of it.
[[nodiscard]] constexpr std::uint64_t short_id(std::uint64_t id) noexcept {
    return id & 0x7fffffff;
}

// Ports and process ids are int where they come from.
[[nodiscard]] constexpr std::uint64_t not_negative(std::int32_t n) noexcept {
    return n < 0 ? 0 : static_cast<std::uint64_t>(n);
}

}  // namespace pgweir::admin
