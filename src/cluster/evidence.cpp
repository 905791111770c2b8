// Collecting what is heard of one node.
#include "pgweir/cluster/evidence.hpp"

#include <algorithm>

namespace pgweir::cluster {
namespace {

// Two timeouts make a node down, or two proofs that it has stopped.
constexpr unsigned confirmed_failures = 2;

}  // namespace

void node_evidence::apply(const probe_report& report) {
    if (report.asked < last_asked_ || report.result == contact::none) {
        return;
    }
    // A reset connection may be a backend that somebody terminated: the fresh connect that follows
    // tells. "Full" from a node that is down tells nothing of what it has become meanwhile.
    if (report.result == contact::answered ||
        (proves_alive(report.result) && !(has_failed() && is_confirmed()))) {
        live(report.asked);
    } else {
        fail(report.result, report.asked);
    }
    last_ = report.result;
    last_asked_ = report.asked;

    if (report.role) {
        if (!role_ || role_->postmaster_started != report.role->postmaster_started ||
            role_->system_identifier != report.role->system_identifier) {
            same_since_ = report.asked;
        }
        role_before_ = role_;
        role_ = report.role;
        role_->asked = report.asked;
    }
    if (report.receiver) {
        receiver_ = report.receiver;
        receiver_->asked = report.asked;
    }
    if (report.senders) {
        senders_ = report.senders;
        senders_->asked = report.asked;
    }
    if (report.repmgr) {
        repmgr_ = report.repmgr;
        repmgr_->asked = report.asked;
    }
}

void node_evidence::note_reply(time_point at) { live(at); }

void node_evidence::note_recovery(time_point at) {
    recovery_noted_ = std::max(recovery_noted_, at);
    note_smell(at);
}

void node_evidence::note_smell(time_point at) { smelled_ = std::max(smelled_, at); }

health node_evidence::state(time_point now, duration lease) const noexcept {
    if (has_failed()) {
        return is_confirmed() ? health::down : health::suspect;
    }
    if (!role_) {
        return health::unknown;
    }
    const bool says_otherwise = recovery_noted_ > role_->asked && !role_->in_recovery;
    return says_otherwise || now - alive_ >= lease ? health::suspect : health::well;
}

// A pooled connection that was answered after the probe began clears its failure: a slow checkpoint
// is not a failure.
void node_evidence::live(time_point at) noexcept {
    alive_ = std::max(alive_, at);
    if (!has_failed()) {
        stops_ = 0;
        silences_ = 0;
    }
}

void node_evidence::fail(contact c, time_point asked) noexcept {
    failed_ = std::max(failed_, asked);
    if (!has_failed()) {
        return;  // a pooled connection was answered since
    }
    if (proves_stopped(c) || (c == contact::starting_up && stops_ != 0)) {
        // Only a reset needs a fresh connect to confirm it; the others are one.
        stops_ += c == contact::reset ? 1 : confirmed_failures;
    } else {
        ++silences_;
    }
}

bool node_evidence::has_stopped() const noexcept {
    return last_ == contact::starting_up ? stops_ >= confirmed_failures : proves_stopped(last_);
}

bool node_evidence::is_confirmed() const noexcept {
    return stops_ >= confirmed_failures || silences_ >= confirmed_failures;
}

const char* to_string(contact c) noexcept {
    switch (c) {
        case contact::none: return "not asked";
        case contact::answered: return "answered";
        case contact::silent: return "silent";
        case contact::refused: return "refused";
        case contact::reset: return "reset";
        case contact::starting_up: return "starting up";
        case contact::full: return "full";
        case contact::denied: return "denied";
    }
    return "";
}

const char* to_string(health h) noexcept {
    switch (h) {
        case health::unknown: return "unknown";
        case health::well: return "well";
        case health::suspect: return "suspect";
        case health::down: return "down";
    }
    return "";
}

}  // namespace pgweir::cluster
