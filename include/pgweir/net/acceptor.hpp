// Takes clients from a listening socket.
#pragma once

#include "pgweir/net/address.hpp"
#include "pgweir/net/descriptor.hpp"
#include "pgweir/net/loop.hpp"

#include <cstdint>
#include <functional>

namespace pgweir::net {

// Several may listen on duplicates of one socket, each on its own loop: a client wakes one of those
// that have nothing to do, and nobody has to pass it on. Out of descriptors, it pauses and tries
// again, without spinning and without losing those who wait in the backlog. Used and destroyed on
// the loop's thread, but not from within `on_client`.
class acceptor final : private io_handler, private timer {
public:
    // Takes over a client (non-blocking, close-on-exec), and learns who is at its other end. What
    // it throws is logged.
    using receiver = std::function<void(descriptor client, const address& peer)>;

    // `listening` must be non-blocking. Throws std::system_error when epoll refuses.
    acceptor(loop& l, descriptor listening, receiver on_client);
    ~acceptor() override;

private:
    void on_io() override { accept_some(); }
    void on_timer() override { listen(); }
    void accept_some();
    void listen();
    void pause(int error);

    loop& loop_;
    descriptor resting_;  // the socket, while it pauses; and once it listens no more
    stream socket_;
    // How many to take in one call: to see that nobody is left costs as much as to take one.
    int wanted_ = 1;
    std::uint64_t next_turn_ = 0;  // the one for which that holds; in any other it is one
    const receiver on_client_;
    base::time_point complained_ = base::no_time;
};

}  // namespace pgweir::net
