// Names and expressions, through RE2.
#include "pgweir/auth/name_pattern.hpp"

#include <re2/re2.h>

namespace pgweir::auth {
namespace {

// For the program of one expression and its states; the names that it meets are short.
constexpr std::int64_t most_memory = 1 << 20;
constexpr std::size_t longest_expression = 1'000;

RE2::Options options() {
    RE2::Options o;
    o.set_log_errors(false);
    o.set_encoding(RE2::Options::EncodingLatin1);  // bytes
    o.set_dot_nl(true);                            // as PostgreSQL's
    o.set_max_mem(most_memory);
    return o;
}

// An escape that PostgreSQL and RE2 both take, in different meanings: PostgreSQL docs 9.7.3.3 has
// \b for a backspace and \B for a backslash.
const char* ambiguous_escape(std::string_view expression) noexcept {
    for (std::size_t i = 0; i + 1 < expression.size(); ++i) {
        if (expression[i] != '\\') {
            continue;
        }
        ++i;
        if (expression[i] == 'b' || expression[i] == 'B') {
            return expression[i] == 'b' ? "\\b" : "\\B";
        }
    }
    return nullptr;
}

}  // namespace

std::optional<std::string> name_pattern::assign(std::string text, bool is_quoted) {
    text_ = std::move(text);
    is_quoted_ = is_quoted;
    expression_.reset();
    if (!text_.starts_with('/')) {
        return std::nullopt;
    }
    const std::string_view body = std::string_view{text_}.substr(1);
    const auto refuse = [&](const std::string& why) {
        return "invalid regular expression \"" + std::string{body} + "\": " + why;
    };
    if (body.size() > longest_expression) {
        return refuse("longer than " + std::to_string(longest_expression) + " bytes");
    }
    if (const auto* escape = ambiguous_escape(body)) {
        return refuse(std::string{escape} + " is not supported by pgweir");
    }
    auto made = std::make_shared<const RE2>(re2::StringPiece{body.data(), body.size()}, options());
    if (!made->ok()) {
        return refuse(made->error());
    }
    expression_ = std::move(made);
    return std::nullopt;
}

bool name_pattern::matches(std::string_view name) const {
    return expression_ == nullptr
               ? name == text_
               : RE2::PartialMatch(re2::StringPiece{name.data(), name.size()}, *expression_);
}

bool name_pattern::captures(std::string_view name, std::optional<std::string>& group) const {
    const re2::StringPiece subject{name.data(), name.size()};
    re2::StringPiece found[2];
    const int wanted = expression_->NumberOfCapturingGroups() > 0 ? 2 : 1;
    if (!expression_->Match(subject, 0, subject.size(), RE2::UNANCHORED, found, wanted)) {
        return false;
    }
    group.reset();
    if (wanted == 2 && found[1].data() != nullptr) {
        group.emplace(found[1].data(), found[1].size());
    }
    return true;
}

}  // namespace pgweir::auth
