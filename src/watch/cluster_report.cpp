// What SHOW CLUSTERS and SHOW NODES tell of a cluster.
#include "watch/cluster_watch.hpp"

#include <algorithm>
#include <chrono>

namespace pgweir::watch {
namespace {

using cluster::no_time;

std::int64_t milliseconds_in(cluster::duration d) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}

std::uint64_t milliseconds_until(cluster::time_point end, cluster::time_point now) {
    return end > now ? static_cast<std::uint64_t>(milliseconds_in(end - now)) : 0;
}

}  // namespace

void cluster_watch::report(metrics::report& out) const {
    const auto now = base::steady::now();
    const auto& view = told_.view;
    metrics::cluster_row row;
    row.name = settings_.name;
    row.discovery = config::to_string(settings_.how);
    row.writes = to_string(view.writes);
    row.cause = to_string(view.why);
    row.primary = view.primary ? nodes_[*view.primary]->known.name : "";
    row.epoch = view.epoch;
    row.tli = view.tli;
    row.system_identifier = judge_ ? judge_->state().system_identifier : 0;
    row.split_brain = view.split_brain;
    row.since_ms = view.since == no_time ? 0 : milliseconds_until(now, view.since);
    const auto unserved = record_.unserved_since();
    row.unserved_ms = unserved == no_time ? 0 : milliseconds_until(now, unserved);
    row.lease_ms = view.primary ? milliseconds_until(view.lease_until, now) : 0;
    const auto least = record_.least_lease();
    row.lease_least_ms = least ? milliseconds_in(*least) : -1;
    row.lease_lapses = record_.lapses();
    row.failovers = record_.failovers();
    for (std::size_t i = 0; i < cluster::cause_count; ++i) {
        const auto cause = static_cast<cluster::cause>(i);
        row.failovers_by_cause.emplace_back(to_string(cause), record_.failovers(cause));
    }
    row.failover_times = record_.failover_times();
    const auto& counts = board_->counts;
    row.held_clients = counts.held_clients;
    row.held_bytes = counts.held_bytes;
    row.in_doubt = counts.in_doubt;
    row.rolled_back = counts.rolled_back;
    row.hold_rejected = counts.hold_rejected;
    row.fenced_closed = counts.fenced_closed;
    row.doubts = counts.doubts;
    row.hold_times = counts.hold_times.read();
    row.metadata_error = state_error_;
    out.clusters.push_back(std::move(row));
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        out.nodes.push_back(row_of(i, now));
    }
}

metrics::node_row cluster_watch::row_of(std::size_t i, cluster::time_point now) const {
    const auto& n = *nodes_[i];
    const auto& e = evidence_[i];
    const auto& shown = told_.view.nodes[i];
    metrics::node_row row;
    row.cluster = settings_.name;
    row.name = n.known.name;
    row.host = n.known.host;
    row.port = n.known.port;
    row.weight = n.known.weight;
    row.state = to_string(shown.state);
    row.reason = to_string(shown.reason);
    row.reads = to_string(shown.reads);
    row.contact = to_string(e.last());
    row.error = n.error;
    row.tli = shown.tli;
    row.lag_bytes = shown.lag ? static_cast<std::int64_t>(*shown.lag) : -1;
    row.lag_ms = shown.replay_lag ? milliseconds_in(*shown.replay_lag) : -1;
    row.followers = shown.followers;
    if (const auto* role = e.role()) {
        row.lsn = role->position;
        row.system_identifier = role->system_identifier;
    }
    row.repmgr_id = n.known.repmgr_id.value_or(-1);
    if (const auto* repmgr = e.repmgr()) {
        row.repmgr_id = n.known.repmgr_id.value_or(repmgr->local_id.value_or(-1));
        const auto own = std::ranges::find_if(repmgr->nodes, [&](const cluster::repmgr_row& r) {
            return row.repmgr_id >= 0 ? r.id == row.repmgr_id : r.name == n.known.name;
        });
        if (own != repmgr->nodes.end()) {
            row.repmgr_id = own->id;
            row.repmgr_type = own->type;
            row.repmgr_active = own->active ? 1 : 0;
        }
    }
    row.upstream = upstream_of(i);
    row.sync_state = sync_state_of(i);
    row.last_ok_ms = e.alive() == no_time ? -1 : milliseconds_in(now - e.alive());
    row.probe_us = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(n.took).count());
    for (std::size_t c = 0; c < cluster::contact_count; ++c) {
        const auto result = static_cast<cluster::contact>(c);
        const auto count = n.probing->probes(result);
        row.probes += count;
        row.probes_failed += result == cluster::contact::answered ? 0 : count;
        if (result != cluster::contact::none) {
            row.probe_results.emplace_back(to_string(result), count);
        }
    }
    return row;
}

// Whom it streams from: the node of that address, or else the address.
std::string cluster_watch::upstream_of(std::size_t i) const {
    const auto* receiver = evidence_[i].receiver();
    if (receiver == nullptr || !receiver->streaming) {
        return {};
    }
    for (const auto& n : nodes_) {
        if (n->known.port == receiver->sender_port &&
            (n->known.host == receiver->sender_host ||
             std::ranges::find(n->addresses, receiver->sender_host) != n->addresses.end())) {
            return n->known.name;
        }
    }
    return receiver->sender_host + ":" + std::to_string(receiver->sender_port);
}

// As the primary has it.
std::string cluster_watch::sync_state_of(std::size_t i) const {
    const auto& primary = told_.view.primary;
    if (!primary || *primary == i || evidence_[*primary].senders() == nullptr) {
        return {};
    }
    const auto& senders = evidence_[*primary].senders()->senders;
    const auto own = std::ranges::find(senders, nodes_[i]->known.name, &cluster::sender_row::name);
    return own != senders.end() ? own->sync_state : std::string{};
}

}  // namespace pgweir::watch
