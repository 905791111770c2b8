// A failed transaction without a server.
#include "pgweir/protocol/failed_transaction.hpp"

#include "pgweir/base/byte_order.hpp"
#include "pgweir/protocol/error_response.hpp"
#include "pgweir/protocol/frame.hpp"
#include "pgweir/protocol/message_writer.hpp"

#include <algorithm>

namespace pgweir::protocol {
namespace {

using verb = transaction_verb;

// More named portals than anybody makes of statements that end a transaction.
constexpr std::size_t portals_limit = 16;

constexpr std::string_view aborted_state = "25P02";
constexpr std::string_view aborted_text =
    "current transaction is aborted, commands ignored until end of transaction block";
constexpr std::string_view violated = "08P01";
constexpr std::string_view parse_complete{"1\0\0\0\4", 5};
constexpr std::string_view bind_complete{"2\0\0\0\4", 5};
constexpr std::string_view close_complete{"3\0\0\0\4", 5};
constexpr std::string_view no_data{"n\0\0\0\4", 5};
constexpr std::string_view no_parameters{"t\0\0\0\6\0\0", 7};
constexpr std::string_view empty_query{"I\0\0\0\4", 5};

// Takes fields off the front of a message.
class field_reader {
public:
    explicit field_reader(std::string_view body) noexcept : rest_{body} {}

    std::string_view cstr() noexcept {
        const auto end = rest_.find('\0');
        if (end == std::string_view::npos) {
            ok_ = false;
            return {};
        }
        const auto s = rest_.substr(0, end);
        rest_.remove_prefix(end + 1);
        return s;
    }
    unsigned int16() noexcept {
        const auto b = bytes(2);
        return b.empty() ? 0 : base::load_be16(b.data());
    }
    std::string_view bytes(std::size_t n) noexcept {
        if (rest_.size() < n) {
            ok_ = false;
            return {};
        }
        const auto b = rest_.substr(0, n);
        rest_.remove_prefix(n);
        return b;
    }
    [[nodiscard]] bool is_ok() const noexcept { return ok_; }
    // Nothing is left, and nothing was missing.
    [[nodiscard]] bool is_done() const noexcept { return ok_ && rest_.empty(); }

private:
    std::string_view rest_;
    bool ok_ = true;
};

// One that PostgreSQL runs in a failed transaction, and we can.
constexpr bool leaves(verb v) noexcept {
    return v == verb::commit || v == verb::commit_and_chain || v == verb::prepare_transaction ||
           v == verb::rollback || v == verb::rollback_and_chain;
}

constexpr bool is_chained(verb v) noexcept {
    return v == verb::commit_and_chain || v == verb::rollback_and_chain;
}

std::string quoted(std::string_view before, std::string_view name, std::string_view behind) {
    return std::string{before}.append(" \"").append(name).append("\" ").append(behind);
}

std::string bad_subtype(std::string_view message, std::string_view kind) {
    return std::string{"invalid "}.append(message).append(" message subtype ") +
           std::to_string(static_cast<unsigned char>(kind.front()));
}

std::string no_statement_text(std::string_view name) {
    return name.empty() ? "unnamed prepared statement does not exist"
                        : quoted("prepared statement", name, "does not exist");
}

}  // namespace

void append_aborted(std::string& out) {
    append_error(out, {.sqlstate = aborted_state, .message = aborted_text});
}

void append_rolled_back(std::string& out) {
    message_writer{out}.begin('C').put_cstr("ROLLBACK").end();
}

struct failed_transaction::context {
    char type;
    std::string_view message;  // whole; empty when it is too long to be looked at
    statements& known;
    std::string& out;

    [[nodiscard]] std::string_view body() const noexcept {
        return message.empty() ? message : message.substr(header_size);
    }
    [[nodiscard]] bool is_too_long() const noexcept { return message.empty(); }
};

failed_transaction::failed_transaction(loss what) noexcept
    : error_{std::move(what.error)},
      remain_{what.remain},
      is_block_{what.is_block},
      skipping_{what.is_skipping},
      left_{!what.is_block && !what.is_skipping && error_.empty()} {}

failed_transaction::step failed_transaction::scan(std::string_view data,
                                                  statements& known,
                                                  std::string& out) {
    std::size_t at = 0;
    for (;;) {
        const auto swallowed = std::min<std::size_t>(remain_, data.size() - at);
        remain_ -= static_cast<std::uint32_t>(swallowed);
        at += swallowed;
        if (remain_ != 0) {
            return {at, event::more};
        }
        if (std::exchange(ready_is_due_, false)) {
            ready({'Z', {}, known, out});
        }
        if (left_) {
            return {at, event::left};
        }
        const auto rest = data.substr(at);
        if (rest.empty()) {
            return {at, event::more};
        }
        constexpr std::string_view types{"QFPBDECSHdcfX"};
        if (types.find(rest.front()) == std::string_view::npos) {
            return {at, event::violation};
        }
        if (rest.size() < header_size) {
            return {at, event::held};
        }
        const auto f = read_frame(rest.data());
        if (f.size < header_size || f.size - 1 > large_message_limit) {
            return {at, event::violation};
        }
        if (f.type == 'X') {
            return {at, event::terminate};
        }
        const bool is_ignored = (skipping_ && f.type != 'S') ||
                                std::string_view{"Hdcf"}.find(f.type) != std::string_view::npos;
        if (is_ignored) {
            remain_ = static_cast<std::uint32_t>(f.size);
            continue;
        }
        if (in_batch_ && f.type != 'S' && f.type != 'C') {
            return {at, event::left};
        }
        const bool is_too_long = f.size > hold_limit;
        if (!is_too_long && rest.size() < f.size) {
            return {at, event::held};
        }
        answer({f.type, is_too_long ? std::string_view{} : rest.substr(0, f.size), known, out});
        remain_ = static_cast<std::uint32_t>(f.size);
    }
}

void failed_transaction::answer(const context& c) {
    if (c.type == 'S') {
        return sync(c);
    }
    if (!is_block_ && !in_batch_) {
        fail(c);  // the batch that was under way is lost
    } else if (c.type == 'C') {
        close(c);
    } else if (c.is_too_long()) {
        fail(c);
    } else {
        switch (c.type) {
            case 'Q': query(c); break;
            case 'P': parse(c); break;
            case 'B': bind(c); break;
            case 'D': describe(c); break;
            case 'E': execute(c); break;
            default: fail(c); break;
        }
    }
    ready_is_due_ = rest_.empty() && (c.type == 'Q' || c.type == 'F');
}

void failed_transaction::sync(const context& c) {
    // A commit may fail, and that of the batch has.
    if (!is_block_ && !skipping_ && !in_batch_) {
        fail(c);
    }
    skipping_ = false;
    ready(c);
}

void failed_transaction::ready(const context& c) {
    append_ready(c.out, is_block_ ? 'E' : 'I');
    left_ = !is_block_;
}

void failed_transaction::end_block() noexcept {
    is_block_ = false;
    error_.clear();
}

// Says what is wrong, unless something else has to be said first.
void failed_transaction::tell(const context& c,
                              std::string_view sqlstate,
                              std::string_view message) {
    if (error_.empty()) {
        append_error(c.out, {.sqlstate = sqlstate, .message = message});
    } else {
        c.out += std::exchange(error_, {});
    }
}

void failed_transaction::fail(const context& c,
                              std::string_view sqlstate,
                              std::string_view message) {
    tell(c, sqlstate, message);
    skipping_ = c.type != 'Q' && c.type != 'F';
}

void failed_transaction::fail(const context& c) { fail(c, aborted_state, aborted_text); }

void failed_transaction::refuse_chain(const context& c) {
    if (!is_told()) {
        return fail(c);
    }
    append_error(c.out, {.sqlstate = "0A000",
                         .message = "AND CHAIN is not supported in a transaction whose server "
                                    "connection was lost",
                         .hint = "Use ROLLBACK, then BEGIN."});
    skipping_ = c.type != 'Q';
}

void failed_transaction::query(const context& c) {
    c.known.forget({});
    field_reader fields{c.body()};
    const auto text = fields.cstr();
    if (!fields.is_done()) {
        return fail(c, violated, "invalid message format");
    }
    const auto look = look_at_statement(text);
    if (look.verb == verb::empty && is_told()) {
        c.out += empty_query;
    } else if (!leaves(look.verb)) {
        fail(c);
    } else if (is_chained(look.verb)) {
        refuse_chain(c);
    } else if (look.verb != verb::rollback && !is_told()) {
        fail(c);
        end_block();
    } else {
        end_block();
        append_rolled_back(c.out);
        if (!look.rest.empty()) {
            message_writer{rest_}.begin('Q').put_cstr(look.rest).end();
            left_ = true;
        }
    }
}

void failed_transaction::parse(const context& c) {
    field_reader fields{c.body()};
    const auto name = fields.cstr();
    const auto text = fields.cstr();
    fields.bytes(std::size_t{4} * fields.int16());
    if (!fields.is_done()) {
        return fail(c, violated, "invalid message format");
    }
    if (name.empty()) {
        c.known.forget({});
    }
    const auto look = look_at_statement(text);
    if (!leaves(look.verb) && look.verb != verb::empty) {
        return fail(c);
    }
    if (!look.rest.empty()) {
        return fail(c, "42601", "cannot insert multiple commands into a prepared statement");
    }
    if (c.known.find(name)) {
        return fail(c, "42P05", quoted("prepared statement", name, "already exists"));
    }
    if (!c.known.define(name, c.message)) {
        return fail(c);
    }
    c.out += parse_complete;
}

void failed_transaction::bind(const context& c) {
    field_reader fields{c.body()};
    const auto portal = significant(fields.cstr());
    const auto name = fields.cstr();
    fields.bytes(std::size_t{2} * fields.int16());
    const auto parameters = fields.int16();
    if (!fields.is_ok()) {
        return fail(c, violated, "invalid message format");
    }
    const auto known = c.known.find(name);
    if (!known) {
        return fail(c, "26000", no_statement_text(name));
    }
    const auto look = look_at_statement(known->text);
    if (!leaves(look.verb)) {
        return fail(c);
    }
    if (parameters != known->parameters) {
        return fail(c, violated,
                    "bind message supplies " + std::to_string(parameters) +
                        " parameters, but prepared statement \"" + std::string{name} +
                        "\" requires " + std::to_string(known->parameters));
    }
    if (parameters != 0) {
        return fail(c);
    }
    if (find_portal(portal) != nullptr) {
        if (!portal.empty()) {
            return fail(c, "42P03", quoted("cursor", portal, "already exists"));
        }
        std::erase_if(portals_, [](const auto& p) { return p.first.empty(); });
    }
    if (portals_.size() >= portals_limit) {
        return fail(c);
    }
    portals_.emplace_back(portal, look.verb);
    c.out += bind_complete;
}

void failed_transaction::describe(const context& c) {
    field_reader fields{c.body()};
    const auto kind = fields.bytes(1);
    const auto name = fields.cstr();
    if (!fields.is_done()) {
        return fail(c, violated, "invalid message format");
    }
    if (kind != "S" && kind != "P") {
        return fail(c, violated, bad_subtype("DESCRIBE", kind));
    }
    if (kind == "P") {
        if (find_portal(name) == nullptr) {
            return fail(c);
        }
    } else {
        const auto known = c.known.find(name);
        if (!known) {
            return fail(c, "26000", no_statement_text(name));
        }
        if (!leaves(look_at_statement(known->text).verb) || known->parameters != 0) {
            return fail(c);
        }
        c.out += no_parameters;
    }
    c.out += no_data;
}

void failed_transaction::execute(const context& c) {
    field_reader fields{c.body()};
    const auto name = fields.cstr();
    fields.bytes(4);
    if (!fields.is_done()) {
        return fail(c, violated, "invalid message format");
    }
    const auto* portal = find_portal(name);
    if (portal == nullptr) {
        return fail(c);
    }
    if (is_chained(*portal)) {
        return refuse_chain(c);
    }
    if (*portal != verb::rollback && !is_told()) {
        fail(c);
        return end_block();
    }
    end_block();
    in_batch_ = true;
    append_rolled_back(c.out);
}

// Cannot fail for what has happened to the transaction, and so tells nobody of the loss.
void failed_transaction::close(const context& c) {
    field_reader fields{c.body()};
    const auto kind = fields.bytes(1);
    const auto name = fields.cstr();
    if (!fields.is_done()) {
        return fail(c, violated, "invalid message format");
    }
    if (kind == "S") {
        c.known.forget(name);
    } else if (kind == "P") {
        std::erase_if(portals_, [&](const auto& p) { return p.first == significant(name); });
    } else {
        return fail(c, violated, bad_subtype("CLOSE", kind));
    }
    c.out += close_complete;
}

const transaction_verb* failed_transaction::find_portal(std::string_view name) const noexcept {
    const auto it =
        std::ranges::find_if(portals_, [&](const auto& p) { return p.first == significant(name); });
    return it == portals_.end() ? nullptr : &it->second;
}

// --- the client's statements

std::optional<failed_transaction::statements::known> lost_statements::find(std::string_view name) {
    if (link_.client == nullptr) {
        return std::nullopt;
    }
    if (name.empty()) {
        const auto parse = link_.client->unnamed();
        if (parse.empty()) {
            return std::nullopt;
        }
        field_reader fields{parse.substr(header_size + 1)};
        const auto text = fields.cstr();
        return known{text, fields.int16()};
    }
    auto* n = link_.client->find(name);
    if (n == nullptr || n->what.assumed() == nullptr) {
        return std::nullopt;
    }
    const auto& s = *n->what.assumed();
    return known{s.text(), s.parameter_types()};
}

bool lost_statements::define(std::string_view name, std::string_view message) {
    if (link_.client == nullptr) {
        link_.client = std::make_unique<client_statements>();
    }
    auto& client = *link_.client;
    if (name.empty()) {
        client.finish_unnamed(true, client.await_unnamed(message));
        return true;
    }
    if (!link_.are_shared || !client.has_room_for(message.size())) {
        return false;
    }
    const auto scope = link_.settings == nullptr ? std::shared_ptr<const void>{} : *link_.settings;
    auto what = link_.store.intern(scope, message.substr(header_size + name.size() + 1));
    auto& n = client.find_or_make(name);
    client.define(n, name, *what);
    n.what.set(std::move(what));
    return true;
}

void lost_statements::forget(std::string_view name) {
    if (link_.client == nullptr) {
        return;
    }
    if (name.empty()) {
        return link_.client->drop_unnamed();
    }
    if (auto* n = link_.client->find(name)) {
        n->what.set(nullptr);
        link_.client->tidy(*n);
    }
}

}  // namespace pgweir::protocol
