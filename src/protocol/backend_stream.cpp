// The server's stream after its login.
#include "pgweir/protocol/backend_stream.hpp"

#include "pgweir/protocol/frame.hpp"
#include "pgweir/protocol/statement.hpp"

#include <algorithm>

namespace pgweir::protocol {
namespace {

// Messages whose body tells us something; all others are known by their header.
constexpr bool has_meaning(char type) noexcept {
    return type == 'Z' || type == 'C' || type == 'S' || type == 'E';
}

// Messages that answer no request in particular: they are for whoever is being served. An error is
// among them: a FATAL concerns everybody, and when a Parse of ours in front of a client's message
// fails, that message is skipped.
constexpr bool is_unasked(char type) noexcept {
    return type == 'N' || type == 'S' || type == 'A' || type == 'E';
}

// Errors of a message that PostgreSQL cannot read: it is malformed, or not in the client's
// encoding, or has no equal in the server's. A request may also bring them when it is run.
bool tells_of_reading(std::string_view sqlstate) noexcept {
    return sqlstate == "08P01" || sqlstate == "22021" || sqlstate == "22P05";
}

// Whoever asked for it: a client may have left before its query was run. What our own cleaning does
// is forgotten when it is through.
void take_tag(tag_effect effect, session_marks& marks, backend_listener& listener) {
    using e = tag_effect;
    const auto is = [effect](auto... kinds) { return ((effect == kinds) || ...); };
    if (is(e::deallocated)) {
        listener.on_deallocated();
    }
    const bool alters = is(e::settings, e::reset, e::prepared, e::deallocated);
    marks.dirty = marks.dirty || alters || is(e::dirty, e::removed);
    marks.deallocated += is(e::removed) ? 1 : 0;
    marks.changes_parsing = marks.changes_parsing || alters;
    marks.has_statements = marks.has_statements || is(e::prepared);
    marks.permanent = marks.permanent || is(e::permanent);
    marks.resets = marks.resets || is(e::reset, e::deallocated);
}

}  // namespace

// Returns false when the body is not what its type promises.
bool backend_stream::inspect(char type,
                             std::string_view body,
                             session_marks& marks,
                             origin owner,
                             backend_listener& listener) {
    switch (type) {
        case 'Z':
            if (body.size() != 1 || (body[0] != 'I' && body[0] != 'T' && body[0] != 'E')) {
                return false;
            }
            status_ = body[0];
            return true;
        case 'C':
            take_tag(effect_of_tag(body.substr(0, body.find('\0'))), marks, listener);
            return true;
        case 'S': {
            const auto name_end = body.find('\0');
            if (name_end == std::string_view::npos) {
                return false;
            }
            const auto value = body.substr(name_end + 1);
            const auto value_end = value.find('\0');
            if (value_end == std::string_view::npos) {
                return false;
            }
            // A setting that changes while a client is served may be that client's doing.
            if (owner == origin::client) {
                marks.add(text_effect::settings);
            }
            listener.on_parameter(body.substr(0, name_end), value.substr(0, value_end));
            return true;
        }
        case 'E': {
            const auto error = parse_error(body);
            unread_ = tells_of_reading(error.sqlstate);
            listener.on_error(error, owner);
            return true;
        }
        default: return true;
    }
}

// Nearly all that servers send: whole replies to the client, each the usual one for what is due,
// which say nothing beyond that. Enters those that `data` begins with in the ledger, and returns
// their size. Whatever else there is, is for the rules of scan().
std::size_t backend_stream::skip_plain(std::string_view data, ledger& ledger) {
    std::size_t at = 0;
    while (data.size() - at >= header_size) {
        const auto f = read_frame(data.data() + at);
        if (f.size < header_size || f.size > data.size() - at) {
            break;
        }
        const std::string_view body{data.data() + at + header_size, f.size - header_size};
        if (f.type == 'C' && !has_plain_tag(body)) {
            break;
        }
        if (!ledger.received_plain(f.type)) {
            break;
        }
        at += f.size;
    }
    return at;
}

void backend_stream::tell_settled(ledger& ledger, backend_listener& listener) const {
    if (auto settled = ledger.take_settlement()) {
        settled.unread = settled.failed != 0 && unread_;
        listener.on_settlement(settled);
    }
}

backend_stream::step backend_stream::scan(std::string_view data,
                                          ledger& ledger,
                                          session_marks& marks,
                                          bool has_client,
                                          backend_listener& listener) {
    std::size_t at = 0;
    if (remain_ != 0) {
        at = std::min<std::size_t>(remain_, data.size());
        remain_ -= static_cast<std::uint32_t>(at);
    }
    bool to_client = has_client && (at != 0 ? remain_to_client_ : true);
    bool decided = at != 0;
    while (at < data.size()) {
        if (to_client) {
            if (const auto plain = skip_plain(data.substr(at), ledger)) {
                at += plain;
                to_client = decided = true;
                tell_settled(ledger, listener);
                continue;
            }
        }
        if (ledger.next_is_known()) {
            return {at, to_client, stop::known};
        }
        const auto rest = data.substr(at);
        if (rest.size() < header_size) {
            return {at, to_client, stop::held};
        }
        const auto f = read_frame(rest.data());
        if (f.size < header_size || f.size - 1 > backend_message_limit) {
            return {at, to_client, stop::violation};
        }
        const auto owner = has_client && is_unasked(f.type) ? origin::client
                           : has_client                     ? ledger.next_origin()
                                                            : origin::pooler;
        const bool mine = owner == origin::client;
        if (decided && mine != to_client) {
            return {at, to_client, stop::turned};
        }
        const bool whole = f.size <= rest.size();
        if ((f.type == 'D' || f.type == 'd') && ledger.accepts_rows()) {
            // Bulk: skipped by length, never touched.
        } else {
            if (!whole && has_meaning(f.type) &&
                (f.size <= hold_limit || rest.size() < peek_size)) {
                return {at, to_client, stop::held};
            }
            if (f.type == 'E' && holds_fatal_ && mine && whole) {
                const auto error = parse_error(rest.substr(header_size, f.size - header_size));
                if (error.is_fatal()) {
                    listener.on_error(error, owner);
                    return {at, to_client, stop::fatal, f.size};
                }
            }
            const auto verdict = ledger.received(f.type);
            if (verdict == ledger::verdict::violation) {
                return {at, to_client, stop::violation};
            }
            if (!whole && f.type == 'S') {
                // Too long to wait for: nobody knows the setting of this session any more.
                marks.permanent = true;
            } else if (has_meaning(f.type) &&
                       !inspect(f.type, rest.substr(header_size, f.size - header_size), marks,
                                owner, listener)) {
                return {at, to_client, stop::violation};
            }
            tell_settled(ledger, listener);
            if (f.type == 'E' && mine && whole &&
                rest.substr(0, f.size).find(shared_prefix) != std::string_view::npos) {
                return {at + f.size, true, stop::named, f.size};
            }
            if (verdict == ledger::verdict::ready) {
                return {at + f.size, mine, ledger.is_empty() ? stop::idle : stop::ready};
            }
        }
        to_client = mine;
        decided = true;
        const auto seen = std::min(f.size, rest.size());
        at += seen;
        remain_ = static_cast<std::uint32_t>(f.size - seen);
        remain_to_client_ = mine;
    }
    return {at, to_client, stop::more};
}

}  // namespace pgweir::protocol
