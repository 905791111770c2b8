// Accepting, and what to do without descriptors.
#include "pgweir/net/acceptor.hpp"

#include "pgweir/base/log.hpp"

#include <cerrno>
#include <cstring>
#include <exception>
#include <sys/socket.h>
#include <utility>

namespace pgweir::net {
namespace {

constexpr auto pause_when_full = std::chrono::milliseconds{200};
constexpr auto complaint_interval = std::chrono::seconds{5};
constexpr int accepts_a_turn = 64;

bool is_out_of_resources(int error) noexcept {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

acceptor::acceptor(loop& l, descriptor listening, receiver on_client)
    : loop_{l}, on_client_{std::move(on_client)} {
    socket_.attach(l, listening.release(), *this, stream::origin::listening);
}

acceptor::~acceptor() { timer::unlink_now(); }

void acceptor::accept_some() {
    bool has_taken = false;
    for (int i = 0; i < accepts_a_turn; ++i) {
        address peer;
        peer.size = sizeof peer.storage;
        descriptor client{::accept4(socket_.fd(), reinterpret_cast<sockaddr*>(&peer.storage),
                                    &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC)};
        if (client.get() >= 0) {
            has_taken = true;
            try {
                on_client_(std::move(client), peer);
            } catch (const std::exception& e) {
                PGWEIR_LOG(err, "cannot take a client: {}", e.what());
            }
        } else if (is_out_of_resources(errno)) {
            return pause(errno);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINVAL) {
            return;  // nobody is left, or the socket listens no more
        }
        // Any other error is that of one connection, which has gone: accept(2), "Error handling".
    }
    if (has_taken) {
        return socket_.call_again();
    }
    pause(errno);
}

void acceptor::pause(int error) {
    if (complained_ == base::no_time || loop_.now() - complained_ >= complaint_interval) {
        complained_ = loop_.now();
        PGWEIR_LOG(err, "cannot accept clients: {}; trying again", std::strerror(error));
    }
    loop_.timers().set(*this, loop_.now() + pause_when_full);
}

}  // namespace pgweir::net
