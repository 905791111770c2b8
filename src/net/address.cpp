// Socket addresses and options.
#include "pgweir/net/address.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <unistd.h>

namespace pgweir::net {
namespace {

std::optional<address> unix_address(const std::string& directory, std::uint16_t port) {
    const auto path = directory + "/.s.PGSQL." + std::to_string(port);
    sockaddr_un un{};
    if (path.size() >= sizeof un.sun_path) {
        return std::nullopt;
    }
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, path.c_str(), path.size() + 1);
    address a;
    std::memcpy(&a.storage, &un, sizeof un);
    a.size = sizeof un;
    return a;
}

std::vector<address> look_up(const std::string& host, std::uint16_t port, int flags, int& error) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags;
    addrinfo* list = nullptr;
    error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner{error == 0 ? list : nullptr,
                                                               [](addrinfo* l) {
                                                                   if (l != nullptr) {
                                                                       ::freeaddrinfo(l);
                                                                   }
                                                               }};
    std::vector<address> out;
    for (const auto* i = owner.get(); i != nullptr; i = i->ai_next) {
        address a;
        std::memcpy(&a.storage, i->ai_addr, i->ai_addrlen);
        a.size = i->ai_addrlen;
        out.push_back(a);
    }
    return out;
}

endpoint describe_socket(int fd, int (*query)(int, sockaddr*, socklen_t*)) {
    address a;
    a.size = sizeof a.storage;
    if (fd < 0 || query(fd, reinterpret_cast<sockaddr*>(&a.storage), &a.size) < 0) {
        return {};
    }
    return describe(a);
}

void set_int(int fd, int level, int option, int value) noexcept {
    ::setsockopt(fd, level, option, &value, sizeof value);
}

}  // namespace

std::optional<address> parse_address(const std::string& host, std::uint16_t port) {
    if (host.starts_with('/')) {
        return unix_address(host, port);
    }
    int error = 0;
    const auto found = look_up(host, port, AI_NUMERICHOST | AI_NUMERICSERV, error);
    return found.empty() ? std::nullopt : std::optional{found.front()};
}

std::vector<address> resolve(const std::string& host, std::uint16_t port, std::string& error) {
    int code = 0;
    auto found = look_up(host, port, AI_NUMERICSERV, code);
    if (found.empty()) {
        error = ::gai_strerror(code);
    }
    return found;
}

endpoint describe(const address& a) {
    if (a.is_unix()) {
        return {"unix", 0};
    }
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];
    if (::getnameinfo(a.raw(), a.size, host, sizeof host, port, sizeof port,
                      NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return {};
    }
    return {host, std::atoi(port)};
}

std::string ip_bytes(const sockaddr* a) {
    if (a != nullptr && a->sa_family == AF_INET) {
        sockaddr_in in{};
        std::memcpy(&in, a, sizeof in);
        return {reinterpret_cast<const char*>(&in.sin_addr), sizeof in.sin_addr};
    }
    if (a != nullptr && a->sa_family == AF_INET6) {
        sockaddr_in6 in{};
        std::memcpy(&in, a, sizeof in);
        return {reinterpret_cast<const char*>(&in.sin6_addr), sizeof in.sin6_addr};
    }
    return {};
}

std::optional<address> peer_address(int fd) {
    address a;
    a.size = sizeof a.storage;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&a.storage), &a.size) != 0) {
        return std::nullopt;
    }
    return a;
}

endpoint peer_of(int fd) { return describe_socket(fd, ::getpeername); }

endpoint local_of(int fd) { return describe_socket(fd, ::getsockname); }

void apply_tcp_options(int fd, const tcp_options& options) noexcept {
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) < 0 ||
        own.ss_family == AF_UNIX) {
        return;
    }
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, options.keepalive ? 1 : 0);
    if (options.keepalive) {
        set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, options.keepalive_idle);
        set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, options.keepalive_interval);
        set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, options.keepalive_count);
    }
    ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &options.user_timeout_ms,
                 sizeof options.user_timeout_ms);
}

int start_connect(const address& to, const tcp_options& options) noexcept {
    const int fd = ::socket(to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    apply_tcp_options(fd, options);
    // A unix socket whose backlog is full answers EAGAIN; there is nothing to wait for then.
    if (::connect(fd, to.raw(), to.size) < 0 && errno != EINPROGRESS && errno != EINTR) {
        const int error = errno;
        ::close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

int connect_error(int fd) noexcept {
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) {
        return errno;
    }
    return error;
}

}  // namespace pgweir::net
