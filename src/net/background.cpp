// Threads for slow work.
#include "pgweir/net/background.hpp"

#include "pgweir/base/log.hpp"

#include <cstdint>
#include <exception>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace pgweir::net {
namespace {

// About a tenth of the share of a thread that is as nice as the process.
constexpr int low_niceness = 10;
// Longer than anybody else's. Linux lets whoever runs finish a slice, however nice he is, unless he
// who wakes up has a shorter one (EEVDF, Linux 6.12 and later; older ones take no notice).
constexpr std::uint64_t long_slice_ns = 20'000'000;

// sched_setattr(2), which has no header that goes with <sched.h>.
struct scheduling {
    std::uint32_t size;
    std::uint32_t policy;
    std::uint64_t flags;
    std::int32_t niceness;
    std::uint32_t priority;
    std::uint64_t runtime;  // the slice, for those who are not bound to a deadline
    std::uint64_t deadline;
    std::uint64_t period;
};

// Of the calling thread: that is what Linux takes a process for here (sched(7)).
void be_nicer() noexcept {
    scheduling how{};
    how.size = sizeof how;
    how.policy = SCHED_BATCH;  // does not interrupt others when it wakes up
    how.niceness = ::getpriority(PRIO_PROCESS, 0) + low_niceness;
    how.runtime = long_slice_ns;
    if (::syscall(SYS_sched_setattr, 0, &how, 0) != 0) {
        ::setpriority(PRIO_PROCESS, 0, how.niceness);
    }
}

}  // namespace

background::background(unsigned threads, std::size_t queue_limit, priority p)
    : limit_{queue_limit} {
    for (unsigned i = 0; i < threads; ++i) {
        threads_.emplace_back([this, p] { serve(p); });
    }
}

background::~background() { stop(); }

void background::stop() {
    {
        const std::lock_guard lock{mutex_};
        stopping_ = true;
    }
    wake_.notify_all();
    for (auto& t : threads_) {
        t.join();
    }
    threads_.clear();
    unfinished_ -= queue_.size();
    queue_.clear();
}

bool background::submit(task t) {
    {
        const std::lock_guard lock{mutex_};
        if (stopping_ || queue_.size() >= limit_) {
            return false;
        }
        queue_.push_back(std::move(t));
        ++unfinished_;
    }
    wake_.notify_one();
    return true;
}

void background::serve(priority p) {
    if (p == priority::low) {
        be_nicer();
    }
    std::unique_lock lock{mutex_};
    for (;;) {
        wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        if (stopping_) {
            return;
        }
        auto t = std::move(queue_.front());
        queue_.pop_front();
        lock.unlock();
        try {
            t();
        } catch (const std::exception& e) {
            PGWEIR_LOG(err, "a background task was given up: {}", e.what());
        }
        --unfinished_;
        lock.lock();
    }
}

}  // namespace pgweir::net
