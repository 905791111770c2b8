// A client that pgweir answers itself: the console, and requests that are refused.
#include "pgweir/net/turn.hpp"
#include "pgweir/protocol/error_response.hpp"
#include "pgweir/protocol/message_writer.hpp"
#include "pgweir/session/client.hpp"
#include "session/client_state.hpp"

#include <exception>

namespace pgweir::session {

// --- the console

void client::pump_local() {
    if (!channel_.flush()) {
        return leave(false);
    }
    for (int turns = 0;
         phase_ == phase::local && !local_busy_ && !channel_.has_backlog() && channel_.has_input();
         ++turns) {
        if (turns == net::receives_a_turn) {
            return channel_.stream().call_again();
        }
        const auto [data, status] = channel_.receive();
        if (status == net::io_status::closed && data.empty()) {
            return leave(false);
        }
        std::string out;
        const auto outcome = local_->on_bytes(data, out);
        take(outcome, out);
        if (status != net::io_status::ok) {
            return;
        }
    }
}

void client::take(const local_outcome& o, std::string& out) {
    if (!out.empty() && !channel_.send(out)) {
        return leave(false);
    }
    if (!self_) {
        self_ = std::make_shared<client*>(this);
    }
    // The answer comes later, and this client may be gone by then.
    const auto resume = [weak = std::weak_ptr{self_}](auto&& answer) {
        const auto alive = weak.lock();
        if (!alive) {
            return;
        }
        auto& c = **alive;
        try {
            c.local_busy_ = false;
            c.command_cancelled_.reset();
            if (c.phase_ != phase::local) {
                return;  // its last words have been said
            }
            std::string reply;
            const auto next = answer(*c.local_, reply);
            c.take(next, reply);
            if (c.phase_ == phase::local) {
                c.pump_local();
            }
        } catch (const std::exception& e) {
            c.give_up(e);
        }
    };
    switch (o.what) {
        case local_outcome::kind::wait_for_input: return;
        case local_outcome::kind::close: enter(phase::closing); return finish_closing();
        case local_outcome::kind::wait_for_report:
            local_busy_ = true;
            return home_.gather(o.parts, [resume, &home = home_](const metrics::report& report) {
                resume([&](local_session& s, std::string& reply) {
                    return s.on_report(report, home.snapshot(), reply);
                });
            });
        case local_outcome::kind::wait_for_reload:
            local_busy_ = true;
            return home_.all().reload([resume, &loop = home_.loop()](reload_outcome done) {
                loop.post([resume, done = std::move(done)] {
                    resume([&](local_session& s, std::string& reply) {
                        return s.on_reload(done, reply);
                    });
                });
            });
        case local_outcome::kind::wait_for_command: {
            local_busy_ = true;
            command_cancelled_ = std::make_shared<std::atomic<bool>>(false);
            auto command = o.command;
            command.cancelled = command_cancelled_;
            return home_.all().execute(command,
                                       [resume, &loop = home_.loop()](command_outcome done) {
                                           loop.post([resume, done = std::move(done)] {
                                               resume([&](local_session& s, std::string& reply) {
                                                   return s.on_command(done, reply);
                                               });
                                           });
                                       });
        }
    }
}

// --- refused requests

void client::refuse_request(const protocol::error_fields& why) {
    sent_again_ = false;
    refusal_ = std::make_unique<refusal>();
    protocol::append_error(refusal_->error, why);
    enter(phase::refusing);
    pump_refusal();
}

void client::pump_refusal() {
    using event = protocol::batch_refusal::event;
    if (!channel_.flush()) {
        return leave(false);
    }
    for (int turns = 0; phase_ == phase::refusing && channel_.has_input(); ++turns) {
        if (turns == net::receives_a_turn) {
            return channel_.stream().call_again();
        }
        auto [data, status] = channel_.receive();
        std::string out;
        auto what = event::error;
        while (what == event::error) {
            const auto step = refusal_->scanner.scan(data);
            data.remove_prefix(step.consumed);
            what = step.what;
            if (what == event::error ||
                (what == event::done && !refusal_->scanner.has_reported())) {
                out += refusal_->error;
            }
        }
        channel_.keep(data);
        if (what == event::terminate) {
            return leave(true);
        }
        if (what == event::violation) {
            return fail({.severity = "FATAL",
                         .sqlstate = "08P01",
                         .message = protocol::violation_text(data)});
        }
        if (what == event::done) {
            protocol::append_ready(out, 'I');
        }
        if (!out.empty() && !channel_.send(out)) {
            return leave(false);
        }
        if (status == net::io_status::closed) {
            return leave(false);
        }
        const bool has_all = status == net::io_status::would_block || !channel_.readable();
        // What it waited for may turn out to be nothing that has an answer.
        const bool is_nothing = has_all && what == event::more && refusal_->scanner.is_untouched();
        if (what == event::done || is_nothing) {
            refusal_.reset();
            enter(phase::idle);
            return look_again();
        }
        if (has_all) {
            return;
        }
    }
}

}  // namespace pgweir::session
