// The five bytes in front of every message, and the limits on what they may say.
#pragma once

#include "pgweir/base/byte_order.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pgweir::protocol {

inline constexpr std::size_t header_size = 5;
// The largest length words PostgreSQL takes from a client: 1 GiB less two bytes (MaxAllocSize), and
// for messages that carry no data 10,000 (PQ_LARGE_MESSAGE_LIMIT, PQ_SMALL_MESSAGE_LIMIT).
inline constexpr std::uint32_t large_message_limit = 0x3ffffffe;
inline constexpr std::uint32_t small_message_limit = 10'000;
// And the largest it sends: a body of that size, to which the length word adds itself.
inline constexpr std::uint32_t backend_message_limit = large_message_limit + 4;
// A message up to this size is held until it is whole, so that a server never waits for the rest
// of it; a larger one streams through.
inline constexpr std::size_t hold_limit = 16 * 1024;
// Of a streamed message this much is seen at its start: enough for the names in it.
inline constexpr std::size_t peek_size = 4 * 1024;

struct frame {
    char type = 0;
    std::size_t size = 0;  // whole message: type, length word and body
};

// REQUIRES: at least header_size bytes. `size` is below header_size when the length word lies.
[[nodiscard]] inline frame read_frame(const char* p) noexcept {
    return {p[0], std::size_t{base::load_be32(p + 1)} + 1};
}

}  // namespace pgweir::protocol
