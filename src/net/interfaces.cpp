// Addresses from getifaddrs().
#include "pgweir/net/interfaces.hpp"

#include "pgweir/net/address.hpp"

#include <ifaddrs.h>
#include <memory>

namespace pgweir::net {

std::vector<interface_network> interfaces() {
    ifaddrs* list = nullptr;
    if (::getifaddrs(&list) != 0) {
        return {};
    }
    const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner{list, ::freeifaddrs};
    std::vector<interface_network> out;
    for (const auto* i = list; i != nullptr; i = i->ifa_next) {
        interface_network found{ip_bytes(i->ifa_addr), ip_bytes(i->ifa_netmask)};
        if (!found.address.empty() && found.address.size() == found.mask.size()) {
            out.push_back(std::move(found));
        }
    }
    return out;
}

}  // namespace pgweir::net
