// The table of all verbs, and the way from a statement to its verb.
#include "admin/verbs.hpp"

#include "admin/commands.hpp"
#include "admin/printable.hpp"

#include <algorithm>
#include <array>

namespace pgweir::admin {
namespace {

using config::console_role;
using metrics::part;

constexpr auto hint = console_role::hint;
constexpr auto stats = console_role::stats;
constexpr auto admin = console_role::admin;

constexpr unsigned needs(part a) { return static_cast<unsigned>(a); }
constexpr unsigned needs(part a, part b) { return needs(a) | needs(b); }

constexpr verb show(std::string_view second, from_report how, const char* usage, const char* help) {
    return {"show", second, false, stats, "SHOW", how, usage, help};
}
constexpr verb run(
    std::string_view first, const char* tag, action how, const char* usage, const char* help) {
    return {first, "", true, stats, tag, in_session{how}, usage, help};
}
constexpr verb order_for(console_role role,
                         std::string_view first,
                         std::string_view second,
                         const char* tag,
                         order_reader how,
                         const char* usage,
                         const char* help) {
    return {first, second, true, role, tag, by_order{how}, usage, help};
}
constexpr verb lacking(std::string_view first, std::string_view second, const char* usage) {
    return {first, second, true, stats, "", not_supported{}, usage, ""};
}

// The order is that of SHOW HELP.
constexpr std::array table{
    verb{"show", "help", false, stats, "SHOW", in_session{show_help}, "SHOW HELP", "this list"},
    verb{"show", "version", false, hint, "SHOW", from_report{&show_version, 0}, "SHOW VERSION",
         "the version of pgweir"},
    show("databases",
         {&show_databases, needs(part::databases)},
         "SHOW DATABASES",
         "databases: where they are, their limits and connections"),
    show("pools",
         {&show_pools, needs(part::pools)},
         "SHOW POOLS",
         "clients and servers of each pool by state, and the longest wait"),
    show("clients", {&show_clients, needs(part::clients)}, "SHOW CLIENTS", "client connections"),
    show("servers", {&show_servers, needs(part::servers)}, "SHOW SERVERS", "server connections"),
    show("stats",
         {&show_stats, needs(part::traffic)},
         "SHOW STATS",
         "totals and averages of each database"),
    show("stats_totals",
         {&show_stats_totals, needs(part::traffic)},
         "SHOW STATS_TOTALS",
         "totals of each database"),
    show("stats_averages",
         {&show_stats_averages, needs(part::traffic)},
         "SHOW STATS_AVERAGES",
         "averages of each database"),
    show("totals",
         {&show_totals, needs(part::traffic)},
         "SHOW TOTALS",
         "totals and averages of all databases together"),
    show("lists",
         {&show_lists, needs(part::counts, part::pools)},
         "SHOW LISTS",
         "how many of everything there are"),
    show("users",
         {&show_users, needs(part::pools)},
         "SHOW USERS",
         "users of the configuration and their connections"),
    show("auth_query",
         {&show_auth_query, needs(part::lookups)},
         "SHOW AUTH_QUERY",
         "where users are looked up that the configuration does not name"),
    show("mem",
         {&show_mem, needs(part::memory, part::client_memory)},
         "SHOW MEM",
         "memory by what it is used for"),
    verb{"show", "prepared", false, admin, "SHOW",
         from_report{&show_prepared, needs(part::statements)}, "SHOW PREPARED",
         "prepared statements that clients share"},
    show("clusters",
         {&show_clusters, needs(part::clusters)},
         "SHOW CLUSTERS",
         "clusters: their primary, and what becomes of writes"),
    show("cluster", {&show_clusters, needs(part::clusters)}, "SHOW CLUSTER", "as SHOW CLUSTERS"),
    show("nodes",
         {&show_nodes, needs(part::clusters)},
         "SHOW NODES",
         "nodes of clusters: their state, why, and what it was concluded from"),
    show("failover_log",
         {&show_failover_log, needs(part::clusters)},
         "SHOW FAILOVER_LOG",
         "what was decided of clusters, and on what evidence"),
    show("hba", {&show_hba, 0}, "SHOW HBA", "rules for logins, with their files and lines"),
    show("peers",
         {&show_peers, 0},
         "SHOW PEERS",
         "other pgweirs behind this name, and cancel requests sent to them"),
    show("config", {&show_config, 0}, "SHOW CONFIG", "settings in force"),
    verb{"show", "", true, stats, "SHOW", from_parameters{}, "SHOW <parameter>",
         "a session parameter, for drivers"},
    verb{"reload", "", false, admin, "RELOAD", by_reload{}, "RELOAD",
         "read the configuration file again"},
    order_for(admin,
              "pause",
              "",
              "PAUSE",
              read_pause,
              "PAUSE [database]",
              "hold new transactions until RESUME; wait for those under way"),
    order_for(admin,
              "resume",
              "",
              "RESUME",
              read_resume,
              "RESUME [database]",
              "end a PAUSE or a SWITCHOVER"),
    order_for(admin,
              "reconnect",
              "",
              "RECONNECT",
              read_reconnect,
              "RECONNECT [database]",
              "close every server connection when its transaction ends"),
    order_for(admin,
              "switchover",
              "",
              "SWITCHOVER",
              read_switchover,
              "SWITCHOVER [database] [TIMEOUT t]",
              "hold writes until another node is primary"),
    order_for(
        hint, "recheck", "", "RECHECK", read_recheck, "RECHECK [cluster]", "probe every node now"),
    order_for(admin,
              "force",
              "primary",
              "FORCE PRIMARY",
              read_force_primary,
              "FORCE PRIMARY node [IN cluster]",
              "take this node for the primary, whatever the evidence"),
    order_for(admin,
              "fence",
              "",
              "FENCE",
              read_fence,
              "FENCE node [IN cluster]",
              "send nothing to this node"),
    order_for(admin,
              "unfence",
              "",
              "UNFENCE",
              read_unfence,
              "UNFENCE node [IN cluster]",
              "take a FENCE back"),
    order_for(admin,
              "forget",
              "cluster",
              "FORGET CLUSTER",
              read_forget_cluster,
              "FORGET CLUSTER [cluster]",
              "forget what was learned of a cluster, after pg_upgrade or a restore"),
    run("set", "SET", ignore_setting, "SET name = value", "accepted and ignored, for drivers"),
    run("reset", "RESET", ignore_setting, "RESET name", "accepted and ignored, for drivers"),
    run("begin", "BEGIN", begin_block, "BEGIN", "changes nothing, for drivers"),
    run("start", "START TRANSACTION", begin_block, "START TRANSACTION", "as BEGIN"),
    run("commit", "COMMIT", end_block, "COMMIT", "changes nothing, for drivers"),
    run("end", "COMMIT", end_block, "END", "as COMMIT"),
    run("rollback", "ROLLBACK", end_block, "ROLLBACK", "takes nothing back, for drivers"),
    run("abort", "ROLLBACK", end_block, "ABORT", "as ROLLBACK"),
    run("deallocate", "DEALLOCATE", deallocate, "DEALLOCATE name", "forget prepared statements"),
    run("discard", "DISCARD ALL", discard, "DISCARD ALL", "forget prepared statements"),
    lacking("disable", "", "DISABLE"),
    lacking("enable", "", "ENABLE"),
    lacking("kill", "", "KILL"),
    lacking("kill_client", "", "KILL_CLIENT"),
    lacking("suspend", "", "SUSPEND"),
    lacking("shutdown", "", "SHUTDOWN"),
    lacking("wait_close", "", "WAIT_CLOSE"),
    lacking("show", "sockets", "SHOW SOCKETS"),
    lacking("show", "active_sockets", "SHOW ACTIVE_SOCKETS"),
    lacking("show", "peer_pools", "SHOW PEER_POOLS"),
    lacking("show", "dns_hosts", "SHOW DNS_HOSTS"),
    lacking("show", "dns_zones", "SHOW DNS_ZONES"),
    lacking("show", "state", "SHOW STATE"),
    lacking("show", "fds", "SHOW FDS"),
};

const verb* find(std::span<const token> words) noexcept {
    if (words[0].what != token::kind::word) {
        return nullptr;
    }
    const verb* shorter = nullptr;
    for (const verb& v : table) {
        if (!words[0].is_word(v.first)) {
            continue;
        }
        if (v.second.empty()) {
            shorter = &v;
        } else if (words.size() > 1 && words[1].is_name(v.second)) {
            return &v;
        }
    }
    return shorter;
}

failure unknown_command(std::span<const token> words) {
    std::string text = words[0].text;
    if (words.size() > 1) {
        text += " " + words[1].text;
    }
    return {"42601", "invalid command \"" + excerpt(text) + "\"", "",
            "Use SHOW HELP for the commands of the console."};
}

failure wrong_arguments(const verb& v) {
    return {"42601", std::string{"invalid arguments of "} + v.tag, "",
            std::string{"Usage: "} + v.usage +
                ". Names with other characters than letters, digits, \"_\" and \"-\" go in double "
                "quotes."};
}

failure not_supported_yet(const verb& v) {
    return {"0A000", std::string{v.usage} + " is not supported by pgweir " PGWEIR_VERSION " yet",
            "", "Use SHOW HELP for the commands of the console."};
}

}  // namespace

std::span<const verb> verbs() noexcept { return table; }

std::variant<command, failure> recognise(token_list words) {
    const verb* v = find(words);
    if (v == nullptr) {
        return unknown_command(words);
    }
    if (std::holds_alternative<not_supported>(v->how)) {
        return not_supported_yet(*v);
    }
    const auto parameter = std::ranges::find(words, token::kind::parameter, &token::what);
    if (parameter != words.end()) {
        return failure{"42P02", "there is no parameter " + excerpt(parameter->text)};
    }

    command c{.what = v};
    const auto used = v->second.empty() ? 1 : 2;
    c.arguments.assign(std::make_move_iterator(words.begin() + used),
                       std::make_move_iterator(words.end()));
    if (!v->takes_arguments && !c.arguments.empty()) {
        return failure{"42601", std::string{v->usage} + " takes no arguments"};
    }
    if (const auto* reader = std::get_if<by_order>(&v->how)) {
        auto read = reader->read(c.arguments);
        if (!read) {
            return wrong_arguments(*v);
        }
        c.order = std::move(*read);
    }
    if (const auto* how = std::get_if<from_report>(&v->how)) {
        c.columns = how->table->columns;
    } else if (std::holds_alternative<from_parameters>(v->how)) {
        const auto* p = find_parameter(c.arguments);
        if (p == nullptr) {
            c.arguments.insert(c.arguments.begin(), token{token::kind::word, "show"});
            return unknown_command(c.arguments);
        }
        c.columns = {&p->result, 1};
    }
    return c;
}

bool is_allowed(const verb& v, config::console_role role) noexcept { return role >= v.role; }

}  // namespace pgweir::admin
