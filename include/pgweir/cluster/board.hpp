// What the watch thread and the workers tell each other of one cluster.
#pragma once

#include "pgweir/base/histogram.hpp"
#include "pgweir/cluster/primary_lease.hpp"
#include "pgweir/cluster/view.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace pgweir::cluster {

// What pooled connections notice of a node. None of it decides who is primary; it makes probes
// quick.
enum class smell : std::uint8_t {
    lost,         // a server connection ended that should not have, or could not be made
    going,        // 57P01, 57P02, 57P03
    read_only,    // 25006 from the primary: it has been demoted, or the client asked for it
    in_recovery,  // in_hot_standby=on from a node that was taken for the primary
};

// One node, for as long as the cluster has a node of that name at that address. Any thread.
class node_link {
public:
    // Reads may begin on a connection made under the stamp in here. Ended by the watch thread the
    // moment the node must not be read from.
    shared_lease reads;

    // A pooled connection was answered; see node_evidence::note_reply() for which time is safe.
    void note_reply(base::time_point at) noexcept {
        const auto t = at.time_since_epoch().count();
        // Seldom written, so that workers do not fight for the line.
        if (t - last_reply_.load(std::memory_order_relaxed) > grain) {
            last_reply_.store(t, std::memory_order_relaxed);
        }
    }
    // no_time: none yet.
    [[nodiscard]] base::time_point last_reply() const noexcept {
        return base::time_point{base::duration{last_reply_.load(std::memory_order_relaxed)}};
    }

private:
    static constexpr std::int64_t grain = 50'000'000;  // ns
    std::atomic<std::int64_t> last_reply_ = base::no_time.time_since_epoch().count();
};

// A node as workers use it: where it is now, by configuration or discovery.
struct published_node {
    std::string name;
    std::string host;  // for people
    std::uint16_t port = 5432;
    unsigned weight = 100;
    std::shared_ptr<node_link> link;  // never null; another one when the node has moved
    // Numeric: where the server was found that is known as this node. A name may lead elsewhere at
    // the next look-up, so workers connect to nothing else. Empty: nowhere yet.
    std::string address;
};

// Immutable.
struct published_view {
    std::uint64_t serial = 0;  // counts publications; from 1
    cluster_view view;
    std::vector<published_node> nodes;  // parallel to view.nodes
    // One line on every node, for the DETAIL of errors: "n1 down (refused), n2 standby, ...".
    std::string summary;
    // No primary has been served since, for whatever causes; no_time while one is.
    base::time_point unserved_since = base::no_time;
};
using view_ptr = std::shared_ptr<const published_view>;

// What workers count of a cluster. Any thread.
struct board_counts {
    std::atomic<std::uint64_t> held_clients = 0;  // now
    std::atomic<std::uint64_t> held_bytes = 0;    // now
    std::atomic<std::uint64_t> in_doubt = 0;
    std::atomic<std::uint64_t> rolled_back = 0;
    std::atomic<std::uint64_t> hold_rejected = 0;
    std::atomic<std::uint64_t> fenced_closed = 0;
    std::atomic<std::uint64_t> doubts = 0;
    base::duration_histogram hold_times;  // of those that were held, served in the end or not
};

// One a cluster, made with it, shared by all threads, never removed while the process lives.
class board {
public:
    // Before the first byte of each transaction on the primary its word is asked; see lease_word.
    primary_lease primary;
    board_counts counts;

    // Watch thread. The words are stored before this is called, so that what they take away is
    // taken away at once, and what they grant only serves those who have seen the view.
    // Calls `changed` afterwards.
    void publish(view_ptr v) {
        {
            const std::lock_guard lock{mutex_};
            view_ = v;
        }
        if (changed) {
            changed(std::move(v));
        }
    }
    // Any thread. Null before the first publication.
    [[nodiscard]] view_ptr view() const {
        const std::lock_guard lock{mutex_};
        return view_;
    }

    // Set before any worker runs. `changed` is called on the watch thread with each publication.
    std::function<void(view_ptr)> changed;
    // Called by workers, on any thread, with the name of the node; must be cheap and never block.
    std::function<void(const std::string& node, smell what, base::time_point at)> smelled;

private:
    mutable std::mutex mutex_;
    view_ptr view_;
};

}  // namespace pgweir::cluster
