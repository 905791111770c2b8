// Connected sockets, and a loop on a thread of its own, for tests.
#pragma once

#include "pgweir/net/descriptor.hpp"
#include "pgweir/net/loop.hpp"

#include <cerrno>
#include <fcntl.h>
#include <functional>
#include <future>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>

namespace pgweir::net {

// `ours` is non-blocking, as streams need it; `peer` blocks.
struct socket_pair {
    descriptor ours;
    descriptor peer;

    socket_pair() {
        int fds[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ||
            ::fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0) {
            throw std::system_error{errno, std::system_category(), "socketpair"};
        }
        ours = descriptor{fds[0]};
        peer = descriptor{fds[1]};
    }
};

inline void write_all(const descriptor& to, std::string_view bytes) {
    while (!bytes.empty()) {
        const auto n = ::send(to.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n < 0) {
            throw std::system_error{errno, std::system_category(), "send"};
        }
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
}

// Waits for `size` bytes; fewer at end of file.
inline std::string read_exactly(const descriptor& from, std::size_t size) {
    std::string out(size, '\0');
    std::size_t at = 0;
    while (at < size) {
        const auto n = ::recv(from.get(), out.data() + at, size - at, 0);
        if (n <= 0) {
            break;
        }
        at += static_cast<std::size_t>(n);
    }
    out.resize(at);
    return out;
}

// A handler that counts, and does what a test wants done.
struct recorder : io_handler {
    int calls = 0;
    std::function<void()> then = [] {};

    void on_io() override {
        ++calls;
        then();
    }
};

// A loop that runs while this lives.
class loop_thread {
public:
    explicit loop_thread(base::clock c = base::steady::now) : loop{c} {}
    loop_thread(const loop_thread&) = delete;
    loop_thread& operator=(const loop_thread&) = delete;
    ~loop_thread() { stop(); }

    // What belongs to the loop may be touched by others afterwards.
    void stop() {
        if (thread_.joinable()) {
            loop.stop();
            thread_.join();
        }
    }

    // Runs `f` on the loop's thread and waits for its result. Whatever became readable before the
    // call has been told to its handler when `f` runs.
    template <class Function>
    std::invoke_result_t<Function> call(Function f) {
        std::packaged_task<std::invoke_result_t<Function>()> work{std::move(f)};
        auto result = work.get_future();
        loop.post(std::move(work));
        return result.get();
    }

    net::loop loop;

private:
    std::thread thread_{[this] { loop.run(); }};
};

}  // namespace pgweir::net
