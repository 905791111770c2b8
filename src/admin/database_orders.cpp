// PAUSE, RESUME, RECONNECT and SWITCHOVER: of one database, or of all.
#include "admin/commands.hpp"
#include "admin/order_words.hpp"

#include <array>
#include <charconv>
#include <chrono>
#include <system_error>

namespace pgweir::admin {
namespace {

using session::console_command;

order of_database(console_command::verb what, std::span<const token> arguments) {
    order_words words{arguments};
    console_command c;
    c.what = what;
    if (!words.at_end()) {
        const auto name = words.take_name();
        if (!name || name->empty() || !words.at_end()) {
            return std::nullopt;
        }
        c.name = *name;
    }
    return c;
}

// "500ms", "30s", "2m", "1h", as in the configuration. Longer than a day is a mistake.
std::optional<std::chrono::milliseconds> read_duration(std::string_view text) {
    struct unit {
        std::string_view name;
        std::int64_t in_ms;
    };
    constexpr std::array<unit, 4> units{{{"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}}};
    constexpr std::int64_t longest_ms = 86'400'000;
    std::int64_t count = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    const auto name = text.substr(static_cast<std::size_t>(rest - text.data()));
    for (const auto& u : units) {
        if (error == std::errc{} && name == u.name && count > 0 && count <= longest_ms / u.in_ms) {
            return std::chrono::milliseconds{count * u.in_ms};
        }
    }
    return std::nullopt;
}

}  // namespace

order read_pause(std::span<const token> arguments) {
    return of_database(console_command::verb::pause, arguments);
}

order read_resume(std::span<const token> arguments) {
    return of_database(console_command::verb::resume, arguments);
}

order read_reconnect(std::span<const token> arguments) {
    return of_database(console_command::verb::reconnect, arguments);
}

order read_switchover(std::span<const token> arguments) {
    order_words words{arguments};
    console_command c;
    c.what = console_command::verb::switchover;
    bool has_timeout = words.take("timeout");
    if (!has_timeout && !words.at_end()) {
        const auto name = words.take_name();
        if (!name || name->empty()) {
            return std::nullopt;
        }
        c.name = *name;
        has_timeout = words.take("timeout");
    }
    if (has_timeout) {
        const auto text = words.take_last();
        const auto timeout = text ? read_duration(*text) : std::nullopt;
        if (!timeout) {
            return std::nullopt;
        }
        c.timeout = *timeout;
    }
    return words.at_end() ? order{c} : std::nullopt;
}

}  // namespace pgweir::admin
