// SASLprep (RFC 4013) of a password, with PostgreSQL's way out where it does not apply.
#pragma once

#include <string>
#include <string_view>

namespace pgweir::auth {

// The bytes to hash. Pure ASCII is returned as it is; so is what is not UTF-8, has characters that
// are prohibited or unknown to Unicode 3.2, or would become empty: such passwords exist in
// databases with other encodings, and PostgreSQL hashes them raw (scram_init_secret).
// libidn normalises by Unicode 3.2 as RFC 3454 says, PostgreSQL by a later one; they differ in the
// five CJK characters of Unicode's Corrigendum 4 (U+2F868 and its like).
[[nodiscard]] std::string saslprep(std::string_view password);

}  // namespace pgweir::auth
