// Addresses as configuration writes them and people read them.
#include "pgweir/net/address.hpp"

#include "pgweir/net/descriptor.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>

namespace pgweir::net {
namespace {

// A TCP socket that listens on a free port of the loopback interface.
struct listening {
    descriptor fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};

    listening() {
        const auto any = *parse_address("127.0.0.1", 0);
        EXPECT_EQ(::bind(fd.get(), any.raw(), any.size), 0);
        EXPECT_EQ(::listen(fd.get(), 8), 0);
    }
    [[nodiscard]] std::uint16_t port() const {
        return static_cast<std::uint16_t>(local_of(fd.get()).port);
    }
};

void wait_writable(const descriptor& fd) {
    pollfd p{fd.get(), POLLOUT, 0};
    ASSERT_EQ(::poll(&p, 1, 5'000), 1);
}

int option_of(const descriptor& fd, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    ::getsockopt(fd.get(), level, name, &value, &size);
    return value;
}

TEST(address, reads_an_ipv4_literal) {
    EXPECT_EQ(describe(*parse_address("192.0.2.7", 5432)).host, "192.0.2.7");
}

TEST(address, reads_an_ipv6_literal) {
    EXPECT_EQ(describe(*parse_address("2001:db8::7", 5432)).host, "2001:db8::7");
}

TEST(address, keeps_the_port) {
    EXPECT_EQ(describe(*parse_address("192.0.2.7", 65535)).port, 65535);
}

TEST(address, needs_a_look_up_for_a_name) { EXPECT_FALSE(parse_address("db.example", 5432)); }

TEST(address, is_not_an_empty_text) { EXPECT_FALSE(parse_address("", 5432)); }

TEST(address, takes_a_path_for_the_directory_of_a_unix_socket) {
    const auto a = parse_address("/run/postgresql", 5433);
    EXPECT_STREQ(a->raw()->sa_data, "/run/postgresql/.s.PGSQL.5433");
}

TEST(address, shows_a_unix_socket_without_a_port) {
    EXPECT_EQ(describe(*parse_address("/run/postgresql", 5433)).port, 0);
}

TEST(address, refuses_a_path_that_the_kernel_would_cut) {
    EXPECT_FALSE(parse_address("/" + std::string(120, 'd'), 5432));
}

TEST(address, of_a_closed_descriptor_is_empty) { EXPECT_EQ(peer_of(-1).host, ""); }

TEST(resolve, answers_literals) {
    std::string error;
    EXPECT_EQ(resolve("127.0.0.1", 5432, error).size(), 1U);
}

TEST(start_connect, reaches_a_server_that_listens) {
    const listening server;
    const descriptor fd{start_connect(*parse_address("127.0.0.1", server.port()), {})};
    wait_writable(fd);
    EXPECT_EQ(connect_error(fd.get()), 0);
}

TEST(start_connect, is_told_of_a_port_where_nobody_listens) {
    std::uint16_t port = 0;
    {
        const listening gone;
        port = gone.port();
    }
    const descriptor fd{start_connect(*parse_address("127.0.0.1", port), {})};
    ASSERT_GE(fd.get(), 0);
    wait_writable(fd);
    EXPECT_EQ(connect_error(fd.get()), ECONNREFUSED);
}

TEST(start_connect, fails_at_once_without_a_unix_socket) {
    EXPECT_EQ(start_connect(*parse_address("/nonexistent", 5432), {}), -1);
}

TEST(start_connect, sends_small_messages_without_delay) {
    const listening server;
    const descriptor fd{start_connect(*parse_address("127.0.0.1", server.port()), {})};
    EXPECT_NE(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 0);
}

TEST(tcp_options, ask_for_keepalive) {
    const listening server;
    apply_tcp_options(server.fd.get(), {.keepalive_idle = 17});
    EXPECT_EQ(option_of(server.fd, IPPROTO_TCP, TCP_KEEPIDLE), 17);
}

TEST(tcp_options, leave_keepalive_alone_when_it_is_off) {
    const listening server;
    apply_tcp_options(server.fd.get(), {.keepalive = false});
    EXPECT_EQ(option_of(server.fd, SOL_SOCKET, SO_KEEPALIVE), 0);
}

TEST(tcp_options, bound_unacknowledged_data) {
    const listening server;
    apply_tcp_options(server.fd.get(), {.user_timeout_ms = 1234});
    EXPECT_EQ(option_of(server.fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 1234);
}

}  // namespace
}  // namespace pgweir::net
