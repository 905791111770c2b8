// Tells what a configured secret is by its looks.
#include "pgweir/auth/secret_kind.hpp"

#include "pgweir/auth/scram_keys.hpp"

namespace pgweir::auth {

secret_kind kind_of(std::string_view secret) {
    if (secret.empty()) {
        return secret_kind::none;
    }
    if (secret.size() == 35 && secret.substr(0, 3) == "md5" &&
        secret.find_first_not_of("0123456789abcdef", 3) == std::string_view::npos) {
        return secret_kind::md5;
    }
    return scram_verifier::parse(secret) ? secret_kind::scram : secret_kind::plain;
}

}  // namespace pgweir::auth
