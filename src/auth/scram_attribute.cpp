// Reads the comma-separated "x=value" attributes that SCRAM messages consist of.
#include "auth/scram_attribute.hpp"

#include <algorithm>

namespace pgweir::auth {
namespace {

bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

std::optional<std::string_view> scram_attributes::take(char name) {
    if (!more_ || rest_.size() < 2 || rest_[0] != name || rest_[1] != '=') {
        return std::nullopt;
    }
    const std::size_t comma = rest_.find(',');
    more_ = comma != std::string_view::npos;
    const std::string_view value = rest_.substr(2, more_ ? comma - 2 : comma);
    rest_.remove_prefix(more_ ? comma + 1 : rest_.size());
    return value;
}

bool scram_attributes::only_extensions_left() {
    while (more_) {
        if (rest_.empty() || !is_letter(rest_.front()) || !take(rest_.front())) {
            return false;
        }
    }
    return true;
}

bool is_printable_nonce(std::string_view text) noexcept {
    return !text.empty() && std::all_of(text.begin(), text.end(),
                                        [](char c) { return c >= 0x21 && c <= 0x7e && c != ','; });
}

}  // namespace pgweir::auth
