// The two ends of a connection as OpenSSL sees them: bytes in memory.
#pragma once

#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <string_view>

namespace pgweir::tls {

// Filled in for the time of one call into OpenSSL.
struct wire {
    std::string_view in;   // received; what was read is gone from its front
    std::span<char> room;  // where to put what is to be sent
    std::size_t used = 0;  // of `room`
    std::string overflow;  // what did not fit there; follows it
    // How many more messages of TLS itself, of either side, this call may go through; at none it
    // reads no further.
    unsigned messages_left = unlimited;
    static constexpr unsigned unlimited = std::numeric_limits<unsigned>::max();
};

}  // namespace pgweir::tls
