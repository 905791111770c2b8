// The two ends of a connection as OpenSSL sees them: bytes in memory.
#pragma once

#include "tls/openssl.hpp"

#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace pgweir::tls {

// There for the time of one call into OpenSSL.
struct wire {
    // What did not fit into `room`, of this call or an earlier one; null: all did.
    std::unique_ptr<std::string>& overflow;
    std::string_view in{};   // received; what was read is gone from its front
    std::span<char> room{};  // where to put what is to be sent
    std::size_t used = 0;    // of `room`
    // How many more messages of TLS itself, of either side, this call may go through; at none it
    // reads no further.
    unsigned messages_left = unlimited;
    static constexpr unsigned unlimited = std::numeric_limits<unsigned>::max();
    // How long the last of those was that this call has read.
    std::size_t message_size = 0;
    // Stop at a greeting that asks for more than a quick key exchange?
    bool only_quick = false;
};

// Reads from the `in` of its wire, and asks to be called again once that is empty, or no more is to
// be read; writes to `room`, then to `overflow`, and never has to wait. Without a wire it is only
// to be freed.
[[nodiscard]] bio_ptr make_bio();

// The one it has now; null stands for none.
void set_wire(BIO* b, wire* w) noexcept;
[[nodiscard]] wire& wire_of(BIO* b) noexcept;

}  // namespace pgweir::tls
