// The databases that the console answers for.
#include "pgweir/admin/console.hpp"

#include "admin/console_session.hpp"

namespace pgweir::admin {

bool console_service::serves(std::string_view database) const {
    return database == "pgweir" || database == "pgbouncer";
}

std::unique_ptr<session::local_session> console_service::open(config::console_role role) const {
    return std::make_unique<console_session>(role);
}

}  // namespace pgweir::admin
