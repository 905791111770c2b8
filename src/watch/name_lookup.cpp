// Looking names up.
#include "pgweir/watch/name_lookup.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>

#include <exception>
#include <memory>
#include <mutex>
#include <netdb.h>
#include <sys/socket.h>
#include <system_error>
#include <thread>
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

// Where threads leave what they have found, while there is somebody.
struct name_lookup::recipient {
    std::mutex mutex;
    boost::asio::io_context* io = nullptr;

    void take(std::function<void(result)> done, result found) {
        const std::lock_guard lock{mutex};
        if (io != nullptr) {
            boost::asio::post(*io, [done = std::move(done), found = std::move(found)]() mutable {
                done(std::move(found));
            });
        }
    }
};

name_lookup::name_lookup(boost::asio::io_context& io) : name_lookup{io, look_up} {}

name_lookup::name_lookup(boost::asio::io_context& io, resolver how)
    : io_{io}, how_{how}, recipient_{std::make_shared<recipient>()} {
    recipient_->io = &io_;
}

name_lookup::~name_lookup() {
    const std::lock_guard lock{recipient_->mutex};
    recipient_->io = nullptr;
}

void name_lookup::resolve(const std::string& host, std::function<void(result)> done) {
    boost::system::error_code is_name;
    static_cast<void>(boost::asio::ip::make_address(host, is_name));
    if (!is_name) {
        boost::asio::post(io_, [host, done = std::move(done)] { done({{host}, {}}); });
        return;
    }
    try {
        std::thread{[to = recipient_, how = how_, host, done] {
            result found;
            try {
                found = how(host);
            } catch (const std::exception& e) {
                found.error = e.what();
            }
            to->take(done, std::move(found));
        }}.detach();
    } catch (const std::system_error& e) {
        recipient_->take(std::move(done), {{}, e.what()});
    }
}

}  // namespace pgweir::watch
