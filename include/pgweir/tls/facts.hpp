// What a finished handshake has settled.
#pragma once

#include <string_view>

namespace pgweir::tls {

// The views live as long as the engine that tells the facts.
struct facts {
    std::string_view version;  // "TLSv1.3"
    std::string_view cipher;   // "TLS_AES_256_GCM_SHA384"
    bool has_alpn = false;     // both sides have agreed on "postgresql"
    // The peer's certificate, which has been verified if the context verifies. Both are empty when
    // there is none.
    std::string_view peer_common_name;         // CN of the subject; may be empty
    std::string_view peer_distinguished_name;  // the whole subject: "CN=alice,O=Example" (RFC 2253)
    bool has_peer_certificate = false;
    // tls-server-end-point (RFC 5929, section 4): the hash of the server's certificate, whichever
    // side that is. Empty where none is defined: certificates signed with Ed25519 or Ed448.
    std::string_view server_end_point;
};

}  // namespace pgweir::tls
