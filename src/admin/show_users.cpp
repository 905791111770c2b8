// SHOW USERS: the users of the configuration and what they have open.
#include "admin/commands.hpp"

#include <array>
#include <cstdio>
#include <map>
#include <numeric>
#include <optional>

namespace pgweir::admin {
namespace {

constexpr std::array columns{
    column{"name", column_type::text},
    column{"pool_size", column_type::text},
    column{"reserve_pool_size", column_type::text},
    column{"pool_mode", column_type::text},
    column{"max_user_connections", column_type::int4},
    column{"current_connections", column_type::int4},
    column{"max_user_client_connections", column_type::int4},
    column{"current_client_connections", column_type::int4},
};

// PgBouncer sends these as text of nine characters, empty when the user says nothing.
std::string padded(std::optional<unsigned> size) {
    if (!size) {
        return {};
    }
    char text[16];
    const int length = std::snprintf(text, sizeof text, "%9u", *size);
    return {text, static_cast<std::size_t>(length)};
}

struct open_connections {
    std::uint64_t servers = 0, clients = 0;
};

std::map<std::string_view, open_connections> count_by_user(const metrics::report& report) {
    std::map<std::string_view, open_connections> users;
    for (const auto& p : report.pools) {
        auto& user = users[p.user];
        user.servers = std::accumulate(p.servers.begin(), p.servers.end(), user.servers);
        user.clients += std::uint64_t{p.clients_active} + p.clients_idle + p.clients_waiting;
    }
    return users;
}

void fill(const metrics::report& report, const config::snapshot& snapshot, row_writer& rows) {
    auto open = count_by_user(report);
    for (const auto& [name, user] : snapshot.users) {
        const auto& now = open[name];
        rows.text(name).text(padded(user.pool.size)).text(padded(user.pool.reserve_size));
        user.pool.mode ? rows.text(to_string(*user.pool.mode)) : rows.null();
        rows.number(user.max_server_connections).number(now.servers);
        rows.number(user.max_client_connections).number(now.clients);
    }
}

}  // namespace

const report_table show_users{columns, fill};

}  // namespace pgweir::admin
