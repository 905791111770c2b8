// What an operator tells a cluster.
#include "pgweir/base/log.hpp"
#include "watch/cluster_watch.hpp"

#include <string>

namespace pgweir::watch {
namespace {

using cluster::verb_result;
using verb = order::verb;

std::string text_of(const order& o) {
    switch (o.what) {
        case verb::recheck: return "RECHECK";
        case verb::force_primary: return "FORCE PRIMARY " + o.node;
        case verb::fence: return "FENCE " + o.node;
        case verb::unfence: return "UNFENCE " + o.node;
        case verb::forget_cluster: return "FORGET CLUSTER";
        case verb::switchover_begin: return "SWITCHOVER begins";
        case verb::switchover_end: return "SWITCHOVER ends";
    }
    return "";
}

}  // namespace

order_outcome cluster_watch::carry_out(const order& o) {
    if (o.what == verb::recheck) {
        recheck();
        return {};
    }
    if (!judge_) {
        return {.sqlstate = "58030",
                .message = "the state of cluster \"" + settings_.name + "\" could not be read",
                .detail = state_error_,
                .hint = "Put the state file right, then RELOAD."};
    }
    const auto now = base::steady::now();
    auto result = verb_result::done;
    switch (o.what) {
        case verb::force_primary: result = judge_->force_primary(o.node, evidence_, now); break;
        case verb::fence: result = judge_->fence(o.node); break;
        case verb::unfence: result = judge_->unfence(o.node); break;
        case verb::forget_cluster: judge_->forget_cluster(); break;
        case verb::switchover_begin: {
            const auto time = o.timeout.count() > 0 ? o.timeout : settings_.switchover_timeout;
            result = judge_->switchover_begin(now + time);
            break;
        }
        case verb::switchover_end: result = judge_->switchover_end(); break;
        case verb::recheck: break;
    }
    if (result != verb_result::done) {
        return refused(o, result);
    }
    const auto text = text_of(o);
    PGWEIR_LOG(info, "cluster {}: by order: {}", settings_.name, text);
    add_row("verb", text, evidence_now());
    save_again_ = cluster::no_time;
    recheck();
    decide();
    if (saved_ != judge_->state()) {
        return {.sqlstate = "58030",
                .message = text + " is in effect, but a restart would forget it",
                .detail = state_error_,
                .hint = "Let pgweir write its state file."};
    }
    return {};
}

order_outcome cluster_watch::refused(const order& o, cluster::verb_result why) const {
    const auto whom = "node \"" + o.node + "\"";
    std::string detail;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        if (nodes_[i]->known.name == o.node) {
            detail = "Its last probe: " + std::string{to_string(evidence_[i].last())} +
                     (nodes_[i]->error.empty() ? "" : ", " + nodes_[i]->error) + ".";
        }
    }
    switch (why) {
        case verb_result::unknown_node:
            return {.sqlstate = "42704",
                    .message = "cluster \"" + settings_.name + "\" has no " + whom,
                    .detail = {},
                    .hint = "SHOW NODES lists them."};
        case verb_result::not_a_primary:
            return {.sqlstate = "55000",
                    .message = whom + " does not answer as a primary that can be written to",
                    .detail = detail,
                    .hint = "pgweir promotes nobody: promote the node first."};
        case verb_result::quarantined:
            return {.sqlstate = "55000",
                    .message = whom + " is not a node of cluster \"" + settings_.name + "\"",
                    .detail = detail,
                    .hint = "SHOW NODES says why; FORGET CLUSTER after pg_upgrade or a restore."};
        case verb_result::no_primary:
            return {.sqlstate = "55000",
                    .message = "cluster \"" + settings_.name + "\" has no primary to switch from",
                    .detail = summary_of(judge_->view()),
                    .hint = {}};
        case verb_result::no_switchover:
            return {.sqlstate = "55000",
                    .message = "no switchover of cluster \"" + settings_.name + "\" is under way",
                    .detail = {},
                    .hint = {}};
        case verb_result::done: break;
    }
    return {};
}

}  // namespace pgweir::watch
