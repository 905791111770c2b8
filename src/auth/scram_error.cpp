// Names of SCRAM errors for messages and logs.
#include "pgweir/auth/scram_error.hpp"

namespace pgweir::auth {

const char* to_string(scram_error error) noexcept {
    switch (error) {
        case scram_error::malformed: return "malformed SCRAM message";
        case scram_error::unwanted_binding:
        case scram_error::missing_binding: return "the mechanism is not the one of the message";
        case scram_error::unknown_binding: return "unsupported SCRAM channel-binding type";
        case scram_error::binding_downgraded: return "SCRAM channel binding negotiation error";
        case scram_error::channel_binding_mismatch: return "unexpected channel binding";
        case scram_error::wrong_end_point: return "SCRAM channel binding check failed";
        case scram_error::authzid_unsupported: return "authorization identity is not supported";
        case scram_error::extension_unsupported: return "unsupported SCRAM extension";
        case scram_error::unprintable_nonce: return "non-printable characters in SCRAM nonce";
        case scram_error::nonce_mismatch: return "SCRAM nonce does not match";
        case scram_error::iterations_refused: return "unacceptable SCRAM iteration count";
        case scram_error::authentication_failed: return "password authentication failed";
    }
    return "unknown SCRAM error";
}

}  // namespace pgweir::auth
