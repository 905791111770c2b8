// A stream with what could not be used or sent yet: the part that clients and servers share.
#pragma once

#include "pgweir/net/loop.hpp"
#include "pgweir/tls/engine.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pgweir::net {

// While nothing is kept it owns no memory, but for the state of TLS where that is spoken. With TLS
// all bytes here are plain text, except where it says otherwise. Worker thread only.
class channel {
public:
    struct input {
        std::string_view data;  // what was kept, then what was received; in the loop's scratch
        io_status status = io_status::ok;
    };

    explicit channel(loop& l) noexcept : loop_{&l} {}

    void attach(int fd, io_handler& handler, stream::origin from = stream::origin::accepted) {
        stream_.attach(*loop_, fd, handler, from);
    }
    // From now on the connection speaks TLS: the handshake of `e` is done. REQUIRES: all that was
    // sent is on its way, and nothing kept.
    void secure(std::unique_ptr<tls::engine> e) noexcept { tls_ = std::move(e); }
    // For a connection that changes hands: its TLS, with what that has received.
    [[nodiscard]] std::unique_ptr<tls::engine> take_tls() noexcept { return std::move(tls_); }
    [[nodiscard]] bool is_secure() const noexcept { return tls_ != nullptr; }
    // What the handshake settled; none where there is no TLS.
    [[nodiscard]] std::optional<tls::facts> security() const noexcept {
        return tls_ == nullptr ? std::nullopt : std::optional{tls_->security()};
    }
    // For another connection that is to be as secure as this one; null where there is no TLS.
    [[nodiscard]] tls::context_ptr tls_context() const noexcept {
        return tls_ == nullptr ? nullptr : tls_->shared();
    }
    // The peer has ended TLS, not just the connection.
    [[nodiscard]] bool has_ended_tls() const noexcept {
        return tls_ != nullptr && tls_->is_closed();
    }
    // Why TLS broke the connection; empty: it did not.
    [[nodiscard]] std::string_view tls_error() const noexcept {
        return tls_ == nullptr ? std::string_view{} : tls_->error();
    }
    // Changes to another worker's loop. REQUIRES: not attached, nothing kept.
    void set_loop(loop& l) noexcept { loop_ = &l; }

    // What was kept before, and one recv if the stream is readable. `closed` may come with data.
    // `would_block` with readable() still true: what was kept fills the scratch and must shrink.
    input receive();
    // Is another receive() worth it? What is left when it says so brings no further event.
    [[nodiscard]] bool readable() const noexcept { return stream_.readable() || has_pending(); }
    // Keeps the tail of `input.data` for the next receive().
    void keep(std::string_view tail) { in_.append(loop_->buffers(), tail); }
    // What was kept, without receiving: for a stream that changes hands.
    [[nodiscard]] std::string take_kept() {
        std::string kept{in_.view()};
        in_.reset();
        return kept;
    }
    [[nodiscard]] bool has_input() const noexcept { return readable() || !in_.empty(); }
    // Bytes that were received and not used yet.
    [[nodiscard]] bool has_kept() const noexcept { return !in_.empty() || has_pending(); }
    [[nodiscard]] std::size_t kept() const noexcept { return in_.size(); }

    // Sends, or queues what the kernel does not take. False: the connection broke.
    [[nodiscard]] bool send(std::span<const iovec> pieces);
    [[nodiscard]] bool send(std::string_view bytes) {
        const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
        return send({&piece, 1});
    }
    // Sends what is queued. False: the connection broke.
    [[nodiscard]] bool flush();
    // With TLS, tells the peer that no more will be sent; queued like other bytes. Comes before
    // stream::shut_down_sending(), which alone would look like an attack (RFC 8446, section 6.1).
    // False: the connection broke.
    [[nodiscard]] bool end_tls();
    [[nodiscard]] bool has_backlog() const noexcept { return !out_.empty(); }
    // Bytes given to send() that the peer has not taken yet, as they are sent. A system call.
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
    [[nodiscard]] bool has_pending() const noexcept {
        return tls_ != nullptr && tls_->has_pending();
    }
    input receive_tls(std::span<char> scratch, std::size_t kept);
    [[nodiscard]] bool send_raw(std::span<const iovec> pieces);
    [[nodiscard]] bool send_tls(std::span<const iovec> pieces);
    [[nodiscard]] bool send_tls_output();

    loop* loop_;
    net::stream stream_;
    std::unique_ptr<tls::engine> tls_;  // null: plain text
    buffer in_;                         // plain text
    buffer out_;                        // as it is sent
};

[[nodiscard]] inline iovec as_piece(std::string_view bytes) noexcept {
    return {const_cast<char*>(bytes.data()), bytes.size()};
}

}  // namespace pgweir::net
