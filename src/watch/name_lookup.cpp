// Looking names up.
#include "watch/name_lookup.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>

#include <memory>
#include <netdb.h>
#include <sys/socket.h>
#include <utility>

namespace pgweir::watch {
namespace {

name_lookup::result look_up(const std::string& host) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    if (const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &list); error != 0) {
        return {{}, ::gai_strerror(error)};
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner{list, ::freeaddrinfo};
    name_lookup::result out;
    for (const auto* i = list; i != nullptr; i = i->ai_next) {
        char text[NI_MAXHOST];
        if (::getnameinfo(i->ai_addr, i->ai_addrlen, text, sizeof text, nullptr, 0,
                          NI_NUMERICHOST) == 0) {
            out.addresses.emplace_back(text);
        }
    }
    return out;
}

}  // namespace

name_lookup::~name_lookup() {
    if (pool_) {
        pool_->stop();
        pool_->join();
    }
}

void name_lookup::resolve(const std::string& host, std::function<void(result)> done) {
    boost::system::error_code is_name;
    static_cast<void>(boost::asio::ip::make_address(host, is_name));
    if (!is_name) {
        boost::asio::post(io_, [host, done = std::move(done)] { done({{host}, {}}); });
        return;
    }
    if (!pool_) {
        pool_.emplace(threads);
    }
    boost::asio::post(*pool_, [this, host, done = std::move(done)]() mutable {
        auto found = look_up(host);
        boost::asio::post(io_, [done = std::move(done), found = std::move(found)]() mutable {
            done(std::move(found));
        });
    });
}

}  // namespace pgweir::watch
