// Reads the comma-separated "x=value" attributes that SCRAM messages consist of.
#pragma once

#include <optional>
#include <string_view>

namespace pgweir::auth {

// The one kind of channel binding that PostgreSQL has. RFC 5929 section 4.
inline constexpr std::string_view end_point_binding = "tls-server-end-point";

// RFC 5802 section 5.1. Takes attributes off the front of a message, in the order the grammar has.
class scram_attributes {
public:
    explicit scram_attributes(std::string_view message) noexcept : rest_{message} {}

    // The value of the next attribute if its name is `name`. Views into the message.
    [[nodiscard]] std::optional<std::string_view> take(char name);
    // Are all remaining ones well-formed extensions (a letter, '=', a value)?
    [[nodiscard]] bool only_extensions_left();
    [[nodiscard]] bool next_is(char name) const noexcept {
        return !rest_.empty() && rest_.front() == name;
    }
    // What has not been taken yet.
    [[nodiscard]] std::string_view rest() const noexcept { return rest_; }

private:
    std::string_view rest_;
    bool more_ = true;  // false once the last attribute, which no ',' follows, is taken
};

// RFC 5802 "printable": what a nonce may consist of.
[[nodiscard]] bool is_printable_nonce(std::string_view text) noexcept;

}  // namespace pgweir::auth
