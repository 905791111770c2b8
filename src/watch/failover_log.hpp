// The last transitions of all clusters, for SHOW FAILOVER_LOG.
#pragma once

#include "pgweir/metrics/report.hpp"

#include <deque>
#include <utility>
#include <vector>

namespace pgweir::watch {

class failover_log {
public:
    void add(metrics::failover_row row) {
        if (rows_.size() == max_rows) {
            rows_.pop_front();
        }
        rows_.push_back(std::move(row));
    }
    // The newest last.
    [[nodiscard]] std::vector<metrics::failover_row> rows() const {
        return {rows_.begin(), rows_.end()};
    }

private:
    static constexpr std::size_t max_rows = 1'000;

    std::deque<metrics::failover_row> rows_;
};

}  // namespace pgweir::watch
