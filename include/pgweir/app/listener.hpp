// Accepts clients on all configured addresses and deals them to the workers.
#pragma once

#include "pgweir/config/snapshot.hpp"
#include "pgweir/net/address.hpp"

#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pgweir::app {

// Control thread only. Out of descriptors, it pauses and tries again, without spinning and without
// losing those who wait in the backlog.
class listener {
public:
    // Takes over a descriptor (non-blocking, close-on-exec), and learns who is at its other end.
    using receiver = std::function<void(int fd, const net::address& peer)>;
    listener(boost::asio::io_context& io, receiver on_client);
    ~listener();

    // Binds everything or throws std::runtime_error saying what could not be bound.
    void open(const config::listen_settings& settings, const net::tcp_options& options);
    // Clients that come from now on have these options. They get them from the listening socket, as
    // tcp(7) has it: to set them for each took seven of the 33 system calls of a login.
    void configure(const net::tcp_options& options);
    // Stops accepting; new clients are refused by the kernel. The unix socket's file goes.
    void close();

private:
    struct door;

    void add(int fd);
    void open_tcp(const std::string& address,
                  const config::listen_settings& settings,
                  const net::tcp_options& options);
    void open_unix(const config::listen_settings& settings);

    boost::asio::io_context& io_;
    receiver on_client_;
    std::vector<std::shared_ptr<door>> doors_;
    std::string unix_path_;
};

}  // namespace pgweir::app
