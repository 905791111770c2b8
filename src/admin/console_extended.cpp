// The extended protocol of the console: Parse, Bind, Describe, Execute, Close, Flush, Sync.
#include "admin/console_session.hpp"
#include "admin/message_reader.hpp"
#include "admin/printable.hpp"
#include "pgweir/base/byte_order.hpp"
#include "pgweir/protocol/frame.hpp"
#include "pgweir/protocol/message_writer.hpp"

namespace pgweir::admin {
namespace {

void append_bare(std::string& out, char type) { protocol::message_writer{out}.begin(type).end(); }

void append_shape(std::string& out, const prepared_statement& s, const format_list& formats) {
    if (!s.what || s.what->columns.empty()) {
        append_bare(out, 'n');
    } else {
        append_row_description(out, s.what->columns, formats);
    }
}

}  // namespace

console_session::step console_session::on_extended(const message& m, std::string& out) {
    std::optional<failure> problem;
    switch (m.type) {
        case 'P':
            problem = prepared_.parse(m.body);
            if (!problem) {
                append_bare(out, '1');
            }
            break;
        case 'B':
            problem = prepared_.bind(m.body);
            if (!problem) {
                append_bare(out, '2');
            }
            break;
        case 'D': problem = describe(m.body, out); break;
        case 'C':
            problem = close(m.body);
            if (!problem) {
                append_bare(out, '3');
            }
            break;
        case 'E': return execute(m.body, out);
        case 'S': sync(out); break;
        default: break;  // Flush: nothing is held back here
    }
    if (problem) {
        fail(*problem, out);
    }
    return {};
}

std::optional<failure> console_session::describe(std::string_view body, std::string& out) const {
    message_reader in{body};
    const char what = in.byte();
    const auto name = in.cstr();
    if (!in.is_whole()) {
        return malformed_message();
    }
    if (what == 'S') {
        const auto statement = prepared_.find_statement(name);
        if (!statement) {
            return no_such_statement(name);
        }
        protocol::message_writer{out}.begin('t').put_int16(0).end();  // no parameters
        append_shape(out, *statement, {});
        return std::nullopt;
    }
    if (what == 'P') {
        const auto* portal = prepared_.find_portal(name);
        if (portal == nullptr) {
            return no_such_portal(name);
        }
        append_shape(out, *portal->statement, portal->result_formats);
        return std::nullopt;
    }
    return failure{"08P01", "invalid DESCRIBE message subtype " +
                                std::to_string(static_cast<unsigned char>(what))};
}

std::optional<failure> console_session::close(std::string_view body) {
    message_reader in{body};
    const char what = in.byte();
    const auto name = in.cstr();
    if (!in.is_whole()) {
        return malformed_message();
    }
    if (what == 'S') {
        prepared_.close_statement(name);
    } else if (what == 'P') {
        prepared_.close_portal(name);
    } else {
        return failure{"08P01", "invalid CLOSE message subtype " +
                                    std::to_string(static_cast<unsigned char>(what))};
    }
    return std::nullopt;
}

console_session::step console_session::execute(std::string_view body, std::string& out) {
    message_reader in{body};
    const auto name = in.cstr();
    const auto max_rows = in.int32();
    portal* p = prepared_.find_portal(name);
    std::optional<failure> problem;
    if (!in.is_whole()) {
        problem = malformed_message();
    } else if (p == nullptr) {
        problem = no_such_portal(name);
    } else if (p->is_executed && p->statement->what && p->statement->what->columns.empty()) {
        problem = failure{"55000", "portal \"" + excerpt(name) + "\" cannot be run"};
    }
    if (problem) {
        fail(*problem, out);
        return {};
    }
    if (!p->statement->what) {
        append_bare(out, 'I');
        return {};
    }
    if (p->is_executed) {
        send_rows(*p, max_rows, out);
        return {};
    }
    p->is_executed = true;
    return run({&*p->statement->what, p, max_rows, p->statement}, out);
}

void console_session::sync(std::string& out) {
    is_skipping_ = false;
    if (transaction_ == 'I') {
        prepared_.close_portals();
    }
    protocol::append_ready(out, transaction_);
}

// As many rows as asked for. PortalSuspended when that many were sent, even if they were the last:
// PostgreSQL, too, finds the end only when asked for more.
void console_session::send_rows(portal& p, std::int32_t max_rows, std::string& out) {
    auto end = p.rows.size();
    bool is_suspended = false;
    if (max_rows > 0) {
        end = p.sent;
        std::int32_t rows = 0;
        for (; rows < max_rows && end < p.rows.size(); ++rows) {
            end += protocol::read_frame(p.rows.data() + end).size;
        }
        is_suspended = rows == max_rows;
    }
    out.append(p.rows, p.sent, end - p.sent);
    p.sent = end;
    if (is_suspended) {
        append_bare(out, 's');
        return;
    }
    protocol::message_writer{out}.begin('C').put_cstr(p.statement->what->what->tag).end();
}

}  // namespace pgweir::admin
