// Knocks at a node's door: connects, and hangs up when let in.
#pragma once

#include "pgweir/base/clock.hpp"
#include "pgweir/watch/postgres_link.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <memory>

namespace pgweir::watch {

// A server that is shutting down, has crashed or is being killed lets nobody in from the beginning,
// while backends that it still has may answer. One knock at a time; on the watch thread.
class knocker {
public:
    // Is the server there to let somebody in? Too many connections or a wrong password are the
    // word of one that is. `asked`: when the knock began.
    using handler = std::function<void(bool is_there, base::time_point asked)>;

    // `on` is called on the io_context's thread, never from within a public method.
    knocker(boost::asio::io_context& io, handler on);

    // Does nothing while a knock is under way.
    void knock(const postgres_link::parameters& where, base::duration timeout);
    // The handler is not called any more, until the next knock.
    void stop() noexcept;

private:
    void finish(bool is_there);

    boost::asio::steady_timer timer_;
    postgres_link link_;
    const handler on_;
    std::shared_ptr<char> under_way_;
    base::time_point asked_ = base::no_time;
};

}  // namespace pgweir::watch
