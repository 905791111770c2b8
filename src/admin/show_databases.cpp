// SHOW DATABASES: PgBouncer's columns.
#include "admin/commands.hpp"

#include <array>

namespace pgweir::admin {
namespace {

constexpr std::array columns{
    column{"name", column_type::text},
    column{"host", column_type::text},
    column{"port", column_type::int4},
    column{"database", column_type::text},
    column{"force_user", column_type::text},
    column{"pool_size", column_type::int4},
    column{"min_pool_size", column_type::int4},
    column{"reserve_pool_size", column_type::int4},
    column{"server_lifetime", column_type::int4},
    column{"pool_mode", column_type::text},
    column{"load_balance_hosts", column_type::text},
    column{"max_connections", column_type::int4},
    column{"current_connections", column_type::int4},
    column{"max_client_connections", column_type::int4},
    column{"current_client_connections", column_type::int4},
    column{"paused", column_type::int4},
    column{"disabled", column_type::int4},
};

void fill(const metrics::report& report, const config::snapshot&, row_writer& rows) {
    for (const auto& d : report.databases) {
        rows.text(d.name).text_or_null(d.host).number(d.port).text(d.dbname);
        rows.text_or_null(d.forced_user);
        rows.number(d.pool_size).number(d.min_pool_size).number(d.reserve_size);
        rows.number(d.server_lifetime_s < 0 ? 0 : static_cast<std::uint64_t>(d.server_lifetime_s));
        rows.text_or_null(d.mode);
        rows.null();  // load_balance_hosts: a database has one host
        rows.number(d.max_connections).number(d.current_connections);
        rows.number(d.max_client_connections).number(d.current_client_connections);
        rows.number(d.is_paused ? 1 : 0).number(0);  // disabled: there is no DISABLE
    }
}

}  // namespace

const report_table show_databases{columns, fill};

}  // namespace pgweir::admin
