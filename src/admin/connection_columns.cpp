// What SHOW CLIENTS and SHOW SERVERS have in common.
#include "admin/connection_columns.hpp"

#include <array>
#include <charconv>
#include <ctime>

namespace pgweir::admin {

std::string format_time(std::chrono::system_clock::time_point t) {
    if (t == std::chrono::system_clock::time_point{}) {
        return {};
    }
    const std::time_t seconds = std::chrono::system_clock::to_time_t(t);
    std::tm parts{};
    std::array<char, 64> text{};
    if (::gmtime_r(&seconds, &parts) == nullptr) {
        return {};
    }
    return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts)};
}

std::string format_pointer(std::uint64_t id) {
    if (id == 0) {
        return {};
    }
    std::array<char, 16> digits{};
    const auto end = std::to_chars(digits.begin(), digits.end(), id, 16).ptr;
    return "0x" + std::string(digits.begin(), end);
}

}  // namespace pgweir::admin
