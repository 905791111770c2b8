// The table of every key: its name, what it may hold, its default, and whether a reload applies it.
// Loading, suggestions, SHOW CONFIG, diff() and the tests of the documentation all go by it.
#pragma once

#include "config/cluster_kinds.hpp"
#include "config/value_kinds.hpp"
#include "pgweir/config/snapshot.hpp"

#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace pgweir::config {

enum class applied : bool { at_restart, on_reload };

// One key of a section that is kept in a Settings. The default is what write() says of Settings{}.
template <class Settings>
struct key_rule {
    std::string name;
    bool reloadable = true;
    std::function<reading(const node&, Settings&, const reading_place&)> read;
    std::function<std::string(const Settings&)> write;  // empty for an override that is absent
    std::function<bool(const Settings&, const Settings&)> same;
};
template <class Settings>
using section_rules = std::vector<key_rule<Settings>>;

// `member` is of the kind's value_type, or an optional of it.
template <class Settings, class Member, class Kind>
key_rule<Settings> rule(std::string name,
                        Member Settings::*member,
                        Kind kind,
                        applied when = applied::on_reload) {
    key_rule<Settings> r;
    r.name = std::move(name);
    r.reloadable = when == applied::on_reload;
    r.read = [member, kind](const node& n, Settings& s, const reading_place& place) {
        typename Kind::value_type value{};
        auto refused = kind.read(n, value, place);
        if (!refused) {
            s.*member = std::move(value);
        }
        return refused;
    };
    r.write = [member, kind](const Settings& s) -> std::string {
        if constexpr (std::is_same_v<Member, std::optional<typename Kind::value_type>>) {
            return s.*member ? kind.print(*(s.*member)) : std::string{};
        } else {
            return kind.print(s.*member);
        }
    };
    r.same = [member](const Settings& a, const Settings& b) { return a.*member == b.*member; };
    return r;
}

const section_rules<listen_settings>& listen_rules();
const section_rules<log_settings>& log_rules();
const section_rules<worker_settings>& worker_rules();
const section_rules<auth_settings>& auth_rules();
const section_rules<limit_settings>& limit_rules();
const section_rules<tcp_settings>& tcp_rules();
const section_rules<timeout_settings>& timeout_rules();
const section_rules<pool_settings>& pool_rules();
const section_rules<http_settings>& http_rules();
const section_rules<client_tls_settings>& client_tls_rules();
// Of [server_tls], [cluster.NAME.tls] and [database.NAME.tls].
const section_rules<server_tls_settings>& server_tls_rules();
// [peers]: which of them this is.
const section_rules<snapshot>& peers_rules();
// [peer.ID] without its sub-table.
const section_rules<peer_settings>& peer_rules();
// [process]: what the snapshot keeps itself.
const section_rules<process_settings>& process_rules();
// [cluster.NAME] without its sub-tables. The key `nodes` goes by the names of all nodes, and
// compares no more than those.
const section_rules<cluster_settings>& cluster_rules();
const section_rules<cluster_settings>& monitor_rules();
// [[cluster.NAME.node]]
const section_rules<node_settings>& node_rules();
// [database.NAME] without its sub-tables; [database.NAME.pool] goes by pool_rules().
const section_rules<database_settings>& database_rules();
const section_rules<timeout_settings>& database_timeout_rules();
// [user.NAME] without its sub-tables.
const section_rules<user_settings>& user_rules();
const section_rules<user_pool_overrides>& user_pool_rules();
const section_rules<user_timeout_overrides>& user_timeout_rules();

// Calls visit(name, part, rules) for each global section; std::invoke(part, snapshot) is the
// section's settings.
template <class Visitor>
void for_each_global_section(Visitor&& visit) {
    visit("listen", &snapshot::listen, listen_rules());
    visit("log", &snapshot::log, log_rules());
    visit("workers", &snapshot::workers, worker_rules());
    visit("auth", &snapshot::auth, auth_rules());
    visit("limits", &snapshot::limits, limit_rules());
    visit("tcp", &snapshot::tcp, tcp_rules());
    visit("timeouts", &snapshot::timeouts, timeout_rules());
    visit("pool", &snapshot::pool, pool_rules());
    visit("http", &snapshot::http, http_rules());
    visit("client_tls", &snapshot::client_tls, client_tls_rules());
    visit("server_tls", &snapshot::server_tls, server_tls_rules());
    visit("process", &snapshot::process, process_rules());
    visit("peers", std::identity{}, peers_rules());
}

// One key as the documentation describes it.
struct key_description {
    std::string section;  // "pool", "database.NAME.pool"
    std::string name;     // "size"
    std::string initial;  // the default as written in TOML; for an override the global default
    bool reloadable = true;
};
// Every key there is, in the order in which the documentation lists them.
[[nodiscard]] std::vector<key_description> describe_keys();

}  // namespace pgweir::config
