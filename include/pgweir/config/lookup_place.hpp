// Where a database's users are looked up that the configuration does not name.
#pragma once

#include "pgweir/config/snapshot.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace pgweir::config {

// Databases of which all of this is the same are asked for the same users, and get the same
// answers.
struct lookup_place {
    std::string cluster;  // else host and port
    std::string host;
    std::uint16_t port = 0;
    auth_query_settings how;
    server_tls_settings tls;  // of the database; with a cluster no weaker than the monitor's

    [[nodiscard]] bool operator==(const lookup_place& o) const {
        return cluster == o.cluster && host == o.host && port == o.port && how.user == o.how.user &&
               how.password == o.how.password && how.query == o.how.query &&
               how.database == o.how.database && tls == o.tls;
    }
};

// Nothing where nobody is looked up.
[[nodiscard]] std::optional<lookup_place> find_lookup_place(const snapshot& all,
                                                            const database_settings& database);

}  // namespace pgweir::config
