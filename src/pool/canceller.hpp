// A short connection that carries one CancelRequest to PostgreSQL.
#pragma once

#include "pgweir/net/address.hpp"
#include "pgweir/net/channel.hpp"
#include "pgweir/net/tls_handshake.hpp"
#include "pgweir/pool/slice.hpp"
#include "pgweir/tls/engine.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace pgweir::pool {

// CancelRequest as it is sent: `key` is what BackendKeyData told besides `pid`.
[[nodiscard]] std::string cancel_packet(std::int32_t pid, std::string_view key);

// PostgreSQL docs 55.2.8. PostgreSQL closes the connection once it has signalled the backend; only
// then `done` runs (on the same worker), or after a timeout. Kept by `slices` until then.
class canceller final : public net::mortal, private net::io_handler, private net::timer {
public:
    struct destination {
        net::address address;
        net::tcp_options tcp;
        tls::context_ptr tls;  // null: in plain text
        tls::expectation peer;
        bool may_be_plain = false;  // where no TLS is offered
    };
    enum class outcome : std::uint8_t {
        unsent,     // nobody has read it, and nobody will
        delivered,  // it has had its effect, or has none
        uncertain,  // it may still wait to be read
    };
    using callback = std::function<void(outcome)>;
    // False when no connection could be begun; `done` is not called then.
    static bool send(slices& home, destination to, std::string packet, callback done);

private:
    enum class state : std::uint8_t { connecting, asking, securing, sending };

    canceller(slices& home, destination to, std::string packet, callback done);
    void on_io() override;
    void on_timer() override {
        finish(state_ == state::sending ? outcome::uncertain : outcome::unsent);
    }
    void on_connected();
    void read_answer();
    void secure();
    void send_packet();
    void finish(outcome what);

    slices& home_;
    destination to_;
    net::channel channel_;
    std::unique_ptr<net::tls_handshake> handshake_;
    state state_ = state::connecting;
    std::string packet_;
    callback done_;
};

}  // namespace pgweir::pool
