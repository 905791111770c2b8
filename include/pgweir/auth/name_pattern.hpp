// One entry of a list of databases or users in a file of access rules.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace re2 {
class RE2;
}

namespace pgweir::auth {

// A keyword, a name, or a regular expression after a slash (PostgreSQL docs 21.1). Regular
// expressions are RE2's, so that none takes more than linear time: without look-around and
// back-references. They see bytes, as PostgreSQL's do before a login, and match anywhere in a name
// unless they are anchored. Immutable; copies share the expression; any thread.
class name_pattern {
public:
    // What is wrong with `text`, or nothing. A quote takes the meaning from keywords, not from a
    // slash.
    [[nodiscard]] std::optional<std::string> assign(std::string text, bool is_quoted);

    [[nodiscard]] const std::string& text() const noexcept { return text_; }
    [[nodiscard]] bool is_keyword(std::string_view word) const noexcept {
        return !is_quoted_ && text_ == word;
    }
    [[nodiscard]] bool is_expression() const noexcept { return expression_ != nullptr; }
    // "+name": whoever is a member of the role.
    [[nodiscard]] bool is_membership() const noexcept {
        return !is_quoted_ && text_.starts_with('+');
    }
    // As an expression or literally; keywords are the caller's to know.
    [[nodiscard]] bool matches(std::string_view name) const;
    // REQUIRES: is_expression(). Does it match `name`? `group`: what the first parentheses took;
    // nullopt when there are none, or they took no part.
    [[nodiscard]] bool captures(std::string_view name, std::optional<std::string>& group) const;

    friend bool operator==(const name_pattern& a, const name_pattern& b) noexcept {
        return a.text_ == b.text_ && a.is_quoted_ == b.is_quoted_;
    }

private:
    std::string text_;
    bool is_quoted_ = false;
    std::shared_ptr<const re2::RE2> expression_;
};

}  // namespace pgweir::auth
