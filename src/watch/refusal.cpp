// Reading failures.
#include "pgweir/watch/refusal.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace pgweir::watch {
namespace {

using cluster::contact;

constexpr std::size_t longest_text = 300;

constexpr bool is_sqlstate_char(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
}

// In "FATAL:  53300: sorry, too many clients already": the severity may be in any language, the
// code and its place are always the same.
std::string_view sqlstate_in(std::string_view text) {
    constexpr std::string_view before = ":  ";
    constexpr std::size_t size = 5;
    for (auto at = text.find(before); at != std::string_view::npos;
         at = text.find(before, at + 1)) {
        const auto code = text.substr(at + before.size(), size);
        const auto after = text.substr(std::min(at + before.size() + size, text.size()), 2);
        if (code.size() == size && after == ": " && std::ranges::all_of(code, is_sqlstate_char)) {
            return code;
        }
    }
    return {};
}

// libpq quotes errno in the words of the C library; pgweir never sets a locale.
bool tells(std::string_view text, int error) {
    return text.find(std::generic_category().message(error)) != std::string_view::npos;
}

bool has(std::string_view text, std::string_view words) {
    return text.find(words) != std::string_view::npos;
}

contact contact_of_text(std::string_view text) {
    if (tells(text, ECONNREFUSED)) {
        return contact::refused;
    }
    if (tells(text, ECONNRESET) || tells(text, EPIPE) ||
        has(text, "server closed the connection unexpectedly") || has(text, "EOF detected")) {
        return contact::reset;
    }
    // It has asked for what we cannot give.
    if (has(text, "authentication method") || has(text, "SCRAM") || has(text, "SASL")) {
        return contact::denied;
    }
    return contact::silent;
}

// Lines joined, without what points into PostgreSQL's source.
std::string one_line(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        auto line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
        if (line.empty() || line.starts_with("LOCATION:")) {
            continue;
        }
        out += out.empty() ? "" : " ";
        out += line.substr(0, longest_text);
    }
    out.resize(std::min(out.size(), longest_text));
    return out;
}

}  // namespace

contact contact_of_sqlstate(std::string_view sqlstate) noexcept {
    if (sqlstate == "53300") {  // too_many_connections
        return contact::full;
    }
    if (sqlstate == "57P03") {  // cannot_connect_now
        return contact::starting_up;
    }
    // admin_shutdown, crash_shutdown, idle_session_timeout
    if (sqlstate == "57P01" || sqlstate == "57P02" || sqlstate == "57P05") {
        return contact::reset;
    }
    return contact::denied;
}

refusal read_refusal(std::string_view text, bool needs_password) {
    refusal out;
    out.sqlstate = sqlstate_in(text);
    out.text = one_line(text);
    if (!out.sqlstate.empty()) {
        out.result = contact_of_sqlstate(out.sqlstate);
    } else {
        out.result = needs_password ? contact::denied : contact_of_text(text);
        out.is_about_tls =
            out.result == contact::silent && (has(text, "SSL") || has(text, "certificate"));
    }
    return out;
}

}  // namespace pgweir::watch
