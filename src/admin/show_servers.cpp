// SHOW SERVERS: PgBouncer's columns, then pgweir's own name of the state and the worker.
#include "admin/commands.hpp"
#include "admin/connection_columns.hpp"

#include <array>

namespace pgweir::admin {
namespace {

using metrics::server_state;

constexpr auto columns = connection_columns(std::array{
    column{"permit_state", column_type::text},
    column{"worker", column_type::int4},
});

// PgBouncer's word where it has one.
const char* pgbouncer_state(server_state s) {
    switch (s) {
        case server_state::connecting: return "new";
        case server_state::checking:
        case server_state::cleaning: return "tested";
        case server_state::cancelling: return "being_canceled";
        case server_state::idle:
        case server_state::active:
        case server_state::moving:
        case server_state::closing: break;
    }
    return to_string(s);
}

void fill(const metrics::report& report, const config::snapshot&, row_writer& rows) {
    for (const auto& s : report.servers) {
        rows.text("S").text(s.user).text(s.database).text("none").text(pgbouncer_state(s.state));
        rows.text(s.address).number(not_negative(s.port));
        rows.text(s.local_address).number(not_negative(s.local_port));
        rows.text(format_time(s.connected)).text(format_time(s.last_request));
        rows.number(0).number(0);  // clients wait, servers do not
        rows.number(s.close_needed ? 1 : 0);
        rows.text(format_pointer(s.id)).text(format_pointer(s.linked_client));
        rows.number(not_negative(s.backend_pid)).text(s.tls).text(s.application_name);
        rows.number(s.prepared_statements);
        rows.number(short_id(s.id));
        rows.text(to_string(s.state)).number(s.worker);
    }
}

}  // namespace

const report_table show_servers{columns, fill};

}  // namespace pgweir::admin
