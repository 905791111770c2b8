// Where a pool's servers are and how pgweir logs in there.
#pragma once

#include "pgweir/base/secret.hpp"
#include "pgweir/cluster/board.hpp"
#include "pgweir/config/snapshot.hpp"
#include "pgweir/net/address.hpp"

#include <memory>
#include <string>

namespace pgweir::pool {

// Immutable; made anew at every reload. Servers of an older, different target retire when idle.
struct target {
    std::string host;
    std::uint16_t port = 0;
    std::string address;  // numeric: connect there, and do not look `host` up; empty: do
    std::string dbname;
    std::string user;
    base::secret password;      // plain or md5; empty where only SCRAM pass-through can help
    std::string identity;       // under which key_ring has what clients have proved
    bool is_looked_up = false;  // the clients' user is not in the configuration
    net::tcp_options tcp;
    std::uint16_t protocol_minor = 0;  // to ask for
    config::server_tls_settings tls;

    [[nodiscard]] const std::string& leads_to() const noexcept {
        return address.empty() ? host : address;
    }
    [[nodiscard]] bool is_same_place(const target& o) const noexcept {
        return host == o.host && port == o.port && address == o.address;
    }
    // Would a server connection made for `o` serve here too?
    [[nodiscard]] bool is_same_server(const target& o) const noexcept {
        return this == &o || (is_same_place(o) && dbname == o.dbname && user == o.user &&
                              password == o.password && tls == o.tls);
    }
};
using target_ptr = std::shared_ptr<const target>;

// Whom a client has proved to be. A user of the configuration is the same for every database; one
// that was looked up is somebody else for each, since each may have its own PostgreSQL.
[[nodiscard]] std::string identity_of(const config::snapshot& snapshot,
                                      const config::database_settings& database,
                                      const std::string& user);

// As whom pgweir logs in at PostgreSQL for clients of a role (empty: those of a forced user).
[[nodiscard]] std::string server_identity_of(const config::snapshot& snapshot,
                                             const config::database_settings& database,
                                             const std::string& role);

[[nodiscard]] net::tcp_options tcp_options_of(const config::snapshot& snapshot);

// The target of clients that log in as `role` to a database they call `name`, on `node` of its
// cluster; null: where the database itself says.
[[nodiscard]] target_ptr make_target(const config::snapshot& snapshot,
                                     const config::database_settings& database,
                                     const std::string& name,
                                     const std::string& role,
                                     const cluster::published_node* node = nullptr);

}  // namespace pgweir::pool
