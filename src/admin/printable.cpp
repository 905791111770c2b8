// Makes text of unknown origin safe to send to a client whose encoding is UTF-8.
#include "admin/printable.hpp"

#include "pgweir/base/utf8.hpp"

#include <algorithm>

namespace pgweir::admin {
namespace {

constexpr std::size_t excerpt_size = 64;

bool is_plain(char c) noexcept {
    return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7f;
}

}  // namespace

void append_printable(std::string& out, std::string_view text) {
    while (!text.empty()) {
        const auto plain = static_cast<std::size_t>(
            std::find_if_not(text.begin(), text.end(), is_plain) - text.begin());
        out.append(text.substr(0, plain));
        text.remove_prefix(plain);
        if (text.empty()) {
            return;
        }
        const auto length = base::utf8_sequence_length(text);
        out.append(length == 0 ? std::string_view{"?"} : text.substr(0, length));
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
}

std::string excerpt(std::string_view text) {
    std::string out;
    append_printable(out, text.substr(0, excerpt_size));
    if (text.size() > excerpt_size) {
        out += "...";
    }
    return out;
}

}  // namespace pgweir::admin
