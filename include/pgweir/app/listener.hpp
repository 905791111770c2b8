// Accepts clients on all configured addresses and deals them to the workers.
#pragma once

#include "pgweir/config/snapshot.hpp"

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
    // `on_client` takes over each descriptor (non-blocking, close-on-exec).
    listener(boost::asio::io_context& io, std::function<void(int)> on_client);
    ~listener();

    // Binds everything or throws std::runtime_error saying what could not be bound.
    void open(const config::listen_settings& settings);
    // Stops accepting; new clients are refused by the kernel. The unix socket's file goes.
    void close();

private:
    struct door;

    void add(int fd);
    void open_tcp(const std::string& address, const config::listen_settings& settings);
    void open_unix(const config::listen_settings& settings);

    boost::asio::io_context& io_;
    std::function<void(int)> on_client_;
    std::vector<std::shared_ptr<door>> doors_;
    std::string unix_path_;
};

}  // namespace pgweir::app
