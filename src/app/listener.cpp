// Listening sockets.
#include "pgweir/app/listener.hpp"

#include "pgweir/base/log.hpp"

#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pgweir::app {
namespace {

[[noreturn]] void refuse(const std::string& where, int error) {
    throw std::runtime_error{"cannot listen on " + where + ": " + std::strerror(error)};
}

}  // namespace

listener::~listener() { close(); }

void listener::open(const config::listen_settings& settings, const net::tcp_options& options) {
    for (const auto& address : settings.addresses) {
        open_tcp(address, settings, options);
    }
    if (!settings.unix_socket_dir.empty()) {
        open_unix(settings);
    }
}

void listener::configure(const net::tcp_options& options) {
    for (const auto& s : sockets_) {
        net::apply_tcp_options(s.get(), options);
    }
}

void listener::open_tcp(const std::string& address,
                        const config::listen_settings& settings,
                        const net::tcp_options& options) {
    const auto where = address + ", port " + std::to_string(settings.port);
    std::vector<std::string> hosts{address};
    if (address == "*") {
        hosts = {"0.0.0.0", "::"};
    }
    int last_error = EADDRNOTAVAIL;
    bool bound = false;
    for (const auto& host : hosts) {
        std::string error;
        const auto found = net::resolve(host, settings.port, error);
        if (found.empty()) {
            throw std::runtime_error{"cannot listen on " + where + ": " + error};
        }
        for (const auto& a : found) {
            const int fd =
                ::socket(a.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
            if (fd < 0) {
                last_error = errno;  // a machine without IPv6 still serves "*"
                continue;
            }
            const int on = 1;
            ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
            net::apply_tcp_options(fd, options);
            if (a.storage.ss_family == AF_INET6) {
                ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
            }
            if (::bind(fd, a.raw(), a.size) < 0 || ::listen(fd, settings.backlog) < 0) {
                last_error = errno;
                ::close(fd);
                if (last_error == EADDRINUSE || last_error == EACCES) {
                    refuse(where, last_error);
                }
                continue;
            }
            bound = true;
            sockets_.emplace_back(fd);
        }
    }
    if (!bound) {
        refuse(where, last_error);
    }
    PGWEIR_LOG(info, "listening on {}", where);
}

void listener::open_unix(const config::listen_settings& settings) {
    const auto path = settings.unix_socket_dir + "/.s.PGSQL." + std::to_string(settings.port);
    const auto a = net::parse_address(settings.unix_socket_dir, settings.port);
    if (!a) {
        refuse(path, ENAMETOOLONG);
    }
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        refuse(path, errno);
    }
    // Only a file that nobody listens on was left by a process that died.
    const bool is_taken = ::connect(fd, a->raw(), a->size) == 0 || errno == EAGAIN;
    if (is_taken || (errno != ECONNREFUSED && errno != ENOENT)) {
        const int why = is_taken ? EADDRINUSE : errno;
        ::close(fd);
        refuse(path, why);
    }
    ::unlink(path.c_str());
    // The mode must hold from the first moment on, so it is set through the umask.
    const auto mask = ::umask(0777 & ~settings.unix_socket_mode);
    const bool bound = ::bind(fd, a->raw(), a->size) == 0;
    const int error = errno;
    ::umask(mask);
    if (!bound || ::listen(fd, settings.backlog) < 0) {
        ::close(fd);
        refuse(path, bound ? errno : error);
    }
    unix_path_ = path;
    sockets_.emplace_back(fd);
    PGWEIR_LOG(info, "listening on {}", path);
}

void listener::close() {
    for (const auto& s : sockets_) {
        ::shutdown(s.get(), SHUT_RDWR);  // for all who hold a duplicate
    }
    sockets_.clear();
    if (!unix_path_.empty()) {
        ::unlink(unix_path_.c_str());
        unix_path_.clear();
    }
}

}  // namespace pgweir::app
