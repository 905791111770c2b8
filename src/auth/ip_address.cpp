// Reading, printing and comparing addresses.
#include "pgweir/auth/ip_address.hpp"

#include <algorithm>
#include <arpa/inet.h>

namespace pgweir::auth {

std::optional<ip_address> ip_address::parse(std::string_view text) {
    // inet_pton() would stop at a NUL and take what is before it.
    if (text.size() >= INET6_ADDRSTRLEN || text.find('\0') != std::string_view::npos) {
        return std::nullopt;
    }
    const std::string whole{text};
    ip_address out;
    if (::inet_pton(AF_INET, whole.c_str(), out.bytes_.data()) == 1) {
        return out;
    }
    out.family_ = family::v6;
    return ::inet_pton(AF_INET6, whole.c_str(), out.bytes_.data()) == 1 ? std::optional{out}
                                                                        : std::nullopt;
}

std::optional<ip_address> ip_address::from_bytes(std::string_view bytes) {
    if (bytes.size() != 4 && bytes.size() != 16) {
        return std::nullopt;
    }
    ip_address out;
    out.family_ = bytes.size() == 4 ? family::v4 : family::v6;
    std::ranges::copy(bytes, out.bytes_.begin());
    return out;
}

std::optional<ip_address> ip_address::mask_of(family kind, unsigned bits) {
    ip_address out;
    out.family_ = kind;
    if (bits > 8 * out.size()) {
        return std::nullopt;
    }
    for (auto& byte : out.bytes_) {
        const unsigned fixed = std::min(bits, 8U);
        byte = static_cast<unsigned char>(0xFF00U >> fixed);
        bits -= fixed;
    }
    return out;
}

std::string ip_address::to_string() const {
    char text[INET6_ADDRSTRLEN] = "";
    const int kind = family_ == family::v4 ? AF_INET : AF_INET6;
    return ::inet_ntop(kind, bytes_.data(), text, sizeof text) == nullptr ? "" : text;
}

bool ip_address::is_within(const ip_address& network, const ip_address& mask) const noexcept {
    if (network.family_ != family_ || mask.family_ != family_) {
        return false;
    }
    for (std::size_t i = 0; i < size(); ++i) {
        if (((bytes_[i] ^ network.bytes_[i]) & mask.bytes_[i]) != 0) {
            return false;
        }
    }
    return true;
}

}  // namespace pgweir::auth
