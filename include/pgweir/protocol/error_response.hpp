// ErrorResponse and NoticeResponse: what we say, and what a server said.
#pragma once

#include <string>
#include <string_view>

namespace pgweir::protocol {

// Fields of PostgreSQL docs 55.8. Views: the text must live as long as this is used.
struct error_fields {
    std::string_view severity = "ERROR";
    std::string_view sqlstate = "XX000";
    std::string_view message;
    std::string_view detail = {};
    std::string_view hint = {};
    std::string_view routine = {};  // of PostgreSQL's source; read, never written

    [[nodiscard]] bool is_fatal() const noexcept {
        return severity == "FATAL" || severity == "PANIC";
    }
};

// Appends a whole 'E' or 'N' message. Empty detail and hint are left out; NULs end a field early.
void append_error(std::string& out, const error_fields& fields);
void append_notice(std::string& out, const error_fields& fields);

// Reads the body of an ErrorResponse or NoticeResponse. Total: fields that are missing or cut stay
// empty (severity "", sqlstate ""). The non-localised severity 'V' wins over 'S'. The views point
// into `body`.
[[nodiscard]] error_fields parse_error(std::string_view body) noexcept;

}  // namespace pgweir::protocol
