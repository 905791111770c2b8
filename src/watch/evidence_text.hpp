// The evidence of all nodes as JSON, for the failover log.
#pragma once

#include "pgweir/cluster/evidence.hpp"

#include <span>
#include <string>

namespace pgweir::watch {

// One line; valid JSON whatever bytes servers have sent. Ages are in milliseconds before `now`.
[[nodiscard]] std::string evidence_text(std::span<const std::string> names,
                                        std::span<const cluster::node_evidence> evidence,
                                        cluster::time_point now,
                                        cluster::duration lease);

}  // namespace pgweir::watch
