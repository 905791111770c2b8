// From evidence to what workers may do: decide, save, publish, tell.
#include "pgweir/base/log.hpp"
#include "watch/cluster_watch.hpp"
#include "watch/evidence_text.hpp"
#include "watch/publication.hpp"
#include "watch/state_file.hpp"

#include <algorithm>
#include <utility>

namespace pgweir::watch {
namespace {

using base::steady;
using cluster::no_time;

constexpr cluster::duration between_saves = std::chrono::seconds{1};  // where one has failed
constexpr cluster::duration shortest_wait = std::chrono::milliseconds{1};

}  // namespace

void cluster_watch::decide() {
    const auto now = steady::now();
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        if (const auto reply = nodes_[i]->link->last_reply(); reply != no_time) {
            evidence_[i].note_reply(reply);
        }
    }
    cluster::cluster_view view;
    if (judge_) {
        view = judge_->decide(evidence_, now);
        save();
        if (!is_grant_saved()) {
            if (view.primary) {
                view.nodes[*view.primary].reads = cluster::read_quality::none;
            }
            view.primary.reset();
            view.writes = cluster::write_mode::hold;
            view.why = cluster::cause::unsaved;
        }
    } else {
        view.nodes.resize(nodes_.size());
        view.why = cluster::cause::unsaved;
        view.probes = cluster::pace::normal;
        view.ask_again = now + rules_.check_interval;
    }
    follow_pace(view);
    call_after(decision_timer_, std::max(view.ask_again - now, shortest_wait),
               &cluster_watch::decide);
    log_transitions(view);
    record_.note(view, judge_ ? judge_->state().granted : std::string{}, steady::now());
    publish(std::move(view));
    answer_doubt();
}

// What is not on disk is forgotten by a restart, and a primary that was refused might be granted.
void cluster_watch::save() {
    if (saved_ == judge_->state() || (!state_error_.empty() && steady::now() < save_again_)) {
        return;
    }
    const auto error = store_state(state_path_, judge_->state());
    if (error.empty()) {
        if (!state_error_.empty()) {
            PGWEIR_LOG(info, "cluster {}: {} can be written again", settings_.name, state_path_);
        }
        saved_ = judge_->state();
    } else {
        if (state_error_.empty()) {
            PGWEIR_LOG(err, "cluster {}: {}; no new primary is served until it can be written",
                       settings_.name, error);
        }
        save_again_ = steady::now() + between_saves;
    }
    state_error_ = error;
}

// What else the state holds may wait: the primary that is served is the one on disk.
bool cluster_watch::is_grant_saved() const {
    const auto& state = judge_->state();
    return saved_ && saved_->granted == state.granted && saved_->epoch == state.epoch &&
           saved_->max_granted_tli == state.max_granted_tli;
}

// Words first: what they take away ends at once, and what they grant serves only those who have
// seen the view.
void cluster_watch::publish(cluster::cluster_view view) {
    const bool is_over = board_->primary.publish(view, steady::now(), rules_.lease);
    const bool is_relieved = std::exchange(is_relieved_, false) || is_over;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        nodes_[i]->link->reads.store(read_word(view, i, evidence_[i].alive(), rules_.lease));
    }
    auto next = std::make_shared<cluster::published_view>();
    next->summary = summary_of(view);
    next->unserved_since = record_.unserved_since();
    next->view = std::move(view);
    for (const auto& n : nodes_) {
        next->nodes.push_back({.name = n->known.name,
                               .host = n->known.host,
                               .port = n->known.port,
                               .weight = n->known.weight,
                               .link = n->link,
                               .address = n->address});
    }
    const auto last = board_->view();
    const lag_limits limits{.bytes = settings_.max_lag_bytes, .time = settings_.max_lag};
    if (last == nullptr || is_relieved || differs_for_workers(*last, *next, limits)) {
        // Also after a cluster has left the configuration and come back.
        serial_ = std::max(serial_, last == nullptr ? 0 : last->serial) + 1;
        next->serial = serial_;
        board_->publish(std::move(next));
    }
}

void cluster_watch::log_transitions(const cluster::cluster_view& view) {
    told_view now{.view = view,
                  .names = names(),
                  .contacts = {},
                  .granted = judge_ ? judge_->state().granted : std::string{}};
    for (const auto& e : evidence_) {
        now.contacts.push_back(e.last());
    }
    const auto changes = transitions_between(told_, now);
    if (!changes.empty()) {
        const auto evidence = evidence_now();
        std::string text;
        bool is_alarming = false;
        for (const auto& c : changes) {
            text += text.empty() ? "" : "; ";
            text += c.text;
            is_alarming = is_alarming || c.is_alarming;
            add_row(c.event, c.text, evidence);
        }
        if (is_alarming) {
            PGWEIR_LOG(warn, "cluster {}: {}; evidence {}", settings_.name, text, evidence);
        } else {
            PGWEIR_LOG(info, "cluster {}: {}; evidence {}", settings_.name, text, evidence);
        }
    }
    told_ = std::move(now);
}

void cluster_watch::follow_pace(const cluster::cluster_view& view) {
    const bool is_at_once = view.probes == cluster::pace::at_once;
    for (const auto& n : nodes_) {
        n->probing->set_pace(is_at_once ? cluster::pace::quick : view.probes);
        if (is_at_once) {
            n->probing->probe_soon();
        }
    }
}

void cluster_watch::add_row(const char* event,
                            const std::string& text,
                            const std::string& evidence) {
    metrics::failover_row row;
    row.at = std::chrono::system_clock::now();
    row.cluster = settings_.name;
    row.event = event;
    row.epoch = judge_ ? judge_->state().epoch : 0;
    row.text = text;
    row.evidence = evidence;
    around_.log.add(std::move(row));
}

std::string cluster_watch::evidence_now() const {
    return evidence_text(names(), evidence_, steady::now(), rules_.lease);
}

std::string cluster_watch::summary_of(const cluster::cluster_view& view) const {
    std::string out;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        out += out.empty() ? "" : ", ";
        out += nodes_[i]->known.name + " " + describe(view.nodes[i], evidence_[i].last());
    }
    return out;
}

}  // namespace pgweir::watch
