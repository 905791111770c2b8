// Targets from configuration.
#include "pgweir/pool/target.hpp"

#include "pgweir/auth/secret_kind.hpp"

namespace pgweir::pool {

std::string identity_of(const config::snapshot& snapshot,
                        const config::database_settings& database,
                        const std::string& user) {
    // The section's name, since clients of "*" make up as many names as they like.
    return snapshot.find_user(user) != nullptr ? user : user + '\0' + database.name;
}

std::string server_identity_of(const config::snapshot& snapshot,
                               const config::database_settings& database,
                               const std::string& role) {
    return database.user.empty() ? identity_of(snapshot, database, role) : database.user;
}

net::tcp_options tcp_options_of(const config::snapshot& snapshot) {
    return {snapshot.tcp.keepalive, static_cast<int>(snapshot.tcp.keepalive_idle.count()),
            static_cast<int>(snapshot.tcp.keepalive_interval.count()), snapshot.tcp.keepalive_count,
            static_cast<unsigned>(snapshot.tcp.user_timeout.count())};
}

target_ptr make_target(const config::snapshot& snapshot,
                       const config::database_settings& database,
                       const std::string& name,
                       const std::string& role,
                       const cluster::published_node* node) {
    target t;
    t.host = node == nullptr ? database.host : node->host;
    t.port = node == nullptr ? database.port : node->port;
    t.address = node == nullptr ? std::string{} : node->address;
    t.dbname = database.dbname.empty() ? name : database.dbname;
    t.user = database.user.empty() ? role : database.user;
    if (!database.user.empty()) {
        t.password = database.password;
    }
    if (const auto* user = snapshot.find_user(t.user); user != nullptr && t.password.empty()) {
        t.password = user->server_password.empty() ? user->password : user->server_password;
    }
    if (auth::kind_of(t.password.reveal()) == auth::secret_kind::scram) {
        t.password = {};  // a verifier lets nobody in
    }
    const bool forced = !database.user.empty();
    t.is_looked_up = !forced && snapshot.find_user(role) == nullptr;
    t.identity = server_identity_of(snapshot, database, role);
    t.tcp = tcp_options_of(snapshot);
    t.protocol_minor = database.protocol == config::server_protocol::v3_0 ? 0 : 2;
    t.tls = database.tls;
    return std::make_shared<const target>(std::move(t));
}

}  // namespace pgweir::pool
