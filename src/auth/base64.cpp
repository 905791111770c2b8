// Base64 by OpenSSL, with the strictness that its one-shot decoder lacks.
#include "auth/base64.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

namespace pgweir::auth::base64 {
namespace {

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Which bytes are in it.
constexpr auto belongs = [] {
    std::array<bool, 256> table{};
    for (const char c : alphabet) {
        table[static_cast<unsigned char>(c)] = true;
    }
    return table;
}();

const unsigned char* bytes(std::string_view s) noexcept {
    return reinterpret_cast<const unsigned char*>(s.data());
}

}  // namespace

std::string encode(std::string_view raw) {
    // EVP_EncodeBlock() writes a terminating NUL beyond what it counts.
    std::string out((raw.size() + 2) / 3 * 4 + 1, '\0');
    EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes(raw),
                    static_cast<int>(raw.size()));
    out.pop_back();
    return out;
}

std::optional<std::string> decode(std::string_view text) {
    if (text.size() % 4 != 0) {
        return std::nullopt;
    }
    std::size_t padding = 0;
    while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') {
        ++padding;
    }
    // EVP_DecodeBlock() trims white space and takes '=' anywhere.
    if (!std::ranges::all_of(text.substr(0, text.size() - padding),
                             [](char c) { return belongs[static_cast<unsigned char>(c)]; })) {
        return std::nullopt;
    }
    std::string out(text.size() / 4 * 3, '\0');
    const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes(text),
                                     static_cast<int>(text.size()));
    if (size != static_cast<int>(out.size())) {
        return std::nullopt;
    }
    out.resize(out.size() - padding);
    return out;
}

}  // namespace pgweir::auth::base64
