// The console: a virtual database in which SHOW and a few commands tell and steer pgweir.
#pragma once

#include "pgweir/session/local_service.hpp"

#include <memory>
#include <string_view>

namespace pgweir::admin {

// Serves the databases "pgweir" and "pgbouncer" over the simple and the extended protocol; what it
// understands is in docs/console.md. Immutable, so shared by all workers; the sessions it opens do
// not refer to it.
class console_service final : public session::local_service {
public:
    [[nodiscard]] bool serves(std::string_view database) const override;
    [[nodiscard]] std::unique_ptr<session::local_session> open(
        config::console_role role) const override;
};

}  // namespace pgweir::admin
