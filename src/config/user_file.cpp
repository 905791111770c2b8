// Reading the file of users.
#include "config/user_file.hpp"

#include "config/secret_text.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace pgweir::config {

namespace {

constexpr std::size_t largest_user_file = 64u << 20;
// A broken file may have a million lines, and a person reads a screen or two.
constexpr std::size_t most_user_problems = 100;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v'; }

std::string_view without_blanks(std::string_view text) {
    const auto* first = std::ranges::find_if_not(text, is_blank);
    return text.substr(static_cast<std::size_t>(first - text.begin()));
}

// Takes a quoted string off the front of `rest`; nothing when there is none that ends.
std::optional<std::string> take_quoted(std::string_view& rest) {
    rest = without_blanks(rest);
    if (!rest.starts_with('"')) {
        return std::nullopt;
    }
    std::string out;
    for (std::size_t i = 1; i < rest.size(); ++i) {
        if (rest[i] != '"') {
            out.push_back(rest[i]);
        } else if (i + 1 < rest.size() && rest[i + 1] == '"') {
            out.push_back(rest[i++]);
        } else {
            rest.remove_prefix(i + 1);
            return out;
        }
    }
    base::wipe(out.data(), out.size());
    return std::nullopt;
}

// What is wrong with a line; nothing: `out` has what it says.
reading read_line(std::string_view line, user_entry& out) {
    auto name = take_quoted(line);
    if (!name) {
        return fault{"does not begin with a user in quotation marks",
                     R"(write "NAME" "SECRET"; a comment begins with ;)"};
    }
    if (name->empty()) {
        return fault{"has a user without a name", {}};
    }
    if (auto refused = role_or_database(*name)) {
        return fault{"has a user whose name " + refused->message, {}};
    }
    auto secret = take_quoted(line);
    if (!secret) {
        return fault{"has no secret in quotation marks behind the user",
                     R"(write "NAME" "SECRET"; a quotation mark inside is written twice)"};
    }
    out.name = std::move(*name);
    out.password = base::secret{std::move(*secret)};
    if (auto refused = check_secret(out.password)) {
        return fault{"has a secret that " + refused->message, std::move(refused->hint)};
    }
    return std::nullopt;
}

}  // namespace

std::variant<std::vector<user_entry>, std::vector<problem>> parse_user_file(
    std::string_view text, const std::string& file) {
    std::vector<user_entry> users;
    std::vector<problem> problems;
    for (unsigned number = 1; !text.empty() && problems.size() < most_user_problems; ++number) {
        const auto end = std::min(text.find('\n'), text.size());
        const auto line = without_blanks(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.empty() || line.starts_with(';')) {
            continue;
        }
        user_entry one;
        if (auto refused = read_line(line, one)) {
            problems.push_back(
                {file, number, 1, "line " + refused->message, std::move(refused->hint)});
        } else {
            users.push_back(std::move(one));
        }
    }
    if (!problems.empty()) {
        return problems;
    }
    return users;
}

std::vector<problem> add_user_file(snapshot& out, const std::string& directory) {
    if (out.auth.user_file.empty()) {
        return {};
    }
    const auto path =
        out.auth.user_file.starts_with('/') ? out.auth.user_file : directory + out.auth.user_file;
    base::secret text;
    if (auto refused = read_private_file(path, largest_user_file, text)) {
        return {{out.path, 0, 0, "auth.user_file " + refused->message, std::move(refused->hint)}};
    }
    auto parsed = parse_user_file(text.reveal(), path);
    if (auto* problems = std::get_if<std::vector<problem>>(&parsed)) {
        return std::move(*problems);
    }
    // As in PgBouncer, the last line of a name counts.
    auto& users = std::get<std::vector<user_entry>>(parsed);
    for (auto user = users.rbegin(); user != users.rend(); ++user) {
        const auto [place, is_new] = out.users.try_emplace(user->name);
        if (is_new) {
            place->second.name = std::move(user->name);
            place->second.password = std::move(user->password);
        }
    }
    return {};
}

}  // namespace pgweir::config
