// The two ends of a connection as OpenSSL sees them: bytes in memory.
#pragma once

#include <cstddef>
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
};

}  // namespace pgweir::tls
