// Lines, quoting, lists and inclusion.
#include "auth/rule_lines.hpp"

#include <optional>
#include <utility>

namespace pgweir::auth {
namespace {

// PostgreSQL's CONF_FILE_MAX_DEPTH.
constexpr int deepest = 10;
// Depth alone does not bound the work: a file may include itself twice.
constexpr std::size_t most_files = 1'000;
constexpr std::size_t most_bytes = 16u << 20;

bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\r'; }

std::string absolute(const std::string& name, const std::string& beside) {
    return name.starts_with('/') ? name : beside.substr(0, beside.rfind('/') + 1) + name;
}

class reader {
public:
    explicit reader(rule_source& source) : source_{source} {}

    // An error of the file as a whole, or empty.
    std::string read_file(const std::string& path,
                          int depth,
                          bool may_be_missing,
                          std::vector<rule_line>& out) {
        const auto failed = [&](const std::string& why) {
            return "could not open file \"" + path + "\": " + why;
        };
        if (depth > deepest) {
            return failed("maximum nesting depth exceeded");
        }
        if (++files_ > most_files) {
            return failed("more than " + std::to_string(most_files) + " files are included");
        }
        auto file = source_.read(path);
        if (!file.error.empty()) {
            return file.is_missing && may_be_missing ? "" : failed(file.error);
        }
        bytes_ += file.text.size();
        if (bytes_ > most_bytes) {
            return failed("more than 16 MiB are included");
        }
        read_lines(path, file.text, depth, out);
        return {};
    }

private:
    // One token; false at the end of the line or at a comment.
    struct piece {
        token what;
        bool has_more = false;  // a comma follows
    };

    static std::optional<piece> next_token(std::string_view& rest) {
        while (!rest.empty() && (is_blank(rest.front()) || rest.front() == ',')) {
            rest.remove_prefix(1);
        }
        piece out;
        bool in_quote = false;
        bool was_quote = false;  // the character before closed a quote, or is the first of two
        bool saw_quote = false;
        while (!rest.empty() && (in_quote || !is_blank(rest.front()))) {
            const char c = rest.front();
            if (!in_quote && c == '#') {
                rest = {};
                break;
            }
            rest.remove_prefix(1);
            if (!in_quote && c == ',') {
                out.has_more = true;
                break;
            }
            if (c != '"' || was_quote) {
                out.what.text += c;
            }
            was_quote = in_quote && c == '"' && !was_quote;
            if (c == '"') {
                in_quote = !in_quote;
                saw_quote = true;
                out.what.is_quoted |= out.what.text.empty();
            }
        }
        return saw_quote || !out.what.text.empty() ? std::optional{std::move(out)} : std::nullopt;
    }

    // What the file holds, as one list.
    std::string expand(const std::string& path, int depth, field& out) {
        std::vector<rule_line> lines;
        if (auto error = read_file(path, depth, false, lines); !error.empty()) {
            return error;
        }
        for (auto& line : lines) {
            if (!line.error.empty()) {
                return line.error;
            }
            for (auto& part : line.fields) {
                std::move(part.begin(), part.end(), std::back_inserter(out));
            }
        }
        return {};
    }

    // Empty at the end of the line.
    field next_field(const std::string& path,
                     std::string_view& rest,
                     int depth,
                     std::string& error) {
        field out;
        bool has_more = true;
        while (has_more && error.empty()) {
            auto next = next_token(rest);
            if (!next) {
                break;
            }
            has_more = next->has_more;
            const auto& text = next->what.text;
            if (next->what.is_quoted || text.size() < 2 || text.front() != '@') {
                out.push_back(std::move(next->what));
                continue;
            }
            const auto included = absolute(text.substr(1), path);
            error = expand(included, depth + 1, out);
            // A field that vanishes would lend its place to the next one.
            if (error.empty() && out.empty() && !has_more) {
                error = "file \"" + included + "\" holds no names";
            }
        }
        return out;
    }

    // True: the line is done with. An error is left in `line`.
    bool include(rule_line& line, int depth, std::vector<rule_line>& out) {
        const auto& what = line.fields[0][0].text;
        const auto& name = line.fields[1][0].text;
        if (what == "include" || what == "include_if_exists") {
            line.error =
                read_file(absolute(name, line.file), depth + 1, what == "include_if_exists", out);
            return line.error.empty();
        }
        if (what != "include_dir") {
            return false;
        }
        const auto directory = absolute(name, line.file);
        const auto listing = source_.list(directory);
        if (!listing.error.empty()) {
            line.error =
                "could not open configuration directory \"" + directory + "\": " + listing.error;
            return false;
        }
        for (const auto& path : listing.paths) {
            if (auto error = read_file(path, depth + 1, false, out); !error.empty()) {
                line.error += (line.error.empty() ? "" : "; ") + error;
            }
        }
        return line.error.empty();
    }

    void read_line(rule_line line, std::string_view text, int depth, std::vector<rule_line>& out) {
        if (text.find('\0') != std::string_view::npos) {
            line.error = "contains a NUL character";
        }
        while (!text.empty() && line.error.empty()) {
            if (auto next = next_field(line.file, text, depth, line.error); !next.empty()) {
                line.fields.push_back(std::move(next));
            }
        }
        if (line.fields.empty() && line.error.empty()) {
            return;
        }
        if (line.error.empty() && line.fields.size() == 2 && include(line, depth, out)) {
            return;
        }
        out.push_back(std::move(line));
    }

    void read_lines(const std::string& path,
                    std::string_view text,
                    int depth,
                    std::vector<rule_line>& out) {
        unsigned number = 0;
        while (!text.empty()) {
            std::string whole;
            const unsigned first = number + 1;
            // Two backslashes at the end of a line continue it once, not twice.
            for (std::size_t joined = 0; !text.empty();) {
                const auto end = text.find('\n');
                whole += text.substr(0, end);
                text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
                ++number;
                while (whole.ends_with('\r')) {
                    whole.pop_back();
                }
                if (whole.size() <= joined || whole.back() != '\\') {
                    break;
                }
                whole.pop_back();
                joined = whole.size();
            }
            read_line({path, first, {}, {}}, whole, depth, out);
        }
    }

    rule_source& source_;
    std::size_t files_ = 0;
    std::size_t bytes_ = 0;
};

}  // namespace

std::vector<rule_line> read_rule_lines(const std::string& path, rule_source& source) {
    std::vector<rule_line> out;
    if (auto error = reader{source}.read_file(path, 0, false, out); !error.empty()) {
        out.push_back({path, 0, {}, std::move(error)});
    }
    return out;
}

}  // namespace pgweir::auth
