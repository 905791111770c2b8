// A short connection that carries one CancelRequest to PostgreSQL.
#pragma once

#include "pgweir/net/address.hpp"
#include "pgweir/net/loop.hpp"
#include "pgweir/pool/slice.hpp"

#include <functional>
#include <string>

namespace pgweir::pool {

// PostgreSQL docs 55.2.8. PostgreSQL closes the connection once it has signalled the backend; only
// then `done` runs (on the same worker), or after a timeout. Then it is told that nothing is
// `certain`: the request may still wait to be read. Kept by `slices` until then.
class canceller final : public net::mortal, private net::io_handler, private net::timer {
public:
    // False when no connection could be begun; `done` is not called then.
    static bool send(slices& home,
                     const net::address& to,
                     const net::tcp_options& options,
                     std::string packet,
                     std::function<void(bool certain)> done);

private:
    canceller(slices& home, std::string packet, std::function<void(bool)> done)
        : home_{home}, packet_{std::move(packet)}, done_{std::move(done)} {}
    void on_io() override;
    void on_timer() override { finish(false); }
    void finish(bool certain);

    slices& home_;
    net::stream stream_;
    std::string packet_;
    std::function<void(bool)> done_;
};

}  // namespace pgweir::pool
