// Listening sockets.
#include "pgweir/app/listener.hpp"

#include "pgweir/base/log.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pgweir::app {
namespace {

constexpr auto pause_when_full = std::chrono::milliseconds{200};
constexpr auto complaint_interval = std::chrono::seconds{5};
constexpr int accepts_a_turn = 64;

[[noreturn]] void refuse(const std::string& where, int error) {
    throw std::runtime_error{"cannot listen on " + where + ": " + std::strerror(error)};
}

}  // namespace

// One listening socket.
struct listener::door : std::enable_shared_from_this<door> {
    door(boost::asio::io_context& io, int fd, const receiver& r)
        : socket{io, fd}, again{io}, on_client{r} {}

    void wait() {
        socket.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                          [self = shared_from_this()](boost::system::error_code error) {
                              if (!error) {
                                  self->accept_some();
                              }
                          });
    }

    void accept_some() {
        for (int i = 0; i < accepts_a_turn; ++i) {
            net::address peer;
            peer.size = sizeof peer.storage;
            const int fd =
                ::accept4(socket.native_handle(), reinterpret_cast<sockaddr*>(&peer.storage),
                          &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd >= 0) {
                on_client(fd, peer);
            } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                return pause(errno);
            } else if (errno != EINTR && errno != ECONNABORTED) {
                break;
            }
        }
        wait();
    }

    void pause(int error) {
        const auto now = std::chrono::steady_clock::now();
        if (now - complained >= complaint_interval) {
            complained = now;
            PGWEIR_LOG(err, "cannot accept clients: {}; trying again", std::strerror(error));
        }
        again.expires_after(pause_when_full);
        again.async_wait([self = shared_from_this()](boost::system::error_code ended) {
            if (!ended) {
                self->accept_some();
            }
        });
    }

    boost::asio::posix::stream_descriptor socket;
    boost::asio::steady_timer again;
    const receiver& on_client;
    std::chrono::steady_clock::time_point complained{};
};

listener::listener(boost::asio::io_context& io, receiver on_client)
    : io_{io}, on_client_{std::move(on_client)} {}

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
    for (const auto& d : doors_) {
        net::apply_tcp_options(d->socket.native_handle(), options);
    }
}

void listener::add(int fd) {
    doors_.push_back(std::make_shared<door>(io_, fd, on_client_));
    doors_.back()->wait();
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
            add(fd);
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
    add(fd);
    PGWEIR_LOG(info, "listening on {}", path);
}

void listener::close() {
    for (const auto& d : doors_) {
        d->again.cancel();
        boost::system::error_code ignored;
        d->socket.close(ignored);
    }
    doors_.clear();
    if (!unix_path_.empty()) {
        ::unlink(unix_path_.c_str());
        unix_path_.clear();
    }
}

}  // namespace pgweir::app
