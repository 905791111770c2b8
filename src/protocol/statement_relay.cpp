// Makes a client's prepared statements work on whichever server serves it.
#include "pgweir/protocol/statement_relay.hpp"

#include "pgweir/protocol/error_response.hpp"
#include "pgweir/protocol/frontend_stream.hpp"
#include "pgweir/protocol/message_writer.hpp"

#include <algorithm>
#include <utility>

namespace pgweir::protocol {
namespace {

using kind = statement_relay::step::kind;

// What a client's `DEALLOCATE name` is made to remove: other clients may need the statement itself.
const statement_ptr& decoy() {
    static const statement_ptr one = [] {
        auto s = std::make_shared<statement>();
        s->name = decoy_statement;
        message_writer{s->parse}.begin('P').put_cstr(s->name).put_cstr("").put_int16(0).end();
        return s;
    }();
    return one;
}

const std::string& parse_decoy_and_sync() {
    static const std::string bytes = decoy()->parse + std::string{sync_message};
    return bytes;
}

constexpr std::string_view deallocate_decoy = "DEALLOCATE \"__pgweir_0\"";

constexpr std::string_view close_unnamed_message{"C\0\0\0\x06S\0", 7};

// The NUL-terminated string at `at`; none when its end is not in sight.
std::optional<std::string_view> cstr_at(std::string_view head, std::size_t at) noexcept {
    const auto end = at > head.size() ? std::string_view::npos : head.find('\0', at);
    if (end == std::string_view::npos) {
        return std::nullopt;
    }
    return head.substr(at, end - at);
}

bool is_ours(std::string_view name) noexcept { return name.starts_with(shared_prefix); }

// Puts a message into the arena. No room: an empty view.
std::string_view write(byte_arena& arena,
                       char type,
                       std::string_view before,
                       std::string_view text,
                       std::string_view after) noexcept {
    const auto body = before.size() + text.size() + after.size();
    if (!arena.has_room(header_size + body)) {
        return {};
    }
    const auto mark = arena.mark();
    arena.add_byte(type);
    arena.add_be32(static_cast<std::uint32_t>(header_size - 1 + body));
    arena.add(before);
    arena.add(text);
    arena.add(after);
    return arena.since(mark);
}

}  // namespace

void byte_arena::add(std::string_view bytes) noexcept {
    bytes.copy(bytes_.data() + used_, bytes.size());
    used_ += bytes.size();
}

void byte_arena::add_be32(std::uint32_t v) noexcept {
    base::store_be32(bytes_.data() + used_, v);
    used_ += 4;
}

struct statement_relay::context {
    std::string_view head;
    const frame& f;
    char status;
    protocol::ledger& ledger;
    session_marks& marks;
    byte_arena& arena;

    [[nodiscard]] bool is_whole() const noexcept { return head.size() == f.size; }
};

statement_relay::statement_relay(const link& l, const session_marks& marks) : link_{l} {
    const bool same = has_unnamed() && marks.unnamed_owner == link_.self &&
                      marks.unnamed_count == link_.client->unnamed_count();
    const bool neither = !has_unnamed() && marks.unnamed_owner == 0;
    link_.server.unnamed_is_ours = foreseen<bool>{same || neither};
    link_.server.begin_link();
}

client_statements& statement_relay::mine() {
    if (link_.client == nullptr) {
        link_.client = std::make_unique<client_statements>();
    }
    return *link_.client;
}

statement_relay::named* statement_relay::find(std::string_view name) noexcept {
    return link_.client == nullptr ? nullptr : link_.client->find(name);
}

statement_relay::step statement_relay::look(std::string_view head,
                                            const frame& f,
                                            char status,
                                            ledger& ledger,
                                            session_marks& marks,
                                            byte_arena& arena) {
    const context c{head, f, status, ledger, marks, arena};
    if (first_ && f.type != 'S' && f.type != 'F') {
        first_ = false;
        if (has_foreign_unnamed(marks)) {
            forget_foreign_unnamed(marks);
            if (!c.is_whole() || !drops_unnamed(head)) {
                // This is the first request of the link, so nothing makes PostgreSQL skip it.
                ledger.sent(request::close, origin::pooler);
                return {kind::insert, close_unnamed_message, 0};
            }
        }
    }
    const auto s = look_at(c);
    if (s.what == kind::pass || s.what == kind::replace) {
        in_batch_ = f.type != 'Q' && f.type != 'S' && f.type != 'F';
    }
    return s;
}

statement_relay::step statement_relay::look_at(const context& c) {
    switch (c.f.type) {
        case 'P': return parse(c);
        case 'B': return bind(c);
        case 'D': return describe(c);
        case 'C': return close(c);
        case 'E': return execute(c);
        case 'Q': return query(c);
        case 'S': link_.server.end_segment(); return raw(c, request::sync);
        default: link_.server.end_segment(); return raw(c, request::function_call);
    }
}

// The unnamed statement of another client, or one of ours that is not our last: it must be gone
// before anything can mean it.
bool statement_relay::has_foreign_unnamed(const session_marks& marks) const noexcept {
    return !link_.server.unnamed_is_ours.assumed() && marks.unnamed_owner != 0;
}

void statement_relay::forget_foreign_unnamed(session_marks& marks) {
    marks.unnamed_owner = 0;
    link_.server.unnamed_is_ours.set(!has_unnamed());
}

// Does PostgreSQL drop its unnamed statement for this message, whatever comes of it? Not for a
// Parse that needs another of ours in front, which may fail.
bool statement_relay::drops_unnamed(std::string_view whole) const noexcept {
    return (whole.front() == 'Q' || (whole.front() == 'P' && !has_names())) &&
           is_surely_read(whole);
}

// As the client sent it: what PostgreSQL refuses, skips, or needs no help with.
statement_relay::step statement_relay::raw(const context& c, request r) {
    c.ledger.sent(r, origin::client);
    return {};
}

// PostgreSQL throws it away, or it breaks a COPY: what it says does not matter.
bool statement_relay::is_void(const context& c) noexcept {
    return c.ledger.is_skipping() || c.ledger.is_copying_in();
}

bool statement_relay::must_wait(const context& c, const named* n) {
    fence_ = fence_ && c.ledger.executing() != 0;
    return fence_ || (n != nullptr && n->what.must_wait(link_.server.segment()));
}

// May something under way be more than a query: a SET, a COPY?
bool statement_relay::is_in_doubt(const context& c) noexcept {
    doubt_ = doubt_ && c.ledger.executing() != 0;
    return doubt_;
}

// Does a text that is parsed now mean what its scope says? Not where the session was changed, nor
// where it may just be.
bool statement_relay::has_changed_session(const context& c) noexcept {
    return is_in_doubt(c) || c.marks.changes_parsing;
}

// The message with another name in place of the one that begins at `name_at`.
statement_relay::step statement_relay::rename(const context& c,
                                              std::size_t name_at,
                                              std::string_view old_name,
                                              std::string_view new_name) {
    if (!c.arena.has_room(name_at + new_name.size() + 1)) {
        return {c.arena.empty() ? kind::too_long : kind::full, {}, 0};
    }
    const auto mark = c.arena.mark();
    c.arena.add_byte(c.f.type);
    c.arena.add_be32(static_cast<std::uint32_t>(c.f.size - 1 - old_name.size() + new_name.size()));
    c.arena.add(c.head.substr(header_size, name_at - header_size));
    c.arena.add(new_name);
    c.arena.add_byte('\0');
    return {kind::replace, c.arena.since(mark), name_at + old_name.size() + 1};
}

// What is missing until the server holds `s`.
statement_relay::maybe_step statement_relay::make_ready(const context& c, const statement_ptr& s) {
    auto& server = link_.server;
    auto& h = server.use(s);
    if (h.there.must_wait(server.segment())) {
        return step{kind::wait, {}, 0};
    }
    if (h.there.assumed() && server.is_stale(h)) {
        return close_shared(c, h);
    }
    if (h.there.assumed()) {
        // A limit that was lowered may leave more than it allows.
        return link_.limit != 0 && server.size() > link_.limit ? make_room(c) : std::nullopt;
    }
    if (auto made_room = make_room(c)) {
        return made_room;
    }
    server.note_parse(h, s != decoy() && has_changed_session(c));
    c.ledger.sent(request::parse, origin::pooler, true);
    server.begin({.server = &h, .is_there = true});
    ++link_.counts.server_parses;
    ++link_.counts.statement_repairs;
    return step{kind::insert, s->parse, 0};
}

// Closes what was not used for longest, if the server holds its share.
statement_relay::maybe_step statement_relay::make_room(const context& c) {
    if (auto* victim = link_.server.find_victim(link_.limit)) {
        return close_shared(c, *victim);
    }
    return std::nullopt;
}

statement_relay::step statement_relay::close_shared(const context& c, server_statements::held& h) {
    const auto message = write(c.arena, 'C', "S", h.what->name, std::string_view{"\0", 1});
    if (message.empty()) {
        return {kind::full, {}, 0};
    }
    c.ledger.sent(request::close, origin::pooler, true);
    link_.server.begin({.server = &h, .is_there = false});
    return {kind::insert, message, 0};
}

statement_relay::named& statement_relay::define(std::string_view name, const statement& what) {
    auto& n = mine().find_or_make(name);
    link_.client->define(n, name, what);
    return n;
}

// Records a request that refers to a statement: by the name `remembered`, unless that is clear; and
// for a Bind the portal, the running of which deallocates the name `target`.
void statement_relay::sent_reference(const context& c,
                                     request r,
                                     std::string_view remembered,
                                     maybe_name portal,
                                     std::string_view target) {
    auto* bound = portal ? bound_portal(c, *portal, target) : nullptr;
    const bool tracked = !remembered.empty() || bound != nullptr;
    c.ledger.sent(r, origin::client, tracked);
    if (tracked) {
        link_.server.begin({.refers = std::string{remembered},
                            .portal = bound,
                            .target = std::string{bound == nullptr ? std::string_view{} : target}});
    }
}

// What is known of a portal that is going to be bound; null: nothing that matters.
foreseen<std::string>* statement_relay::bound_portal(const context& c,
                                                     std::string_view portal,
                                                     std::string_view target) {
    constexpr std::size_t most = 1000;
    const auto key = significant(portal);
    if (const auto known = portals_.find(key); known != portals_.end()) {
        return &known->second;
    }
    if (target.empty()) {
        return nullptr;
    }
    if (portals_.size() == most) {
        c.marks.permanent = true;  // whatever it does to the server, nobody else gets that
        return nullptr;
    }
    return &portals_[std::string{key}];
}

// Once run, it may change what other texts mean. What its words say is in the marks.
bool statement_relay::note_text(std::string_view text) noexcept {
    const bool may = !begins_harmlessly(text);
    doubt_ = doubt_ || may;
    return may;
}

// A portal may be run long after its Bind, and again.
void statement_relay::note_bound(bool deallocates, bool changes_parsing) noexcept {
    bound_deallocates_ = bound_deallocates_ || deallocates;
    bound_changes_ = bound_changes_ || changes_parsing;
    note_run();
}

void statement_relay::note_bound_unnamed() noexcept {
    note_bound(unnamed_deallocates_, unnamed_changes_);
    bound_control_ = unnamed_control_;
}

void statement_relay::note_run() noexcept {
    fence_ = fence_ || bound_deallocates_;
    doubt_ = doubt_ || bound_changes_;
}

// What a text may do to the transaction, if anybody is going to ask. None: it begins at `at`, and
// its end is not in sight.
transaction_control statement_relay::control_in(std::string_view head,
                                                std::optional<std::string_view> text,
                                                std::size_t at) const noexcept {
    if (!link_.follows_transactions) {
        return transaction_control::none;
    }
    return text ? control_of(*text)
                : study_beginning(head.substr(std::min(at, head.size()), peek_size));
}

void statement_relay::note_portal(std::string_view portal) noexcept {
    if (portal.empty()) {
        unnamed_portal_ = bound_control_;
    } else {
        named_portals_ = either(named_portals_.value_or(bound_control_), bound_control_);
    }
}

transaction_control statement_relay::control_of_portal(std::string_view head) const noexcept {
    if (!link_.follows_transactions) {
        return transaction_control::none;
    }
    const bool is_unnamed = head.size() > header_size && head[header_size] == '\0';
    return is_unnamed ? unnamed_portal_ : named_portals_.value_or(transaction_control::none);
}

// --- the usual case

// Has this segment seen what the unnamed statement does, and is it there if the segment goes well?
// Then a Bind of it needs nothing but to be passed on.
bool statement_relay::knows_unnamed() const noexcept {
    const auto& there = link_.server.unnamed_is_ours;
    const auto segment = link_.server.segment();
    return unnamed_seen_in_ == segment && there.assumed() && !there.must_wait(segment) &&
           unnamed_target_.empty();
}

// Is this whole message one that passes as it is? Its length is sane, and there is a body unless it
// is a Sync.
bool statement_relay::is_plain(const frame& f, std::string_view head) const noexcept {
    switch (f.type) {
        case 'Q': return !has_names() && !has_unnamed();
        case 'P': return head[header_size] == '\0' && !has_names();
        case 'B':  // of the unnamed statement to the unnamed portal
            return head[header_size] == '\0' && head[header_size + 1] == '\0' && knows_unnamed();
        case 'D': return head[header_size] == 'P' && f.size <= small_message_limit;
        case 'E': return f.size <= small_message_limit;
        case 'S': return f.size == header_size;
        default: return false;
    }
}

// What look() does with the first request of a link. False: it must be the one that does.
bool statement_relay::begins_plainly(std::string_view head, session_marks& marks) {
    if (has_foreign_unnamed(marks)) {
        if (!drops_unnamed(head)) {
            return false;
        }
        forget_foreign_unnamed(marks);
    }
    first_ = false;
    return true;
}

// REQUIRES: is_plain().
void statement_relay::pass(const frame& f,
                           std::string_view head,
                           ledger& ledger,
                           session_marks& marks) {
    switch (f.type) {
        case 'Q': {
            const auto text = cstr_at(head, header_size);
            if (text && is_lone_query(*text)) {
                ledger.sent_plain(request::query);
            } else {
                ledger.sent_plain(request::query, false, control_in(head, text, header_size));
                note_text(text.value_or(std::string_view{}));
            }
            marks.add(names_session_state(head.substr(header_size)));
            return link_.server.end_segment();
        }
        case 'P': {
            const auto text = cstr_at(head, header_size + 1);
            note_unnamed(head, true, text, ledger, marks);
            return marks.add(names_session_state(head.substr(header_size)));
        }
        case 'B':
            note_bound_unnamed();
            unnamed_portal_ = bound_control_;
            return ledger.sent_plain(request::bind);
        case 'D': return ledger.sent_plain(request::describe_portal);
        case 'E':
            note_run();
            return ledger.sent_plain(request::execute, false, control_of_portal(head));
        default: link_.server.end_segment(); return ledger.sent_plain(request::sync);
    }
}

// That no portal is followed, and that PostgreSQL neither skips requests nor reads a COPY, holds
// for all that is taken: none of these messages changes it.
std::size_t statement_relay::pass_plain(std::string_view data,
                                        ledger& ledger,
                                        session_marks& marks) {
    if (!portals_.empty() || !ledger.is_plain()) {
        return 0;
    }
    std::size_t at = 0;
    for (auto room = ledger.room(); room != 0 && data.size() - at >= header_size; --room) {
        const auto f = read_frame(data.data() + at);
        const bool is_sync = f.type == 'S';
        if (f.size > std::min(data.size() - at, hold_limit) ||
            (f.size < header_size + 2 && !is_sync)) {
            break;
        }
        const auto head = data.substr(at, f.size);
        if (!is_plain(f, head) || (first_ && !is_sync && !begins_plainly(head, marks))) {
            break;
        }
        pass(f, head, ledger, marks);
        in_batch_ = !is_sync && f.type != 'Q';
        at += f.size;
    }
    return at;
}

// --- Parse

statement_relay::step statement_relay::parse(const context& c) {
    const auto name = cstr_at(c.head, header_size);
    if (!name || is_void(c)) {
        c.marks.permanent = c.marks.permanent || !name;  // whatever its name is, it is not ours
        unshared_control_ = name ? unshared_control_ : std::optional{transaction_control::mixed};
        return raw(c, request::parse);
    }
    if (name->empty()) {
        return parse_unnamed(c);
    }
    if (link_.limit == 0) {
        c.marks.dirty = c.marks.has_statements = true;
        const auto text_at = header_size + name->size() + 1;
        const auto text = c.is_whole() ? cstr_at(c.head, text_at) : std::nullopt;
        const auto control = control_in(c.head, text, text_at);
        unshared_control_ = either(unshared_control_.value_or(control), control);
        return raw(c, request::parse);
    }
    auto* known = find(*name);
    if (must_wait(c, known)) {
        return {kind::wait, {}, 0};
    }
    if (known != nullptr && known->what.assumed() != nullptr) {
        return parse_again(c, *name);
    }
    if (c.f.size > statement_limit || !mine().has_room_for(c.f.size)) {
        return parse_long(c, *name);
    }
    const bool alone = has_changed_session(c);
    const auto body = c.head.substr(header_size + name->size() + 1);
    const auto what = alone                       ? link_.store.make_private(body)
                      : link_.settings == nullptr ? link_.store.intern(nullptr, body)
                                                  : link_.store.intern(*link_.settings, body);
    auto& server = link_.server;
    auto& h = server.use(what);
    if (h.there.must_wait(server.segment())) {
        return {kind::wait, {}, 0};
    }
    if (h.there.assumed()) {
        // In a failed transaction it would be refused; and whether it is one is not known while
        // something is outstanding that may begin, end or fail one.
        if (c.status == 'E' || c.ledger.boundaries() != 0 || h.taint != 0) {
            return close_shared(c, h);
        }
        c.ledger.sent(request::known_parse, origin::client, true);
        server.begin({.name = &define(*name, *what), .meaning = what});
        ++link_.counts.client_parses;
        ++link_.counts.statement_hits;
        return {kind::replace, {}, c.f.size};
    }
    if (auto made_room = make_room(c)) {
        return *made_room;
    }
    server.note_parse(h, false);
    c.ledger.sent(request::parse, origin::client, true);
    server.begin({.server = &h, .is_there = true, .name = &define(*name, *what), .meaning = what});
    ++link_.counts.client_parses;
    ++link_.counts.server_parses;
    return {kind::replace, what->parse, c.f.size};
}

// The name is taken. PostgreSQL says so itself, after it has looked at the text, of a name that
// nobody runs: should it be free after all, the text does no harm there.
statement_relay::step statement_relay::parse_again(const context& c, std::string_view name) {
    if (auto s = make_ready(c, decoy())) {
        return *s;
    }
    const auto s = rename(c, header_size, name, decoy()->name);
    if (s.what == kind::replace) {
        sent_reference(c, request::parse, name);
    }
    return s;
}

// Too long to be kept, or one too many: this server alone will know it, and the client stays with
// it.
statement_relay::step statement_relay::parse_long(const context& c, std::string_view name) {
    if (auto made_room = make_room(c)) {
        return *made_room;
    }
    const auto text_at = header_size + name.size() + 1;
    const auto text = c.is_whole() ? cstr_at(c.head, text_at) : std::nullopt;
    const auto what = link_.store.make_unshared(control_in(c.head, text, text_at));
    const auto s = rename(c, header_size, name, what->name);
    if (s.what == kind::replace) {
        c.ledger.sent(request::parse, origin::client, true);
        link_.server.begin({.server = &link_.server.use(what),
                            .is_there = true,
                            .name = &define(name, *what),
                            .meaning = what});
        link_.client->tie();
        ++link_.counts.client_parses;
        ++link_.counts.server_parses;
    }
    return s;
}

statement_relay::step statement_relay::parse_unnamed(const context& c) {
    const auto text = c.is_whole() ? cstr_at(c.head, header_size + 1) : std::nullopt;
    step s;
    named* target = nullptr;
    if (text && has_names()) {
        if (const auto diverted = deallocate(c, 'P', *text, target)) {
            if (diverted->what != kind::replace) {
                return *diverted;
            }
            s = *diverted;
        }
    }
    note_unnamed(c.head, c.is_whole(), text, c.ledger, c.marks);
    if (target != nullptr) {
        unnamed_target_ = *target->key;
    }
    return s;
}

// The client's own Parse of the unnamed statement is sent.
void statement_relay::note_unnamed(std::string_view head,
                                   bool is_whole,
                                   std::optional<std::string_view> text,
                                   ledger& ledger,
                                   session_marks& marks) {
    unnamed_target_.clear();
    // Without names it is not looked at; there may be some when it is run.
    unnamed_deallocates_ = !has_names() || !text || may_deallocate(*text);
    unnamed_seen_in_ = link_.server.segment();
    const bool is_query = text && is_lone_query(*text);
    unnamed_control_ =
        is_query ? transaction_control::none : control_in(head, text, header_size + 1);
    unnamed_changes_ = !is_query && note_text(text.value_or(std::string_view{}));
    marks.unnamed_owner = link_.self;
    marks.unnamed_count = 0;  // not known to be there yet
    ledger.sent_plain(request::parse, true);
    link_.server.begin_unnamed(mine(), is_whole ? head : std::string_view{});
}

// --- what refers to a statement

statement_relay::step statement_relay::refer(
    const context& c, request r, std::size_t name_at, std::string_view name, maybe_name portal) {
    if (name.empty()) {
        return refer_unnamed(c, r, portal);
    }
    auto* n = find(name);
    if (must_wait(c, n)) {
        return {kind::wait, {}, 0};
    }
    const auto what = n == nullptr ? nullptr : n->what.assumed();
    if (what == nullptr) {
        // PostgreSQL says that there is none, or knows it from an SQL PREPARE. But a client does
        // not get at ours.
        if (!is_ours(name)) {
            sent_reference(c, r, {}, portal);
            return {};
        }
        const auto s = rename(c, name_at, name, no_statement);
        if (s.what == kind::replace) {
            mine();
            sent_reference(c, r, name, portal);
        }
        return s;
    }
    if (auto s = make_ready(c, what)) {
        return *s;
    }
    const auto s = rename(c, name_at, name, what->name);
    if (s.what == kind::replace) {
        sent_reference(c, r, link_.client->is_ambiguous() ? name : std::string_view{}, portal);
        if (r == request::bind) {
            ++link_.counts.binds;
            ++what->binds;
            c.marks.add(what->effect);
            note_bound(what->deallocates, what->changes_parsing);
            bound_control_ = what->control;
        }
    }
    return s;
}

// The server has none, or not this one.
statement_relay::step statement_relay::restore_unnamed(const context& c, std::string_view parse) {
    c.ledger.sent(request::parse, origin::pooler, true);
    c.marks.unnamed_owner = link_.self;
    c.marks.unnamed_count = 0;
    link_.server.begin({.restores_unnamed = true});
    ++link_.counts.server_parses;
    ++link_.counts.statement_repairs;
    return {kind::insert, parse, 0};
}

statement_relay::step statement_relay::refer_unnamed(const context& c,
                                                     request r,
                                                     maybe_name portal) {
    auto& server = link_.server;
    const auto ours = link_.client == nullptr ? std::string_view{} : link_.client->unnamed();
    if (server.unnamed_is_ours.must_wait(server.segment())) {
        return {kind::wait, {}, 0};
    }
    // Parsed by an earlier segment, or on another server: what was noted of it then may be of a
    // Parse that was skipped, or forgotten. Not when this segment has dropped it.
    if (!ours.empty() && server.unnamed_is_ours.is_settled() &&
        unnamed_seen_in_ != server.segment()) {
        const auto text = cstr_at(ours, header_size + 1).value_or(std::string_view{});
        named* target = nullptr;
        unnamed_deallocates_ = !has_names() || may_deallocate(text);
        const auto diverted =
            has_names() && unnamed_deallocates_ ? deallocate(c, 'P', text, target) : std::nullopt;
        if (diverted && diverted->what != kind::replace) {
            return *diverted;
        }
        unnamed_target_ = target == nullptr ? std::string{} : *target->key;
        unnamed_seen_in_ = server.segment();
        unnamed_changes_ = note_text(text);
        unnamed_control_ = control_in(c.head, text, 0);
        // The name may have come or gone since: whichever text the server has, it may be the wrong.
        if (diverted || !deallocated_name(text).empty()) {
            return restore_unnamed(c, diverted ? diverted->bytes : ours);
        }
    }
    if (!server.unnamed_is_ours.assumed() && !ours.empty()) {
        c.marks.add(names_session_state(ours.substr(header_size)));
        return restore_unnamed(c, ours);
    }
    if (r == request::bind) {
        note_bound_unnamed();
    }
    sent_reference(c, r, {}, portal, unnamed_target_);
    return {};
}

statement_relay::step statement_relay::bind(const context& c) {
    const auto portal = cstr_at(c.head, header_size);
    const auto name_at = header_size + (portal ? portal->size() + 1 : 0);
    const auto name = portal ? cstr_at(c.head, name_at) : std::nullopt;
    if (!name || is_void(c)) {
        c.marks.permanent = c.marks.permanent || !name;
        if (!name) {
            unnamed_portal_ = transaction_control::mixed;
            named_portals_ = transaction_control::mixed;
        }
        return raw(c, request::bind);
    }
    // A name that is not known here: from an SQL PREPARE, which controls nothing, or unshared.
    bound_control_ = unshared_control_.value_or(transaction_control::none);
    const auto s = refer(c, request::bind, name_at, *name, *portal);
    if (s.what == kind::pass || s.what == kind::replace) {
        note_portal(*portal);
    }
    return s;
}

statement_relay::step statement_relay::describe(const context& c) {
    // A bad target byte is an error in any case; what is due then does not matter.
    const bool is_statement = c.head.size() > header_size && c.head[header_size] == 'S';
    const auto name = cstr_at(c.head, header_size + 1);
    if (!is_statement || !name || is_void(c)) {
        return raw(c, is_statement ? request::describe_statement : request::describe_portal);
    }
    return refer(c, request::describe_statement, header_size + 1, *name, std::nullopt);
}

statement_relay::step statement_relay::close(const context& c) {
    const bool is_statement = c.head.size() > header_size && c.head[header_size] == 'S';
    const auto name = cstr_at(c.head, header_size + 1);
    if (!is_statement || !name || is_void(c)) {
        return raw(c, request::close);
    }
    if (name->empty()) {
        const bool drops = has_unnamed();
        c.ledger.sent(request::close, origin::client, drops);
        if (drops) {
            link_.server.begin({.drops_unnamed = true});
        }
        return {};
    }
    auto* n = find(*name);
    if (must_wait(c, n)) {
        return {kind::wait, {}, 0};
    }
    if (n == nullptr && !is_ours(*name)) {
        return raw(c, request::close);  // it may be from an SQL PREPARE
    }
    // Others may need the statement; and a Close never fails, unless PostgreSQL reads it amid a
    // COPY.
    step s{kind::replace, {}, c.f.size};
    const bool may_fail = is_in_doubt(c);
    if (may_fail) {
        s = rename(c, header_size + 1, *name, no_statement);
        if (s.what != kind::replace) {
            return s;
        }
    }
    c.ledger.sent(may_fail ? request::close : request::known_close, origin::client, n != nullptr);
    if (n != nullptr) {
        link_.server.begin({.name = n});
    }
    return s;
}

// --- what runs

// `DEALLOCATE name` for a name that PostgreSQL does not know is sent as one for the decoy, in a
// message of this type: with its tag, or its error.
statement_relay::maybe_step statement_relay::deallocate(const context& c,
                                                        char type,
                                                        std::string_view text,
                                                        named*& target) {
    const auto name = deallocated_name(text);
    auto* n = name.empty() ? nullptr : find(name);
    if (n == nullptr) {
        return std::nullopt;
    }
    if (must_wait(c, n)) {
        return step{kind::wait, {}, 0};
    }
    if (n->what.assumed() == nullptr) {
        return std::nullopt;
    }
    const bool is_parse = type == 'P';
    const bool alone = !is_parse && !in_batch_;
    if (auto s = make_ready(c, decoy())) {
        if (alone && s->what == kind::insert && s->bytes.front() == 'P') {
            // Should it fail, the query would be skipped, and its client wait for ever.
            c.ledger.sent(request::sync, origin::pooler);
            s->bytes = parse_decoy_and_sync();
        }
        return s;
    }
    constexpr std::string_view nul{"\0", 1};
    constexpr std::string_view no_types{"\0\0\0", 3};
    const auto message = write(c.arena, type, is_parse ? nul : std::string_view{}, deallocate_decoy,
                               is_parse ? no_types : nul);
    if (message.empty()) {
        return step{kind::full, {}, 0};
    }
    target = n;
    return step{kind::replace, message, c.f.size};
}

statement_relay::step statement_relay::execute(const context& c) {
    note_run();
    const auto run = [this, &c] {
        c.ledger.sent(request::execute, origin::client, false, control_of_portal(c.head));
        return step{};
    };
    if (portals_.empty() || is_void(c)) {
        return run();
    }
    const auto portal = cstr_at(c.head, header_size);
    const auto known = portal ? portals_.find(significant(*portal)) : portals_.end();
    if (known == portals_.end()) {
        return run();
    }
    auto& bound = known->second;
    if (bound.must_wait(link_.server.segment())) {
        return {kind::wait, {}, 0};
    }
    if (bound.assumed().empty()) {
        return run();
    }
    auto* target = find(bound.assumed());
    if (target != nullptr && target->what.must_wait(link_.server.segment())) {
        return {kind::wait, {}, 0};
    }
    // Since the Parse of this DEALLOCATE, the decoy may have been closed to make room, or the name
    // by the client: then it must fail.
    if (target != nullptr && target->what.assumed() != nullptr) {
        if (auto made_ready = make_ready(c, decoy())) {
            return *made_ready;
        }
    } else if (auto& h = link_.server.use(decoy()); h.there.must_wait(link_.server.segment())) {
        return {kind::wait, {}, 0};
    } else if (h.there.assumed()) {
        return close_shared(c, h);
    }
    c.ledger.sent(request::execute, origin::client, true);
    link_.server.begin({.server = &link_.server.use(decoy()),
                        .is_there = false,
                        .deallocates = true,
                        .name = target,
                        .refers = bound.assumed(),
                        .portal = &bound});
    return {};
}

statement_relay::step statement_relay::query(const context& c) {
    auto& server = link_.server;
    if (is_void(c)) {
        server.end_segment();
        return raw(c, request::query);
    }
    const auto text = c.is_whole() ? cstr_at(c.head, header_size) : std::nullopt;
    step s;
    named* target = nullptr;
    if (text && has_names()) {
        if (const auto diverted = deallocate(c, 'Q', *text, target)) {
            if (diverted->what != kind::replace) {
                return *diverted;
            }
            s = *diverted;
        }
    }
    const bool drops = has_unnamed();
    c.ledger.sent(request::query, origin::client, drops || target != nullptr,
                  control_in(c.head, text, header_size));
    if (drops || target != nullptr) {
        server.begin({.server = target == nullptr ? nullptr : &server.use(decoy()),
                      .deallocates = target != nullptr,
                      .name = target,
                      .refers = target == nullptr ? std::string{} : *target->key,
                      .drops_unnamed = drops,
                      .surely_read = c.is_whole() && is_surely_read(c.head)});
    }
    fence_ = fence_ || (has_names() && (!text || may_deallocate(*text)));
    note_text(text.value_or(std::string_view{}));
    server.end_segment();
    return s;
}

// --- errors

bool translate_names(std::string_view message, const client_statements& client, std::string& out) {
    const auto at = message.find(shared_prefix, header_size);
    if (at == std::string_view::npos) {
        return false;
    }
    const auto is_name = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '_';
    };
    out.clear();
    std::size_t from = header_size;
    for (auto found = at; found != std::string_view::npos;
         found = message.find(shared_prefix, from)) {
        auto end = found;
        while (end < message.size() && is_name(message[end])) {
            ++end;
        }
        out.append(message, from, found - from);
        out.append(client.name_of(message.substr(found, end - found)));
        from = end;
    }
    out.append(message, from);
    std::string body;
    body.swap(out);
    message_writer{out}.begin(message.front()).put_bytes(body).end();
    return true;
}

}  // namespace pgweir::protocol
