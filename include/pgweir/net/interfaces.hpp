// The addresses of this machine.
#pragma once

#include <string>
#include <vector>

namespace pgweir::net {

// Both in network order: 4 bytes, or 16.
struct interface_network {
    std::string address;
    std::string mask;
};

// Of all interfaces that are configured, now. Asks the kernel and nobody else; a few system calls.
// Empty when that fails.
[[nodiscard]] std::vector<interface_network> interfaces();

}  // namespace pgweir::net
