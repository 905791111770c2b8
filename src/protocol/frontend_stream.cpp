// The client's stream towards a server.
#include "pgweir/protocol/frontend_stream.hpp"

#include "pgweir/protocol/frame.hpp"

#include <algorithm>
#include <optional>

namespace pgweir::protocol {
namespace {

// Is `type` a message a client may send after login, and how long may it be? 0: no such message.
constexpr std::uint32_t limit_of(char type) noexcept {
    switch (type) {
        case 'Q':  // Query
        case 'P':  // Parse
        case 'B':  // Bind
        case 'F':  // FunctionCall
        case 'd':  // CopyData
            return large_message_limit;
        case 'C':  // Close
        case 'D':  // Describe
        case 'E':  // Execute
        case 'H':  // Flush
        case 'S':  // Sync
        case 'X':  // Terminate
        case 'c':  // CopyDone
        case 'f':  // CopyFail
            return small_message_limit;
        default: return 0;
    }
}

bool length_is_sane(const frame& f) noexcept {
    return f.size >= header_size && f.size - 1 <= limit_of(f.type);
}

// Messages that go through statement_relay: all that PostgreSQL answers.
constexpr bool concerns_relay(char type) noexcept {
    return type == 'P' || type == 'B' || type == 'E' || type == 'S' || type == 'Q' || type == 'D' ||
           type == 'C' || type == 'F';
}

std::optional<request> request_of(char type, std::string_view body) noexcept {
    switch (type) {
        case 'Q': return request::query;
        case 'F': return request::function_call;
        case 'P': return request::parse;
        case 'B': return request::bind;
        case 'E': return request::execute;
        case 'S': return request::sync;
        case 'C': return request::close;
        case 'D':
            // A bad target byte is an error in any case; what is due then does not matter.
            return !body.empty() && body.front() == 'S' ? request::describe_statement
                                                        : request::describe_portal;
        case 'c':
        case 'f': return request::copy_end;
        default: return std::nullopt;
    }
}

}  // namespace

first_look look_at_first(std::string_view data) noexcept {
    first_look look;
    for (;;) {
        const auto rest = data.substr(look.skip);
        if (rest.empty()) {
            return look.skip == 0 ? look : first_look{first_message::ignorable, look.skip};
        }
        if (limit_of(rest.front()) == 0) {
            look.what = first_message::violation;
            return look;
        }
        if (rest.size() < header_size) {
            return look;
        }
        const auto f = read_frame(rest.data());
        if (!length_is_sane(f)) {
            look.what = first_message::violation;
        } else if (f.type == 'X') {
            look.what = first_message::terminate;
        } else if (f.size > rest.size() && (f.size <= hold_limit || rest.size() < peek_size)) {
            look.what = first_message::incomplete;
        } else if (f.size <= rest.size() &&
                   (f.type == 'd' || f.type == 'c' || f.type == 'f' || f.type == 'H')) {
            look.skip += f.size;
            continue;
        } else {
            look.what = first_message::needs_server;
        }
        return look;
    }
}

// A message whose first bytes are at hand (all of it, or peek_size and more of a large one) is
// about to be passed on.
void frontend_stream::start(std::string_view head, ledger& ledger, session_marks& marks) {
    const char type = head.front();
    const auto body = head.substr(header_size);
    const auto r = request_of(type, body);
    if (r && (!relay_ || *r == request::copy_end)) {
        ledger.sent(*r, origin::client);
    }
    if (type == 'P' && !relay_ && !body.empty() && body.front() != '\0') {
        marks.dirty = marks.has_statements = true;
    }
    if (type == 'F') {
        marks.add(text_effect::settings);  // by its OID it may call set_config or a lock
    }
    flushed_ = flushed_ || type == 'H';
    // A shared statement is looked at once, and leaves its marks when it is bound.
    const bool is_shared = relay_ && type == 'P' && !body.empty() && body.front() != '\0';
    if ((type == 'P' && !is_shared) || type == 'Q') {
        probe_.restart();
        marks.add(probe_.feed(body));
    }
}

frontend_stream::step frontend_stream::scan(
    std::string_view data, char status, ledger& ledger, session_marks& marks, byte_arena& arena) {
    std::size_t at = 0;
    if (remain_ != 0) {
        at = std::min<std::size_t>(remain_, data.size());
        if (probing_) {
            marks.add(probe_.feed(data.substr(0, at)));
        }
        remain_ -= static_cast<std::uint32_t>(at);
    }
    while (at < data.size()) {
        if (relay_) {
            at += relay_->pass_plain(data.substr(at), ledger, marks);
            if (at == data.size()) {
                break;
            }
        }
        if (ledger.is_full()) {
            return {at, stop::full};
        }
        const auto rest = data.substr(at);
        if (limit_of(rest.front()) == 0) {
            return {at, stop::violation};
        }
        if (rest.size() < header_size) {
            return {at, stop::held};
        }
        const auto f = read_frame(rest.data());
        if (!length_is_sane(f)) {
            return {at, stop::violation};
        }
        if (f.type == 'X') {
            return {at, stop::terminate};
        }
        // CopyData has nothing in it that we need to see, so it never waits for its end.
        const bool whole = f.size <= rest.size();
        const auto hold = relay_ && f.type == 'P' ? statement_limit : hold_limit;
        if (!whole && f.type != 'd' && (f.size <= hold || rest.size() < peek_size)) {
            return {at, stop::held};
        }
        const auto head = rest.substr(0, f.size);
        if (relay_ && concerns_relay(f.type)) {
            using kind = statement_relay::step::kind;
            const auto s = relay_->look(head, f, status, ledger, marks, arena);
            switch (s.what) {
                case kind::pass: break;
                case kind::insert: return {at, stop::edit, s.bytes, 0};
                case kind::wait: return {at, stop::wait};
                case kind::full: return {at, stop::no_room};
                case kind::too_long: return {at, stop::too_long};
                case kind::replace:
                    start(head, ledger, marks);
                    remain_ = static_cast<std::uint32_t>(f.size - s.skip);
                    probing_ = false;  // what is in sight has been looked at
                    return {at, stop::edit, s.bytes, s.skip};
            }
        }
        start(head, ledger, marks);
        at += head.size();
        remain_ = static_cast<std::uint32_t>(f.size - head.size());
        probing_ = f.type == 'P' || f.type == 'Q';
    }
    return {at, stop::more};
}

std::string violation_text(std::string_view data) {
    if (limit_of(data.front()) != 0) {
        return "invalid message length";
    }
    return "invalid frontend message type " +
           std::to_string(static_cast<unsigned char>(data.front()));
}

}  // namespace pgweir::protocol
