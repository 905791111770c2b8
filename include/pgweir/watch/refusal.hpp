// What a failure of the monitor's connection says of the node: errors of PostgreSQL and of libpq,
// read without a connection.
#pragma once

#include "pgweir/cluster/evidence.hpp"

#include <string>
#include <string_view>

namespace pgweir::watch {

struct refusal {
    cluster::contact result = cluster::contact::silent;
    std::string sqlstate;  // empty: PostgreSQL did not say one
    std::string text;      // one line, for people
    // There is no encrypted connection to a server that is known, as sslmode demands. Who answered
    // may be anybody, so it counts as silence; but it will be so until a setting is changed.
    bool is_about_tls = false;
};

// By the SQLSTATE of an error that ended or prevented a connection.
[[nodiscard]] cluster::contact contact_of_sqlstate(std::string_view sqlstate) noexcept;

// `text`: of PQerrorMessage() after a connection failed, with PQERRORS_VERBOSE. What is not
// understood counts as silence, which proves the least: neither that the node is alive nor that it
// has stopped. `needs_password`: PQconnectionNeedsPassword().
[[nodiscard]] refusal read_refusal(std::string_view text, bool needs_password = false);

}  // namespace pgweir::watch
