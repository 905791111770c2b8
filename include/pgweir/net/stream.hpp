// A non-blocking stream socket that knows whether trying again is worth a system call.
#pragma once

#include <boost/intrusive/list.hpp>

#include <cstddef>
#include <span>
#include <sys/uio.h>

namespace pgweir::net {

class loop;

// Hears of a stream's readiness, once a turn. May destroy the stream.
class io_handler {
public:
    // The stream's readable(), writable() and hung_up() say what changed. An exception is logged
    // and shuts the stream in both directions, which on_io() then hears of as the end of the
    // connection.
    virtual void on_io() = 0;

protected:
    ~io_handler() = default;
};

enum class io_status : unsigned char { ok, would_block, closed };
struct io_result {
    std::size_t size = 0;
    io_status status = io_status::ok;
};

// Owns its descriptor. Plain TCP or unix sockets; worker thread only. The handler must outlive the
// attachment. Edge-triggered: after would_block the loop tells when to try again; until then
// readable() or writable() is false and trying is pointless. Only a listening one is told of again
// and again, as long as a client waits there.
class stream : public boost::intrusive::list_base_hook<
                   boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
public:
    stream() = default;
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;
    ~stream() { close(); }

    enum class origin : unsigned char {
        accepted,    // has room to send at once
        connecting,  // on_io() tells when it can send
        listening,   // is only waited for; of several loops that do, one is woken up
    };
    // Takes over `fd` (non-blocking) and registers it. Throws std::system_error when epoll refuses.
    void attach(loop& l, int fd, io_handler& handler, origin from = origin::accepted);
    // Unregisters and gives the descriptor away; -1 when there is none.
    [[nodiscard]] int detach() noexcept;
    void close() noexcept;

    [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }
    [[nodiscard]] int fd() const noexcept { return fd_; }
    [[nodiscard]] bool readable() const noexcept { return readable_; }
    [[nodiscard]] bool writable() const noexcept { return writable_; }
    // The peer will send nothing more, or the connection broke; what it sent before may be unread.
    [[nodiscard]] bool hung_up() const noexcept { return hung_up_; }
    // The connection broke: not only will nothing more come, nobody is there to read either.
    [[nodiscard]] bool is_broken() const noexcept { return broken_; }

    // One recv. `closed` is end of file or an error; `size` 0 then.
    io_result receive(std::span<char> into) noexcept;
    // One sendmsg of all pieces; short when the kernel's buffer is full.
    io_result send(std::span<const iovec> pieces) noexcept;
    // Bytes sent that the peer's kernel has not taken yet. A system call.
    [[nodiscard]] std::size_t unacknowledged() const noexcept;
    // No more will be sent; the peer sees end of file once it has read all.
    void shut_down_sending() noexcept;
    // Neither side will send more; both see end of file.
    void shut_down() noexcept;
    // From now on close() resets the connection, and what is still on its way is lost. REQUIRES:
    // open.
    void reset_on_close() noexcept;
    // Calls on_io() again in the next turn, after others had theirs.
    void call_again();

private:
    friend class loop;

    void note_full() noexcept;

    loop* loop_ = nullptr;
    io_handler* handler_ = nullptr;
    int fd_ = -1;
    bool readable_ = false;
    bool writable_ = false;
    bool hears_of_room_ = false;  // the kernel is asked to tell when it takes bytes again
    bool hung_up_ = false;
    bool broken_ = false;
};

using stream_list = boost::intrusive::list<stream, boost::intrusive::constant_time_size<false>>;

}  // namespace pgweir::net
