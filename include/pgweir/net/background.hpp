// Threads for work that would stall a worker: password hashing, name look-ups, file reads.
#pragma once

#include "pgweir/net/task.hpp"

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

namespace pgweir::net {

// A few threads and a bounded queue. Tasks hand their results back with loop::post(). Any thread
// may submit. Destruction drops what has not begun and waits for what has.
class background {
public:
    // `low` is for what computes for long: whoever serves clients comes first on a processor that
    // both want, and the rest is enough to go on.
    enum class priority : unsigned char { normal, low };

    background(unsigned threads, std::size_t queue_limit, priority p = priority::normal);
    ~background();
    background(const background&) = delete;
    background& operator=(const background&) = delete;

    // False when the queue is full: the caller must fail its request, not wait. What the task
    // throws is logged.
    [[nodiscard]] bool submit(task t);
    // Is there nothing that waits or is under way? Any thread; true a moment ago, at least.
    [[nodiscard]] bool is_idle() const noexcept { return unfinished_.load() == 0; }
    // Drops what has not begun, waits for what has; submit() refuses from now on. Needed before
    // those die whom results are posted to.
    void stop();

private:
    void serve(priority p);

    const std::size_t limit_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<task> queue_;
    std::atomic<std::size_t> unfinished_ = 0;
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace pgweir::net
