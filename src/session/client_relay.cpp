// The data path: a client's bytes to a server and back, and when the server is given back.
#include "pgweir/base/log.hpp"
#include "pgweir/net/turn.hpp"
#include "pgweir/protocol/error_response.hpp"
#include "pgweir/protocol/frame.hpp"
#include "pgweir/protocol/message_writer.hpp"
#include "pgweir/protocol/outage.hpp"
#include "pgweir/protocol/transaction_end.hpp"
#include "pgweir/session/client.hpp"
#include "session/client_state.hpp"
#include "session/outgoing.hpp"

#include <algorithm>
#include <exception>

namespace pgweir::session {
namespace {

// Larger requests are not kept to be sent again.
constexpr std::size_t retain_limit = 16 * 1024;

std::uint64_t microseconds(base::duration d) noexcept {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(d).count());
}

}  // namespace

// --- without a server

void client::pump_idle() {
    for (int turns = 0; phase_ == phase::idle && channel_.has_input(); ++turns) {
        if (turns == net::receives_a_turn) {
            return channel_.stream().call_again();
        }
        const bool hung_up = channel_.stream().hung_up();
        // With no server free the query stays in the kernel: no buffer, and no second look at it.
        if (!channel_.has_kept() && !hung_up && !gate_->has_ready(*this, settings_.get())) {
            return begin_wait();
        }
        auto [data, status] = channel_.receive();
        const auto look = protocol::look_at_first(data);
        data.remove_prefix(look.skip);
        switch (look.what) {
            case protocol::first_message::terminate: return leave(true);
            case protocol::first_message::violation:
                return fail({.severity = "FATAL",
                             .sqlstate = "08P01",
                             .message = protocol::violation_text(data)});
            case protocol::first_message::incomplete:
            case protocol::first_message::ignorable:
                channel_.keep(data);
                if (status == net::io_status::closed) {
                    return leave(false);
                }
                if (!channel_.readable()) {
                    return;
                }
                break;
            case protocol::first_message::needs_server:
                if (status == net::io_status::closed) {
                    return leave(false);
                }
                if (auto server = gate_->take_ready(*this, settings_.get())) {
                    begin_link(std::move(server));
                    forward(data);
                    return read_on();
                }
                if (hung_up) {
                    return leave(false);  // nobody is left to wait; there is no second event
                }
                channel_.keep(data);
                return begin_wait();
        }
    }
}

void client::begin_wait() {
    enter(phase::waiting);
    if (auto server = gate_->acquire(*this, settings_)) {
        on_server(std::move(server));
    }
}

void client::on_server(pool::lease server) try {
    serve_with(std::move(server));
    watch_backlog();
} catch (const std::exception& e) {
    give_up(e);
}

void client::serve_with(pool::lease server) {
    if (is_dedicated_) {
        const auto welcome = server->parameters().messages();
        begin_link(std::move(server));
        return send_welcome(welcome);
    }
    if (phase_ == phase::welcome_wait) {
        const auto welcome = gate_->learn_welcome(settings_, server->parameters());
        server.release(true, false, false);
        return send_welcome(welcome);
    }
    gate_->traffic().wait_us += microseconds(now() - since_);
    begin_link(std::move(server));
    if (channel_.has_input()) {
        read_client();  // the right to begin was checked when the server was lent
    }
}

// --- with a server

void client::begin_link(pool::lease server) {
    lease_ = std::move(server);
    stall_check_ = base::no_time;
    const bool keeps_server = is_session();
    retains_ = !keeps_server && gate_->has_cluster();
    lease_->backend().hold_fatal(retains_);
    may_write_ = !lease_->is_on_standby();
    if (retains_) {
        lease_->retained().clear();
    }
    auto& traffic = gate_->traffic();
    ++traffic.server_assignments;
    if (keeps_server) {
        frontend_.begin_session();
    } else {
        frontend_.begin_link({.client = statements_,
                              .server = lease_->statements(),
                              .store = gate_->statements(),
                              .settings = &settings_->parsing,
                              .self = id_,
                              .limit = gate_->pool().max_prepared_statements,
                              .counts = traffic,
                              .follows_transactions = retains_},
                             lease_->marks());
    }
    enter(phase::active);
}

void client::pump_client() {
    if (phase_ != phase::active) {
        return;
    }
    if (awaits_replies_ || lease_->channel().has_backlog()) {
        // Not being read, a client that is gone shows by this alone.
        if (channel_.stream().is_broken()) {
            leave(false);
        }
        return;
    }
    if (!channel_.has_input()) {
        return;
    }
    if (gate_->has_cluster() && !may_send()) {
        return hold_back();
    }
    if (held_back_) {
        held_back_ = false;
        arm_timer();
    }
    read_client();
}

// REQUIRES: there is input, and it may go to the server.
void client::read_client() {
    const auto [data, status] = channel_.receive();
    if (status == net::io_status::closed && data.empty()) {
        return leave(false);
    }
    if (lease_->ledger().is_empty() && lease_->backend().status() == 'I' &&
        frontend_.at_boundary()) {
        // Freshly served, or in session mode between two transactions: what came may be a goodbye,
        // or nothing that a server should wait for.
        const auto look = protocol::look_at_first(data);
        if (look.what == protocol::first_message::terminate) {
            return leave(true);
        }
        if (!is_session() && (look.what == protocol::first_message::incomplete ||
                              look.what == protocol::first_message::ignorable)) {
            if (status == net::io_status::closed) {
                return leave(false);
            }
            channel_.keep(data.substr(look.skip));
            give_back();
            return read_on();
        }
    }
    forward(data);
    if (phase_ == phase::active && status == net::io_status::closed) {
        return leave(false);
    }
    // Late copy data has no answer that would bring the server back.
    give_back();
    read_on();
}

// The fence: may another byte go to the node that serves us? What reads on a standby may end where
// it began, unless the node is cut off.
bool client::may_send() const noexcept {
    const bool is_for_reading = gate_->is_for_reading() && !may_write_ && !lease_->is_on_primary();
    if (is_for_reading || lease_->may_begin()) {
        return true;
    }
    const auto& ledger = lease_->ledger();
    const bool is_inside = lease_->backend().status() != 'I' || ledger.needs_sync() ||
                           ledger.is_copying_in() || !frontend_.at_boundary();
    return is_inside && lease_->may_continue();
}

// The node is in doubt: what the client sends stays in its kernel until that is over, and then goes
// there, or is told that its transaction is lost.
void client::hold_back() {
    if (channel_.stream().is_broken()) {
        return leave(false);
    }
    lease_->await_standing();  // who was told and may still send nothing waits again
    if (!held_back_) {
        held_back_ = true;
        since_ = now();
        arm_timer();
    }
}

void client::on_server_standing() try {
    if (held_back_) {
        pump_client();
        give_back();
        watch_backlog();
    }
} catch (const std::exception& e) {
    give_up(e);
}

void client::on_server_revoked() try {
    // What has come from it is answered, but nothing more is read: the node must not be believed.
    on_server_lost();
} catch (const std::exception& e) {
    give_up(e);
}

// There is no further edge for what the last receive left in the kernel.
void client::read_on() {
    if ((phase_ == phase::active || phase_ == phase::idle) && channel_.readable()) {
        channel_.stream().call_again();
    }
}

// What else has come is for the next turn: the requests of a pipeline that are answered here, one
// by one, would nest.
void client::look_again() {
    if (channel_.has_input()) {
        channel_.stream().call_again();
    }
}

// Passes on what may be passed on of `data`, which is all the input there is, and keeps the rest.
void client::forward(std::string_view data) {
    using stop = protocol::frontend_stream::stop;
    auto& server = *lease_;
    auto& ledger = server.ledger();
    const auto all = data;
    const auto given = data.size();
    outgoing out{home_.arena()};
    if (ledger.is_empty()) {
        asked_since_ = now();
    }
    bool sent = true;
    auto why = stop::edit;
    while (sent && (why == stop::edit || why == stop::no_room)) {
        const auto step =
            frontend_.scan(data, server.backend().status(), ledger, server.marks(), home_.arena());
        why = step.why;
        out.add(data.substr(0, step.forward));
        out.add(step.bytes);
        data.remove_prefix(step.forward + step.skip);
        if (why == stop::no_room || out.is_full()) {
            sent = out.send(server.channel());
        }
    }
    gate_->traffic().bytes_received += given - data.size();
    if (retains_) {
        // A node that may be written to is sent nothing again but a lone BEGIN.
        using control = protocol::transaction_control;
        retains_ = !may_write_ || ledger.newest_control() == control::begins;
        if (retains_) {
            retain(all.substr(0, given - data.size()));
        }
    }
    if (why == stop::full || why == stop::wait) {
        // PostgreSQL may sit on its replies until it is asked for them.
        out.add(protocol::flush_message);
        awaits_replies_ = true;
    }
    if (query_since_ == base::no_time && ledger.owes_reply()) {
        query_since_ = now();
        if (transaction_since_ == base::no_time) {
            transaction_since_ = now();
        }
        arm_timer();
    }
    if (!sent || !out.send(server.channel())) {
        channel_.keep(data);
        return on_server_lost();
    }
    // A Flush asks for our own replies as well.
    if (frontend_.take_flush() || awaits_replies_) {
        if (!answer_known(out)) {
            return leave(false);
        }
        if (query_since_ != base::no_time && !ledger.owes_reply()) {
            on_batch_paused();
        }
        if (awaits_replies_ && !ledger.owes_reply()) {
            awaits_replies_ = false;  // all that it waited for was ours
            channel_.stream().call_again();
        }
    }
    switch (why) {
        case stop::terminate: return leave(true);
        case stop::too_long:
            return fail({.severity = "FATAL",
                         .sqlstate = "54000",
                         .message = "name of a prepared statement or portal is too long"});
        case stop::violation:
            return fail({.severity = "FATAL",
                         .sqlstate = "08P01",
                         .message = protocol::violation_text(data)});
        default: channel_.keep(data);
    }
}

// The reply of ours that is next.
void client::add_known(outgoing& out) {
    auto& ledger = lease_->ledger();
    out.add(ledger.answer_known());
    lease_->listener().on_settlement(ledger.take_settlement());
}

// Replies that are due now and that no server sends; while the client does not read they stay in
// the ledger. False: the client's connection broke.
bool client::answer_known(outgoing& out) {
    auto& ledger = lease_->ledger();
    bool sent = true;
    while (lease_->backend().is_known_due(ledger) && !channel_.has_backlog()) {
        add_known(out);
        if (out.is_full()) {
            sent = out.send(channel_) && sent;
        }
    }
    return out.send(channel_) && sent;
}

void client::on_server_io() try {
    const bool was_blocked = lease_->channel().has_backlog();
    if (!lease_->channel().flush()) {
        return on_server_lost();
    }
    pump_server();
    if (was_blocked && phase_ == phase::active) {
        pump_client();
        give_back();
    }
    watch_backlog();
} catch (const std::exception& e) {
    give_up(e);
}

void client::pump_server() {
    // A client that does not read stops its server, not our memory.
    if (channel_.has_backlog()) {
        return;
    }
    auto& server = *lease_;
    if (!server.channel().has_input()) {
        outgoing out{home_.arena()};
        if (!answer_known(out)) {
            return leave(false);
        }
        return read_further();
    }
    auto [data, status] = server.channel().receive();
    const auto replies = pass_replies(data);
    retains_ = retains_ && data.size() == replies.fatal.size();
    if (!replies.sent) {
        return leave(false);
    }
    if (channel_.has_backlog()) {
        watch_reading();
    }
    if (replies.refused) {
        return fail({.severity = "FATAL",
                     .sqlstate = "25001",
                     .message = "transaction blocks are not allowed in statement pooling mode",
                     .hint = "pool.mode of pgweir"});
    }
    if (replies.broken) {
        PGWEIR_LOG(err, "server {}: reply to nothing that was asked, closing", server.id());
        server.marks().permanent = true;
        return fail(
            {.severity = "FATAL", .sqlstate = "08P01", .message = "the server broke the protocol"});
    }
    if (status == net::io_status::closed || server.is_dying()) {
        return on_server_lost(replies.fatal);
    }
    if (replies.settled && on_settled()) {
        return;
    }
    if (query_since_ != base::no_time && !server.ledger().owes_reply()) {
        on_batch_paused();
    } else if (replies.ready && !replies.settled) {
        arm_timer();
    }
    read_further();
    if (phase_ == phase::active && server.channel().readable()) {
        server.channel().stream().call_again();
    }
}

// Reading goes on when there is room for a good deal more, or at once if it only waited for the
// outcome of something; it looks again then.
void client::read_further() {
    if (awaits_replies_ && lease_->ledger().outstanding() < protocol::ledger::capacity / 2) {
        awaits_replies_ = false;
        pump_client();
    }
}

// Passes on what may be passed on of the server's `data`, which is all there is, and keeps the
// rest. To the end, also when the client's connection breaks: what is owed must be known.
client::passed client::pass_replies(std::string_view data) {
    using stop = protocol::backend_stream::stop;
    auto& server = *lease_;
    outgoing out{home_.arena()};
    passed p;
    while (!data.empty() && !p.broken && !p.refused && p.fatal.empty()) {
        const auto step =
            server.backend().scan(data, server.ledger(), server.marks(), true, server.listener());
        if (step.why == stop::ready || step.why == stop::idle) {
            p.ready = true;
            p.settled = step.why == stop::idle;
            p.refused = on_ready(p.settled, step.to_client);
        }
        if (step.why == stop::idle && step.to_client && server.has_overridden() && may_part()) {
            p.sent = pass_restored(data.substr(0, step.size), out) && p.sent;
        } else if (step.to_client) {
            // Its client must not see a transaction begin that is not going to be; nor our names.
            const auto unsaid = step.why == stop::named ? step.error
                                : p.refused             ? protocol::ready_size
                                                        : 0;
            out.add(data.substr(0, step.size - unsaid));
        }
        if (step.why == stop::fatal) {
            p.fatal = data.substr(step.size, step.error);
            if (!may_survive()) {
                out.add(p.fatal);
            }
            data.remove_prefix(step.error);
        } else if (step.why == stop::named) {
            p.sent = p.sent && pass_error(data.substr(step.size - step.error, step.error), out);
        } else if (step.why == stop::known) {
            add_known(out);
        }
        data.remove_prefix(step.size);
        p.broken = step.why == stop::violation;
        if (step.why == stop::held) {
            break;
        }
        if (out.is_full()) {
            p.sent = out.send(channel_) && p.sent;
        }
    }
    server.channel().keep(data);
    p.sent = (p.broken || p.refused ? out.send(channel_) : answer_known(out)) && p.sent;
    gate_->traffic().bytes_sent += out.bytes();
    return p;
}

// The end of a transaction that has changed what ParameterStatus tells: the server will be cleaned,
// so that is over. Said before the ReadyForQuery, behind which the client goes on.
bool client::pass_restored(std::string_view replies, outgoing& out) {
    out.add(replies.substr(0, replies.size() - protocol::ready_size));
    const bool sent = out.send(channel_);
    const auto restored = lease_->take_overridden();
    out.add(restored);
    out.add(replies.substr(replies.size() - protocol::ready_size));
    return out.send(channel_) && sent;
}

// An error that names statements as servers know them.
bool client::pass_error(std::string_view message, outgoing& out) {
    std::string translated;
    if (statements_ == nullptr || !protocol::translate_names(message, *statements_, translated)) {
        translated = message;
    }
    out.add(translated);
    return out.send(channel_);
}

// A ReadyForQuery: `settled` says whether it was the last one due, else the next query of a
// pipeline runs from now on; `counts`, whether it ends a query of the client's. True when it shows
// a transaction where the pool's mode allows none.
bool client::on_ready(bool settled, bool counts) {
    auto& traffic = gate_->traffic();
    lease_->note_reply(asked_since_);
    const auto next = settled ? base::no_time : now();
    traffic.queries += counts ? 1 : 0;
    if (query_since_ != base::no_time) {
        traffic.query_us += microseconds(now() - query_since_);
    }
    query_since_ = next;
    cancelled_ = false;
    if (lease_->backend().status() != 'I') {
        return !is_dedicated_ && gate_->pool().mode == config::pool_mode::statement;
    }
    traffic.transactions += counts ? 1 : 0;
    if (transaction_since_ != base::no_time) {
        traffic.transaction_us += microseconds(now() - transaction_since_);
    }
    transaction_since_ = next;
    return false;
}

// All that was sent of a batch is answered, and its Sync is still to come: from now on the client
// is idle in a transaction.
void client::on_batch_paused() {
    gate_->traffic().query_us += microseconds(now() - query_since_);
    query_since_ = base::no_time;
    cancelled_ = false;
    since_ = now();
    arm_timer();
}

// All that was asked is answered. True when the server was given back, or the client is gone.
bool client::on_settled() {
    if (!give_back()) {
        since_ = now();
        arm_timer();
        // A server of its own goes back by itself: it was told at its login.
        if (lease_->marks().resets && is_session() && !is_dedicated_ &&
            lease_->backend().status() == 'I' && !lease_->restore_settings()) {
            on_server_lost();
            return true;
        }
        return false;
    }
    if (phase_ == phase::idle && channel_.has_input() && !channel_.has_backlog()) {
        pump_idle();
    }
    return true;
}

// Does nothing but what is asked and owed keep the client with its server?
bool client::may_part() const noexcept {
    return !is_session() && frontend_.at_boundary() &&
           (statements_ == nullptr || !statements_->is_tied()) &&
           !lease_->channel().has_backlog() && lease_->backend().status() == 'I';
}

// Ends the lease if nothing is under way that needs it. True when it did, or the client is gone.
bool client::give_back() {
    if (phase_ != phase::active || !lease_->ledger().is_empty() ||
        lease_->backend().status() != 'I') {
        return false;
    }
    if (home_.is_draining()) {
        on_drain();
        return true;
    }
    if (!may_part()) {
        return false;
    }
    awaits_replies_ = held_back_ = sent_again_ = false;
    enter(phase::idle);
    lease_.release(true, false, false);
    return true;
}

// The server's connection ended while it served us. However it looks, nobody else can have it.
void client::on_server_lost(std::string_view last_words) {
    lease_->note_loss();
    if (may_send_again()) {
        return send_again();
    }
    if (may_survive()) {
        return survive(last_words);
    }
    const bool is_cut = !lease_->backend().at_boundary();
    if (is_cut) {
        PGWEIR_LOG(info, "client {}: server {} broke in the middle of a reply", id_, lease_->id());
    }
    if (is_cut || lease_->is_dying()) {
        // Its own FATAL has been passed on and says why; behind half a row nothing can.
        enter(phase::closing);
        lease_.release(false, false, false);
        return finish_closing();
    }
    lease_.release(false, false, false);
    fail({.severity = "FATAL",
          .sqlstate = gate_->has_cluster() ? "57P01" : "08006",
          .message = "server closed the connection unexpectedly",
          .detail = "The server connection of pgweir broke while it served this client."});
}

// --- with a cluster, a client outlives its server

// Not one whose session was on that server, nor one that has half a message.
bool client::may_survive() const noexcept {
    return gate_->has_cluster() && !is_session() &&
           (statements_ == nullptr || !statements_->is_tied()) && lease_->backend().at_boundary();
}

// Nothing that it has sent can have been committed: the node was a standby when it began to serve
// us, and by now has not been promoted.
bool client::only_reads() const noexcept { return !may_write_ && lease_->is_on_standby(); }

// What was sent has certainly not been committed, nothing of it was answered, and it is all there:
// a lone BEGIN, or a lone query to a node in recovery. Behind a Parse the client's names would be
// taken. And what loses a second server may be the reason why.
bool client::may_send_again() const noexcept {
    if (sent_again_ || !retains_ || !may_survive() || !frontend_.at_boundary() ||
        lease_->backend().status() != 'I') {
        return false;
    }
    const std::string_view kept = lease_->retained();
    if (kept.size() < protocol::header_size || kept.front() != 'Q' ||
        protocol::read_frame(kept.data()).size != kept.size()) {
        return false;
    }
    if (only_reads()) {
        return true;
    }
    const auto text = kept.substr(protocol::header_size);
    const auto first = protocol::look_at_statement(text.substr(0, text.find('\0')));
    return first.verb == protocol::transaction_verb::begin &&
           protocol::look_at_statement(first.rest).verb == protocol::transaction_verb::empty;
}

// Keeps what was sent, as long as may_send_again() could hold for it.
void client::retain(std::string_view sent) {
    auto& kept = lease_->retained();
    retains_ = kept.size() + sent.size() <= retain_limit &&
               (!kept.empty() || sent.empty() || sent.front() == 'Q');
    if (retains_) {
        kept.append(sent);
    }
}

void client::send_again() {
    PGWEIR_LOG(debug, "client {}: server {} is lost, its request is sent again", id_, lease_->id());
    // In front of what has not been sent at all.
    const auto later = channel_.take_kept();
    channel_.keep(lease_->retained());
    channel_.keep(later);
    sent_again_ = true;
    retains_ = awaits_replies_ = held_back_ = cancelled_ = false;
    query_since_ = transaction_since_ = base::no_time;
    lease_.release(false, false, false);
    begin_wait();
}

// The client is told, once, what has become of its requests, and stays: free if nothing of a
// transaction is left, else as in a failed one.
void client::survive(std::string_view last_words) {
    auto& server = *lease_;
    const bool may_have_committed = !only_reads();
    const auto said = protocol::parse_error(
        last_words.substr(std::min(last_words.size(), protocol::header_size)));
    const auto where = "node " + server.node() + ", epoch " + std::to_string(gate_->epoch());
    const auto detail = "Lost was " + where + (said.message.empty() ? "." : ": ") +
                        (said.message.empty() ? "" : std::string{said.message} + ".");
    std::string rolled_back;
    protocol::append_error(
        rolled_back,
        {.severity = "ERROR",
         .sqlstate = said.sqlstate.empty() ? "08006" : said.sqlstate,
         .message = said.message.empty() ? "the server connection was lost" : said.message,
         .detail = "The transaction was rolled back: lost was " + where + ".",
         .hint = "Run the transaction again."});
    std::string in_doubt;
    protocol::append_error(
        in_doubt, {.severity = "ERROR",
                   .sqlstate = "08007",
                   .message = "the server connection was lost, and the transaction may or may not "
                              "have been committed",
                   .detail = detail,
                   .hint = "Find out what became of it before running it again."});
    std::string replies;
    const auto outcome = protocol::answer_outage(
        {.status = server.backend().status(), .has_more = channel_.has_input()},
        {.rolled_back = rolled_back, .in_doubt = may_have_committed ? in_doubt : rolled_back},
        server.ledger(), server.listener(), replies);
    const bool tells_doubt = outcome.is_untold_in_doubt && may_have_committed;
    const auto doubts =
        may_have_committed ? outcome.in_doubt + (outcome.is_untold_in_doubt ? 1 : 0) : 0;
    const auto remain = frontend_.take_remain();
    auto& counts = gate_->counts();
    counts.in_doubt.fetch_add(doubts, std::memory_order_relaxed);
    const bool is_rolled_back = outcome.is_block || (outcome.is_untold && !tells_doubt);
    counts.rolled_back.fetch_add(is_rolled_back ? 1 : 0, std::memory_order_relaxed);
    PGWEIR_LOG(info, "client {}: server {} on node {} is lost{}", id_, server.id(), server.node(),
               doubts != 0 ? ", a transaction is in doubt" : "");
    retains_ = awaits_replies_ = held_back_ = sent_again_ = cancelled_ = false;
    query_since_ = base::no_time;
    lease_.release(false, false, false);
    if (!outcome.is_over() || remain != 0) {
        failure_ = std::make_unique<failure>(
            protocol::failed_transaction::loss{.is_block = outcome.is_block,
                                               .is_skipping = outcome.is_skipping,
                                               .remain = remain,
                                               .error = !outcome.is_untold ? std::string{}
                                                        : tells_doubt      ? std::move(in_doubt)
                                                                      : std::move(rolled_back)});
    }
    if (!outcome.is_block) {
        transaction_since_ = base::no_time;
    }
    enter(failure_ ? phase::failed : phase::idle);
    if (!replies.empty() && !channel_.send(replies)) {
        return leave(false);
    }
    if (phase_ == phase::failed) {
        return pump_failed();
    }
    look_again();
}

void client::pump_failed() {
    using event = protocol::failed_transaction::event;
    if (!channel_.flush()) {
        return leave(false);
    }
    for (int turns = 0; phase_ == phase::failed && channel_.has_input() && !channel_.has_backlog();
         ++turns) {
        if (turns == net::receives_a_turn) {
            return channel_.stream().call_again();
        }
        auto [data, status] = channel_.receive();
        std::string out;
        protocol::lost_statements known{{.client = statements_,
                                         .store = gate_->statements(),
                                         .settings = &settings_->parsing,
                                         .are_shared = gate_->pool().max_prepared_statements != 0}};
        const auto step = failure_->machine.scan(data, known, out);
        data.remove_prefix(step.consumed);
        since_ = now();
        arm_timer();
        if (step.what == event::terminate) {
            return leave(true);
        }
        if (step.what == event::violation) {
            return fail({.severity = "FATAL",
                         .sqlstate = "08P01",
                         .message = protocol::violation_text(data)});
        }
        if (step.what == event::left) {
            channel_.keep(failure_->machine.take_rest());
        }
        channel_.keep(data);
        if (!out.empty() && !channel_.send(out)) {
            return leave(false);
        }
        if (status == net::io_status::closed) {
            return leave(false);
        }
        if (step.what == event::left) {
            failure_.reset();
            transaction_since_ = base::no_time;
            enter(phase::idle);
            return look_again();
        }
        if (status == net::io_status::would_block || !channel_.readable()) {
            return;
        }
    }
}

}  // namespace pgweir::session
