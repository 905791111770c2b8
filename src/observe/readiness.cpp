// The rules of /readyz; docs/metrics.md says why they are what they are.
#include "pgweir/observe/readiness.hpp"

#include <algorithm>

namespace pgweir::observe {
namespace {

const char* describe(const cluster_facts& c) noexcept {
    return !c.is_known        ? "not looked at yet"
           : c.serves_writes  ? "has a primary"
           : c.may_serve_soon ? "no primary, clients wait for one"
           : c.serves_reads   ? "no primary, only reads are served"
                              : "no primary";
}

void append_line(std::string& out, const cluster_facts& c) {
    out += "cluster " + c.name + ": " + describe(c);
    if (!c.summary.empty()) {
        out += "; " + c.summary;
    }
    out += '\n';
}

bool serves_writes(const cluster_facts& c) noexcept {
    return c.is_known && (c.serves_writes || c.may_serve_soon);
}
bool serves_somebody(const cluster_facts& c) noexcept { return serves_writes(c) || c.serves_reads; }

}  // namespace

readiness judge_readiness(const readiness_facts& facts, std::optional<std::string_view> cluster) {
    readiness out;
    bool ready = false;
    if (cluster) {
        const auto found = std::ranges::find(facts.clusters, *cluster, &cluster_facts::name);
        if (found == facts.clusters.end()) {
            return {404, "there is no such cluster\n"};
        }
        ready = serves_writes(*found);
        append_line(out.text, *found);
    } else {
        // At the start: what is not known of a cluster will be in a moment.
        const bool all_known = std::ranges::all_of(facts.clusters, &cluster_facts::is_known);
        ready = all_known &&
                (facts.has_plain_database || std::ranges::any_of(facts.clusters, serves_somebody));
        for (const auto& c : facts.clusters) {
            append_line(out.text, c);
        }
    }
    if (facts.is_draining) {
        ready = false;
        out.text.insert(0, "draining: no new clients are taken\n");
    }
    out.text.insert(0, ready ? "ready\n" : "not ready\n");
    out.status = ready ? 200 : 503;
    return out;
}

}  // namespace pgweir::observe
