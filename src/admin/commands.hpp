// What each command's file offers to the table of verbs.
#pragma once

#include "admin/command.hpp"

#include <optional>
#include <span>
#include <string_view>

namespace pgweir::admin {

extern const report_table show_auth_query;
extern const report_table show_clients;
extern const report_table show_clusters;
extern const report_table show_config;
extern const report_table show_databases;
extern const report_table show_failover_log;
extern const report_table show_hba;
extern const report_table show_lists;
extern const report_table show_mem;
extern const report_table show_nodes;
extern const report_table show_peers;
extern const report_table show_pools;
extern const report_table show_prepared;
extern const report_table show_servers;
extern const report_table show_stats;
extern const report_table show_stats_averages;
extern const report_table show_stats_totals;
extern const report_table show_totals;
extern const report_table show_users;
extern const report_table show_version;

std::optional<failure> show_help(std::span<const token> arguments, session_scope& scope);
std::optional<failure> begin_block(std::span<const token> arguments, session_scope& scope);
std::optional<failure> end_block(std::span<const token> arguments, session_scope& scope);
std::optional<failure> ignore_setting(std::span<const token> arguments, session_scope& scope);
std::optional<failure> deallocate(std::span<const token> arguments, session_scope& scope);
std::optional<failure> discard(std::span<const token> arguments, session_scope& scope);

using order = std::optional<session::console_command>;
order read_pause(std::span<const token> arguments);
order read_resume(std::span<const token> arguments);
order read_reconnect(std::span<const token> arguments);
order read_switchover(std::span<const token> arguments);
order read_recheck(std::span<const token> arguments);
order read_force_primary(std::span<const token> arguments);
order read_fence(std::span<const token> arguments);
order read_unfence(std::span<const token> arguments);
order read_forget_cluster(std::span<const token> arguments);

// A session parameter that drivers and tools ask for; it never changes.
struct session_parameter {
    std::string_view name;  // lower case
    std::string_view value;
    column result;
};
// Null when `words`, what follows SHOW, names none.
[[nodiscard]] const session_parameter* find_parameter(std::span<const token> words) noexcept;
// The ParameterStatus messages of a welcome.
void append_welcome(std::string& out);

}  // namespace pgweir::admin
