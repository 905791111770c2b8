// An IPv4 or IPv6 address as a value, and ranges of them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgweir::auth {

// Without port and scope. Compares by family and bytes; an IPv4 address mapped into IPv6 is one of
// IPv6.
class ip_address {
public:
    enum class family : std::uint8_t { v4, v6 };

    // "192.0.2.1" in four parts, or an IPv6 literal of RFC 4291 section 2.2; nothing else. Total.
    [[nodiscard]] static std::optional<ip_address> parse(std::string_view text);
    // `bytes` in network order: 4 of them, or 16; nullopt for another size.
    [[nodiscard]] static std::optional<ip_address> from_bytes(std::string_view bytes);
    // The mask of a range whose first `bits` bits are fixed; nullopt above 32 or 128.
    [[nodiscard]] static std::optional<ip_address> mask_of(family kind, unsigned bits);

    [[nodiscard]] family kind() const noexcept { return family_; }
    // As inet_ntop() writes it.
    [[nodiscard]] std::string to_string() const;
    // Are the bits that `mask` has set the same in both? False unless all three are of one family.
    [[nodiscard]] bool is_within(const ip_address& network, const ip_address& mask) const noexcept;

    friend bool operator==(const ip_address&, const ip_address&) = default;

private:
    [[nodiscard]] std::size_t size() const noexcept { return family_ == family::v4 ? 4 : 16; }

    family family_ = family::v4;
    std::array<unsigned char, 16> bytes_{};  // network order; those behind size() are 0
};

// One address of this machine and the network that it is in.
struct interface_address {
    ip_address address;
    ip_address mask;
};

}  // namespace pgweir::auth
