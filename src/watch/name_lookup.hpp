// Looks names up on threads of its own: getaddrinfo() may block for many seconds.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace pgweir::watch {

class name_lookup {
public:
    struct result {
        std::vector<std::string> addresses;  // numeric, in the order of preference; empty: failed
        std::string error;
    };

    explicit name_lookup(boost::asio::io_context& io) : io_{io} {}
    // Waits for look-ups under way, whose answers are dropped.
    ~name_lookup();
    name_lookup(const name_lookup&) = delete;
    name_lookup& operator=(const name_lookup&) = delete;

    // The io_context's thread. `done` is called there, later. An address needs no thread.
    void resolve(const std::string& host, std::function<void(result)> done);

private:
    static constexpr std::size_t threads = 4;

    boost::asio::io_context& io_;
    std::optional<boost::asio::thread_pool> pool_;  // made for the first name
};

}  // namespace pgweir::watch
