// A stream with what could not be used or sent yet: the part that clients and servers share.
#pragma once

#include "pgweir/net/loop.hpp"

#include <span>
#include <string>
#include <string_view>

namespace pgweir::net {

// While nothing is kept it owns no memory. Worker thread only.
class channel {
public:
    struct input {
        std::string_view data;  // what was kept, then what was received; in the loop's scratch
        io_status status = io_status::ok;
    };

    explicit channel(loop& l) noexcept : loop_{&l} {}

    void attach(int fd, io_handler& handler) { stream_.attach(*loop_, fd, handler); }
    // Changes to another worker's loop. REQUIRES: not attached, nothing kept.
    void set_loop(loop& l) noexcept { loop_ = &l; }

    // What was kept before, and one recv if the stream is readable. `closed` may come with data.
    // `would_block` with readable() still true: what was kept fills the scratch and must shrink.
    input receive();
    // Keeps the tail of `input.data` for the next receive().
    void keep(std::string_view tail) { in_.append(loop_->buffers(), tail); }
    // What was kept, without receiving: for a stream that changes hands.
    [[nodiscard]] std::string take_kept() {
        std::string kept{in_.view()};
        in_.reset();
        return kept;
    }
    [[nodiscard]] bool has_input() const noexcept { return stream_.readable() || !in_.empty(); }
    [[nodiscard]] bool has_kept() const noexcept { return !in_.empty(); }
    [[nodiscard]] std::size_t kept() const noexcept { return in_.size(); }

    // Sends, or queues what the kernel does not take. False: the connection broke.
    [[nodiscard]] bool send(std::span<const iovec> pieces);
    [[nodiscard]] bool send(std::string_view bytes) {
        const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
        return send({&piece, 1});
    }
    // Sends what is queued. False: the connection broke.
    [[nodiscard]] bool flush();
    [[nodiscard]] bool has_backlog() const noexcept { return !out_.empty(); }
    // Bytes given to send() that the peer has not taken yet. A system call.
    [[nodiscard]] std::size_t unread() const noexcept {
        return out_.size() + stream_.unacknowledged();
    }
    void drop_all() noexcept {
        in_.reset();
        out_.reset();
    }

    [[nodiscard]] net::stream& stream() noexcept { return stream_; }
    [[nodiscard]] const net::stream& stream() const noexcept { return stream_; }

private:
    loop* loop_;
    net::stream stream_;
    buffer in_;
    buffer out_;
};

[[nodiscard]] inline iovec as_piece(std::string_view bytes) noexcept {
    return {const_cast<char*>(bytes.data()), bytes.size()};
}

}  // namespace pgweir::net
