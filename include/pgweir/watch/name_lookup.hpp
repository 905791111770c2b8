// Looks names up on threads of its own: getaddrinfo() may block for many seconds.
#pragma once

#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pgweir::watch {

class name_lookup {
public:
    struct result {
        std::vector<std::string> addresses;  // numeric, in the order of preference; empty: failed
        std::string error;
    };
    // May block. Any thread.
    using resolver = result (*)(const std::string& host);

    explicit name_lookup(boost::asio::io_context& io);
    name_lookup(boost::asio::io_context& io, resolver how);
    // Waits for nobody: what look-ups under way find is dropped.
    ~name_lookup();
    name_lookup(const name_lookup&) = delete;
    name_lookup& operator=(const name_lookup&) = delete;

    // The io_context's thread. `done` is called there, later. An address needs no thread; a name
    // has one until it is found, so ask for each one at a time.
    void resolve(const std::string& host, std::function<void(result)> done);

private:
    struct recipient;

    boost::asio::io_context& io_;
    const resolver how_;
    std::shared_ptr<recipient> recipient_;  // threads that outlive us find it empty
};

}  // namespace pgweir::watch
