// Which replies a server still owes, to whom, and in which order.
#pragma once

#include "pgweir/protocol/transaction_end.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace pgweir::protocol {

// A message that a server answers, or that changes how it answers others.
enum class request : std::uint8_t {
    query,
    function_call,
    parse,
    bind,
    describe_statement,
    describe_portal,
    execute,
    close,
    sync,
    copy_end,  // CopyDone or CopyFail: no reply of its own, but it ends COPY IN
    // A Parse and a Close of prepared statements that were not passed on: their replies are ours.
    known_parse,
    known_close,
};

// Who sent the request, and so who gets the reply.
enum class origin : std::uint8_t { client, pooler };

// The ledger of one server connection: an entry a request sent, real or inserted by us. Every reply
// is checked against the oldest entry; what does not match is `violation`, after which the
// connection must be closed, since nobody knows any more whose bytes follow.
//
// Follows PostgreSQL's own rules (src/backend/tcop/postgres.c): after an error in the extended
// protocol everything is skipped until Sync; Sync and Flush inside COPY IN are ignored; copy
// messages outside of COPY are ignored.
//
// Owned by the server connection. Worker thread only. Sans-io; allocates only when more entries
// than ever before are outstanding.
class ledger {
public:
    // Entries are run-length coded; at this many runs full() holds and the client must not be read
    // until replies have come.
    static constexpr std::size_t capacity = 16'384;

    enum class verdict : std::uint8_t {
        ok,
        ready,      // a ReadyForQuery that was due
        violation,  // not a reply to anything outstanding
    };

    ledger() { runs_.reserve(32); }

    // Records a request in the moment its first byte is passed on. `tracked`: its outcome is told
    // by take_settlement(). REQUIRES of a tracked one: neither is_skipping() nor is_copying_in().
    // `control`: what a Query or Execute may do to the transaction.
    void sent(request r,
              origin o,
              bool tracked = false,
              transaction_control control = transaction_control::none);
    // Checks a reply's type. `copy` variants, errors and ReadyForQuery change what is expected
    // next.
    verdict received(char type);

    // --- the usual case, for those who pass on many messages

    // Is nothing under way that gives requests another meaning: no error that waits for its Sync,
    // no COPY IN?
    [[nodiscard]] bool is_plain() const noexcept { return !skipping_ && !copy_in_; }
    // How many requests may be sent until is_full() holds.
    [[nodiscard]] std::size_t room() const noexcept {
        const auto used = runs_.size() - head_ + known_;
        return used < capacity ? capacity - used : 0;
    }
    // As sent() from the client. REQUIRES: is_plain(), and `r` is not copy_end, nor one that we
    // answer.
    void sent_plain(request r,
                    bool tracked = false,
                    transaction_control control = transaction_control::none) {
        open_ = !ends_batch(r);
        counts_ += look_up(r).weight;
        record({{r, origin::client, control, tracked}, 1});
    }
    // As received(), of a reply to the client that is the usual one for what is oldest, or a row of
    // it. False, and nothing has happened: it is none, or nothing is usual now; ask received().
    bool received_plain(char type) {
        if (head_ == runs_.size() || copy_in_) {
            return false;
        }
        auto& front = runs_[head_].is;
        if (front.from != origin::client || (look_up(front.what).usual & as_set(type)) == 0) {
            return false;
        }
        if (type == 'D') {
            return true;
        }
        eaten_syncs_ = type == 'C' ? 0 : eaten_syncs_;
        if (front.what == request::query) {
            front.begun = true;
        } else {
            pop();
        }
        return true;
    }

    // Tracked requests that have been answered since the last call, in this order. A simple query
    // counts as failed when it brought an error.
    struct settlement {
        std::uint32_t done = 0;
        std::uint32_t failed = 0;
        std::uint32_t skipped = 0;  // behind the failed one
        bool unread = false;        // the error may mean that the failed one could not be read
        explicit operator bool() const noexcept { return (done | failed | skipped) != 0; }
    };
    [[nodiscard]] settlement take_settlement() noexcept {
        return std::exchange(settlement_, settlement{});
    }

    // Is the next reply one that the server will not send? answer_known() takes it as given and
    // returns it, a whole message.
    [[nodiscard]] bool next_is_known() const noexcept {
        return known_ != 0 && head_ < runs_.size() && is_known(runs_[head_].is.what);
    }
    std::string_view answer_known();

    // Is a DataRow or CopyData due? The fast path for bulk: no state changes.
    [[nodiscard]] bool accepts_rows() const noexcept {
        return head_ < runs_.size() &&
               (runs_[head_].is.what == request::query || runs_[head_].is.what == request::execute);
    }
    // Nothing is owed, no error is waiting for its Sync, and no batch of the extended protocol is
    // open: between its first message and its Sync the server is inside an implicit transaction,
    // whatever the last ReadyForQuery said.
    [[nodiscard]] bool is_empty() const noexcept {
        return head_ == runs_.size() && !skipping_ && !copy_in_ && !open_;
    }
    // The server has something to answer. Without that, and not empty: it waits for the client to
    // go on with its batch.
    [[nodiscard]] bool owes_reply() const noexcept { return head_ != runs_.size(); }
    // After an extended-protocol error with no Sync sent yet: what is sent now is ignored.
    [[nodiscard]] bool is_skipping() const noexcept { return skipping_; }
    [[nodiscard]] bool is_copying_in() const noexcept { return copy_in_; }
    // The server waits for a Sync: a batch is open, or what is left of one that failed is skipped.
    [[nodiscard]] bool needs_sync() const noexcept { return open_ || skipping_; }
    // Requests that we answer ourselves count one by one: their answers wait here.
    [[nodiscard]] bool is_full() const noexcept { return room() == 0; }
    // The exchange has left what can be followed exactly (a Sync swallowed by a COPY that failed, a
    // query inside COPY IN): the connection must not be reused once the client is done with it.
    [[nodiscard]] bool is_doubtful() const noexcept { return doubtful_; }
    // Who gets the next reply. Asynchronous messages go to whoever is being served.
    [[nodiscard]] origin next_origin() const noexcept {
        return head_ < runs_.size() ? runs_[head_].is.from : origin::client;
    }
    // Requests outstanding that end a segment (Query, FunctionCall, Sync; PostgreSQL skips the
    // former two behind a batch that failed), and that run something (Query, FunctionCall,
    // Execute).
    [[nodiscard]] std::size_t boundaries() const noexcept { return counts_ >> 32U; }
    [[nodiscard]] std::size_t executing() const noexcept {
        return static_cast<std::uint32_t>(counts_);
    }
    // Requests outstanding, for SHOW and tests.
    [[nodiscard]] std::size_t outstanding() const noexcept;

    // --- for whoever has to answer in place of a server that is gone

    struct entry {
        request what;
        origin from;
        transaction_control control;
        bool begun;   // has had a first reply, and owes more
        bool failed;  // ... which was an error
    };
    // The oldest outstanding. REQUIRES: owes_reply().
    [[nodiscard]] entry front() const noexcept { return entry_of(runs_[head_]); }
    // Of the youngest outstanding; none where nothing is.
    [[nodiscard]] transaction_control newest_control() const noexcept {
        return owes_reply() ? runs_.back().is.control : transaction_control::none;
    }
    // Calls `visit` with each outstanding, oldest first, until it returns false. Of many alike in a
    // row it sees two.
    template <class Visitor>
    void visit(Visitor visit) const {
        for (auto i = head_; i < runs_.size(); ++i) {
            auto e = entry_of(runs_[i]);
            if (!visit(e)) {
                return;
            }
            e.begun = e.failed = false;
            if (runs_[i].count > 1 && !visit(e)) {
                return;
            }
        }
    }
    // The batch that the next Sync ends has had its error.
    [[nodiscard]] bool has_failed_batch() const noexcept { return failed_batch_; }
    // What those requests of the oldest segment that have been answered did to the transaction: of
    // those that did something, the last.
    [[nodiscard]] transaction_control answered_control() const noexcept { return answered_; }
    // An Execute of the oldest segment has been answered: it was run.
    [[nodiscard]] bool has_executed() const noexcept { return executed_; }

private:
    // A run of requests that are alike.
    struct run {
        struct kind {
            request what;
            origin from;
            transaction_control control;
            bool tracked : 1 = false;
            bool begun : 1 = false;   // the oldest of the run has had a first reply, and owes more
            bool failed : 1 = false;  // ... which was an error
            std::uint8_t unused : 5 = 0;  // no padding: kinds are compared as one word
        };
        kind is;
        std::uint32_t count;
    };
    [[nodiscard]] static constexpr entry entry_of(const run& r) noexcept {
        return {r.is.what, r.is.from, r.is.control, r.is.begun, r.is.failed};
    }
    [[nodiscard]] static bool are_alike(const run::kind& a, const run::kind& b) noexcept {
        return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
    }
    [[nodiscard]] static constexpr bool is_known(request r) noexcept {
        return r == request::known_parse || r == request::known_close;
    }
    // Is the implicit transaction of a batch over when the server has read this?
    [[nodiscard]] static constexpr bool ends_batch(request r) noexcept {
        return r == request::sync || r == request::query || r == request::function_call;
    }
    // Types of replies, from '1' to 'p', as a set.
    using reply_set = std::uint64_t;
    [[nodiscard]] static constexpr reply_set as_set(char type) noexcept {
        const auto at = static_cast<unsigned char>(type) - unsigned{'1'};
        return at < 64 ? reply_set{1} << at : 0;
    }
    // What is known of each kind of request.
    struct traits {
        std::uint64_t weight = 0;  // what one adds to counts_
        reply_set usual = 0;       // its usual replies
    };
    [[nodiscard]] static constexpr traits traits_of(request r) noexcept {
        constexpr auto boundary = std::uint64_t{1} << 32U;
        switch (r) {
            case request::query: return {boundary + 1, as_set('T') | as_set('D') | as_set('C')};
            case request::function_call: return {boundary + 1};
            case request::sync: return {boundary};
            case request::execute: return {1, as_set('D') | as_set('C')};
            case request::parse: return {0, as_set('1')};
            case request::bind: return {0, as_set('2')};
            case request::describe_portal: return {0, as_set('T') | as_set('n')};
            default: return {};
        }
    }
    static constexpr auto requests = static_cast<std::size_t>(request::known_close) + 1;
    [[nodiscard]] static consteval std::array<traits, requests> all_traits() noexcept {
        std::array<traits, requests> all;
        for (std::size_t i = 0; i < requests; ++i) {
            all[i] = traits_of(static_cast<request>(i));
        }
        return all;
    }
    [[nodiscard]] static const traits& look_up(request r) noexcept {
        static constexpr auto table = all_traits();
        return table[static_cast<std::size_t>(r)];
    }

    void record(const run& r) {
        if (head_ == runs_.size()) {
            runs_.clear();
            head_ = 0;
        } else if (auto& last = runs_.back(); are_alike(last.is, r.is)) {
            ++last.count;
            return;
        }
        runs_.push_back(r);
    }
    void uncount(request r, std::size_t n) noexcept {
        counts_ -= look_up(r).weight * n;
        known_ -= is_known(r) ? n : 0;
    }
    void pop() {
        auto& front = runs_[head_];
        uncount(front.is.what, 1);
        executed_ = executed_ || front.is.what == request::execute;
        if (front.is.tracked) {
            ++(front.is.failed ? settlement_.failed : settlement_.done);
        }
        if (front.is.control != transaction_control::none &&
            front.is.control != transaction_control::may_commit) {
            answered_ = front.is.control;
        }
        front.is.begun = front.is.failed = false;
        if (--front.count == 0) {
            ++head_;
            if (ignores_next() || head_ >= tidy_at) {
                tidy();
            }
        }
    }
    // Is there nothing to be answered in what is oldest now?
    [[nodiscard]] bool ignores_next() const noexcept {
        return head_ < runs_.size() && runs_[head_].is.what == request::copy_end;
    }
    void tidy();
    void on_error();
    bool begin_copy_in();
    [[nodiscard]] bool begins_open_batch() const noexcept;
    bool on_ready();

    static constexpr std::size_t tidy_at = 1024;

    std::vector<run> runs_;
    std::size_t head_ = 0;
    std::uint64_t counts_ = 0;  // boundaries() in its upper half, executing() in the lower
    std::size_t known_ = 0;     // known_parse and known_close
    settlement settlement_;
    bool skipping_ = false;
    bool copy_in_ = false;
    bool open_ = false;  // extended requests were sent behind the last Sync
    bool doubtful_ = false;
    bool failed_batch_ = false;
    bool executed_ = false;
    transaction_control answered_ = transaction_control::none;
    std::uint32_t eaten_syncs_ = 0;  // sent during the COPY IN under way, ignored by the server
    std::uint32_t maybe_ready_ = 0;  // of these, how many may have been read after the COPY failed
};

}  // namespace pgweir::protocol
