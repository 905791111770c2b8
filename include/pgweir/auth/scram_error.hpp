// Why a SCRAM exchange ended early.
#pragma once

#include <cstdint>

namespace pgweir::auth {

enum class scram_error : std::uint8_t {
    malformed,                    // not the message that RFC 5802 section 7 has at this point
    channel_binding_unsupported,  // the client insists on channel binding ("p=")
    channel_binding_mismatch,     // "c=" does not repeat the header of the first message
    authzid_unsupported,          // the client asks to act as somebody else ("a=")
    extension_unsupported,        // a mandatory extension ("m=")
    nonce_mismatch,               // the nonce is not the one that was agreed on
    iterations_refused,           // the server asks for fewer than 1 or for hostile amounts of work
    authentication_failed,        // wrong password, or nobody of that name
};

[[nodiscard]] const char* to_string(scram_error error) noexcept;

}  // namespace pgweir::auth
