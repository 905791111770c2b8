// Cuts the text of a query into statements and these into words.
#include "admin/lexer.hpp"

#include <optional>
#include <utility>

namespace pgweir::admin {
namespace {

bool is_space(char c) noexcept {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}
bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool starts_word(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80;
}
// Dots belong to the word: setting names are written "timeouts.query".
bool continues_word(char c) noexcept {
    return starts_word(c) || is_digit(c) || c == '$' || c == '.';
}
char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

class lexer {
public:
    explicit lexer(std::string_view sql) noexcept : rest_{sql} {}

    std::variant<std::vector<token_list>, failure> run() {
        for (skip_blank(); !rest_.empty() && !failure_; skip_blank()) {
            if (rest_[0] == ';') {
                rest_.remove_prefix(1);
                finish_statement();
            } else if (current_.size() == statement_limit) {
                failure_ = failure{"54001", "the statement has too many words for the console"};
            } else {
                read_token();
            }
        }
        if (failure_) {
            return std::move(*failure_);
        }
        finish_statement();
        return std::move(done_);
    }

private:
    void finish_statement() {
        if (!current_.empty()) {
            done_.push_back(std::exchange(current_, {}));
        }
    }

    void syntax_error(const char* message) { failure_ = failure{"42601", message}; }

    void skip_blank() {
        while (!rest_.empty() && !failure_) {
            if (is_space(rest_[0])) {
                rest_.remove_prefix(1);
            } else if (rest_.starts_with("--")) {
                rest_.remove_prefix(std::min(rest_.find_first_of("\r\n"), rest_.size()));
            } else if (rest_.starts_with("/*")) {
                skip_block_comment();
            } else {
                return;
            }
        }
    }

    // These nest, as the SQL standard has it and C does not.
    void skip_block_comment() {
        int depth = 0;
        do {
            if (rest_.size() < 2) {
                return syntax_error("unterminated /* comment");
            }
            if (rest_.starts_with("/*")) {
                ++depth;
                rest_.remove_prefix(2);
            } else if (rest_.starts_with("*/")) {
                --depth;
                rest_.remove_prefix(2);
            } else {
                rest_.remove_prefix(1);
            }
        } while (depth > 0);
    }

    void read_token() {
        const char c = rest_[0];
        if (starts_word(c)) {
            read_run(token::kind::word, 1, continues_word);
        } else if (is_digit(c)) {
            read_run(token::kind::number, 1, continues_word);
        } else if (c == '$' && rest_.size() > 1 && is_digit(rest_[1])) {
            read_run(token::kind::parameter, 1, is_digit);
        } else if (c == '"') {
            read_quoted(token::kind::quoted, "unterminated quoted identifier");
        } else if (c == '\'') {
            read_quoted(token::kind::string, "unterminated quoted string");
        } else {
            read_run(token::kind::symbol, 1, [](char) { return false; });
        }
    }

    template <class Continues>
    void read_run(token::kind what, std::size_t size, Continues continues) {
        while (size < rest_.size() && continues(rest_[size])) {
            ++size;
        }
        token t{what, std::string{rest_.substr(0, size)}};
        if (what == token::kind::word) {
            for (char& c : t.text) {
                c = lower(c);
            }
        }
        rest_.remove_prefix(size);
        current_.push_back(std::move(t));
    }

    // A quote inside is written twice.
    void read_quoted(token::kind what, const char* unterminated) {
        const char quote = rest_[0];
        rest_.remove_prefix(1);
        token t{what, {}};
        for (;;) {
            const auto end = rest_.find(quote);
            if (end == std::string_view::npos) {
                return syntax_error(unterminated);
            }
            t.text.append(rest_.substr(0, end));
            rest_.remove_prefix(end + 1);
            if (!rest_.starts_with(quote)) {
                break;
            }
            t.text.push_back(quote);
            rest_.remove_prefix(1);
        }
        current_.push_back(std::move(t));
    }

    std::string_view rest_;
    token_list current_;
    std::vector<token_list> done_;
    std::optional<failure> failure_;
};

}  // namespace

std::variant<std::vector<token_list>, failure> read_statements(std::string_view sql) {
    return lexer{sql}.run();
}

}  // namespace pgweir::admin
