// SHOW CLIENTS: PgBouncer's columns and the worker.
#include "admin/commands.hpp"
#include "admin/connection_columns.hpp"

#include <array>

namespace pgweir::admin {
namespace {

constexpr std::uint64_t second_us = 1'000'000;

constexpr auto columns = connection_columns(std::array{column{"worker", column_type::int4}});

void fill(const metrics::report& report, const config::snapshot&, row_writer& rows) {
    for (const auto& c : report.clients) {
        rows.text("C").text(c.user).text(c.database).text("none").text(to_string(c.state));
        rows.text(c.address).number(not_negative(c.port));
        rows.text(c.local_address).number(not_negative(c.local_port));
        rows.text(format_time(c.connected)).text(format_time(c.last_request));
        rows.number(c.wait_us / second_us).number(c.wait_us % second_us);
        rows.number(0);  // close_needed is of servers
        rows.text(format_pointer(c.id)).text(format_pointer(c.linked_server));
        rows.number(0).text(c.tls).text(c.application_name).number(c.prepared_statements);
        rows.number(short_id(c.id)).number(c.worker);
    }
}

}  // namespace

const report_table show_clients{columns, fill};

}  // namespace pgweir::admin
