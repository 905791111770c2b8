// OpenSSL's errors as text.
#include "tls/openssl.hpp"

#include <openssl/err.h>

#include <cstring>

namespace pgweir::tls {

std::string take_error() {
    const auto code = ERR_get_error();
    ERR_clear_error();
    if (code == 0) {
        return "no SSL error reported";
    }
    if (ERR_SYSTEM_ERROR(code)) {
        return std::strerror(ERR_GET_REASON(code));
    }
    const char* reason = ERR_reason_error_string(code);
    return reason != nullptr ? reason : "SSL error code " + std::to_string(code);
}

}  // namespace pgweir::tls
