// Socket addresses: of servers to connect to and of peers to show.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <vector>

namespace pgweir::net {

struct address {
    sockaddr_storage storage{};
    socklen_t size = 0;

    [[nodiscard]] const sockaddr* raw() const noexcept {
        return reinterpret_cast<const sockaddr*>(&storage);
    }
    [[nodiscard]] bool is_unix() const noexcept { return storage.ss_family == AF_UNIX; }
};

// Addresses that need no name service: an IPv4 or IPv6 literal, or a unix socket directory
// ("/run/postgresql" -> "/run/postgresql/.s.PGSQL.<port>"). Empty for host names and for paths that
// are too long.
[[nodiscard]] std::optional<address> parse_address(const std::string& host, std::uint16_t port);

// Blocking look-up (getaddrinfo). Never on a worker. Empty with `error` set on failure.
[[nodiscard]] std::vector<address> resolve(const std::string& host,
                                           std::uint16_t port,
                                           std::string& error);

// The bytes of an IPv4 or IPv6 address in network order, 4 or 16; empty of another family or null.
[[nodiscard]] std::string ip_bytes(const sockaddr* a);
// Whom a socket is connected to; nullopt: nobody, or not any more.
[[nodiscard]] std::optional<address> peer_address(int fd);

// For people: "127.0.0.1" or "unix", and the port (0 for unix sockets).
struct endpoint {
    std::string host;
    int port = 0;
};
[[nodiscard]] endpoint describe(const address& a);
[[nodiscard]] endpoint peer_of(int fd);
[[nodiscard]] endpoint local_of(int fd);

// Keepalive and how long unacknowledged data may stay; seconds and milliseconds.
struct tcp_options {
    bool keepalive = true;
    int keepalive_idle = 60;
    int keepalive_interval = 10;
    int keepalive_count = 6;
    unsigned user_timeout_ms = 60'000;
};
// TCP_NODELAY and the options above; nothing for unix sockets. Failures are ignored: each of these
// only improves on a connection that works.
void apply_tcp_options(int fd, const tcp_options& options) noexcept;

// A non-blocking, close-on-exec stream socket of the address' family with a connect under way; -1
// and errno on failure.
[[nodiscard]] int start_connect(const address& to, const tcp_options& options) noexcept;
// The outcome of a connect once the socket is writable: 0 or an errno.
[[nodiscard]] int connect_error(int fd) noexcept;

}  // namespace pgweir::net
