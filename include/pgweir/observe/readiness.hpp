// Whether this pgweir should be sent clients: what a balancer in front of several of them asks.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::observe {

struct cluster_facts {
    std::string name;
    bool is_known = false;  // its nodes have been looked at
    bool serves_writes = false;
    // No primary is served, for less time than hold_timeout: who comes now may yet be served.
    bool may_serve_soon = false;
    bool serves_reads = false;  // from a standby, to a database that asks for one
    std::string summary;        // of its nodes, for people
};

struct readiness_facts {
    bool is_draining = false;
    bool has_plain_database = false;  // one without a cluster: always taken for reachable
    std::vector<cluster_facts> clusters;
};

struct readiness {
    unsigned status = 200;  // or 503; 404: there is no such cluster
    std::string text;       // a reason a line
};

// Without `cluster`: can anybody be served? A failover is no reason to send clients away, as they
// would be refused instead of held, and neither is the loss of one cluster among several.
// With it: can writes of that cluster be served, now or soon?
[[nodiscard]] readiness judge_readiness(const readiness_facts& facts,
                                        std::optional<std::string_view> cluster);

}  // namespace pgweir::observe
