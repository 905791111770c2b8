// What pgweir tells over HTTP of itself: metrics, health and readiness.
#pragma once

#include "pgweir/app/http_endpoint.hpp"
#include "pgweir/cluster/board.hpp"
#include "pgweir/config/snapshot.hpp"
#include "pgweir/observe/prometheus.hpp"
#include "pgweir/observe/readiness.hpp"
#include "pgweir/session/worker.hpp"
#include "pgweir/watch/watcher.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace pgweir::app {

// How a cluster is, as far as readiness depends on it. `board` may be null. `wants_reads`: some
// database asks for standbys of it.
[[nodiscard]] observe::cluster_facts describe_cluster(const config::cluster_settings& settings,
                                                      const cluster::board* board,
                                                      bool wants_reads,
                                                      base::time_point now);

// Who waits for the report that is being collected. A worker that cannot tell, for want of memory,
// says nothing at all, so who has waited too long is given up, and the next one asks again.
class scrape_queue {
public:
    static constexpr std::size_t most = 64;  // more would only wait for workers that do not answer
    static constexpr base::duration patience = std::chrono::seconds{10};

    struct joined {
        bool must_ask = false;                       // nobody has asked for him yet
        std::vector<http_endpoint::reply> given_up;  // to be told so; himself, where all is full
    };
    joined join(http_endpoint::reply done, base::time_point now);
    // The report is there.
    [[nodiscard]] std::vector<http_endpoint::reply> take() noexcept {
        return std::exchange(waiting_, {});
    }

private:
    std::vector<http_endpoint::reply> waiting_;
    base::time_point asked_ = base::no_time;
};

// Control thread only. However many ask for metrics at once, workers are asked once.
class http_service {
public:
    // All of them outlive it. Nothing is asked of them before open().
    http_service(boost::asio::io_context& io,
                 session::fleet& fleet,
                 const std::vector<std::unique_ptr<session::worker>>& workers,
                 const watch::watcher& watcher);

    // Throws std::runtime_error when it cannot listen.
    void open(std::shared_ptr<const config::snapshot> snapshot);
    void configure(std::shared_ptr<const config::snapshot> snapshot);
    // From now on it says that clients should go elsewhere.
    void drain() noexcept { draining_ = true; }

private:
    void answer(const observe::http_question& question, http_endpoint::reply done);
    void collect();
    void on_report(const metrics::report& report);
    [[nodiscard]] observe::process_figures figures() const;
    [[nodiscard]] observe::readiness_facts facts() const;

    boost::asio::io_context& io_;
    session::fleet& fleet_;
    const std::vector<std::unique_ptr<session::worker>>& workers_;
    const watch::watcher& watcher_;
    std::shared_ptr<const config::snapshot> snapshot_;
    scrape_queue waiting_;
    bool draining_ = false;
    std::int64_t started_;
    http_endpoint endpoint_;
};

}  // namespace pgweir::app
