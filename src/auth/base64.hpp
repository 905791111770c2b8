// Base64 as SCRAM uses it: padded, no white space (RFC 4648 section 4, RFC 5802 section 7).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pgweir::auth::base64 {

[[nodiscard]] std::string encode(std::string_view raw);
// Strict: nullopt for a foreign character, wrong padding or a length that is no multiple of 4.
[[nodiscard]] std::optional<std::string> decode(std::string_view text);

}  // namespace pgweir::auth::base64
