// Why a SCRAM exchange ended early.
#pragma once

#include <cstdint>

namespace pgweir::auth {

enum class scram_error : std::uint8_t {
    malformed,                 // not the message that RFC 5802 section 7 has at this point
    unwanted_binding,          // the client binds ("p="), but chose the mechanism without
    missing_binding,           // it chose the mechanism with channel binding, and does not bind
    unknown_binding,           // it binds by something else than tls-server-end-point
    binding_downgraded,        // it was made to believe that channel binding is not offered
    channel_binding_mismatch,  // "c=" does not repeat the header of the first message
    wrong_end_point,           // it sees another certificate than the server's
    authzid_unsupported,       // the client asks to act as somebody else ("a=")
    extension_unsupported,     // a mandatory extension ("m=")
    unprintable_nonce,         // the client's nonce has other characters than RFC 5802's printable
    nonce_mismatch,            // the nonce is not the one that was agreed on
    iterations_refused,        // the server asks for fewer than 1 or for hostile amounts of work
    authentication_failed,     // wrong password, or nobody of that name
};

[[nodiscard]] const char* to_string(scram_error error) noexcept;

}  // namespace pgweir::auth
