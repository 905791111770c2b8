// Big-endian integers in unaligned bytes, as the PostgreSQL protocol writes them.
#pragma once

#include <cstdint>

namespace pgweir::base {

[[nodiscard]] constexpr std::uint16_t load_be16(const char* p) noexcept {
    return static_cast<std::uint16_t>((static_cast<unsigned char>(p[0]) << 8) |
                                      static_cast<unsigned char>(p[1]));
}

[[nodiscard]] constexpr std::uint32_t load_be32(const char* p) noexcept {
    return (std::uint32_t{static_cast<unsigned char>(p[0])} << 24) |
           (std::uint32_t{static_cast<unsigned char>(p[1])} << 16) |
           (std::uint32_t{static_cast<unsigned char>(p[2])} << 8) |
           std::uint32_t{static_cast<unsigned char>(p[3])};
}

constexpr void store_be16(char* p, std::uint16_t v) noexcept {
    p[0] = static_cast<char>(v >> 8);
    p[1] = static_cast<char>(v);
}

constexpr void store_be32(char* p, std::uint32_t v) noexcept {
    p[0] = static_cast<char>(v >> 24);
    p[1] = static_cast<char>(v >> 16);
    p[2] = static_cast<char>(v >> 8);
    p[3] = static_cast<char>(v);
}

}  // namespace pgweir::base
