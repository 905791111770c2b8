// What becomes of a connection's encryption when it is us who cannot go on.
#include "pool/pool_scene.hpp"

#include <gmock/gmock.h>

#include <future>
#include <latch>
#include <memory>
#include <netinet/in.h>
#include <sys/socket.h>
#include <system_error>

namespace pgweir::pool {
namespace {

// Where servers come from over TCP; unix sockets are not encrypted.
class tcp_postgres {
public:
    tcp_postgres() {
        sockaddr_in in{};
        in.sin_family = AF_INET;
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof in;
        auto* const raw = reinterpret_cast<sockaddr*>(&in);
        if (::bind(fd_.get(), raw, size) < 0 || ::listen(fd_.get(), 16) < 0 ||
            ::getsockname(fd_.get(), raw, &size) < 0) {
            throw std::system_error{errno, std::system_category(), "bind"};
        }
        port_ = ntohs(in.sin_port);
    }
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    [[nodiscard]] bool has_visitor() const {
        pollfd p{fd_.get(), POLLIN, 0};
        return ::poll(&p, 1, 0) == 1;
    }
    backend accept() {
        return backend{net::descriptor{::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC)}};
    }

private:
    net::descriptor fd_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    std::uint16_t port_ = 0;
};

bool asks_for_tls(const std::string& packet) {
    return packet == std::string("\0\0\0\x08\x04\xd2\x16\x2f", 8);
}

// Handshakes wait for threads, and no more of them may.
class crowded_handshakes : public pool_scene {
protected:
    crowded_handshakes() {
        database().host = "127.0.0.1";
        database().port = server_.port();
        auto loaded = tls_contexts::load(snapshot_);
        all_.tls.put(std::get<std::shared_ptr<const tls_contexts>>(std::move(loaded)));
        const auto stuck = go_on_.get_future().share();
        const auto begun = std::make_shared<std::latch>(threads);
        for (unsigned i = 0; i < threads; ++i) {
            (void)all_.handshakes.submit([stuck, begun] {
                begun->count_down();
                stuck.wait();
            });
        }
        begun->wait();
        while (all_.handshakes.submit([] {})) {}
    }
    ~crowded_handshakes() override { go_on_.set_value(); }

    // The next to connect; time passes until then.
    backend next() {
        for (int i = 0; i < 1000 && !server_.has_visitor(); ++i) {
            pass(10ms);
        }
        return server_.accept();
    }

    const unsigned threads = slices::shared::handshake_threads();
    tcp_postgres server_;
    std::promise<void> go_on_;
};

TEST_F(crowded_handshakes, do_not_lead_to_plain_text_where_tls_is_preferred) {
    newcomer();
    auto b = next();
    ASSERT_TRUE(asks_for_tls(b.read_startup()));
    b.send_bytes("S");
    (void)b.is_told_to_end();
    b.end();
    EXPECT_TRUE(asks_for_tls(next().read_startup()));
}

TEST_F(crowded_handshakes, keep_those_waiting_who_need_a_server) {
    auto& c = newcomer();
    auto b = next();
    ASSERT_TRUE(asks_for_tls(b.read_startup()));
    b.send_bytes("S");
    (void)b.is_told_to_end();
    b.end();
    settle();
    EXPECT_FALSE(c.refusal);
    EXPECT_THAT(common().last_error(), ::testing::HasSubstr("too many TLS handshakes are waiting"));
}

}  // namespace
}  // namespace pgweir::pool
