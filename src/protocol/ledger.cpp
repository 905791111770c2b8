// The ledger of expected replies.
#include "pgweir/protocol/ledger.hpp"

#include <algorithm>
#include <string_view>

namespace pgweir::protocol {

void ledger::sent(request r, origin o, bool tracked, transaction_control control) {
    if (skipping_) {
        if (r != request::sync) {
            return;  // the server throws it away until it reads a Sync
        }
        skipping_ = false;
    }
    if (copy_in_) {
        switch (r) {
            case request::sync: ++eaten_syncs_; return;
            case request::copy_end: copy_in_ = false; return;
            default: doubtful_ = true; break;  // PostgreSQL fails the COPY with 08P01
        }
    }
    if (r == request::copy_end && head_ == runs_.size()) {
        return;  // a late end of a COPY that has failed
    }
    if (r != request::copy_end) {
        open_ = !ends_batch(r);
    }
    counts_ += look_up(r).weight;
    known_ += is_known(r) ? 1 : 0;
    record({{r, o, control, tracked}, 1});
}

std::string_view ledger::answer_known() {
    const bool is_parse = runs_[head_].is.what == request::known_parse;
    pop();
    constexpr std::string_view parse_complete{"1\0\0\0\4", 5};
    constexpr std::string_view close_complete{"3\0\0\0\4", 5};
    return is_parse ? parse_complete : close_complete;
}

std::size_t ledger::outstanding() const noexcept {
    std::size_t n = 0;
    for (std::size_t i = head_; i < runs_.size(); ++i) {
        n += runs_[i].count;
    }
    return n;
}

// After the oldest run has ended.
void ledger::tidy() {
    while (ignores_next()) {
        ++head_;
    }
    // Keeps a long pipeline from growing the vector for ever while its head moves on.
    if (head_ >= tidy_at && head_ * 2 >= runs_.size()) {
        runs_.erase(runs_.begin(), runs_.begin() + static_cast<std::ptrdiff_t>(head_));
        head_ = 0;
    }
}

// COPY IN begins: the server now reads up to the next CopyDone or CopyFail, ignoring Sync, and
// takes anything else as an error. What was pipelined behind the COPY is consumed accordingly.
bool ledger::begin_copy_in() {
    eaten_syncs_ = 0;
    auto next = head_;
    if (--runs_[head_].count != 0) {
        // More of the same kind were pipelined behind: they sit inside the COPY.
        doubtful_ = true;
        ++runs_[head_].count;
        return true;
    }
    runs_[head_].count = 1;
    for (++next; next < runs_.size(); ++next) {
        auto& r = runs_[next];
        if (r.is.what == request::sync) {
            eaten_syncs_ += r.count;
            continue;
        }
        if (r.is.what == request::copy_end) {
            if (--r.count != 0) {
                --next;
            }
            uncount(request::sync, eaten_syncs_);
            runs_.erase(runs_.begin() + static_cast<std::ptrdiff_t>(head_) + 1,
                        runs_.begin() + static_cast<std::ptrdiff_t>(next) + 1);
            open_ = open_ || begins_open_batch();
            return true;
        }
        doubtful_ = true;
        return true;
    }
    uncount(request::sync, eaten_syncs_);
    runs_.resize(head_ + 1, run{});
    copy_in_ = true;
    open_ = open_ || begins_open_batch();
    return true;
}

// Is the oldest entry an Execute, with no Sync left behind it?
bool ledger::begins_open_batch() const noexcept {
    return runs_[head_].is.what == request::execute &&
           std::none_of(runs_.begin() + static_cast<std::ptrdiff_t>(head_), runs_.end(),
                        [](const run& r) { return ends_batch(r.is.what); });
}

void ledger::on_error() {
    if (copy_in_ || eaten_syncs_ != 0) {
        // Whether the server read those Syncs before or after its COPY failed cannot be known, so
        // a ReadyForQuery more or less may come.
        doubtful_ = doubtful_ || eaten_syncs_ != 0;
        maybe_ready_ += eaten_syncs_;
        eaten_syncs_ = 0;
        copy_in_ = false;
    }
    if (head_ == runs_.size()) {
        return;
    }
    switch (runs_[head_].is.what) {
        case request::query:
        case request::function_call:
            runs_[head_].is.failed = true;
            return;  // ReadyForQuery follows
        case request::sync: failed_batch_ = true; return;
        default: break;
    }
    failed_batch_ = true;
    const bool failed_one = runs_[head_].is.tracked;
    for (; head_ < runs_.size() && runs_[head_].is.what != request::sync; ++head_) {
        const auto& skipped = runs_[head_];
        uncount(skipped.is.what, skipped.count);
        settlement_.skipped += skipped.is.tracked ? skipped.count : 0;
    }
    if (failed_one) {
        ++settlement_.failed;
        --settlement_.skipped;
    }
    skipping_ = head_ == runs_.size();
}

bool ledger::on_ready() {
    if (head_ < runs_.size()) {
        const auto& front = runs_[head_];
        const bool answered = front.is.begun && (front.is.what == request::query ||
                                                 front.is.what == request::function_call);
        if (answered || front.is.what == request::sync) {
            copy_in_ = false;
            pop();
            answered_ = transaction_control::none;
            failed_batch_ = executed_ = false;
            open_ = open_ && head_ != runs_.size();
            return true;
        }
    }
    if (maybe_ready_ != 0) {
        --maybe_ready_;
        skipping_ = failed_batch_ = false;
        open_ = open_ && head_ != runs_.size();
        return true;
    }
    return false;
}

ledger::verdict ledger::received(char type) {
    const bool owed = head_ < runs_.size();
    const auto what = owed ? runs_[head_].is.what : request::copy_end;
    const auto is = [&](auto... kinds) { return owed && ((what == kinds) || ...); };
    const auto when = [](bool due) { return due ? verdict::ok : verdict::violation; };
    const auto completes = [&](bool due) {
        if (due) {
            pop();
        }
        return when(due);
    };
    // Until the client ends its COPY, PostgreSQL sends no reply but an error, and CopyBoth its
    // data.
    if (copy_in_ && std::string_view{"NSAEdc"}.find(type) == std::string_view::npos) {
        return verdict::violation;
    }
    // Even an empty query is answered by something before ReadyForQuery.
    if (is(request::query, request::function_call) &&
        std::string_view{"NSAZ"}.find(type) == std::string_view::npos) {
        runs_[head_].is.begun = true;
    }
    switch (type) {
        case 'N':  // NoticeResponse
        case 'S':  // ParameterStatus
        case 'A':  // NotificationResponse
            return verdict::ok;
        case 'E': on_error(); return verdict::ok;
        case 'Z': return on_ready() ? verdict::ready : verdict::violation;
        case 'D':  // DataRow
        case 'd':  // CopyData
        case 'c':  // CopyDone
        case 'H':  // CopyOutResponse
            return when(is(request::query, request::execute));
        case 'G':  // CopyInResponse
        case 'W':  // CopyBothResponse
            return when(is(request::query, request::execute) && begin_copy_in());
        case 'C':  // CommandComplete
        case 'I':  // EmptyQueryResponse
            eaten_syncs_ = 0;
            return is(request::query) ? verdict::ok : completes(is(request::execute));
        case 's':  // PortalSuspended
            return completes(is(request::execute));
        case 'T':  // RowDescription
            if (is(request::query)) {
                return verdict::ok;
            }
            [[fallthrough]];
        case 'n':  // NoData
            return completes(is(request::describe_portal) ||
                             (is(request::describe_statement) && runs_[head_].is.begun));
        case 't':  // ParameterDescription
            if (!is(request::describe_statement) || runs_[head_].is.begun) {
                return verdict::violation;
            }
            runs_[head_].is.begun = true;
            return verdict::ok;
        case '1': return completes(is(request::parse));
        case '2': return completes(is(request::bind));
        case '3': return completes(is(request::close));
        case 'V': return when(is(request::function_call));
        default: return verdict::violation;
    }
}

}  // namespace pgweir::protocol
