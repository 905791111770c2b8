// Sending of a CancelRequest.
#include "pool/canceller.hpp"

#include "pgweir/base/log.hpp"
#include "pgweir/net/turn.hpp"
#include "pgweir/protocol/message_writer.hpp"
#include "pgweir/protocol/startup.hpp"

#include <utility>

namespace pgweir::pool {
namespace {

constexpr auto patience = std::chrono::seconds{5};

}  // namespace

std::string cancel_packet(std::int32_t pid, std::string_view key) {
    std::string packet;
    protocol::message_writer{packet}
        .begin_untyped()
        .put_int32((1234 << 16) | 5678)
        .put_int32(pid)
        .put_bytes(key)
        .end();
    return packet;
}

canceller::canceller(slices& home, destination to, std::string packet, callback done)
    : home_{home},
      to_{std::move(to)},
      channel_{home.loop()},
      packet_{std::move(packet)},
      done_{std::move(done)} {}

bool canceller::send(slices& home, destination to, std::string packet, callback done) {
    const int fd = net::start_connect(to.address, to.tcp);
    if (fd < 0) {
        return false;
    }
    auto c = std::unique_ptr<canceller>{
        new canceller{home, std::move(to), std::move(packet), std::move(done)}};
    try {
        c->channel_.attach(fd, *c, net::stream::origin::connecting);
    } catch (const std::system_error&) {
        return false;
    }
    home.loop().timers().set(*c, home.loop().now() + patience);
    home.keep(std::move(c));
    return true;
}

void canceller::on_io() {
    if (state_ == state::connecting && channel_.stream().writable()) {
        on_connected();
    }
    if (!channel_.stream().is_open()) {
        return;
    }
    if (!channel_.flush()) {
        return finish(state_ == state::sending ? outcome::delivered : outcome::unsent);
    }
    switch (state_) {
        case state::connecting:
            if (channel_.stream().hung_up()) {
                finish(outcome::unsent);
            }
            return;
        case state::asking: return read_answer();
        case state::securing: return secure();
        case state::sending: break;
    }
    // It has nothing to say but that it is through.
    for (int turns = 0; channel_.stream().is_open() && channel_.readable(); ++turns) {
        if (turns == net::receives_a_turn) {
            return channel_.stream().call_again();
        }
        if (channel_.receive().status == net::io_status::closed) {
            finish(outcome::delivered);
        }
    }
}

void canceller::on_connected() {
    if (to_.tls == nullptr) {
        return send_packet();
    }
    state_ = state::asking;
    if (!channel_.send(protocol::ssl_request_packet)) {
        finish(outcome::unsent);
    }
}

// What went over TLS is not repeated in plain text.
void canceller::read_answer() {
    const auto [data, status] = channel_.receive();
    if (data.empty() && status != net::io_status::closed) {
        return;
    }
    if (data == "N" && to_.may_be_plain) {
        return send_packet();
    }
    if (data != "S") {
        PGWEIR_LOG(warn, "a cancel request was not sent: the server offers no TLS");
        return finish(outcome::unsent);
    }
    state_ = state::securing;
    handshake_ = std::make_unique<net::tls_handshake>(
        std::make_unique<tls::engine>(to_.tls, to_.peer), home_.all().handshakes, home_.loop(),
        [this] {
            if (state_ == state::securing && channel_.stream().is_open()) {
                secure();
            }
        });
    secure();
}

void canceller::secure() {
    switch (handshake_->advance(channel_)) {
        case net::tls_handshake::outcome::pending: return;
        case net::tls_handshake::outcome::done: return send_packet();
        case net::tls_handshake::outcome::failed:
        case net::tls_handshake::outcome::crowded: break;
    }
    PGWEIR_LOG(warn, "a cancel request was not sent: SSL error: {}", handshake_->error());
    finish(outcome::unsent);
}

void canceller::send_packet() {
    state_ = state::sending;
    if (!channel_.send(packet_)) {
        finish(outcome::unsent);
    }
}

void canceller::finish(outcome what) {
    if (!channel_.stream().is_open()) {
        return;
    }
    channel_.stream().close();
    channel_.drop_all();
    home_.done(*this);
    done_(what);
}

}  // namespace pgweir::pool
