// A report as Prometheus reads it.
#pragma once

#include "pgweir/metrics/report.hpp"

#include <cstdint>
#include <string>

namespace pgweir::observe {

// What no report holds. Absent values are 0 or empty.
struct process_figures {
    std::string version;
    unsigned workers = 0;
    std::uint64_t clients = 0;  // from their startup packet on
    std::uint64_t login_clients = 0;
    std::uint64_t max_clients = 0;
    std::uint64_t max_login_clients = 0;
    // Connections that were closed without a word, by the limit that they met.
    std::uint64_t refused_full = 0;
    std::uint64_t refused_address_full = 0;
    std::uint64_t refused_too_fast = 0;
    std::uint64_t cpu_us = 0;  // user and system
    std::uint64_t resident_bytes = 0;
    std::uint64_t max_descriptors = 0;
    std::int64_t started = 0;  // seconds since 1970
};

inline constexpr const char* prometheus_content_type = "text/plain; version=0.0.4; charset=utf-8";

// Parts of a report that to_prometheus() shows. None of them looks at every client.
inline constexpr unsigned exported_parts =
    static_cast<unsigned>(metrics::part::pools) | static_cast<unsigned>(metrics::part::traffic) |
    static_cast<unsigned>(metrics::part::memory) | static_cast<unsigned>(metrics::part::clusters) |
    static_cast<unsigned>(metrics::part::lookups);

// The text format, version 0.0.4. docs/metrics.md lists the metrics. Names of any bytes are shown:
// what is not printable UTF-8 becomes \xNN.
[[nodiscard]] std::string to_prometheus(const metrics::report& report,
                                        const process_figures& process);

}  // namespace pgweir::observe
