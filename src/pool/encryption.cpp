// sslmode, step by step.
#include "pool/encryption.hpp"

#include <utility>

namespace pgweir::pool {

using config::tls_mode;

encryption::step encryption::fail(std::string why) {
    why_ = std::move(why);
    return step::failed;
}

encryption::step encryption::begin(bool is_unix) noexcept {
    is_unix_ = is_unix;
    const bool wants = mode_ >= tls_mode::require || (mode_ == tls_mode::prefer && !is_second_) ||
                       (mode_ == tls_mode::allow && is_second_);
    is_encrypted_ = wants && !is_unix;
    return is_encrypted_ ? step::ask : step::plain;
}

encryption::step encryption::on_answer(char first, bool has_more) {
    if (first == 'S') {
        // CVE-2021-23222
        return has_more ? fail("received unencrypted data after SSL response") : step::shake;
    }
    if (first == 'N') {
        if (mode_ >= tls_mode::require) {
            return fail("server does not support SSL, but SSL was required");
        }
        is_encrypted_ = false;
        return has_more ? fail("received unencrypted data after SSL response") : step::plain;
    }
    // The text of an error is not to be trusted at this point (CVE-2024-10977).
    return fail(first == 'E' ? "server sent an error response during SSL exchange"
                             : "received invalid response to SSL negotiation");
}

bool encryption::tries_again(std::string_view sqlstate) noexcept {
    // 28000: no entry of pg_hba.conf for a connection of this kind.
    const bool is_its_kind = sqlstate.empty() || sqlstate == "28000";
    const bool may = !is_second_ && !is_unix_ && is_its_kind &&
                     ((mode_ == tls_mode::prefer && is_encrypted_) ||
                      (mode_ == tls_mode::allow && !is_encrypted_));
    is_second_ = is_second_ || may;
    return may;
}

}  // namespace pgweir::pool
