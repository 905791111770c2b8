// The sockets that clients come to.
#pragma once

#include "pgweir/config/snapshot.hpp"
#include "pgweir/net/address.hpp"
#include "pgweir/net/descriptor.hpp"

#include <string>
#include <vector>

namespace pgweir::app {

// Control thread only.
class listener {
public:
    listener() = default;
    listener(const listener&) = delete;
    listener& operator=(const listener&) = delete;
    ~listener();

    // Binds everything or throws std::runtime_error saying what could not be bound.
    void open(const config::listen_settings& settings, const net::tcp_options& options);
    // Clients that come from now on have these options. They get them from the listening socket, as
    // tcp(7) has it: to set them for each took seven of the 33 system calls of a login.
    void configure(const net::tcp_options& options);
    // Those that are open, non-blocking, for whoever accepts clients there.
    [[nodiscard]] const std::vector<net::descriptor>& sockets() const noexcept { return sockets_; }
    // Clients that come now are refused by the kernel, whoever has duplicates of the sockets. The
    // unix socket's file goes.
    void close();

private:
    void open_tcp(const std::string& address,
                  const config::listen_settings& settings,
                  const net::tcp_options& options);
    void open_unix(const config::listen_settings& settings);

    std::vector<net::descriptor> sockets_;
    std::string unix_path_;
};

}  // namespace pgweir::app
