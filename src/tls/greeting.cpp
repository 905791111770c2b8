// Reads of a ClientHello (RFC 8446, section 4.1.2) what decides on the work that it makes.
#include "tls/greeting.hpp"

#include "tls/wire_bio.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace pgweir::tls {
namespace {

// P-256 and X25519 (RFC 8446, section 4.2.7).
constexpr std::array quick_groups{0x0017U, 0x001dU};

// Takes fields from the front of bytes that may end anywhere.
class fields {
public:
    explicit fields(std::span<const unsigned char> bytes) noexcept : left_{bytes} {}

    [[nodiscard]] bool is_empty() const noexcept { return left_.empty(); }
    [[nodiscard]] std::optional<unsigned> number(std::size_t size) noexcept {
        if (left_.size() < size) {
            return std::nullopt;
        }
        unsigned value = 0;
        for (const auto byte : left_.first(size)) {
            value = value << 8 | byte;
        }
        left_ = left_.subspan(size);
        return value;
    }
    // One that its own size, a number of `size_of_size` bytes, stands in front of.
    [[nodiscard]] std::optional<fields> vector(std::size_t size_of_size) noexcept {
        const auto size = number(size_of_size);
        if (!size || left_.size() < *size) {
            return std::nullopt;
        }
        const fields inner{left_.first(*size)};
        left_ = left_.subspan(*size);
        return inner;
    }

private:
    std::span<const unsigned char> left_;
};

std::optional<fields> extension(SSL* ssl, unsigned type) noexcept {
    const unsigned char* begin = nullptr;
    std::size_t size = 0;
    if (SSL_client_hello_get0_ext(ssl, type, &begin, &size) != 1) {
        return std::nullopt;
    }
    return fields{{begin, size}};
}

// Those of common clients have 200 to 600 bytes.
constexpr std::size_t longest_quick = 2048;

// Earlier versions agree on a key later on, with a group that is not known yet.
bool speaks_tls_1_3(SSL* ssl) noexcept {
    const auto highest = SSL_get_max_proto_version(ssl);
    if ((highest != 0 && highest < TLS1_3_VERSION) ||
        (SSL_get_options(ssl) & SSL_OP_NO_TLSv1_3) != 0) {
        return false;
    }
    auto found = extension(ssl, TLSEXT_TYPE_supported_versions);
    auto versions = found ? found->vector(1) : std::nullopt;
    while (versions && !versions->is_empty()) {
        if (versions->number(2) == TLS1_3_VERSION) {
            return true;
        }
    }
    return false;
}

// The server takes the first that it has: so all have to be quick. None at all is answered by
// asking for another greeting.
bool has_only_quick_shares(SSL* ssl) noexcept {
    auto found = extension(ssl, TLSEXT_TYPE_key_share);
    auto shares = found ? found->vector(2) : std::nullopt;
    if (!shares) {
        return false;
    }
    while (!shares->is_empty()) {
        const auto group = shares->number(2);
        const bool is_one = group && std::ranges::find(quick_groups, *group) != quick_groups.end();
        if (!is_one || !shares->vector(2)) {
            return false;
        }
    }
    return true;
}

}  // namespace

bool is_quick(const EVP_PKEY* key) noexcept {
    if (key == nullptr) {
        return false;
    }
    if (EVP_PKEY_is_a(key, "ED25519") == 1) {
        return true;
    }
    std::array<char, 32> group{};
    std::size_t size = 0;
    return EVP_PKEY_is_a(key, "EC") == 1 &&
           EVP_PKEY_get_group_name(key, group.data(), group.size(), &size) == 1 &&
           std::string_view{group.data(), size} == SN_X9_62_prime256v1;
}

int weigh_greeting(SSL* ssl, int*, void*) noexcept {
    const auto& on = wire_of(SSL_get_rbio(ssl));
    const bool is_heavy =
        on.message_size > longest_quick || !speaks_tls_1_3(ssl) || !has_only_quick_shares(ssl);
    return on.only_quick && is_heavy ? SSL_CLIENT_HELLO_RETRY : SSL_CLIENT_HELLO_SUCCESS;
}

}  // namespace pgweir::tls
