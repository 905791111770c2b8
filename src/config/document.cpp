// The only file that knows toml++: parses and copies the result into nodes.
#include "config/document.hpp"

#include "config/key_depth.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <cstdio>

namespace pgweir::config {

namespace {

position at(const toml::source_position& p) { return {p.line, p.column}; }

// Recursion is safe: toml++ nests 256 values at most, each with at most max_key_parts tables.
void fill(node& out, const toml::node& in) {
    out.value_at = at(in.source().begin);
    if (const auto* table = in.as_table()) {
        out.children.reserve(table->size());
        for (const auto& [key, value] : *table) {
            node& child = out.children.emplace_back();
            child.name = std::string{key.str()};
            child.name_at = at(key.source().begin);
            fill(child, value);
        }
        std::ranges::stable_sort(out.children, {}, &node::name_at);
    } else if (const auto* array = in.as_array()) {
        out.value = array_value{};
        out.children.reserve(array->size());
        for (const auto& value : *array) {
            fill(out.children.emplace_back(), value);
        }
    } else if (const auto* text = in.as_string()) {
        out.value = text->get();
    } else if (const auto* whole = in.as_integer()) {
        out.value = whole->get();
    } else if (const auto* real = in.as_floating_point()) {
        out.value = real->get();
    } else if (const auto* flag = in.as_boolean()) {
        out.value = flag->get();
    } else {
        out.value = other_value{};
    }
}

// toml++ quotes what it could not read, which may be a password without quotes. Only the names of
// redefined keys are kept.
std::string without_values(std::string_view text) {
    constexpr std::string_view prefix = "Error while parsing ";
    if (text.starts_with(prefix)) {
        text.remove_prefix(prefix.size());
    }
    text = text.substr(0, text.find(", saw '"));
    const auto open = text.find('\'');
    if (open != std::string_view::npos && text.find("redefine") == std::string_view::npos &&
        text.find("expected") == std::string_view::npos) {
        return std::string{text.substr(0, open)} + "the value" +
               std::string{text.substr(text.rfind('\'') + 1)};
    }
    // A redefined key may be long and hold anything.
    constexpr std::size_t longest = 200;
    std::string out{text.substr(0, longest)};
    std::ranges::replace_if(
        out, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    return out;
}

}  // namespace

const node* node::child(std::string_view key) const {
    const auto found = std::ranges::find(children, key, &node::name);
    return found == children.end() ? nullptr : &*found;
}

const char* kind_of(const node& n) {
    static constexpr std::array<const char*, 7> names{"a table",        "a list",
                                                      "a date or time", "true or false",
                                                      "a whole number", "a number with a fraction",
                                                      "a string"};
    return names[n.value.index()];
}

std::string toml_string(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            std::array<char, 8> escape{};
            std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
            out += escape.data();
        } else {
            out += c;
        }
    }
    return out + '"';
}

std::string key_part(std::string_view name) {
    const auto bare = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-';
    };
    if (!name.empty() && name.size() <= 63 && std::ranges::all_of(name, bare)) {
        return std::string{name};
    }
    if (name.size() > 63) {
        // Never in the middle of a UTF-8 sequence, whose later bytes are 10xxxxxx.
        std::size_t end = 60;
        while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xc0) == 0x80) {
            --end;
        }
        return toml_string(std::string{name.substr(0, end)} + "...");
    }
    return toml_string(name);
}

std::variant<node, problem> parse_document(std::string_view toml, const std::string& path) {
    if (const auto deep = find_deep_key(toml)) {
        return problem{path, deep->line, deep->column, "a key of too many parts",
                       "the deepest keys look like database.NAME.pool.size"};
    }
    try {
        const toml::table parsed = toml::parse(toml);
        node root;
        fill(root, parsed);
        return root;
    } catch (const toml::parse_error& error) {
        const auto where = at(error.source().begin);
        return problem{path, where.line, where.column,
                       "not valid TOML: " + without_values(error.description()),
                       "text needs double quotes, and a key may occur only once"};
    }
}

}  // namespace pgweir::config
