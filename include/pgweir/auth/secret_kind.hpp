// Tells what a configured secret is by its looks, as PostgreSQL does with pg_authid.rolpassword.
#pragma once

#include <cstdint>
#include <string_view>

namespace pgweir::auth {

enum class secret_kind : std::uint8_t {
    none,   // empty
    plain,  // anything that is neither of the next two
    md5,    // "md5" + 32 lower-case hex digits
    scram,  // what scram_verifier::parse() reads
};

[[nodiscard]] secret_kind kind_of(std::string_view secret);

}  // namespace pgweir::auth
