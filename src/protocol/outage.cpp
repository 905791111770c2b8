// Answers in place of a server that was lost.
#include "pgweir/protocol/outage.hpp"

#include "pgweir/protocol/failed_transaction.hpp"
#include "pgweir/protocol/message_writer.hpp"

namespace pgweir::protocol {
namespace {

using control = transaction_control;

// The transaction block of the client, as far as it is known.
enum class block : std::uint8_t {
    none,
    open,    // and its client has not been told of the loss
    lost,    // told
    failed,  // failed before it was lost: a COMMIT that comes next does not commit
};

// The oldest segment that is outstanding.
struct segment {
    bool is_complete = false;  // its end was sent
    bool runs_something = false;
    bool commits = false;  // something in it may
    bool begins = false;
    bool begins_first = false;     // with nothing but BEGIN, before anything else
    control lone = control::none;  // the only thing that it runs
    bool is_plain = true;          // all its requests are for that
    bool has_failed = false;       // the client has had an error for it
};

class answerer {
public:
    answerer(const outage& what,
             const outage_errors& errors,
             ledger& owed,
             backend_listener& listener,
             std::string& out) noexcept
        : what_{what}, errors_{errors}, owed_{owed}, listener_{listener}, out_{out} {}

    outage_outcome run();

private:
    [[nodiscard]] block block_at_loss() const noexcept;
    [[nodiscard]] segment look_ahead() const;
    [[nodiscard]] bool may_commit_ahead() const;
    bool answer_ours();
    void answer(const segment& s);
    void fail(const segment& s);
    void succeed();
    void say_error(const segment& s);
    void end_segment(const segment& s);
    [[nodiscard]] block block_behind(const segment& s) const noexcept;
    bool take(char type);

    const outage& what_;
    const outage_errors& errors_;
    ledger& owed_;
    backend_listener& listener_;
    std::string& out_;
    block block_ = block::none;
    outage_outcome outcome_;
};

constexpr bool ends(control c) noexcept {
    return c == control::commits || c == control::rolls_back;
}

constexpr bool may_begin(control c) noexcept { return c == control::begins || c == control::mixed; }

// The ledger hears what the server would have sent. False: it owes nothing like that.
bool answerer::take(char type) {
    const auto verdict = owed_.received(type);
    if (const auto settled = owed_.take_settlement()) {
        listener_.on_settlement(settled);
    }
    return verdict != ledger::verdict::violation;
}

block answerer::block_at_loss() const noexcept {
    const auto answered = owed_.answered_control();
    if (!may_begin(answered) && (ends(answered) || what_.status == 'I')) {
        return block::none;
    }
    // In a failed block only what revives or ends it is run without an error.
    const bool has_failed =
        owed_.has_failed_batch() || (what_.status == 'E' && !owed_.has_executed());
    return has_failed ? block::failed : block::open;
}

segment answerer::look_ahead() const {
    segment s;
    s.has_failed = owed_.has_failed_batch() || owed_.front().failed;
    const auto runs_all = [](const ledger::entry& e) {
        return e.what == request::query || e.what == request::function_call;
    };
    // Behind an error in a batch, PostgreSQL skips those as well.
    const bool is_batch = !runs_all(owed_.front());
    std::size_t running = 0;
    std::size_t binding = 0;
    std::size_t describing = 0;
    owed_.visit([&](const ledger::entry& e) {
        if (e.what == request::execute || runs_all(e)) {
            s.commits = s.commits || may_commit(e.control);
            s.begins = s.begins || may_begin(e.control);
            s.begins_first = running == 0 ? e.control == control::begins : s.begins_first;
            s.lone = running == 0 ? e.control : control::none;
            ++running;
        }
        binding += e.what == request::bind ? 1 : 0;
        describing += e.what == request::describe_portal ? 1 : 0;
        s.is_plain = s.is_plain && e.what != request::describe_statement;
        s.is_complete = !is_batch || e.what == request::sync;
        return !s.is_complete;
    });
    s.runs_something = running != 0;
    s.is_plain = s.is_plain && running == 1 && binding <= 1 && describing <= 1;
    return s;
}

bool answerer::may_commit_ahead() const {
    bool may = false;
    owed_.visit([&](const ledger::entry& e) {
        may = may_commit(e.control);
        return !may;
    });
    return may;
}

// Replies that are not the server's to its client. False: the next is.
bool answerer::answer_ours() {
    if (owed_.next_is_known()) {
        out_ += owed_.answer_known();
        if (const auto settled = owed_.take_settlement()) {
            listener_.on_settlement(settled);
        }
        return true;
    }
    const auto next = owed_.front();
    if (next.from == origin::client) {
        return false;
    }
    switch (next.what) {
        case request::parse: return take('1');
        case request::bind: return take('2');
        case request::close: return take('3');
        case request::sync: return take('Z');
        case request::query: return take('C') && take('Z');
        default: return false;
    }
}

void answerer::say_error(const segment& s) {
    bool in_doubt = false;
    switch (block_) {
        case block::none:
            in_doubt =
                owed_.has_executed() || (s.runs_something ? s.commits || !s.begins_first
                                                          : owed_.front().what == request::sync);
            break;
        case block::open: in_doubt = may_commit_ahead(); break;
        case block::lost:
        case block::failed:
            in_doubt = s.commits && (block_ == block::lost || s.lone != control::commits);
            if (!in_doubt) {
                return append_aborted(out_);
            }
            break;
    }
    outcome_.in_doubt += in_doubt ? 1 : 0;
    out_ += in_doubt ? errors_.in_doubt : errors_.rolled_back;
}

block answerer::block_behind(const segment& s) const noexcept {
    // What failed at the server has not committed, but for what came before it in its string.
    const bool is_certain = s.has_failed && s.lone != control::mixed;
    if (block_ == block::none) {
        const bool is_awaited = s.lone == control::begins && s.is_complete && !what_.has_more &&
                                owed_.boundaries() == 1;
        return !s.begins || is_awaited ? block::none : is_certain ? block::failed : block::lost;
    }
    if (ends(s.lone)) {
        return block::none;
    }
    // What was run in a failed block may have been ROLLBACK TO.
    const bool stays_failed = block_ == block::failed && !s.runs_something;
    return stays_failed || is_certain ? block::failed : block::lost;
}

void answerer::end_segment(const segment& s) {
    if (s.is_complete) {
        append_ready(out_, block_ == block::none ? 'I' : 'E');
        take('Z');
    }
}

void answerer::fail(const segment& s) {
    if (!s.has_failed) {
        say_error(s);
    }
    const auto behind = block_behind(s);
    if (!s.has_failed) {
        take('E');
    }
    block_ = behind;
    end_segment(s);
}

// Runs the one ROLLBACK of this segment, with all that belongs to it.
void answerer::succeed() {
    block_ = block::none;
    const auto say = [this](char type) {
        message_writer{out_}.begin(type).end();
        return take(type);
    };
    bool goes_on = true;
    while (goes_on && owed_.owes_reply()) {
        const auto next = owed_.front();
        if (next.from == origin::pooler || owed_.next_is_known()) {
            goes_on = answer_ours();
            continue;
        }
        switch (next.what) {
            case request::parse: goes_on = say('1'); break;
            case request::bind: goes_on = say('2'); break;
            case request::close: goes_on = say('3'); break;
            case request::describe_portal: goes_on = say('n'); break;
            case request::query:
            case request::execute:
                goes_on = next.what == request::execute;
                if (!next.begun) {
                    append_rolled_back(out_);
                    goes_on = take('C') && goes_on;
                }
                break;
            default: goes_on = false; break;
        }
    }
}

void answerer::answer(const segment& s) {
    const bool is_rollback =
        s.lone == control::rolls_back || (s.lone == control::commits && block_ == block::failed);
    if (block_ != block::none && is_rollback && s.is_plain && s.is_complete && !s.has_failed) {
        succeed();
        return end_segment(s);
    }
    fail(s);
}

outage_outcome answerer::run() {
    block_ = block_at_loss();
    const bool was_open = owed_.needs_sync() && !owed_.is_skipping();
    bool said = false;
    while (owed_.owes_reply()) {
        const auto before = owed_.outstanding();
        if (!answer_ours()) {
            answer(look_ahead());
            said = true;
        }
        if (owed_.outstanding() >= before) {
            break;  // it is not known what is owed; nobody can be told more
        }
    }
    outcome_.is_block = block_ != block::none;
    outcome_.is_skipping = owed_.is_skipping();
    outcome_.is_untold = !said && (block_ == block::open || (block_ == block::none && was_open));
    outcome_.is_untold_in_doubt =
        outcome_.is_untold && block_ == block::none && owed_.has_executed();
    return outcome_;
}

}  // namespace

outage_outcome answer_outage(const outage& what,
                             const outage_errors& errors,
                             ledger& owed,
                             backend_listener& listener,
                             std::string& out) {
    return answerer{what, errors, owed, listener, out}.run();
}

}  // namespace pgweir::protocol
