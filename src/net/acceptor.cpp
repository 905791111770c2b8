// Accepting, and what to do without descriptors.
#include "pgweir/net/acceptor.hpp"

#include "pgweir/base/log.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <sys/socket.h>
#include <utility>

namespace pgweir::net {
namespace {

constexpr auto pause_when_full = std::chrono::milliseconds{200};
constexpr auto complaint_interval = std::chrono::seconds{5};
constexpr int most_tries = 64;

bool is_out_of_resources(int error) noexcept {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

acceptor::acceptor(loop& l, descriptor listening, receiver on_client)
    : loop_{l}, on_client_{std::move(on_client)} {
    socket_.attach(l, listening.release(), *this, stream::origin::listening);
}

acceptor::~acceptor() { timer::unlink_now(); }

// The loop calls as long as somebody waits, so a call may leave some. One that comes right after a
// call that found as many as it wanted wants twice that: a client that comes alone costs one system
// call, and a crowd does not have to wait for a turn each.
void acceptor::accept_some() {
    if (loop_.turn() != next_turn_) {
        wanted_ = 1;
    }
    int taken = 0;
    for (int i = 0; i < most_tries && taken < wanted_; ++i) {
        address peer;
        peer.size = sizeof peer.storage;
        descriptor client{::accept4(socket_.fd(), reinterpret_cast<sockaddr*>(&peer.storage),
                                    &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC)};
        if (client.get() >= 0) {
            ++taken;
            try {
                on_client_(std::move(client), peer);
            } catch (const std::exception& e) {
                PGWEIR_LOG(err, "cannot take a client: {}", e.what());
            }
        } else if (is_out_of_resources(errno)) {
            return pause(errno);
        } else if (errno == EINVAL) {
            resting_ = descriptor{socket_.detach()};  // it listens no more
            return;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
            return;
        }
        // Any other error is that of one connection, which has gone: accept(2), "Error handling".
    }
    if (taken == 0) {
        return pause(errno);
    }
    wanted_ = std::min(2 * wanted_, most_tries);
    next_turn_ = loop_.turn() + 1;
}

void acceptor::listen() try {
    socket_.attach(loop_, resting_.release(), *this, stream::origin::listening);
} catch (const std::exception&) {
    pause(ENOMEM);
}

void acceptor::pause(int error) {
    if (complained_ == base::no_time || loop_.now() - complained_ >= complaint_interval) {
        complained_ = loop_.now();
        PGWEIR_LOG(err, "cannot accept clients: {}; trying again", std::strerror(error));
    }
    if (socket_.is_open()) {
        resting_ = descriptor{socket_.detach()};
    }
    loop_.timers().set(*this, loop_.now() + pause_when_full);
}

}  // namespace pgweir::net
