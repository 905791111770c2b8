// Authentication messages of both directions, as complete bytes (PostgreSQL docs 55.7).
#pragma once

#include "pgweir/protocol/message_writer.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace pgweir::auth {

inline constexpr std::string_view scram_mechanism = "SCRAM-SHA-256";
inline constexpr std::string_view scram_plus_mechanism = "SCRAM-SHA-256-PLUS";

enum class auth_code : std::int32_t {
    ok = 0,
    kerberos_v5 = 2,
    cleartext_password = 3,
    md5_password = 5,
    scm_credential = 6,
    gss = 7,
    gss_continue = 8,
    sspi = 9,
    sasl = 10,
    sasl_continue = 11,
    sasl_final = 12,
};

inline void append_authentication(std::string& out, auth_code code, std::string_view data = {}) {
    protocol::message_writer writer{out};
    writer.begin('R').put_int32(static_cast<std::int32_t>(code)).put_bytes(data).end();
}

inline std::string authentication(auth_code code, std::string_view data = {}) {
    std::string out;
    append_authentication(out, code, data);
    return out;
}

// REQUIRES: no NUL in `password`.
inline std::string password_message(std::string_view password) {
    std::string out;
    protocol::message_writer{out}.begin('p').put_cstr(password).end();
    return out;
}

inline std::string sasl_initial_response(std::string_view mechanism, std::string_view data) {
    std::string out;
    protocol::message_writer writer{out};
    writer.begin('p').put_cstr(mechanism).put_int32(static_cast<std::int32_t>(data.size()));
    writer.put_bytes(data).end();
    return out;
}

inline std::string sasl_response(std::string_view data) {
    std::string out;
    protocol::message_writer{out}.begin('p').put_bytes(data).end();
    return out;
}

}  // namespace pgweir::auth
