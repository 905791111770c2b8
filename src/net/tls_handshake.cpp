// Handshakes on background threads.
#include "pgweir/net/tls_handshake.hpp"

#include <utility>

namespace pgweir::net {

tls_handshake::tls_handshake(std::unique_ptr<tls::engine> e,
                             background& steps,
                             loop& home,
                             std::function<void()> wake)
    : steps_{steps},
      home_{home},
      wake_{std::move(wake)},
      work_{std::make_shared<work>()},
      state_{e->speaks_first() ? state::begins : state::waits},
      self_{std::make_shared<tls_handshake*>(this)} {
    work_->engine = std::move(e);
}

tls_handshake::outcome tls_handshake::fail(std::string why) {
    error_ = std::move(why);
    return outcome::failed;
}

tls_handshake::outcome tls_handshake::advance(channel& c) {
    if (!c.flush()) {
        return fail("connection lost");
    }
    if (state_ == state::steps) {
        return outcome::pending;
    }
    if (state_ == state::stepped) {
        if (const auto is = finish_step(c); is != outcome::pending) {
            return is;
        }
    }
    while (state_ == state::waits) {
        if (!is_closed_ && !c.has_input()) {
            return outcome::pending;
        }
        const auto in = is_closed_ ? channel::input{{}, io_status::closed} : c.receive();
        // Told once, and perhaps together with the last bytes.
        is_closed_ = in.status == io_status::closed;
        if (in.data.empty()) {
            return is_closed_ ? fail("connection closed by the peer") : outcome::pending;
        }
        work_->received = in.data;
        if (!may_step_here()) {
            break;
        }
        take_step(*work_, tls::engine::effort::little);
        if (work_->is == tls::engine::progress::heavy) {
            break;
        }
        if (const auto is = finish_step(c); is != outcome::pending) {
            return is;
        }
    }
    return begin_step();
}

// To hand a quick key exchange to another thread and back costs about a sixth of it. Where
// handshakes already wait for a thread there is a storm of them, and they keep their order.
bool tls_handshake::may_step_here() noexcept {
    switch (work_->engine->next_step()) {
        case tls::engine::step::light: return true;
        case tls::engine::step::depends: return steps_.is_idle() && home_.may_compute();
        case tls::engine::step::heavy: break;
    }
    return false;
}

void tls_handshake::take_step(work& w, tls::engine::effort most) {
    w.is = w.engine->handshake(w.received, most);
    w.output += w.engine->take_output();
    w.received.clear();
}

tls_handshake::outcome tls_handshake::begin_step() {
    state_ = state::steps;
    const bool accepted = steps_.submit([w = work_, weak = std::weak_ptr{self_}, &home = home_] {
        if (weak.expired()) {
            return;  // nobody waits for it any more
        }
        take_step(*w, tls::engine::effort::any);
        home.post([weak] {
            if (const auto alive = weak.lock()) {
                (*alive)->state_ = state::stepped;
                const auto wake = (*alive)->wake_;  // it may end this
                wake();
            }
        });
    });
    if (!accepted) {
        error_ = "too many handshakes are waiting";
        return outcome::crowded;
    }
    return outcome::pending;
}

tls_handshake::outcome tls_handshake::finish_step(channel& c) {
    using progress = tls::engine::progress;
    state_ = state::waits;
    if (const auto output = std::exchange(work_->output, {}); !output.empty() && !c.send(output)) {
        return fail("connection lost");
    }
    switch (work_->is) {
        case progress::more: return outcome::pending;
        case progress::done: c.secure(std::move(work_->engine)); return outcome::done;
        case progress::failed:
        case progress::heavy: break;
    }
    return fail(std::string{work_->engine->error()});
}

}  // namespace pgweir::net
