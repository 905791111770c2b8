// The event loop of a worker.
#include "pgweir/net/loop.hpp"

#include "pgweir/base/log.hpp"

#include <algorithm>
#include <cerrno>
#include <exception>
#include <memory>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>

namespace pgweir::net {
namespace {

int checked(int result, const char* what) {
    if (result < 0) {
        throw std::system_error{errno, std::system_category(), what};
    }
    return result;
}

constexpr std::size_t cache_line = 64;

// What is received begins with a cache line, so that looking through a short message costs the same
// wherever the heap has put it.
std::span<char> aligned(std::vector<char>& storage) noexcept {
    void* begin = storage.data();
    auto room = storage.size();
    std::align(cache_line, loop::scratch_size, begin, room);
    return {static_cast<char*>(begin), loop::scratch_size};
}

// Those who die here may bury others.
void empty(std::vector<std::unique_ptr<mortal>>& graves) {
    while (!graves.empty()) {
        std::vector<std::unique_ptr<mortal>> dying;
        dying.swap(graves);
    }
}

}  // namespace

loop::loop(base::clock c)
    : clock_{c},
      now_{clock_()},
      timers_{now_},
      scratch_storage_(scratch_size + cache_line),
      scratch_{aligned(scratch_storage_)} {
    epoll_ = checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    epoll_event e{};
    e.events = EPOLLIN | EPOLLET;
    e.data.ptr = nullptr;
    if (wake_ < 0 || ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &e) < 0) {
        const int error = errno;
        ::close(epoll_);
        if (wake_ >= 0) {
            ::close(wake_);
        }
        throw std::system_error{error, std::system_category(), "eventfd"};
    }
}

loop::~loop() {
    posted_.clear();
    empty(graves_);
    ::close(wake_);
    ::close(epoll_);
}

void loop::add(stream& s, int fd, std::uint32_t interest) {
    epoll_event e{};
    e.events = interest;
    e.data.ptr = &s;
    checked(::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &e), "epoll_ctl");
}

// Looks at once, so that room which has come meanwhile is told as well. Fails for no reason that a
// registered descriptor could give.
void loop::watch_room(stream& s) noexcept {
    epoll_event e{};
    e.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    e.data.ptr = &s;
    ::epoll_ctl(epoll_, EPOLL_CTL_MOD, s.fd_, &e);
}

void loop::remove(stream& s, int fd) noexcept {
    ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
    if (told_ == &s) {
        told_ = nullptr;
    }
    // Events of this turn that were fetched but not delivered must not reach a dead stream.
    for (int i = event_at_; i < event_count_; ++i) {
        if (events_[static_cast<std::size_t>(i)].target == &s) {
            events_[static_cast<std::size_t>(i)].target = nullptr;
        }
    }
}

void loop::post(task t) {
    bool first = false;
    {
        const std::lock_guard lock{mutex_};
        first = posted_.empty();
        posted_.push_back(std::move(t));
    }
    if (first) {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto n = ::write(wake_, &one, sizeof one);
    }
}

void loop::stop() {
    stopping_.store(true);
    post([] {});
}

void loop::run_tasks() {
    {
        const std::lock_guard lock{mutex_};
        running_.swap(posted_);
    }
    for (auto& t : running_) {
        try {
            t();
        } catch (const std::exception& e) {
            PGWEIR_LOG(err, "a task was given up: {}", e.what());
        }
    }
    running_.clear();
}

void loop::run_again() {
    // Only those that were in the list when we came: the others had their share this turn.
    stream_list now;
    now.swap(again_);
    while (!now.empty()) {
        auto& s = now.front();
        now.pop_front();
        tell(s);
    }
}

// What goes wrong for one connection ends that one only.
void loop::tell(stream& s) {
    told_ = &s;
    try {
        s.handler_->on_io();
    } catch (const std::exception& e) {
        PGWEIR_LOG(err, "a connection was given up: {}", e.what());
        if (told_ != nullptr) {
            told_->shut_down();
        }
    }
    told_ = nullptr;
}

void loop::wait() {
    epoll_event raw[batch];
    int timeout = -1;
    if (!again_.empty()) {
        timeout = 0;
    } else if (timers_.next() != base::never) {
        const auto ms = std::chrono::ceil<std::chrono::milliseconds>(timers_.next() - now_);
        timeout = static_cast<int>(std::clamp<long>(ms.count(), 0, 60'000));
    }
    const int n = ::epoll_wait(epoll_, raw, batch, timeout);
    now_ = clock_();
    event_count_ = std::max(n, 0);
    for (int i = 0; i < event_count_; ++i) {
        events_[static_cast<std::size_t>(i)] = {static_cast<stream*>(raw[i].data.ptr),
                                                raw[i].events};
    }
}

void loop::run() {
    while (!stopping_.load(std::memory_order_relaxed)) {
        wait();
        may_compute_ = true;
        ++turn_;
        bool woken = false;
        for (event_at_ = 0; event_at_ < event_count_;) {
            const auto [s, events] = events_[static_cast<std::size_t>(event_at_)];
            ++event_at_;
            if (s == nullptr) {
                woken = true;  // the wake-up descriptor, or a stream that died this turn
                continue;
            }
            s->readable_ =
                s->readable_ || (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
            s->writable_ = s->writable_ || (events & EPOLLOUT) != 0;
            s->hung_up_ = s->hung_up_ || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
            s->broken_ = s->broken_ || (events & EPOLLERR) != 0;
            tell(*s);
        }
        event_count_ = 0;
        run_again();
        timers_.advance(now_);
        if (woken) {
            run_tasks();
        }
        empty(graves_);
    }
    run_tasks();
    empty(graves_);
}

}  // namespace pgweir::net
