// SHOW LISTS: counts, in PgBouncer's order; those of things that pgweir does not have are 0.
#include "admin/commands.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace pgweir::admin {
namespace {

constexpr std::array columns{
    column{"list", column_type::text},
    column{"items", column_type::int4},
};

void fill(const metrics::report& report, const config::snapshot& snapshot, row_writer& rows) {
    const std::pair<const char*, std::uint64_t> lists[] = {
        {"databases", snapshot.databases.size()},
        // Users of the configuration, and those that only ever logged in.
        {"users", std::max<std::uint64_t>(report.users, snapshot.users.size())},
        {"peers", snapshot.peers.size()},
        {"pools", report.pools.size()},
        {"peer_pools", 0},
        {"free_clients", 0},
        {"used_clients", report.used_clients},
        {"login_clients", report.login_clients},
        {"free_servers", report.free_servers},
        {"used_servers", report.used_servers},
        {"dns_names", 0},
        {"dns_zones", 0},
        {"dns_queries", 0},
        {"dns_pending", 0},
    };
    for (const auto& [name, items] : lists) {
        rows.text(name).number(items);
    }
}

}  // namespace

const report_table show_lists{columns, fill};

}  // namespace pgweir::admin
