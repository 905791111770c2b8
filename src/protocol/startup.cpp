// Parsing of the first packet of a connection.
#include "pgweir/protocol/startup.hpp"

#include "pgweir/base/byte_order.hpp"
#include "pgweir/protocol/message_writer.hpp"

#include <algorithm>

namespace pgweir::protocol {
namespace {

constexpr std::uint32_t cancel_code = (1234U << 16) | 5678U;
constexpr std::uint32_t ssl_code = (1234U << 16) | 5679U;
constexpr std::uint32_t gssenc_code = (1234U << 16) | 5680U;

// "replication" takes every spelling of a boolean, or "database"; false means a normal session.
enum class replication_value : std::uint8_t { off, on, invalid };

replication_value parse_replication(std::string_view v) {
    std::string lower{v};
    std::ranges::transform(lower, lower.begin(),
                           [](unsigned char c) { return static_cast<char>(c | 0x20); });
    const auto is_prefix_of = [&](std::string_view word, std::size_t least) {
        return lower.size() >= least && word.starts_with(lower);
    };
    if (v == "database" || v == "1" || is_prefix_of("true", 1) || is_prefix_of("yes", 1) ||
        is_prefix_of("on", 2)) {
        return replication_value::on;
    }
    if (v == "0" || is_prefix_of("false", 1) || is_prefix_of("no", 1) || is_prefix_of("off", 2)) {
        return replication_value::off;
    }
    return replication_value::invalid;
}

startup_error layout_error() {
    return {"08P01", "invalid startup packet layout: expected terminator as last byte"};
}

void remember(startup_message& m, std::string_view name, std::string_view value) {
    const auto known = std::ranges::find(m.settings, name,
                                         [](const auto& s) { return std::string_view{s.first}; });
    if (known != m.settings.end()) {
        known->second = value;
    } else {
        m.settings.emplace_back(name, value);
    }
}

startup_packet parse_parameters(std::string_view rest, std::uint16_t minor) {
    startup_message m;
    m.minor = minor;
    while (!rest.empty() && rest.front() != '\0') {
        const auto name_end = rest.find('\0');
        if (name_end == std::string_view::npos) {
            return layout_error();
        }
        const auto name = rest.substr(0, name_end);
        rest.remove_prefix(name_end + 1);
        const auto value_end = rest.find('\0');
        if (value_end == std::string_view::npos) {
            return layout_error();
        }
        const auto value = rest.substr(0, value_end);
        rest.remove_prefix(value_end + 1);
        if (name == "user") {
            m.user = value;
        } else if (name == "database") {
            m.database = value;
        } else if (name == "options") {
            m.options = value;
        } else if (name == "replication") {
            const auto r = parse_replication(value);
            if (r == replication_value::invalid) {
                return startup_error{"22023", "invalid value for parameter \"replication\": \"" +
                                                  std::string{value} + "\""};
            }
            m.replication = r == replication_value::on;
            m.replication_database = value == "database";
        } else if (name.starts_with("_pq_.")) {
            m.protocol_options.emplace_back(name);
        } else {
            remember(m, name, value);
        }
    }
    if (rest.size() != 1) {
        return layout_error();
    }
    if (m.user.empty()) {
        return startup_error{"28000", "no PostgreSQL user name specified in startup packet"};
    }
    if (m.database.empty()) {
        m.database = m.user;
    }
    return m;
}

}  // namespace

std::uint32_t startup_length(std::uint32_t length_word) noexcept {
    return length_word >= 8 && length_word <= max_startup_length ? length_word : 0;
}

startup_packet parse_startup(std::string_view packet) {
    if (packet.size() < 8 || startup_length(base::load_be32(packet.data())) != packet.size()) {
        return startup_error{"08P01", "invalid length of startup packet"};
    }
    const auto code = base::load_be32(packet.data() + 4);
    if (code == cancel_code) {
        constexpr std::size_t key_at = 12;
        if (packet.size() <= key_at || packet.size() > key_at + max_cancel_key) {
            return startup_error{};
        }
        return cancel_request{static_cast<std::int32_t>(base::load_be32(packet.data() + 8)),
                              std::string{packet.substr(key_at)}};
    }
    if (code == ssl_code || code == gssenc_code) {
        if (packet.size() != 8) {
            return startup_error{};
        }
        return code == ssl_code ? startup_packet{ssl_request{}} : startup_packet{gssenc_request{}};
    }
    if ((code >> 16) != 3) {
        return startup_error{"0A000",
                             "unsupported frontend protocol " + std::to_string(code >> 16) + "." +
                                 std::to_string(code & 0xffff) + ": server supports 3.0 to 3.2",
                             (code >> 16) < 3};
    }
    return parse_parameters(packet.substr(8), static_cast<std::uint16_t>(code & 0xffff));
}

option_settings parse_options(std::string_view options) {
    std::vector<std::string> words;
    std::string word;
    bool in_word = false;
    for (std::size_t i = 0; i < options.size(); ++i) {
        const char c = options[i];
        const bool space = c == ' ' || (c >= '\t' && c <= '\r');
        if (space) {
            if (in_word) {
                words.push_back(std::move(word));
                word.clear();
                in_word = false;
            }
            continue;
        }
        in_word = true;
        if (c == '\\' && i + 1 < options.size()) {
            word.push_back(options[++i]);
        } else if (c != '\\') {
            word.push_back(c);
        }
    }
    if (in_word) {
        words.push_back(std::move(word));
    }

    option_settings out;
    for (std::size_t i = 0; i < words.size(); ++i) {
        std::string_view w = words[i];
        const std::string how = w.starts_with("--") ? "--" : "-c ";
        if (w == "-c" && i + 1 < words.size()) {
            w = words[++i];
        } else if (w.starts_with("--") || w.starts_with("-c")) {
            w.remove_prefix(2);
        } else {
            out.error = "invalid command-line argument for server process: " + words[i];
            return out;
        }
        const auto equals = w.find('=');
        if (equals == std::string_view::npos || equals == 0) {
            out.error = how + std::string{w} + " requires a value";
            return out;
        }
        std::string name{w.substr(0, equals)};
        std::ranges::replace(name, '-', '_');
        out.settings.emplace_back(std::move(name), std::string{w.substr(equals + 1)});
    }
    return out;
}

void append_negotiate_version(std::string& out,
                              std::uint16_t asked_minor,
                              const std::vector<std::string>& unknown_options) {
    if (asked_minor <= newest_minor && unknown_options.empty()) {
        return;
    }
    message_writer w{out};
    w.begin('v')
        .put_int32(static_cast<std::int32_t>(protocol_3_0 | std::min(asked_minor, newest_minor)))
        .put_int32(static_cast<std::int32_t>(unknown_options.size()));
    for (const auto& name : unknown_options) {
        w.put_cstr(name);
    }
    w.end();
}

}  // namespace pgweir::protocol
