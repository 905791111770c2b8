// The watch thread: probes the nodes of every cluster, lets the arbiter decide, publishes the view.
#pragma once

#include "pgweir/cluster/board.hpp"
#include "pgweir/config/snapshot.hpp"
#include "pgweir/metrics/report.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace pgweir::watch {

// An operator's command, or a hint.
struct order {
    enum class verb : std::uint8_t {
        recheck,  // a hint that something has happened: probe every node now
        force_primary,
        fence,
        unfence,
        forget_cluster,
        switchover_begin,  // hold writes until the next grant, switchover_end, or `timeout`
        switchover_end,
    };
    verb what = verb::recheck;
    std::string cluster;  // recheck: empty means every one
    std::string node;     // force_primary, fence, unfence
    std::chrono::milliseconds timeout{0};
};
// Empty `sqlstate`: done.
struct order_outcome {
    std::string sqlstate, message, detail, hint;
};

// Nothing else runs on its thread, so that no scrape, reload or login storm can delay a lease. It
// does not exist while no cluster is configured, and begins with the first one.
class watcher {
public:
    // Called on the watch thread with each publication on a board.
    using view_listener =
        std::function<void(const std::string& cluster, const cluster::view_ptr& view)>;

    explicit watcher(view_listener changed = {});
    ~watcher();  // stops
    watcher(const watcher&) = delete;
    watcher& operator=(const watcher&) = delete;

    // The control thread. Makes the boards of new clusters, and begins or ends their probes.
    // Nothing is probed before start(). Throws std::runtime_error when the state of a cluster
    // cannot be read or is damaged, naming the file and what to do: with less than was known
    // before, a primary might be granted that has been refused. After start() such a cluster is
    // held instead, and says so in its row.
    void configure(std::shared_ptr<const config::snapshot> snapshot);
    void start();
    void stop();

    // Any thread. The board of a cluster that configure() has seen; null: there is none. A cluster
    // that has left the configuration keeps its board, on which nothing is granted any more.
    [[nodiscard]] std::shared_ptr<cluster::board> board_of(const std::string& cluster) const;

    // Any thread. `done` is called on the watch thread, or at once on the caller's where there is
    // no such cluster or the watcher has stopped.
    void carry_out(order o, std::function<void(order_outcome)> done);
    // Any thread. Fills clusters, nodes and failovers; `done` as above.
    void report(std::function<void(metrics::report)> done);

private:
    class body;
    std::unique_ptr<body> body_;
};

}  // namespace pgweir::watch
