// A wire as OpenSSL reads and writes it.
#pragma once

#include "pgweir/tls/wire.hpp"
#include "tls/openssl.hpp"

namespace pgweir::tls {

// Reads from `w.in`, and asks to be called again once that is empty, or no more is to be read;
// writes to `w.room`, then to `w.overflow`, and never has to wait. `w` must outlive it.
[[nodiscard]] bio_ptr make_bio(wire& w);

}  // namespace pgweir::tls
