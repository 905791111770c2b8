// Passing on of cancel requests to another pgweir.
#include "pgweir/pool/peer_cancel.hpp"

#include "pgweir/base/log.hpp"
#include "pgweir/pool/slice.hpp"
#include "pgweir/pool/target.hpp"
#include "pool/canceller.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgweir::pool {
namespace {

// No key that pgweir gives out has this size in front of its own.
constexpr std::string_view mark{"\0pgweir\x01", 8};

// One request on its way: kept alive by whatever it waits for.
struct journey : std::enable_shared_from_this<journey> {
    slices& home;
    canceller::destination to;
    std::string packet;
    std::function<void(bool)> done;
    std::vector<net::address> addresses;
    std::size_t next = 0;

    journey(slices& h, canceller::destination t, std::string p, std::function<void(bool)> d)
        : home{h}, to{std::move(t)}, packet{std::move(p)}, done{std::move(d)} {}

    void go_on() {
        while (next < addresses.size()) {
            to.address = addresses[next++];
            const bool begun = canceller::send(
                home, to, packet, [self = shared_from_this()](canceller::outcome what) {
                    if (what == canceller::outcome::unsent) {
                        self->go_on();
                    } else {
                        self->done(what == canceller::outcome::delivered);
                    }
                });
            if (begun) {
                return;
            }
        }
        done(false);
    }
};

}  // namespace

std::optional<protocol::cancel_request> mark_passed_on(const protocol::cancel_request& request) {
    if (request.key.size() + mark.size() > protocol::max_cancel_key) {
        return std::nullopt;
    }
    return protocol::cancel_request{request.pid, std::string{mark} + request.key};
}

bool unmark_passed_on(protocol::cancel_request& request) {
    const bool is_marked = request.key.size() > mark.size() && request.key.starts_with(mark);
    if (is_marked) {
        request.key.erase(0, mark.size());
    }
    return is_marked;
}

void send_to_peer(slices& home,
                  const config::snapshot& snapshot,
                  const config::peer_settings& peer,
                  const protocol::cancel_request& request,
                  std::function<void(bool taken)> done) {
    const auto marked = mark_passed_on(request);
    if (!marked) {
        return done(false);
    }
    const auto j = std::make_shared<journey>(
        home,
        canceller::destination{
            .address = {},
            .tcp = tcp_options_of(snapshot),
            .tls = home.all().tls.for_servers(peer.tls),
            .peer = {.host = peer.host,
                     .verify_host = peer.tls.sslmode == config::tls_mode::verify_full},
            .may_be_plain = peer.tls.sslmode < config::tls_mode::require},
        cancel_packet(marked->pid, marked->key), std::move(done));
    const auto known = net::parse_address(peer.host, peer.port);
    if (known && known->is_unix()) {
        j->to.tls = nullptr;
    } else if (j->to.tls == nullptr && peer.tls.sslmode != config::tls_mode::disable) {
        return j->done(false);  // a reload is on its way: without a context nothing is encrypted
    }
    if (known) {
        j->addresses = {*known};
        return j->go_on();
    }
    const bool accepted = home.all().names.submit(
        [j, host = peer.host, port = peer.port, &all = home.all(), &loop = home.loop()] {
            std::string error;
            auto found = all.look_up(host, port, error);
            loop.post([j, found = std::move(found), error = std::move(error), host]() mutable {
                if (found.empty()) {
                    PGWEIR_LOG(warn, "peer {} cannot be found: {}", host, error);
                }
                j->addresses = std::move(found);
                j->go_on();
            });
        });
    if (!accepted) {
        j->done(false);
    }
}

}  // namespace pgweir::pool
