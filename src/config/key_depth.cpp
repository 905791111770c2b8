// Scans TOML for dotted keys that are too deep. The parser nests one table a part and destroys them
// recursively, so that a megabyte of "a.a.a." would otherwise overflow the stack.
#include "config/key_depth.hpp"

namespace pgweir::config {

namespace {

// Index after the string that starts at `at`, which holds a quote. TOML 1.0, section String: four
// kinds, of which the two with double quotes know backslash escapes, and up to two quotes may touch
// the closing delimiter of a multi-line string from inside.
std::size_t skip_string(std::string_view toml, std::size_t at) {
    const char quote = toml[at];
    const bool escapes = quote == '"';
    const bool multi_line = at + 2 < toml.size() && toml[at + 1] == quote && toml[at + 2] == quote;
    const std::size_t delimiter = multi_line ? 3 : 1;
    std::size_t run = 0;
    for (std::size_t i = at + delimiter; i < toml.size(); ++i) {
        if (toml[i] == quote) {
            if (++run == delimiter) {
                ++i;
                for (int extra = 0; multi_line && extra < 2 && i < toml.size() && toml[i] == quote;
                     ++extra) {
                    ++i;
                }
                return i;
            }
            continue;
        }
        run = 0;
        if (toml[i] == '\n' && !multi_line) {
            return i;
        }
        if (toml[i] == '\\' && escapes) {
            ++i;
        }
    }
    return toml.size();
}

}  // namespace

std::optional<position> find_deep_key(std::string_view toml) {
    unsigned line = 1;
    unsigned dots = 0;
    std::size_t line_start = 0;
    for (std::size_t i = 0; i < toml.size();) {
        const char c = toml[i];
        if (c == '"' || c == '\'') {
            const std::size_t end = skip_string(toml, i);
            for (; i < end; ++i) {
                if (toml[i] == '\n') {
                    ++line;
                    line_start = i + 1;
                }
            }
            continue;
        }
        if (c == '#') {
            i = toml.find('\n', i);
            if (i == std::string_view::npos) {
                break;
            }
            continue;
        }
        if (c == '.') {
            if (++dots >= max_key_parts) {
                return position{line, static_cast<unsigned>(i - line_start + 1)};
            }
        } else if (c == '\n' || c == '=' || c == ',' || c == '[' || c == ']' || c == '{' ||
                   c == '}') {
            dots = 0;
        }
        if (c == '\n') {
            ++line;
            line_start = i + 1;
        }
        ++i;
    }
    return std::nullopt;
}

}  // namespace pgweir::config
