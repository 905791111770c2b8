// Why a command was not carried out, as the client is told.
#pragma once

#include "pgweir/protocol/error_response.hpp"

#include <string>

namespace pgweir::admin {

struct failure {
    std::string sqlstate;
    std::string message;
    std::string detail = {};
    std::string hint = {};

    // Views into this object.
    [[nodiscard]] protocol::error_fields fields(std::string_view severity = "ERROR") const {
        return {severity, sqlstate, message, detail, hint};
    }
};

}  // namespace pgweir::admin
