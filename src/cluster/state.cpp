// The text form of a cluster's state:
//
//   pgweir-cluster-state 1
//   system-identifier 7312345678901234567
//   epoch 5
//   max-granted-timeline 2
//   granted n2                 empty: "granted"
//   forced no
//   disowned n1 replaced       any number, sorted
//   fenced n3                  any number, sorted
//   checksum 89abcdef          CRC-32 of all lines before it
//
// Bytes of names other than letters, digits, '.', '_' and '-' are written as %XX.
#include "pgweir/cluster/state.hpp"

#include <array>
#include <charconv>
#include <cstdio>
#include <optional>

namespace pgweir::cluster {
namespace {

constexpr std::string_view header = "pgweir-cluster-state 1\n";
constexpr std::string_view checksum_key = "checksum ";

// CRC-32 of IEEE 802.3, bit by bit: it runs once a grant.
std::uint32_t crc32(std::string_view bytes) noexcept {
    std::uint32_t crc = ~std::uint32_t{0};
    for (const char c : bytes) {
        crc ^= static_cast<unsigned char>(c);
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320U : 0U);
        }
    }
    return ~crc;
}

std::string checksum_of(std::string_view text) {
    std::array<char, 9> hex{};
    std::snprintf(hex.data(), hex.size(), "%08x", crc32(text));
    return {hex.data(), 8};
}

constexpr bool is_plain(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

std::string escape(std::string_view name) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    for (const char c : name) {
        if (is_plain(c)) {
            out += c;
        } else {
            out += '%';
            out += digits[static_cast<unsigned char>(c) >> 4];
            out += digits[static_cast<unsigned char>(c) & 15];
        }
    }
    return out;
}

// Nothing for what escape() does not write.
std::optional<std::string> unescape(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        std::size_t used = 1;
        if (text.front() == '%') {
            unsigned value = 0;
            used = 3;
            if (text.size() < used ||
                std::from_chars(text.data() + 1, text.data() + used, value, 16).ptr !=
                    text.data() + used) {
                return std::nullopt;
            }
            out += static_cast<char>(value);
        } else {
            out += text.front();
        }
        text.remove_prefix(used);
    }
    return out;
}

template <class Number>
std::optional<Number> parse_number(std::string_view text) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

std::optional<disowning> parse_disowning(std::string_view text) {
    for (const auto why :
         {disowning::replaced, disowning::metadata, disowning::rogue, disowning::forced}) {
        if (text == to_string(why)) {
            return why;
        }
    }
    return std::nullopt;
}

// The part before the first space, which is taken off with it.
std::string_view take_word(std::string_view& line) {
    const auto end = line.find(' ');
    const auto word = line.substr(0, end);
    line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
    return word;
}

// Sets what one line says. Nothing it does not know, or says otherwise than to_text(), passes: the
// caller compares the texts.
bool apply_line(cluster_state& state, std::string_view line) {
    const auto key = take_word(line);
    const auto set = [](auto& field, const auto& value) {
        if (value) {
            field = *value;
        }
        return value.has_value();
    };
    if (key == "system-identifier") {
        return set(state.system_identifier, parse_number<std::uint64_t>(line));
    }
    if (key == "epoch") {
        return set(state.epoch, parse_number<std::uint64_t>(line));
    }
    if (key == "max-granted-timeline") {
        return set(state.max_granted_tli, parse_number<timeline>(line));
    }
    if (key == "granted") {
        return set(state.granted, unescape(line));
    }
    if (key == "forced") {
        state.forced = line == "yes";
        return true;
    }
    if (key == "disowned") {
        const auto name = unescape(take_word(line));
        const auto why = parse_disowning(line);
        return name && why && state.disowned.emplace(*name, *why).second;
    }
    if (key == "fenced") {
        const auto name = unescape(line);
        return name && state.fenced.insert(*name).second;
    }
    return false;
}

}  // namespace

std::string to_text(const cluster_state& state) {
    std::string out{header};
    const auto add = [&](std::string_view key, std::string_view value) {
        out += key;
        if (!value.empty()) {
            out += ' ';
            out += value;
        }
        out += '\n';
    };
    add("system-identifier", std::to_string(state.system_identifier));
    add("epoch", std::to_string(state.epoch));
    add("max-granted-timeline", std::to_string(state.max_granted_tli));
    add("granted", escape(state.granted));
    add("forced", state.forced ? "yes" : "no");
    for (const auto& [name, why] : state.disowned) {
        add("disowned", escape(name) + " " + to_string(why));
    }
    for (const auto& name : state.fenced) {
        add("fenced", escape(name));
    }
    const auto sum = checksum_of(out);
    out += checksum_key;
    out += sum;
    out += '\n';
    return out;
}

std::variant<cluster_state, state_error> parse_state(std::string_view text) {
    if (!text.starts_with(header)) {
        return state_error{1, "this is no state file of a version that this pgweir knows"};
    }
    cluster_state state;
    unsigned number = 1;
    for (auto at = header.size();;) {
        ++number;
        const auto end = text.find('\n', at);
        if (end == std::string_view::npos) {
            return state_error{number, "the file is cut"};
        }
        const auto line = text.substr(at, end - at);
        if (line.starts_with(checksum_key)) {
            if (line.substr(checksum_key.size()) != checksum_of(text.substr(0, at))) {
                return state_error{number, "the checksum does not match"};
            }
            break;
        }
        if (!apply_line(state, line)) {
            return state_error{number, "the line is not understood"};
        }
        at = end + 1;
    }
    // Lines that are missing, double, out of order, or behind the checksum.
    if (to_text(state) != text) {
        return state_error{number, "the lines are not those that pgweir writes"};
    }
    return state;
}

const char* to_string(disowning why) noexcept {
    switch (why) {
        case disowning::replaced: return "replaced";
        case disowning::metadata: return "metadata";
        case disowning::rogue: return "rogue";
        case disowning::forced: return "forced";
    }
    return "";
}

}  // namespace pgweir::cluster
