// Session parameters that drivers expect of any PostgreSQL server.
#include "admin/commands.hpp"
#include "pgweir/protocol/message_writer.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace pgweir::admin {
namespace {

constexpr std::string_view server_version = PGWEIR_VERSION "/pgweir";

constexpr session_parameter parameter(std::string_view name, std::string_view value) {
    // The name is a literal, so its data ends in NUL.
    return {name, value, {name.data(), column_type::text}};
}

constexpr std::array parameters{
    parameter("client_encoding", "UTF8"),
    parameter("datestyle", "ISO"),
    parameter("default_transaction_isolation", "read committed"),
    parameter("server_version", server_version),
    parameter("standard_conforming_strings", "on"),
    parameter("timezone", "GMT"),
    parameter("transaction_isolation", "read committed"),
    parameter("transaction_read_only", "off"),
};

// What libpq and drivers read off the welcome: version, encodings, how to quote, how dates look,
// and whether this may be a standby (target_session_attrs).
constexpr std::array<std::pair<std::string_view, std::string_view>, 11> welcome{{
    {"server_version", server_version},
    {"client_encoding", "UTF8"},
    {"server_encoding", "UTF8"},
    {"DateStyle", "ISO"},
    {"TimeZone", "GMT"},
    {"standard_conforming_strings", "on"},
    {"is_superuser", "on"},
    {"integer_datetimes", "on"},
    {"IntervalStyle", "postgres"},
    {"default_transaction_read_only", "off"},
    {"in_hot_standby", "off"},
}};

}  // namespace

const session_parameter* find_parameter(std::span<const token> words) noexcept {
    std::string_view wanted;
    if (words.size() == 1 && words[0].what == token::kind::word) {
        wanted = words[0].text;
    } else if (words.size() == 3 && words[0].is_word("transaction") &&
               words[1].is_word("isolation") && words[2].is_word("level")) {
        wanted = "transaction_isolation";
    }
    const auto found = std::ranges::find(parameters, wanted, &session_parameter::name);
    return found == parameters.end() ? nullptr : &*found;
}

void append_welcome(std::string& out) {
    for (const auto& [name, value] : welcome) {
        protocol::append_parameter_status(out, name, value);
    }
}

}  // namespace pgweir::admin
