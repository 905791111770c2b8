// The non-blocking stream socket.
#include "pgweir/net/stream.hpp"

#include "pgweir/net/loop.hpp"

#include <cerrno>
#include <cstdint>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace pgweir::net {
namespace {

std::uint32_t interest_of(stream::origin from) noexcept {
    switch (from) {
        case stream::origin::accepted: break;
        case stream::origin::connecting: return EPOLLIN | EPOLLRDHUP | EPOLLOUT | EPOLLET;
        case stream::origin::listening: return EPOLLIN | EPOLLEXCLUSIVE;
    }
    return EPOLLIN | EPOLLRDHUP | EPOLLET;
}

}  // namespace

void stream::attach(loop& l, int fd, io_handler& handler, origin from) {
    fd_ = fd;
    loop_ = &l;
    handler_ = &handler;
    readable_ = hung_up_ = broken_ = false;
    // Whoever has room to begin with is not woken up to be told so.
    writable_ = from == origin::accepted;
    hears_of_room_ = from == origin::connecting;
    l.add(*this, fd, interest_of(from));
}

void stream::note_full() noexcept {
    writable_ = false;
    if (!hears_of_room_) {
        hears_of_room_ = true;
        loop_->watch_room(*this);
    }
}

int stream::detach() noexcept {
    if (fd_ >= 0) {
        loop_->remove(*this, fd_);
        if (is_linked()) {
            unlink();
        }
    }
    return std::exchange(fd_, -1);
}

void stream::close() noexcept {
    if (const int fd = detach(); fd >= 0) {
        ::close(fd);
    }
}

io_result stream::receive(std::span<char> into) noexcept {
    for (;;) {
        const auto n = ::recv(fd_, into.data(), into.size(), 0);
        if (n > 0) {
            const auto size = static_cast<std::size_t>(n);
            // A short read has emptied the socket: the next byte brings a new edge. After a hang-up
            // there is no further edge, so the end of file must be fetched.
            readable_ = size == into.size() || hung_up_;
            return {size, io_status::ok};
        }
        if (n == 0) {
            readable_ = false;
            return {0, io_status::closed};
        }
        if (errno == EINTR) {
            continue;
        }
        readable_ = false;
        const bool again = errno == EAGAIN || errno == EWOULDBLOCK;
        return {0, again ? io_status::would_block : io_status::closed};
    }
}

io_result stream::send(std::span<const iovec> pieces) noexcept {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces.data());
    message.msg_iovlen = pieces.size();
    std::size_t total = 0;
    for (const auto& p : pieces) {
        total += p.iov_len;
    }
    for (;;) {
        const auto n = pieces.size() == 1
                           ? ::send(fd_, pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL)
                           : ::sendmsg(fd_, &message, MSG_NOSIGNAL);
        if (n >= 0) {
            const auto size = static_cast<std::size_t>(n);
            if (size != total) {
                note_full();
            }
            return {size, io_status::ok};
        }
        if (errno == EINTR) {
            continue;
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) {
            writable_ = false;
            return {0, io_status::closed};
        }
        note_full();
        return {0, io_status::would_block};
    }
}

std::size_t stream::unacknowledged() const noexcept {
    int size = 0;
    return ::ioctl(fd_, SIOCOUTQ, &size) == 0 && size > 0 ? static_cast<std::size_t>(size) : 0;
}

void stream::shut_down_sending() noexcept {
    if (fd_ >= 0) {
        ::shutdown(fd_, SHUT_WR);
    }
}

void stream::shut_down() noexcept {
    if (fd_ >= 0) {
        ::shutdown(fd_, SHUT_RDWR);
    }
}

void stream::reset_on_close() noexcept {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

void stream::call_again() {
    if (!is_linked()) {
        loop_->call_again(*this);
    }
}

}  // namespace pgweir::net
