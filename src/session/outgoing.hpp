// What one send takes: a client's bytes, with ours between them.
#pragma once

#include "pgweir/net/channel.hpp"
#include "pgweir/protocol/statement_relay.hpp"

#include <array>
#include <span>
#include <string_view>

namespace pgweir::session {

// Views only, but for small pieces next to bytes of ours in the arena, which are copied there:
// pieces that follow each other in memory are one. Filled and sent within one call.
class outgoing {
public:
    explicit outgoing(protocol::byte_arena& arena) noexcept : arena_{arena} { arena_.clear(); }

    // REQUIRES: not is_full().
    void add(std::string_view bytes) noexcept {
        if (bytes.empty()) {
            return;
        }
        bytes_ += bytes.size();
        if (count_ != 0) {
            auto& last = pieces_[count_ - 1];
            const char* const end = static_cast<const char*>(last.iov_base) + last.iov_len;
            if (end != bytes.data() && bytes.size() <= worth_copying && ends_in_arena(end) &&
                arena_.has_room(bytes.size())) {
                arena_.add(bytes);
                last.iov_len += bytes.size();
                return;
            }
            if (end == bytes.data()) {
                last.iov_len += bytes.size();
                return;
            }
        }
        pieces_[count_++] = net::as_piece(bytes);
    }
    // The next step may add two pieces.
    [[nodiscard]] bool is_full() const noexcept { return count_ + 2 > pieces_.size(); }
    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    // Sends all and begins anew. False: the connection broke.
    [[nodiscard]] bool send(net::channel& to) {
        const bool sent = empty() || to.send(std::span{pieces_.data(), count_});
        count_ = 0;
        arena_.clear();
        return sent;
    }

private:
    static constexpr std::size_t worth_copying = 256;

    [[nodiscard]] bool ends_in_arena(const char* end) const noexcept {
        return !arena_.empty() && end == arena_.since(arena_.mark()).data();
    }

    protocol::byte_arena& arena_;
    std::array<iovec, 64> pieces_;  // not initialised: only the first count_ are read
    std::size_t count_ = 0;
    std::size_t bytes_ = 0;
};

}  // namespace pgweir::session
