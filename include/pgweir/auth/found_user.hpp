// What PostgreSQL said of a user whom the configuration does not name.
#pragma once

#include "pgweir/auth/likeness.hpp"
#include "pgweir/base/secret.hpp"

#include <cstdint>
#include <optional>

namespace pgweir::auth {

struct found_user {
    bool known = false;        // there is such a user, and it may log in
    base::secret secret;       // pg_authid.rolpassword; empty: none, or it has expired
    std::uint64_t serial = 0;  // one learned later has a higher one; 0 of an unknown user
    // See credentials::others. Nothing: nobody has been found yet to go by.
    std::optional<likeness> others;
};

}  // namespace pgweir::auth
