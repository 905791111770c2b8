// Where workers leave what they smell of the nodes of a cluster.
#pragma once

#include "pgweir/cluster/board.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace pgweir::watch {

// Never blocks a worker and never grows: of each node only the newest is kept, and `wake` is called
// once until the watch thread has looked. What any client can bring about (smell::read_only) is
// taken now and then, so that nobody can keep the probes quick.
class smell_inbox {
public:
    struct entry {
        std::string node;
        base::time_point smelled = base::no_time;
        base::time_point in_recovery = base::no_time;  // it said so then; no_time: it did not
    };
    struct contents {
        std::vector<entry> entries;
        bool is_incomplete = false;  // something was smelled that is not among them
    };

    // A node's smell::read_only within this time of the last one that was taken is left out.
    static constexpr base::duration between_read_only = std::chrono::seconds{10};

    // `wake` is called on any thread and must not block.
    explicit smell_inbox(std::function<void()> wake) : wake_{std::move(wake)} {}

    // Any thread.
    void put(const std::string& node, cluster::smell what, base::time_point at);
    // Watch thread. Empties it; the next put() wakes again.
    [[nodiscard]] contents take();

private:
    static constexpr std::size_t max_entries = 256;

    [[nodiscard]] bool is_news(const std::string& node, cluster::smell what, base::time_point at);

    const std::function<void()> wake_;
    std::atomic<bool> is_awake_ = false;
    std::atomic<bool> is_incomplete_ = false;
    std::mutex mutex_;  // held for some comparisons only
    std::vector<entry> entries_;
    std::map<std::string, base::time_point> read_only_;  // taken last
};

}  // namespace pgweir::watch
