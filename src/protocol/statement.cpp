// Interned prepared statements, and the SQL that removes them.
#include "pgweir/protocol/statement.hpp"

#include "pgweir/base/byte_order.hpp"
#include "pgweir/protocol/frame.hpp"
#include "pgweir/protocol/message_writer.hpp"
#include "protocol/sql_text.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <functional>
#include <utility>

namespace pgweir::protocol {
namespace {

// Enough for max_workers of the pool layer.
constexpr unsigned worker_bits = 6;

// Skips white space and comments. Not nested comments: what is left of those is no identifier.
std::string_view skip_space(std::string_view s) noexcept {
    for (;;) {
        if (!s.empty() && is_space(s.front())) {
            s.remove_prefix(1);
        } else if (s.starts_with("--")) {
            s.remove_prefix(std::min(s.find('\n'), s.size()));
        } else if (s.starts_with("/*")) {
            const auto end = s.find("*/", 2);
            s.remove_prefix(end == std::string_view::npos ? s.size() : end + 2);
        } else {
            return s;
        }
    }
}

// Takes an identifier off the front of `s`; empty when there is none. ASCII is folded as PostgreSQL
// does; what folding does to other letters depends on the server's locale, so that is refused.
std::string take_identifier(std::string_view& s, bool& quoted) {
    std::string name;
    quoted = !s.empty() && s.front() == '"';
    if (quoted) {
        for (std::size_t i = 1; i < s.size(); ++i) {
            if (s[i] != '"') {
                name.push_back(s[i]);
            } else if (i + 1 < s.size() && s[i + 1] == '"') {
                name.push_back(s[i++]);
            } else {
                s.remove_prefix(i + 1);
                return name;
            }
        }
        return {};
    }
    if (s.empty() || !begins_identifier(s.front())) {
        return {};
    }
    std::size_t i = 0;
    for (; i < s.size() && continues_identifier(s[i]); ++i) {
        if (static_cast<unsigned char>(s[i]) >= 0x80) {
            return {};
        }
        name.push_back(lower(s[i]));
    }
    s.remove_prefix(i);
    return name;
}

// Eight letters as one number, to be compared at once.
constexpr std::uint64_t letters(std::array<char, 8> of) noexcept {
    return std::bit_cast<std::uint64_t>(of);
}

// Does it begin with one of the words that most texts begin with? They have six letters.
bool begins_commonly(std::string_view sql) noexcept {
    constexpr auto in_lower_case = letters({0x20, 0x20, 0x20, 0x20, 0x20, 0x20, 0, 0});
    constexpr auto six = letters({-1, -1, -1, -1, -1, -1, 0, 0});
    if (sql.size() < sizeof six) {
        return false;
    }
    std::uint64_t word = 0;
    std::memcpy(&word, sql.data(), sizeof word);
    word = (word | in_lower_case) & six;
    const bool is_common = word == letters({'s', 'e', 'l', 'e', 'c', 't'}) ||
                           word == letters({'i', 'n', 's', 'e', 'r', 't'}) ||
                           word == letters({'u', 'p', 'd', 'a', 't', 'e'}) ||
                           word == letters({'d', 'e', 'l', 'e', 't', 'e'});
    return is_common && !continues_identifier(sql[6]);
}

std::size_t hash_of(const void* scope, std::string_view body) noexcept {
    return std::hash<std::string_view>{}(body)*0x9e3779b97f4a7c15U +
           std::hash<const void*>{}(scope);
}

}  // namespace

std::string_view statement::body() const noexcept {
    const auto behind_name = header_size + name.size() + 1;
    return parse.empty() ? std::string_view{} : std::string_view{parse}.substr(behind_name);
}

std::string_view statement::text() const noexcept {
    const auto all = body();
    return all.substr(0, all.find('\0'));
}

unsigned statement::parameter_types() const noexcept {
    const auto behind_text = body().substr(std::min(body().size(), text().size() + 1));
    return behind_text.size() < 2 ? 0 : base::load_be16(behind_text.data());
}

std::shared_ptr<statement> statement_store::make() {
    auto made = std::make_shared<statement>();
    made->id = (++made_ << worker_bits) | worker_;
    std::array<char, 16> hex{};
    const auto end = std::to_chars(hex.data(), hex.data() + hex.size(), made->id, 16).ptr;
    made->name.append(shared_prefix).append(hex.data(), end);
    return made;
}

std::shared_ptr<statement> statement_store::make(std::string_view body) {
    auto made = make();
    message_writer{made->parse}.begin('P').put_cstr(made->name).put_bytes(body).end();
    const auto text = body.substr(0, body.find('\0'));
    made->deallocates = may_deallocate(text);
    made->changes_parsing = !leaves_parsing_alone(text);
    made->effect = names_session_state(text);
    made->control = control_of(text);
    return made;
}

statement_ptr statement_store::intern(const std::shared_ptr<const void>& scope,
                                      std::string_view body) {
    const auto hash = hash_of(scope.get(), body);
    const auto [from, to] = known_.equal_range(hash);
    for (auto it = from; it != to; ++it) {
        if (auto known = it->second.lock();
            known && known->body() == body && known->scope == scope) {
            return known;
        }
    }
    if (known_.size() >= sweep_at_) {
        std::erase_if(known_, [](const auto& s) { return s.second.expired(); });
        sweep_at_ = std::max<std::size_t>(64, known_.size() * 2);
    }
    auto made = make(body);
    made->scope = scope;
    known_.emplace(hash, made);
    return made;
}

statement_ptr statement_store::make_private(std::string_view body) { return make(body); }

statement_ptr statement_store::make_unshared(transaction_control control) {
    auto made = make();
    // Its text is not looked at.
    made->deallocates = made->changes_parsing = true;
    made->control = control;
    made->effect = text_effect::settings;
    return made;
}

bool may_deallocate(std::string_view sql) noexcept {
    return contains(sql, "deallocate") || contains(sql, "discard");
}

bool is_lone_query(std::string_view sql) noexcept {
    return begins_commonly(sql) && sql.find(';') >= sql.size() - 1;
}

bool begins_harmlessly(std::string_view sql) noexcept {
    if (is_lone_query(sql)) {
        return true;
    }
    constexpr std::array<std::string_view, 17> harmless{
        "select", "insert",    "update",  "delete", "with",  "values",
        "begin",  "start",     "commit",  "end",    "abort", "rollback",
        "merge",  "savepoint", "release", "table",  "fetch"};
    const auto text = skip_space(sql);
    std::array<char, 10> word;  // longer than the longest of them
    std::size_t size = 0;
    for (; size < std::min(word.size(), text.size()) && continues_identifier(text[size]); ++size) {
        word[size] = lower(text[size]);
    }
    if (std::ranges::find(harmless, std::string_view{word.data(), size}) == harmless.end()) {
        return false;
    }
    const auto end = text.find(';');
    return end == std::string_view::npos || skip_space(text.substr(end + 1)).empty();
}

bool leaves_parsing_alone(std::string_view sql) noexcept {
    return begins_harmlessly(sql) && names_session_state(sql) != text_effect::settings;
}

std::string deallocated_name(std::string_view sql) {
    bool quoted = false;
    auto rest = skip_space(sql);
    if (take_identifier(rest, quoted) != "deallocate" || quoted) {
        return {};
    }
    rest = skip_space(rest);
    auto name = take_identifier(rest, quoted);
    rest = skip_space(rest);
    if (name == "prepare" && !quoted && !rest.empty() && rest.front() != ';') {
        name = take_identifier(rest, quoted);
        rest = skip_space(rest);
    }
    if (!rest.empty() && rest.front() == ';') {
        rest = skip_space(rest.substr(1));
    }
    return rest.empty() && (quoted || name != "all") ? name : std::string{};
}

}  // namespace pgweir::protocol
