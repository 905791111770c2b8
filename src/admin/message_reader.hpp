// Takes the fields out of one message body.
#pragma once

#include "pgweir/base/byte_order.hpp"

#include <cstdint>
#include <string_view>

namespace pgweir::admin {

// Total: reading past the end yields zeros and empty views and makes is_whole() false for good, so
// callers check once, after the last field. Views point into the body.
class message_reader {
public:
    explicit message_reader(std::string_view body) noexcept : rest_{body} {}

    char byte() noexcept {
        const auto b = bytes(1);
        return b.empty() ? '\0' : b[0];
    }
    std::int16_t int16() noexcept {
        const auto b = bytes(2);
        return b.empty() ? std::int16_t{0} : static_cast<std::int16_t>(base::load_be16(b.data()));
    }
    std::int32_t int32() noexcept {
        const auto b = bytes(4);
        return b.empty() ? 0 : static_cast<std::int32_t>(base::load_be32(b.data()));
    }
    std::string_view cstr() noexcept {
        const auto end = rest_.find('\0');
        if (end == std::string_view::npos) {
            return fail();
        }
        const auto text = rest_.substr(0, end);
        rest_.remove_prefix(end + 1);
        return text;
    }
    std::string_view bytes(std::size_t size) noexcept {
        if (size > rest_.size()) {
            return fail();
        }
        const auto piece = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return piece;
    }

    // Has everything been there, and nothing more?
    [[nodiscard]] bool is_whole() const noexcept { return !short_ && rest_.empty(); }
    [[nodiscard]] bool is_short() const noexcept { return short_; }

private:
    std::string_view fail() noexcept {
        short_ = true;
        rest_ = {};
        return {};
    }

    std::string_view rest_;
    bool short_ = false;
};

}  // namespace pgweir::admin
