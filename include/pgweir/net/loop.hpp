// One worker thread's event loop: epoll, deadlines, messages from other threads.
#pragma once

#include "pgweir/base/clock.hpp"
#include "pgweir/net/buffer.hpp"
#include "pgweir/net/stream.hpp"
#include "pgweir/net/task.hpp"
#include "pgweir/net/timer.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace pgweir::net {

// Something that may have to outlive the call it dies in.
class mortal {
public:
    virtual ~mortal() = default;
};

// Sockets are registered once, edge-triggered, and once more when a send was too much for one: no
// system call arms or pauses anything afterwards. Streams remember what they may still do. Only
// those that listen are level-triggered, and are registered again after a pause.
//
// Everything but post() and stop() belongs to the thread in run(). Owned by the worker; outlives
// all streams, timers and buffers that use it.
class loop {
public:
    // One receive. Large enough that a typical result comes in one piece, small enough to stay in
    // the second-level cache together with what it is copied from.
    static constexpr std::size_t scratch_size = 64 * 1024;

    // Throws std::system_error when the kernel gives no descriptors. `c` is asked once a turn.
    explicit loop(base::clock c = base::steady::now);
    ~loop();
    loop(const loop&) = delete;
    loop& operator=(const loop&) = delete;

    // Serves until stop(). Tasks posted before stop() are run.
    void run();
    // Any thread.
    void stop();
    // Any thread. Tasks run in the order of their posting; those left when the loop is destroyed
    // are dropped. One wake-up serves all tasks posted meanwhile. What a task throws is logged.
    void post(task t);

    // The time at which this turn's events were received: no clock call a message.
    [[nodiscard]] base::time_point now() const noexcept { return now_; }
    // Counts turns: which of them this is.
    [[nodiscard]] std::uint64_t turn() const noexcept { return turn_; }
    // The time by the clock, where that of the turn is too old.
    [[nodiscard]] base::time_point read_clock() const noexcept { return clock_(); }
    [[nodiscard]] timer_wheel& timers() noexcept { return timers_; }
    [[nodiscard]] buffer_pool& buffers() noexcept { return buffers_; }
    [[nodiscard]] const buffer_pool& buffers() const noexcept { return buffers_; }
    // May a handler compute for some tenths of a millisecond now? Only the first who asks in a
    // turn: whoever else is served by this loop does not wait for more than that.
    [[nodiscard]] bool may_compute() noexcept { return std::exchange(may_compute_, false); }
    // Shared by all streams of this loop; what is in it dies with the handler call.
    [[nodiscard]] std::span<char> scratch() noexcept { return scratch_; }
    // The same for what is encrypted, on its way in or out, and for text that is about to be. Made
    // when first asked for.
    static constexpr std::size_t sealed_size = scratch_size + 8 * 1024;
    static constexpr std::size_t record_size = 16 * 1024;
    [[nodiscard]] std::span<char> sealed_scratch() {
        return std::span{tls_scratch()}.first(sealed_size);
    }
    [[nodiscard]] std::span<char> record_scratch() {
        return std::span{tls_scratch()}.last(record_size);
    }
    // Destroys `m` at the end of this turn, when no handler of it is on the stack.
    void bury(std::unique_ptr<mortal> m) { graves_.push_back(std::move(m)); }

private:
    friend class stream;
    static constexpr int batch = 256;

    void wait();
    void run_tasks();
    void run_again();
    void tell(stream& s);
    void add(stream& s, int fd, std::uint32_t interest);
    void watch_room(stream& s) noexcept;
    void remove(stream& s, int fd) noexcept;
    std::vector<char>& tls_scratch() {
        if (tls_scratch_.empty()) {
            tls_scratch_.resize(sealed_size + record_size);
        }
        return tls_scratch_;
    }
    void call_again(stream& s) { again_.push_back(s); }

    const base::clock clock_;
    int epoll_ = -1;
    int wake_ = -1;
    base::time_point now_;
    bool may_compute_ = true;
    std::uint64_t turn_ = 0;
    timer_wheel timers_;
    buffer_pool buffers_;
    std::vector<char> scratch_storage_;
    std::span<char> scratch_;
    std::vector<char> tls_scratch_;
    stream_list again_;  // streams that had more to read than one turn's share
    std::vector<std::unique_ptr<mortal>> graves_;

    struct pending_event {
        stream* target;
        unsigned events;
    };
    std::array<pending_event, batch> events_{};
    stream* told_ = nullptr;  // whose handler runs; null once it has been closed there
    int event_at_ = 0;
    int event_count_ = 0;

    std::mutex mutex_;
    std::vector<task> posted_;
    std::vector<task> running_;
    std::atomic<bool> stopping_ = false;
};

}  // namespace pgweir::net
