// Reading and printing of the values that keys hold.
#include "config/value_kinds.hpp"

#include "config/suggestion.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>

namespace pgweir::config {

namespace {

struct unit {
    std::string_view name;
    std::int64_t in_ms;
};
constexpr std::array<unit, 5> units{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};

struct byte_unit {
    std::string_view name;
    std::int64_t in_bytes;
};
constexpr std::array<byte_unit, 4> byte_units{{{"TiB", std::int64_t{1} << 40},
                                               {"GiB", std::int64_t{1} << 30},
                                               {"MiB", std::int64_t{1} << 20},
                                               {"KiB", std::int64_t{1} << 10}}};

fault wrong_type(const char* wanted, const node& n, std::string hint = {}) {
    return {std::string{"must be "} + wanted + ", not " + kind_of(n), std::move(hint)};
}

// sizeof(sockaddr_un::sun_path) less the terminator and "/.s.PGSQL.65535".
constexpr std::size_t longest_socket_directory = 108 - 1 - 15;

bool has_control_character(std::string_view text) {
    return std::ranges::any_of(
        text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

}  // namespace

reading read_whole(const node& n, std::int64_t min, std::int64_t max, std::int64_t& out) {
    const auto* number = std::get_if<std::int64_t>(&n.value);
    if (number == nullptr) {
        const bool text = std::holds_alternative<std::string>(n.value);
        return wrong_type("a whole number", n, text ? "write it without quotes" : "");
    }
    if (*number < min || *number > max) {
        return fault{"is " + std::to_string(*number) + ", which is outside " + std::to_string(min) +
                         " to " + std::to_string(max),
                     {}};
    }
    out = *number;
    return std::nullopt;
}

reading flag::read(const node& n, bool& out, const reading_place&) const {
    const auto* value = std::get_if<bool>(&n.value);
    if (value == nullptr) {
        return wrong_type("true or false", n, "write true or false without quotes");
    }
    out = *value;
    return std::nullopt;
}

reading read_duration(
    const node& n, milliseconds min, milliseconds max, milliseconds step, milliseconds& out) {
    static constexpr const char* shape = R"(write a number and a unit: "250ms", "30s", "5m", "1h")";
    std::int64_t parsed = 0;
    if (const auto* number = std::get_if<std::int64_t>(&n.value)) {
        if (*number != 0) {
            return fault{"has no unit", shape};
        }
    } else if (const auto* text = std::get_if<std::string>(&n.value)) {
        std::int64_t count = 0;
        const char* end = text->data() + text->size();
        const auto [rest, error] = std::from_chars(text->data(), end, count);
        const std::string_view name{rest, static_cast<std::size_t>(end - rest)};
        const auto found = std::ranges::find(units, name, &unit::name);
        if (error == std::errc::invalid_argument || (found == units.end() && !name.empty())) {
            return fault{"is " + key_part(*text) + ", which is not a duration", shape};
        }
        if (error == std::errc{} && name.empty() && count != 0) {
            return fault{"has no unit", shape};
        }
        const std::int64_t in_ms = found == units.end() ? 1 : found->in_ms;
        if (error == std::errc::result_out_of_range || count > max.count() / in_ms || count < 0) {
            return fault{"is " + key_part(*text) + ", which is outside " + print_duration(min) +
                             " to " + print_duration(max),
                         {}};
        }
        parsed = count * in_ms;
    } else {
        return wrong_type("a duration", n, shape);
    }
    if (parsed < min.count()) {
        return fault{"is " + print_duration(milliseconds{parsed}) + ", which is outside " +
                         print_duration(min) + " to " + print_duration(max),
                     {}};
    }
    if (parsed % step.count() != 0) {
        return fault{"is not a multiple of " + print_duration(step), {}};
    }
    out = milliseconds{parsed};
    return std::nullopt;
}

std::string print_duration(milliseconds value) {
    if (value.count() == 0) {
        return "0";
    }
    const auto found =
        std::ranges::find_if(units, [&](const unit& u) { return value.count() % u.in_ms == 0; });
    return toml_string(std::to_string(value.count() / found->in_ms) + std::string{found->name});
}

reading byte_count::read(const node& n, std::uint64_t& out, const reading_place&) const {
    static constexpr const char* shape =
        R"(write bytes as a number, or with a unit: "512KiB", "64MiB", "1GiB")";
    std::int64_t count = 0;
    std::int64_t each = 1;
    bool fits = true;
    if (const auto* number = std::get_if<std::int64_t>(&n.value)) {
        count = *number;
    } else if (const auto* text = std::get_if<std::string>(&n.value)) {
        const char* end = text->data() + text->size();
        const auto [rest, error] = std::from_chars(text->data(), end, count);
        const std::string_view name{rest, static_cast<std::size_t>(end - rest)};
        const auto found = std::ranges::find(byte_units, name, &byte_unit::name);
        if (error == std::errc::invalid_argument || (found == byte_units.end() && !name.empty())) {
            return fault{"is " + key_part(*text) + ", which is not a number of bytes", shape};
        }
        fits = error == std::errc{};
        each = found == byte_units.end() ? 1 : found->in_bytes;
    } else {
        return wrong_type("a number of bytes", n, shape);
    }
    if (!fits || count < 0 || count > max / each) {
        return fault{"is outside 0 to " + print(static_cast<std::uint64_t>(max)), {}};
    }
    out = static_cast<std::uint64_t>(count * each);
    return std::nullopt;
}

std::string byte_count::print(std::uint64_t value) const {
    for (const auto& unit : byte_units) {
        const auto each = static_cast<std::uint64_t>(unit.in_bytes);
        if (value != 0 && value % each == 0) {
            return toml_string(std::to_string(value / each) + std::string{unit.name});
        }
    }
    return std::to_string(value);
}

reading read_choice(const node& n, const std::vector<std::string_view>& names, std::size_t& index) {
    std::string all;
    for (const auto name : names) {
        all += (all.empty() ? "" : ", ") + toml_string(name);
    }
    const auto* text = std::get_if<std::string>(&n.value);
    if (text == nullptr) {
        return wrong_type("a string", n, "one of " + all);
    }
    const auto found = std::ranges::find(names, *text);
    if (found == names.end()) {
        const auto near = nearest(*text, names);
        return fault{"is " + key_part(*text) + ", which is not one of " + all,
                     near.empty() ? "" : "did you mean " + toml_string(near) + "?"};
    }
    index = static_cast<std::size_t>(found - names.begin());
    return std::nullopt;
}

reading checked_text::read(const node& n, std::string& out, const reading_place&) const {
    const auto* text = std::get_if<std::string>(&n.value);
    if (text == nullptr) {
        return wrong_type("a string", n, n.is_table() ? "" : "write it in double quotes");
    }
    auto refused = check(*text);
    if (!refused) {
        out = *text;
    }
    return refused;
}

reading any_text(std::string_view text) {
    if (has_control_character(text)) {
        return fault{"contains a control character", {}};
    }
    constexpr std::size_t longest = 4096;
    if (text.size() > longest) {
        return fault{"is longer than " + std::to_string(longest) + " bytes", {}};
    }
    return std::nullopt;
}

reading server_host(std::string_view text) {
    if (text.starts_with('/')) {
        return socket_directory(text);
    }
    if (text.empty()) {
        return fault{"is empty", "a name, an address, or the directory of a unix socket"};
    }
    if (has_control_character(text) || text.find_first_of(" ,/") != std::string_view::npos) {
        return fault{"is " + key_part(text) + ", which is not a host",
                     "one name, one address, or the directory of a unix socket; the port is a key "
                     "of its own"};
    }
    constexpr std::size_t longest_name = 253;  // RFC 1035, section 2.3.4
    if (text.size() > longest_name) {
        return fault{"is longer than " + std::to_string(longest_name) + " bytes", {}};
    }
    return std::nullopt;
}

reading socket_directory(std::string_view text) {
    if (text.empty()) {
        return std::nullopt;
    }
    if (!text.starts_with('/')) {
        return fault{"is not an absolute path", "start it with /"};
    }
    if (text.size() > longest_socket_directory) {
        return fault{"is longer than " + std::to_string(longest_socket_directory) +
                         " bytes, the system's limit for unix sockets",
                     {}};
    }
    return any_text(text);
}

reading absolute_file(std::string_view text) {
    if (!text.empty() && !text.starts_with('/')) {
        return fault{"is not an absolute path", "start it with /"};
    }
    return any_text(text);
}

reading root_certificates(std::string_view text) {
    return text == "system" ? std::nullopt : absolute_file(text);
}

reading role_or_database(std::string_view text) {
    // NAMEDATALEN is 64 with the terminator; PostgreSQL documentation, section 4.1.1.
    constexpr std::size_t longest = 63;
    if (text.size() > longest) {
        return fault{"is longer than " + std::to_string(longest) + " bytes, PostgreSQL's limit",
                     {}};
    }
    return any_text(text);
}

reading name_of_one(std::string_view text) {
    return text.empty() ? reading{fault{"is empty", {}}} : role_or_database(text);
}

reading address_list::read(const node& n, value_type& out, const reading_place&) const {
    static constexpr const char* shape = R"(write a list: ["127.0.0.1", "::1"])";
    if (!std::holds_alternative<array_value>(n.value)) {
        return wrong_type("a list of strings", n, shape);
    }
    value_type addresses;
    for (const node& element : n.children) {
        const auto* text = std::get_if<std::string>(&element.value);
        if (text == nullptr) {
            return fault{std::string{"must hold strings, not "} + kind_of(element), shape};
        }
        if (auto refused = server_host(*text); refused || text->starts_with('/')) {
            return fault{"holds " + key_part(*text) + ", which is not an address",
                         text->starts_with('/') ? "unix sockets go in listen.unix_socket_dir" : ""};
        }
        if (std::ranges::find(addresses, *text) != addresses.end()) {
            return fault{"holds " + key_part(*text) + " twice", {}};
        }
        addresses.push_back(*text);
    }
    out = std::move(addresses);
    return std::nullopt;
}

std::string address_list::print(const value_type& value) const {
    std::string out = "[";
    for (const auto& address : value) {
        out += (out.size() == 1 ? "" : ", ") + toml_string(address);
    }
    return out + "]";
}

reading octal_mode::read(const node& n, std::uint32_t& out, const reading_place&) const {
    static constexpr const char* shape = R"(write octal digits in quotes: "0770")";
    const auto* text = std::get_if<std::string>(&n.value);
    if (text == nullptr) {
        return wrong_type("a string", n, shape);
    }
    std::uint32_t mode = 0;
    const char* end = text->data() + text->size();
    const auto [rest, error] = std::from_chars(text->data(), end, mode, 8);
    if (error != std::errc{} || rest != end || mode > 0777) {
        return fault{"is " + key_part(*text) + ", which is not a mode from 0 to 0777", shape};
    }
    out = mode;
    return std::nullopt;
}

std::string octal_mode::print(std::uint32_t value) const {
    std::array<char, 16> digits{};
    std::snprintf(digits.data(), digits.size(), "\"%04o\"", value);
    return digits.data();
}

}  // namespace pgweir::config
