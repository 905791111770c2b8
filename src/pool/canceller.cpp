// Sending of a CancelRequest.
#include "pool/canceller.hpp"

#include <array>

namespace pgweir::pool {
namespace {

constexpr auto patience = std::chrono::seconds{5};

}  // namespace

bool canceller::send(slices& home,
                     const net::address& to,
                     const net::tcp_options& options,
                     std::string packet,
                     std::function<void(bool certain)> done) {
    const int fd = net::start_connect(to, options);
    if (fd < 0) {
        return false;
    }
    auto c = std::unique_ptr<canceller>{new canceller{home, std::move(packet), std::move(done)}};
    try {
        c->stream_.attach(home.loop(), fd, *c);
    } catch (const std::system_error&) {
        return false;
    }
    home.loop().timers().set(*c, home.loop().now() + patience);
    home.keep(std::move(c));
    return true;
}

void canceller::on_io() {
    if (!packet_.empty() && stream_.writable()) {
        const iovec piece{packet_.data(), packet_.size()};
        const auto r = stream_.send({&piece, 1});
        if (r.status == net::io_status::closed) {
            return finish(true);
        }
        packet_.erase(0, r.size);
    }
    if (stream_.hung_up() || stream_.readable()) {
        std::array<char, 64> ignored;
        if (stream_.receive(ignored).status == net::io_status::closed) {
            finish(true);
        }
    }
}

void canceller::finish(bool certain) {
    if (!stream_.is_open()) {
        return;
    }
    stream_.close();
    home_.done(*this);
    done_(certain);
}

}  // namespace pgweir::pool
