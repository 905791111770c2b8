// PostgreSQL's md5 password method.
#pragma once

#include <string>
#include <string_view>

namespace pgweir::auth {

// What pg_authid stores: "md5" + hex(md5(password + user)). Empty when the crypto library refuses
// md5 (FIPS mode): no secret and no response is ever empty, so nothing compares equal to it.
[[nodiscard]] std::string md5_secret(std::string_view user, std::string_view password);

// What goes on the wire (PostgreSQL docs 55.2.1, AuthenticationMD5Password): "md5" + hex(md5(hex
// digits of `stored` + salt)). Empty when `stored` is no md5 secret or md5 is refused.
[[nodiscard]] std::string md5_response(std::string_view stored, std::string_view salt4);

}  // namespace pgweir::auth
