// The data path: a client's bytes to a server and back, and when the server is given back.
#include "pgweir/base/log.hpp"
#include "pgweir/session/client.hpp"
#include "session/client_state.hpp"

#include <array>
#include <exception>

namespace pgweir::session {
namespace {

// What one send takes. Pieces that follow each other in memory are one piece.
class piece_list {
public:
    void add(std::string_view bytes) noexcept {
        if (bytes.empty()) {
            return;
        }
        bytes_ += bytes.size();
        if (count_ != 0) {
            auto& last = pieces_[count_ - 1];
            if (static_cast<const char*>(last.iov_base) + last.iov_len == bytes.data()) {
                last.iov_len += bytes.size();
                return;
            }
        }
        pieces_[count_++] = net::as_piece(bytes);
    }
    [[nodiscard]] bool is_full() const noexcept { return count_ == pieces_.size(); }
    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::span<const iovec> span() const noexcept { return {pieces_.data(), count_}; }
    void clear() noexcept { count_ = bytes_ = 0; }

private:
    std::array<iovec, 16> pieces_{};
    std::size_t count_ = 0;
    std::size_t bytes_ = 0;
};

std::uint64_t microseconds(base::duration d) noexcept {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(d).count());
}

}  // namespace

// --- without a server

void client::pump_idle() {
    for (int turns = 0; phase_ == phase::idle && channel_.has_input(); ++turns) {
        if (turns == receives_a_turn) {
            return channel_.stream().call_again();
        }
        const bool hung_up = channel_.stream().hung_up();
        // With no server free the query stays in the kernel: no buffer, and no second look at it.
        if (!channel_.has_kept() && !hung_up && !slice_->has_ready(settings_.get())) {
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
                if (!channel_.stream().readable()) {
                    return;
                }
                break;
            case protocol::first_message::needs_server:
                if (status == net::io_status::closed) {
                    return leave(false);
                }
                if (slice_->has_ready(settings_.get())) {
                    begin_link(slice_->acquire(*this, settings_));
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
    if (auto server = slice_->acquire(*this, settings_)) {
        on_server(std::move(server));
    }
}

void client::on_server(pool::lease server) try {
    if (phase_ == phase::welcome_wait) {
        slice_->learn_welcome(settings_, server->parameters());
        const auto welcome = slice_->welcome_for(settings_.get());
        server.release(true, false, false);
        return send_welcome(*welcome);
    }
    slice_->traffic().wait_us += microseconds(now() - since_);
    begin_link(std::move(server));
    pump_client();
} catch (const std::exception& e) {
    give_up(e);
}

// --- with a server

void client::begin_link(pool::lease server) {
    lease_ = std::move(server);
    frontend_.begin_link(id_);
    ++slice_->traffic().server_assignments;
    enter(phase::active);
}

void client::pump_client() {
    if (phase_ != phase::active) {
        return;
    }
    if (ledger_full_ || lease_->channel().has_backlog()) {
        // Not being read, a client that is gone shows by this alone.
        if (channel_.stream().is_broken()) {
            leave(false);
        }
        return;
    }
    if (!channel_.has_input()) {
        return;
    }
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
        if (slice_->pool().mode != config::pool_mode::session &&
            (look.what == protocol::first_message::incomplete ||
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

// There is no further edge for what the last receive left in the kernel.
void client::read_on() {
    if ((phase_ == phase::active || phase_ == phase::idle) && channel_.stream().readable()) {
        channel_.stream().call_again();
    }
}

// Passes on what may be passed on of `data`, which is all the input there is, and keeps the rest.
void client::forward(std::string_view data) {
    using stop = protocol::frontend_stream::stop;
    auto& server = *lease_;
    auto& ledger = server.ledger();
    piece_list pieces;
    auto why = stop::close_unnamed;
    while (why == stop::close_unnamed) {
        const auto step = frontend_.scan(data, ledger, server.marks());
        pieces.add(data.substr(0, step.forward));
        data.remove_prefix(step.forward);
        why = step.why;
        if (why == stop::close_unnamed) {
            pieces.add(protocol::close_unnamed_message);
        }
    }
    slice_->traffic().bytes_received += pieces.bytes();
    if (why == stop::full) {
        // PostgreSQL may sit on its replies until it is asked for them.
        pieces.add(protocol::flush_message);
        ledger_full_ = true;
    }
    if (query_since_ == base::no_time && ledger.owes_reply()) {
        query_since_ = now();
        if (transaction_since_ == base::no_time) {
            transaction_since_ = now();
        }
        arm_timer();
    }
    if (!pieces.empty() && !server.channel().send(pieces.span())) {
        channel_.keep(data);
        return on_server_lost();
    }
    switch (why) {
        case stop::terminate: return leave(true);
        case stop::violation:
            return fail({.severity = "FATAL",
                         .sqlstate = "08P01",
                         .message = protocol::violation_text(data)});
        default: channel_.keep(data);
    }
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
} catch (const std::exception& e) {
    give_up(e);
}

void client::pump_server() {
    using stop = protocol::backend_stream::stop;
    // A client that does not read stops its server, not our memory.
    if (channel_.has_backlog() || !lease_->channel().has_input()) {
        return;
    }
    auto& server = *lease_;
    auto [data, status] = server.channel().receive();
    piece_list pieces;
    bool is_ready = false;
    bool settled = false;
    bool refused = false;
    bool broken = false;
    bool sent = true;
    auto& traffic = slice_->traffic();
    while (!data.empty() && !broken && !refused) {
        const auto step =
            server.backend().scan(data, server.ledger(), server.marks(), true, server.listener());
        if (step.why == stop::ready || step.why == stop::idle) {
            is_ready = true;
            settled = step.why == stop::idle;
            refused = on_ready(settled);
        }
        if (step.to_client) {
            // Its client must not see a transaction begin that is not going to be.
            pieces.add(data.substr(0, step.size - (refused ? protocol::ready_size : 0)));
        }
        data.remove_prefix(step.size);
        broken = step.why == stop::violation;
        if (step.why == stop::held) {
            break;
        }
        if (pieces.is_full()) {
            sent = sent && channel_.send(pieces.span());
            traffic.bytes_sent += pieces.bytes();
            pieces.clear();
        }
    }
    server.channel().keep(data);
    if (!pieces.empty()) {
        sent = sent && channel_.send(pieces.span());
        traffic.bytes_sent += pieces.bytes();
    }
    if (!sent) {
        return leave(false);
    }
    if (channel_.has_backlog()) {
        watch_reading();
    }
    if (refused) {
        return fail({.severity = "FATAL",
                     .sqlstate = "25001",
                     .message = "transaction blocks are not allowed in statement pooling mode",
                     .hint = "pool.mode of pgweir"});
    }
    if (broken) {
        PGWEIR_LOG(err, "server {}: reply to nothing that was asked, closing", server.id());
        return fail(
            {.severity = "FATAL", .sqlstate = "08P01", .message = "the server broke the protocol"});
    }
    if (status == net::io_status::closed || server.is_dying()) {
        return on_server_lost();
    }
    if (settled && on_settled()) {
        return;
    }
    if (query_since_ != base::no_time && !server.ledger().owes_reply()) {
        on_batch_paused();
    } else if (is_ready && !settled) {
        arm_timer();
    }
    if (ledger_full_ && server.ledger().outstanding() < protocol::ledger::capacity / 2) {
        ledger_full_ = false;
        pump_client();
    }
    if (phase_ == phase::active && server.channel().stream().readable()) {
        server.channel().stream().call_again();
    }
}

// A ReadyForQuery: `settled` says whether it was the last one due, else the next query of a
// pipeline runs from now on. True when it shows a transaction where the pool's mode allows none.
bool client::on_ready(bool settled) {
    auto& traffic = slice_->traffic();
    const auto next = settled ? base::no_time : now();
    ++traffic.queries;
    if (query_since_ != base::no_time) {
        traffic.query_us += microseconds(now() - query_since_);
    }
    query_since_ = next;
    cancelled_ = false;
    if (lease_->backend().status() != 'I') {
        return slice_->pool().mode == config::pool_mode::statement;
    }
    ++traffic.transactions;
    if (transaction_since_ != base::no_time) {
        traffic.transaction_us += microseconds(now() - transaction_since_);
    }
    transaction_since_ = next;
    return false;
}

// All that was sent of a batch is answered, and its Sync is still to come: from now on the client
// is idle in a transaction.
void client::on_batch_paused() {
    slice_->traffic().query_us += microseconds(now() - query_since_);
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
        return false;
    }
    if (phase_ == phase::idle && channel_.has_input() && !channel_.has_backlog()) {
        pump_idle();
    }
    return true;
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
    if (slice_->pool().mode == config::pool_mode::session || !frontend_.at_boundary() ||
        lease_->channel().has_backlog()) {
        return false;
    }
    ledger_full_ = false;
    enter(phase::idle);
    lease_.release(true, false, false);
    return true;
}

// The server's connection ended while it served us. However it looks, nobody else can have it.
void client::on_server_lost() {
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
          .sqlstate = "08006",
          .message = "server closed the connection unexpectedly",
          .detail = "The server connection of pgweir broke while it served this client."});
}

}  // namespace pgweir::session
