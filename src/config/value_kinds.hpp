// What a key may hold: each kind reads a TOML value into its type and prints it back as TOML.
#pragma once

#include "config/document.hpp"
#include "pgweir/base/secret.hpp"
#include "pgweir/config/snapshot.hpp"

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgweir::config {

// Why a value was refused. `message` goes on after the key's name: "must be a string, not a table".
struct fault {
    std::string message;
    std::string hint;
};
using reading = std::optional<fault>;  // empty: the value was taken

// What reading a value may depend on beside the value.
struct reading_place {
    std::string directory;  // of the configuration file; relative secret files start there
};

// Every kind has: value_type; read(node, value&, place), which leaves `value` alone on a fault; and
// print(value), which is what read() would take.

[[nodiscard]] reading read_whole(const node& n,
                                 std::int64_t min,
                                 std::int64_t max,
                                 std::int64_t& out);

template <class T>
struct whole_number {
    using value_type = T;
    std::int64_t min = 0;
    std::int64_t max = std::numeric_limits<T>::max();

    [[nodiscard]] reading read(const node& n, T& out, const reading_place&) const {
        std::int64_t number = 0;
        auto refused = read_whole(n, min, max, number);
        if (!refused) {
            out = static_cast<T>(number);
        }
        return refused;
    }
    [[nodiscard]] std::string print(T value) const { return std::to_string(value); }
};

struct flag {
    using value_type = bool;
    [[nodiscard]] reading read(const node& n, bool& out, const reading_place&) const;
    [[nodiscard]] std::string print(bool value) const { return value ? "true" : "false"; }
};

// "250ms", "30s", "5m", "1h", "1d", or 0. Values are multiples of `step`.
[[nodiscard]] reading read_duration(
    const node& n, milliseconds min, milliseconds max, milliseconds step, milliseconds& out);
[[nodiscard]] std::string print_duration(milliseconds value);

// Longer than any deadline makes sense, and far from overflow in any unit of the clock.
inline constexpr milliseconds longest_duration = std::chrono::hours{24 * 365};

template <class Duration = milliseconds>
struct duration_text {
    using value_type = Duration;
    milliseconds min{0};
    milliseconds max = longest_duration;

    [[nodiscard]] reading read(const node& n, Duration& out, const reading_place&) const {
        milliseconds parsed{0};
        auto refused = read_duration(n, min, max, Duration{1}, parsed);
        if (!refused) {
            out = std::chrono::duration_cast<Duration>(parsed);
        }
        return refused;
    }
    [[nodiscard]] std::string print(Duration value) const { return print_duration(value); }
};

// Bytes: a whole number, or text such as "64MiB".
struct byte_count {
    using value_type = std::uint64_t;
    std::int64_t max = std::int64_t{1} << 50;

    [[nodiscard]] reading read(const node& n, std::uint64_t& out, const reading_place&) const;
    [[nodiscard]] std::string print(std::uint64_t value) const;
};

[[nodiscard]] reading read_choice(const node& n,
                                  const std::vector<std::string_view>& names,
                                  std::size_t& index);

// One of a few words.
template <class T>
struct choice {
    using value_type = T;
    std::vector<std::pair<std::string_view, T>> words;

    [[nodiscard]] reading read(const node& n, T& out, const reading_place&) const {
        std::vector<std::string_view> names;
        for (const auto& word : words) {
            names.push_back(word.first);
        }
        std::size_t index = 0;
        auto refused = read_choice(n, names, index);
        if (!refused) {
            out = words[index].second;
        }
        return refused;
    }
    [[nodiscard]] std::string print(const T& value) const {
        for (const auto& word : words) {
            if (word.second == value) {
                return toml_string(word.first);
            }
        }
        return "\"\"";
    }
};

// Text that `check` accepts; it answers what is wrong with a value.
struct checked_text {
    using value_type = std::string;
    reading (*check)(std::string_view);

    [[nodiscard]] reading read(const node& n, std::string& out, const reading_place&) const;
    [[nodiscard]] std::string print(const std::string& value) const { return toml_string(value); }
};

[[nodiscard]] reading any_text(std::string_view text);  // at most 4096 bytes, no control characters
[[nodiscard]] reading server_host(std::string_view text);        // name, address, socket directory
[[nodiscard]] reading socket_directory(std::string_view text);   // empty or absolute
[[nodiscard]] reading absolute_file(std::string_view text);      // empty or absolute
[[nodiscard]] reading root_certificates(std::string_view text);  // the same, or "system"
[[nodiscard]] reading role_or_database(std::string_view text);   // empty or at most 63 bytes
[[nodiscard]] reading name_of_one(std::string_view text);        // 1 to 63 bytes

struct address_list {
    using value_type = std::vector<std::string>;
    [[nodiscard]] reading read(const node& n, value_type& out, const reading_place&) const;
    [[nodiscard]] std::string print(const value_type& value) const;
};

// File permissions as octal text: "0777".
struct octal_mode {
    using value_type = std::uint32_t;
    [[nodiscard]] reading read(const node& n, std::uint32_t& out, const reading_place&) const;
    [[nodiscard]] std::string print(std::uint32_t value) const;
};

}  // namespace pgweir::config
