// Transaction control in SQL text.
#include "pgweir/protocol/transaction_end.hpp"

#include "protocol/sql_text.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace pgweir::protocol {
namespace {

using verb = transaction_verb;

// The size of the comment that `s` begins with, 0: none. Those in /* nest.
std::size_t comment_size(std::string_view s) noexcept {
    if (s.starts_with("--")) {
        return std::min(s.find_first_of("\r\n"), s.size());
    }
    if (!s.starts_with("/*")) {
        return 0;
    }
    std::size_t at = 2;
    for (std::size_t depth = 1; depth != 0; at += 2) {
        const auto next = s.find_first_of("*/", at);
        if (next >= s.size() - 1) {
            return s.size();
        }
        at = next;
        if (s[at] == '/' && s[at + 1] == '*') {
            ++depth;
        } else if (s[at] == '*' && s[at + 1] == '/') {
            --depth;
        } else {
            --at;
        }
    }
    return at;
}

std::string_view skip_blank(std::string_view s) noexcept {
    for (;;) {
        if (!s.empty() && is_space(s.front())) {
            s.remove_prefix(1);
        } else if (const auto n = comment_size(s)) {
            s.remove_prefix(n);
        } else {
            return s;
        }
    }
}

// Is the next word of `s` this one, in lower case?
bool begins_with(std::string_view s, std::string_view word) noexcept {
    const auto n = word.size();
    return s.size() >= n &&
           std::equal(word.begin(), word.end(), s.begin(),
                      [](char a, char b) { return a == lower(b); }) &&
           (s.size() == n || !continues_identifier(s[n]));
}

std::string_view skip_empty_statements(std::string_view s) noexcept {
    s = skip_blank(s);
    while (s.starts_with(';')) {
        s = skip_blank(s.substr(1));
    }
    return s;
}

// Takes words off the front of a text, one by one.
class word_reader {
public:
    explicit word_reader(std::string_view text) noexcept : rest_{skip_blank(text)} {}

    // Takes the next word if it is this one, in lower case.
    bool take(std::string_view word) noexcept {
        const bool is = begins_with(rest_, word);
        if (is) {
            rest_ = skip_blank(rest_.substr(word.size()));
        }
        return is;
    }
    // A string constant: '...', E'...', U&'...' or $tag$...$tag$.
    bool take_string() noexcept;
    [[nodiscard]] bool at_end() const noexcept { return rest_.empty() || rest_.front() == ';'; }
    [[nodiscard]] std::string_view rest() const noexcept { return rest_; }

private:
    std::string_view rest_;
};

// The size of the quoted text that `s` begins with. One without an end goes to the end.
std::size_t quoted_size(std::string_view s, bool has_escapes) noexcept {
    const char quote = s.front();
    for (std::size_t i = 1; i < s.size(); ++i) {
        if (has_escapes && s[i] == '\\') {
            ++i;
        } else if (s[i] == quote) {
            if (i + 1 == s.size() || s[i + 1] != quote) {
                return i + 1;
            }
            ++i;
        }
    }
    return s.size();
}

// The same for $tag$ ... $tag$; 0 when that does not begin here.
std::size_t dollar_quoted_size(std::string_view s) noexcept {
    if (!s.starts_with('$')) {
        return 0;
    }
    std::size_t end = 1;
    while (end < s.size() && s[end] != '$' && continues_identifier(s[end])) {
        ++end;
    }
    if (end == s.size() || s[end] != '$' || (end > 1 && !begins_identifier(s[1]))) {
        return 0;
    }
    const auto tag = s.substr(0, end + 1);
    const auto close = s.find(tag, tag.size());
    return close == std::string_view::npos ? s.size() : close + tag.size();
}

bool word_reader::take_string() noexcept {
    auto size = dollar_quoted_size(rest_);
    if (size == 0) {
        const bool has_escapes = !rest_.empty() && lower(rest_.front()) == 'e';
        const bool is_unicode = rest_.size() > 1 && lower(rest_[0]) == 'u' && rest_[1] == '&';
        const std::size_t prefix = has_escapes ? 1 : is_unicode ? 2 : 0;
        if (rest_.size() <= prefix || rest_[prefix] != '\'') {
            return false;
        }
        size = prefix + quoted_size(rest_.substr(prefix), has_escapes);
    }
    rest_ = skip_blank(rest_.substr(size));
    return true;
}

// Behind COMMIT, END, ROLLBACK or ABORT and its WORK or TRANSACTION.
verb ending(word_reader& words, verb plain, verb chained) noexcept {
    if (words.at_end()) {
        return plain;
    }
    if (!words.take("and")) {
        return verb::other;
    }
    const bool is_chained = !words.take("no");
    if (!words.take("chain") || !words.at_end()) {
        return verb::other;
    }
    return is_chained ? chained : plain;
}

// What is behind the first semicolon that ends a statement; empty when there is none.
std::string_view behind_statement(std::string_view s) noexcept {
    std::size_t at = 0;
    while (at < s.size()) {
        const auto rest = s.substr(at);
        const char c = rest.front();
        if (c == ';') {
            return rest.substr(1);
        }
        if (const auto size = comment_size(rest)) {
            at += size;
        } else if (const auto quoted = dollar_quoted_size(rest)) {
            at += quoted;
        } else if (c == '\'' || c == '"') {
            at += quoted_size(rest, false);
        } else if (begins_identifier(c)) {
            std::size_t end = 1;
            while (end < rest.size() && continues_identifier(rest[end])) {
                ++end;
            }
            const bool has_escapes =
                end == 1 && lower(c) == 'e' && rest.substr(1).starts_with('\'');
            at += has_escapes ? 1 + quoted_size(rest.substr(1), true) : end;
        } else {
            ++at;
        }
    }
    return {};
}

// The same, but for any semicolon, wherever it is.
std::string_view behind_semicolon(std::string_view s) noexcept {
    const auto at = s.find(';');
    return at == std::string_view::npos ? std::string_view{} : s.substr(at + 1);
}

bool controls(verb v) noexcept {
    switch (v) {
        case verb::begin:
        case verb::commit:
        case verb::commit_and_chain:
        case verb::prepare_transaction:
        case verb::rollback:
        case verb::rollback_and_chain: return true;
        default: return false;
    }
}

transaction_control control_of_single(verb v) noexcept {
    switch (v) {
        case verb::begin: return transaction_control::begins;
        case verb::commit:
        case verb::prepare_transaction: return transaction_control::commits;
        case verb::rollback: return transaction_control::rolls_back;
        default: return transaction_control::mixed;
    }
}

// Is there a semicolon, in a string or not, behind which a COMMIT may be? Each is looked at in a
// few steps, so comments behind one are not read.
bool might_commit(std::string_view sql) noexcept {
    for (auto rest = behind_semicolon(sql); !rest.empty(); rest = behind_semicolon(rest)) {
        rest.remove_prefix(std::min(rest.find_first_not_of(" \t\n\r\f\v"), rest.size()));
        if (rest.starts_with("--") || rest.starts_with("/*")) {
            return true;
        }
        const auto word = rest.substr(0, 8);
        if (begins_with(word, "commit") || begins_with(word, "end") ||
            begins_with(word, "prepare")) {
            return true;
        }
    }
    return false;
}

verb read_verb(word_reader& words) noexcept {
    const auto take_noise = [&] { return words.take("work") || words.take("transaction"); };
    if (words.take("rollback")) {
        take_noise();
        return words.take("to") ? verb::rollback_to
                                : ending(words, verb::rollback, verb::rollback_and_chain);
    }
    if (words.take("abort")) {
        take_noise();
        return ending(words, verb::rollback, verb::rollback_and_chain);
    }
    if (words.take("commit") || words.take("end")) {
        take_noise();
        return ending(words, verb::commit, verb::commit_and_chain);
    }
    if (words.take("prepare")) {
        const bool is_whole = words.take("transaction") && words.take_string() && words.at_end();
        return is_whole ? verb::prepare_transaction : verb::other;
    }
    if (words.take("begin") || (words.take("start") && words.take("transaction"))) {
        return verb::begin;
    }
    if (words.take("savepoint")) {
        return verb::savepoint;
    }
    return words.take("release") ? verb::release : verb::other;
}

}  // namespace

statement_look look_at_statement(std::string_view sql) noexcept {
    const auto text = skip_empty_statements(sql);
    if (text.empty()) {
        return {verb::empty};
    }
    word_reader words{text};
    const auto found = read_verb(words);
    switch (found) {
        case verb::begin:
            // No mode of a transaction has a semicolon in it.
            return {found, skip_empty_statements(words.rest().substr(
                               std::min(words.rest().find(';'), words.rest().size())))};
        case verb::commit:
        case verb::commit_and_chain:
        case verb::prepare_transaction:
        case verb::rollback:
        case verb::rollback_and_chain: return {found, skip_empty_statements(words.rest())};
        default: return {found};
    }
}

transaction_control study_control(std::string_view sql) noexcept {
    const auto text = skip_empty_statements(sql);
    if (text.size() < 2 || !begins_elsewhere(text[0], text[1])) {
        const auto first = look_at_statement(text);
        if (controls(first.verb)) {
            return first.rest.empty() ? control_of_single(first.verb) : transaction_control::mixed;
        }
    }
    if (skip_empty_statements(behind_semicolon(text)).empty()) {
        return transaction_control::none;
    }
    for (auto rest = behind_statement(text); !rest.empty(); rest = behind_statement(rest)) {
        rest = skip_empty_statements(rest);
        if (controls(look_at_statement(rest).verb)) {
            return transaction_control::mixed;
        }
    }
    return might_commit(text) ? transaction_control::may_commit : transaction_control::none;
}

transaction_control study_beginning(std::string_view sql) noexcept {
    const auto seen = study_control(sql);
    return seen == transaction_control::none || seen == transaction_control::may_commit
               ? transaction_control::may_commit
               : transaction_control::mixed;
}

}  // namespace pgweir::protocol
