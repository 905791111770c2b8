// ErrorResponse and NoticeResponse.
#include "pgweir/protocol/error_response.hpp"

#include "pgweir/protocol/message_writer.hpp"

namespace pgweir::protocol {
namespace {

void put_field(message_writer& w, char code, std::string_view text) {
    if (!text.empty()) {
        w.put_byte(code).put_cstr(text.substr(0, text.find('\0')));
    }
}

void append(std::string& out, char type, const error_fields& f) {
    message_writer w{out};
    w.begin(type);
    put_field(w, 'S', f.severity);
    put_field(w, 'V', f.severity);
    put_field(w, 'C', f.sqlstate);
    // The message field is mandatory for clients, also when there is nothing to say.
    w.put_byte('M').put_cstr(f.message.substr(0, f.message.find('\0')));
    put_field(w, 'D', f.detail);
    put_field(w, 'H', f.hint);
    w.put_byte('\0').end();
}

}  // namespace

void append_error(std::string& out, const error_fields& fields) { append(out, 'E', fields); }

void append_notice(std::string& out, const error_fields& fields) { append(out, 'N', fields); }

error_fields parse_error(std::string_view body) noexcept {
    error_fields f{.severity = {}, .sqlstate = {}, .message = {}};
    bool have_plain_severity = false;
    while (!body.empty() && body.front() != '\0') {
        const char code = body.front();
        body.remove_prefix(1);
        const auto end = body.find('\0');
        const auto text = body.substr(0, end);
        switch (code) {
            case 'S':
                if (!have_plain_severity) {
                    f.severity = text;
                }
                break;
            case 'V':
                f.severity = text;
                have_plain_severity = true;
                break;
            case 'C': f.sqlstate = text; break;
            case 'M': f.message = text; break;
            case 'D': f.detail = text; break;
            case 'H': f.hint = text; break;
            case 'R': f.routine = text; break;
            default: break;
        }
        if (end == std::string_view::npos) {
            break;
        }
        body.remove_prefix(end + 1);
    }
    return f;
}

}  // namespace pgweir::protocol
