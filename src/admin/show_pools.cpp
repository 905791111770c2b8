// SHOW POOLS: PgBouncer's columns, then one for each state of a server that these lack, and the
// nodes of a cluster.
#include "admin/commands.hpp"

#include <array>
#include <numeric>
#include <string>
#include <vector>

namespace pgweir::admin {
namespace {

using metrics::server_state;

constexpr std::uint64_t second_us = 1'000'000;

constexpr std::array columns{
    column{"database", column_type::text},
    column{"user", column_type::text},
    column{"cl_active", column_type::int4},
    column{"cl_waiting", column_type::int4},
    column{"cl_active_cancel_req", column_type::int4},
    column{"cl_waiting_cancel_req", column_type::int4},
    column{"sv_active", column_type::int4},
    column{"sv_active_cancel", column_type::int4},
    column{"sv_being_canceled", column_type::int4},
    column{"sv_idle", column_type::int4},
    column{"sv_used", column_type::int4},
    column{"sv_tested", column_type::int4},
    column{"sv_login", column_type::int4},
    column{"maxwait", column_type::int4},
    column{"maxwait_us", column_type::int4},
    column{"pool_mode", column_type::text},
    column{"load_balance_hosts", column_type::text},
    column{"sv_connecting", column_type::int4},
    column{"sv_checking", column_type::int4},
    column{"sv_cleaning", column_type::int4},
    column{"sv_cancelling", column_type::int4},
    column{"sv_moving", column_type::int4},
    column{"sv_closing", column_type::int4},
    column{"nodes", column_type::text},
};

// How many of its servers lead to which node: "pg-1=4, pg-2=2".
std::string format_nodes(const std::vector<metrics::pool_row::share>& nodes) {
    std::string out;
    for (const auto& share : nodes) {
        const auto count = std::accumulate(share.servers.begin(), share.servers.end(), 0U);
        out += (out.empty() ? "" : ", ") + share.node + "=" + std::to_string(count);
    }
    return out;
}

void fill(const metrics::report& report, const config::snapshot&, row_writer& rows) {
    for (const auto& p : report.pools) {
        const auto in = [&](server_state s) { return p.servers[static_cast<std::size_t>(s)]; };
        rows.text(p.database).text(p.user);
        // PgBouncer counts clients between two transactions as active.
        rows.number(std::uint64_t{p.clients_active} + p.clients_idle).number(p.clients_waiting);
        rows.number(0).number(0);  // cancel requests are no clients of a pool
        rows.number(in(server_state::active)).number(0).number(in(server_state::cancelling));
        rows.number(in(server_state::idle)).number(0);
        rows.number(std::uint64_t{in(server_state::checking)} + in(server_state::cleaning));
        rows.number(in(server_state::connecting));
        rows.number(p.longest_wait_us / second_us).number(p.longest_wait_us % second_us);
        rows.text_or_null(p.mode).null();
        for (const auto s :
             {server_state::connecting, server_state::checking, server_state::cleaning,
              server_state::cancelling, server_state::moving, server_state::closing}) {
            rows.number(in(s));
        }
        rows.text_or_null(format_nodes(p.nodes));
    }
}

}  // namespace

const report_table show_pools{columns, fill};

}  // namespace pgweir::admin
