// How much a client's greeting asks a server to compute.
#pragma once

#include "tls/openssl.hpp"

namespace pgweir::tls {

// Is a signature with this key one of the fast ones?
[[nodiscard]] bool is_quick(const EVP_PKEY* key) noexcept;

// For SSL_CTX_set_client_hello_cb(): holds a greeting up, to be gone on with later, if it asks for
// more than a quick key exchange and its wire wants no more. What it asks for is the client's
// choice: an exchange with ffdhe8192 takes tens of milliseconds, and so does a search through lists
// of thousands of suites and groups.
int weigh_greeting(SSL* ssl, int* alert, void*) noexcept;

}  // namespace pgweir::tls
