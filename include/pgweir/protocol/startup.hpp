// The first packet of a connection, before any message has a type byte.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pgweir::protocol {

// PostgreSQL's MAX_STARTUP_PACKET_LENGTH, and the length word, which it does not count.
inline constexpr std::uint32_t max_startup_length = 10'004;
inline constexpr std::uint32_t protocol_3_0 = 196'608;
inline constexpr std::uint32_t protocol_3_2 = 196'610;
// The newest minor version that we speak. Since 3.2, keys of cancel requests may be long.
inline constexpr std::uint16_t newest_minor = 2;
inline constexpr std::size_t max_cancel_key = 256;

// SSLRequest as it is sent (PostgreSQL docs 55.2.10).
inline constexpr std::string_view ssl_request_packet{"\0\0\0\x08\x04\xd2\x16\x2f", 8};

struct ssl_request {};
struct gssenc_request {};

// PostgreSQL docs 55.2.8. The key is what BackendKeyData gave out: 1 to max_cancel_key bytes.
struct cancel_request {
    std::int32_t pid = 0;
    std::string key;
};

struct startup_message {
    std::uint16_t minor = 0;
    std::string user;
    std::string database;  // the user's name when the client named none
    bool replication = false;
    bool replication_database = false;  // the value was "database": logical decoding
    std::string options;                // "-c x=y --z=w", not taken apart
    // All other parameters in the order given; a repeated name keeps its last value, as PostgreSQL
    // does.
    std::vector<std::pair<std::string, std::string>> settings;
    std::vector<std::string> protocol_options;  // "_pq_.*" names
};

// Why a first packet was refused, in PostgreSQL's words; `sqlstate` empty: close without a word.
struct startup_error {
    std::string sqlstate;
    std::string message;
    bool old_style = false;  // for a client that knows only the errors of protocol 2
};

using startup_packet =
    std::variant<ssl_request, gssenc_request, cancel_request, startup_message, startup_error>;

// What a length word says about the packet that follows, as PostgreSQL's ProcessStartupPacket
// checks it: 0 when the length is impossible, else the whole packet's length, length word included.
[[nodiscard]] std::uint32_t startup_length(std::uint32_t length_word) noexcept;

// Parses a whole packet, length word included. Total.
[[nodiscard]] startup_packet parse_startup(std::string_view packet);

// Takes "options" apart as PostgreSQL's pg_split_opts and process_postgres_switches do: words are
// separated by white space, a backslash keeps the next character; -c NAME=VALUE, -cNAME=VALUE and
// --NAME=VALUE are settings ('-' in names becomes '_'). Anything else is an error.
struct option_settings {
    std::vector<std::pair<std::string, std::string>> settings;
    std::string error;  // empty: all understood
};
[[nodiscard]] option_settings parse_options(std::string_view options);

// NegotiateProtocolVersion (PostgreSQL docs 55.2.1), for a client that asked for a version we do
// not speak or for options we do not know: as PostgreSQL 18, the version that holds from now on,
// which is the one asked for unless it is too new, and those options. Nothing else is appended.
void append_negotiate_version(std::string& out,
                              std::uint16_t asked_minor,
                              const std::vector<std::string>& unknown_options);

}  // namespace pgweir::protocol
