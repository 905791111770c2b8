// Reads the arguments of a command word by word.
#pragma once

#include "admin/lexer.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pgweir::admin {

class order_words {
public:
    explicit order_words(std::span<const token> words) noexcept : rest_{words} {}

    // Takes the next word if it is this keyword.
    bool take(std::string_view keyword) {
        const bool is = !rest_.empty() && rest_.front().is_word(keyword);
        rest_ = rest_.subspan(is ? 1 : 0);
        return is;
    }
    bool take_symbol(char c) {
        const bool is = is_symbol(c);
        rest_ = rest_.subspan(is ? 1 : 0);
        return is;
    }
    // Takes a name. Names of hosts are common, so hyphens need no quotes.
    std::optional<std::string> take_name() {
        if (rest_.empty()) {
            return std::nullopt;
        }
        if (is_quoted()) {
            return take_text();
        }
        std::string name;
        do {
            if (!is_plain()) {
                return std::nullopt;
            }
            name += (name.empty() ? "" : "-") + take_text();
        } while (take_symbol('-'));
        return name;
    }
    [[nodiscard]] bool is_quoted() const {
        return !rest_.empty() && (rest_.front().what == token::kind::quoted ||
                                  rest_.front().what == token::kind::string);
    }
    // What is left is one word: its text.
    std::optional<std::string> take_last() {
        return rest_.size() == 1 ? std::optional{take_text()} : std::nullopt;
    }
    [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }

private:
    [[nodiscard]] bool is_symbol(char c) const {
        return !rest_.empty() && rest_.front().what == token::kind::symbol &&
               rest_.front().text.front() == c;
    }
    [[nodiscard]] bool is_plain() const {
        return !rest_.empty() && (rest_.front().what == token::kind::word ||
                                  rest_.front().what == token::kind::number);
    }
    std::string take_text() {
        auto text = rest_.front().text;
        rest_ = rest_.subspan(1);
        return text;
    }

    std::span<const token> rest_;
};

}  // namespace pgweir::admin
