// What PostgreSQL does with prepared statements, in small: names, portals, transactions, skipping.
#pragma once

#include "pgweir/protocol/frame.hpp"
#include "pgweir/protocol/message_writer.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pgweir::protocol::testing {

// Reads the fields of a message's body; total.
class field_reader {
public:
    explicit field_reader(std::string_view body) noexcept : rest_{body} {}

    std::string cstr() {
        const auto end = rest_.find('\0');
        if (end == std::string_view::npos) {
            ok_ = false;
            return {};
        }
        std::string s{rest_.substr(0, end)};
        rest_.remove_prefix(end + 1);
        return s;
    }
    char byte() { return take(1) ? taken_.front() : '\0'; }
    std::uint16_t int16() { return take(2) ? base::load_be16(taken_.data()) : std::uint16_t{0}; }
    std::uint32_t int32() { return take(4) ? base::load_be32(taken_.data()) : 0; }
    bool skip(std::size_t n) { return take(n); }
    // All of it was read, and nothing was missing.
    [[nodiscard]] bool ended() const noexcept { return ok_ && rest_.empty(); }
    [[nodiscard]] bool ok() const noexcept { return ok_; }

private:
    bool take(std::size_t n) {
        ok_ = ok_ && rest_.size() >= n;
        taken_ = rest_.substr(0, ok_ ? n : 0);
        rest_.remove_prefix(taken_.size());
        return ok_;
    }
    std::string_view rest_;
    std::string_view taken_;
    bool ok_ = true;
};

inline std::string lower(std::string_view text) {
    std::string out{text};
    std::ranges::transform(out, out.begin(), [](char c) {
        return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    });
    return out;
}

// The name in a `deallocate NAME` of the plain spellings that tests use; "all" for all.
inline std::optional<std::string> name_to_deallocate(std::string_view text) {
    constexpr std::string_view word = "deallocate ";
    if (!lower(text).starts_with(word)) {
        return std::nullopt;
    }
    const auto name = text.substr(word.size());
    return name.starts_with('"') ? std::string{name.substr(1, name.size() - 2)} : lower(name);
}
inline bool deallocates_all(std::string_view text) {
    const auto sql = lower(text);
    return sql == "deallocate all" || sql == "discard all";
}

// One session. SQL is a select of its own text, but for BEGIN, COMMIT, ROLLBACK, SAVEPOINT A (one
// at a time), ROLLBACK TO A, DEALLOCATE, DISCARD ALL, and what begins with "bad" (a syntax error),
// "fail" (fails when it is run) or 0xff (cannot be read).
// Rules and their order are those of src/backend/tcop/postgres.c.
class postgresql_model {
public:
    std::map<std::string, std::string> statements;  // by the first 63 bytes of their name
    std::optional<std::string> unnamed;

    // The `n`th request from now that could fail does so.
    void fail_in(std::size_t n) { failing_ = n; }
    // How many could have failed.
    [[nodiscard]] std::size_t fallible() const noexcept { return fallible_; }

    // Takes bytes of the client, in any pieces; returns what PostgreSQL has sent by now.
    std::string hear(std::string_view bytes) {
        kept_ += bytes;
        while (kept_.size() >= header_size) {
            const auto f = read_frame(kept_.data());
            if (kept_.size() < f.size) {
                break;
            }
            const auto body = kept_.substr(header_size, f.size - header_size);
            kept_.erase(0, f.size);
            if (!skipping_ || f.type == 'S') {
                answer(f.type, body);
            }
        }
        return std::exchange(flushed_, {});
    }

private:
    struct error {
        std::string_view sqlstate;
        std::string message;
    };
    using maybe_error = std::optional<error>;
    struct portal {
        std::string text;
        bool is_done = false;
    };

    void answer(char type, std::string_view body) {
        switch (type) {
            case 'Q': return query(body);
            case 'F': return function_call();
            case 'P': return extended(parse(body));
            case 'B': return extended(bind(body));
            case 'D': return extended(describe(body));
            case 'E': return extended(execute(body));
            case 'C': return extended(close(body));
            case 'S': return sync();
            case 'H': return flush();
            default: return;
        }
    }

    // --- requests

    maybe_error parse(std::string_view body) {
        field_reader in{body};
        const auto name = in.cstr();
        const auto text = in.cstr();
        in.skip(std::size_t{4} * in.int16());
        if (!in.ended()) {
            return malformed();
        }
        if (is_unreadable(text)) {
            return unreadable();
        }
        if (name.empty()) {
            unnamed.reset();
        }
        if (auto e = fault()) {
            return e;
        }
        if (auto e = analyze(text)) {
            return e;
        }
        if (name.empty()) {
            unnamed = text;
        } else if (!statements.try_emplace(key(name), text).second) {
            return error{"42P05", "prepared statement \"" + name + "\" already exists"};
        }
        put('1', {});
        return std::nullopt;
    }

    maybe_error bind(std::string_view body) {
        field_reader in{body};
        const auto to = in.cstr();
        const auto name = in.cstr();
        if (!in.ok()) {
            return malformed();
        }
        if (auto e = fault()) {
            return e;
        }
        const auto* text = find(name);
        if (text == nullptr) {
            return missing(name);
        }
        in.skip(std::size_t{2} * in.int16());
        const auto values = in.int16();
        in.skip(std::size_t{2} * in.int16());
        if (!in.ended() || values != 0) {
            return malformed();
        }
        if (status_ == 'E' && !is_exit(*text)) {
            return aborted();
        }
        if (!to.empty() && portals_.contains(to)) {
            return error{"42P03", "cursor already exists"};
        }
        portals_[to] = {*text};
        put('2', {});
        return std::nullopt;
    }

    maybe_error describe(std::string_view body) {
        field_reader in{body};
        const char what = in.byte();
        const auto name = in.cstr();
        if (!in.ended() || (what != 'S' && what != 'P')) {
            return malformed();
        }
        if (auto e = fault()) {
            return e;
        }
        const auto* text = what == 'S' ? find(name) : find_portal(name);
        if (text == nullptr) {
            return what == 'S' ? missing(name) : error{"34000", "portal does not exist"};
        }
        if (status_ == 'E' && is_select(*text)) {
            return aborted();
        }
        if (what == 'S') {
            put('t', std::string_view{"\0\0", 2});
        }
        put_columns(*text);
        return std::nullopt;
    }

    maybe_error execute(std::string_view body) {
        field_reader in{body};
        const auto name = in.cstr();
        in.skip(4);
        if (!in.ended()) {
            return malformed();
        }
        if (auto e = fault()) {
            return e;
        }
        const auto found = portals_.find(name);
        if (found == portals_.end()) {
            return error{"34000", "portal does not exist"};
        }
        const auto text = found->second.text;
        if (text.empty()) {
            put('I', {});
            return std::nullopt;
        }
        if (status_ == 'E' && !is_exit(text)) {
            return aborted();
        }
        if (std::exchange(found->second.is_done, true)) {
            if (!is_select(text)) {
                return error{"55000", "portal cannot be run"};
            }
            put_tag("SELECT 0");
            return std::nullopt;
        }
        return run(text);
    }

    maybe_error close(std::string_view body) {
        field_reader in{body};
        const char what = in.byte();
        const auto name = in.cstr();
        if (!in.ended() || (what != 'S' && what != 'P')) {
            return malformed();
        }
        if (what == 'P') {
            portals_.erase(name);
        } else if (name.empty()) {
            unnamed.reset();
        } else {
            statements.erase(key(name));
        }
        put('3', {});
        return std::nullopt;
    }

    void query(std::string_view body) {
        field_reader in{body};
        const auto text = in.cstr();
        if (!in.ended() || is_unreadable(text)) {
            return end(in.ended() ? unreadable() : malformed());
        }
        unnamed.reset();
        auto e = fault();
        if (!e) {
            e = analyze(text);
        }
        if (!e && text.empty()) {
            put('I', {});
        } else if (!e) {
            if (is_select(text)) {
                put_columns(text);
            }
            e = run(text);
        }
        end(e);
    }

    void function_call() {
        auto e = fault();
        if (!e && status_ == 'E') {
            e = aborted();
        }
        if (!e) {
            put('V', std::string_view{"\xff\xff\xff\xff", 4});
        }
        end(e);
    }

    void sync() {
        skipping_ = false;
        end(fault());
    }

    // The end of a transaction, unless a block is open.
    void end(const maybe_error& e) {
        if (e) {
            put_error(*e);
        }
        if (status_ == 'I') {
            portals_.clear();
        }
        put('Z', {&status_, 1});
        flush();
    }

    void extended(const maybe_error& e) {
        if (e) {
            put_error(*e);
            skipping_ = true;
            flush();
        }
    }

    // --- SQL

    static bool is_exit(std::string_view text) {
        return lower(text) == "commit" || lower(text) == "rollback" || is_return(text);
    }
    static bool is_return(std::string_view text) { return lower(text) == "rollback to a"; }
    static bool is_select(std::string_view text) {
        return !text.empty() && !is_exit(text) && lower(text) != "begin" &&
               lower(text) != "savepoint a" && !deallocates_all(text) && !name_to_deallocate(text);
    }

    maybe_error analyze(std::string_view text) const {
        if (text.starts_with("bad")) {
            return error{"42601", "syntax error"};
        }
        if (status_ == 'E' && !text.empty() && !is_exit(text)) {
            return aborted();
        }
        return std::nullopt;
    }

    maybe_error run(const std::string& text) {
        if (text.starts_with("fail")) {
            return error{"22012", "division by zero"};
        }
        if (lower(text) == "begin") {
            status_ = 'T';
            put_tag("BEGIN");
        } else if (lower(text) == "savepoint a") {
            saved_ = portals_;
            put_tag("SAVEPOINT");
        } else if (is_return(text)) {
            // Portals that were there before, run or not, are there after an error as well.
            std::erase_if(portals_, [this](const auto& p) { return !saved_.contains(p.first); });
            status_ = 'T';
            put_tag("ROLLBACK");
        } else if (is_exit(text)) {
            status_ = 'I';
            portals_.clear();
            put_tag(lower(text) == "commit" ? "COMMIT" : "ROLLBACK");
        } else if (deallocates_all(text)) {
            statements.clear();
            put_tag(lower(text) == "discard all" ? "DISCARD ALL" : "DEALLOCATE ALL");
        } else if (const auto name = name_to_deallocate(text)) {
            if (statements.erase(key(*name)) == 0) {
                return missing(*name);
            }
            put_tag("DEALLOCATE");
        } else {
            message_writer row{pending_};
            row.begin('D').put_int16(1).put_int32(static_cast<std::int32_t>(text.size()));
            row.put_bytes(text).end();
            put_tag("SELECT 1");
        }
        return std::nullopt;
    }

    // --- errors

    static error malformed() { return {"08P01", "invalid message format"}; }
    static bool is_unreadable(std::string_view text) { return text.starts_with('\xff'); }
    static error unreadable() { return {"22021", "invalid byte sequence for encoding"}; }
    static error aborted() { return {"25P02", "current transaction is aborted"}; }
    static error missing(const std::string& name) {
        return {"26000", name.empty() ? "unnamed prepared statement does not exist"
                                      : "prepared statement \"" + name + "\" does not exist"};
    }
    maybe_error fault() {
        ++fallible_;
        if (failing_ == 0 || --failing_ != 0) {
            return std::nullopt;
        }
        return error{"57014", "canceling statement due to user request"};
    }

    // --- the rest

    static std::string key(const std::string& name) { return name.substr(0, 63); }
    [[nodiscard]] const std::string* find(const std::string& name) const {
        if (name.empty()) {
            return unnamed ? &*unnamed : nullptr;
        }
        const auto it = statements.find(key(name));
        return it == statements.end() ? nullptr : &it->second;
    }
    [[nodiscard]] const std::string* find_portal(const std::string& name) const {
        const auto it = portals_.find(name);
        return it == portals_.end() ? nullptr : &it->second.text;
    }

    void put(char type, std::string_view body) {
        message_writer{pending_}.begin(type).put_bytes(body).end();
    }
    void put_tag(std::string_view tag) { message_writer{pending_}.begin('C').put_cstr(tag).end(); }
    void put_columns(const std::string& text) {
        if (!is_select(text)) {
            return put('n', {});
        }
        message_writer out{pending_};
        out.begin('T').put_int16(1).put_cstr(text).put_int32(0).put_int16(0).put_int32(25);
        out.put_int16(-1).put_int32(-1).put_int16(0).end();
    }
    void put_error(const error& e) {
        message_writer out{pending_};
        out.begin('E').put_byte('S').put_cstr("ERROR").put_byte('V').put_cstr("ERROR");
        out.put_byte('C').put_cstr(e.sqlstate).put_byte('M').put_cstr(e.message).put_byte('\0');
        out.end();
        status_ = status_ == 'T' ? 'E' : status_;
    }
    void flush() {
        flushed_ += pending_;
        pending_.clear();
    }

    std::map<std::string, portal> portals_;
    std::map<std::string, portal> saved_;  // at the savepoint
    char status_ = 'I';
    bool skipping_ = false;
    std::size_t failing_ = 0;
    std::size_t fallible_ = 0;
    std::string kept_;
    std::string pending_;  // PostgreSQL sends when it is asked to, or has answered all
    std::string flushed_;
};

}  // namespace pgweir::protocol::testing
