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

// The server may hold the unnamed statement of another client, or one of ours that is not our last,
// which we parsed on another server. Parse and Query replace or drop it, and are not skipped, since
// no batch of this link has come before; ahead of anything else in a batch we close it, so that a
// Bind of ours gets 26000 and not a statement that is not meant. Messages outside of batches decide
// nothing: our Close would open a batch whose Sync need not come.
bool frontend_stream::must_close_unnamed(std::string_view head, session_marks& marks) noexcept {
    bool replaces = false;
    switch (head.front()) {
        case 'Q': replaces = true; break;
        case 'P': replaces = head.size() > header_size && head[header_size] == '\0'; break;
        case 'B':
        case 'C':
        case 'D':
        case 'E': break;
        default: return false;
    }
    unnamed_is_settled_ = true;
    if (marks.unnamed_owner == 0 ||
        (marks.unnamed_owner == self_ && marks.unnamed_count == unnamed_count_)) {
        return false;
    }
    marks.unnamed_owner = 0;
    return !replaces;
}

// A message whose first bytes are at hand (all of it, or peek_size and more of a large one) is
// about to be passed on.
void frontend_stream::start(std::string_view head, ledger& ledger, session_marks& marks) {
    const char type = head.front();
    const auto body = head.substr(header_size);
    if (const auto r = request_of(type, body)) {
        ledger.sent(*r, origin::client);
    }
    if (type == 'P') {
        if (!body.empty() && body.front() == '\0') {
            marks.unnamed_owner = self_;
            marks.unnamed_count = ++unnamed_count_;
        } else {
            marks.dirty = true;  // a named statement stays behind
        }
    }
    if (type == 'F') {
        marks.dirty = true;  // by its OID it may call set_config or an advisory lock
    }
    if (type == 'P' || type == 'Q') {
        probe_.restart();
        marks.dirty = probe_.feed(body) || marks.dirty;
    }
}

frontend_stream::step frontend_stream::scan(std::string_view data,
                                            ledger& ledger,
                                            session_marks& marks) {
    std::size_t at = 0;
    if (remain_ != 0) {
        at = std::min<std::size_t>(remain_, data.size());
        if (probing_) {
            marks.dirty = probe_.feed(data.substr(0, at)) || marks.dirty;
        }
        remain_ -= static_cast<std::uint32_t>(at);
    }
    while (at < data.size()) {
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
        if (!whole && f.type != 'd' && (f.size <= hold_limit || rest.size() < peek_size)) {
            return {at, stop::held};
        }
        const auto head = rest.substr(0, f.size);
        if (!unnamed_is_settled_ && must_close_unnamed(head, marks)) {
            ledger.sent(request::close, origin::pooler);
            return {at, stop::close_unnamed};
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
