// Refusing a request without a server.
#include "pgweir/protocol/batch_refusal.hpp"

#include "pgweir/protocol/frame.hpp"

#include <algorithm>

namespace pgweir::protocol {

batch_refusal::step batch_refusal::scan(std::string_view data) noexcept {
    std::size_t at = 0;
    for (;;) {
        if (remain_ != 0) {
            const auto n = std::min<std::size_t>(remain_, data.size() - at);
            remain_ -= static_cast<std::uint32_t>(n);
            at += n;
        }
        if (remain_ != 0) {
            return {at, event::more};
        }
        if (ends_after_remain_) {
            ends_after_remain_ = false;
            return {at, event::done};
        }
        const auto rest = data.substr(at);
        if (rest.empty()) {
            return {at, event::more};
        }
        if (rest.size() < header_size) {
            return {at, event::held};
        }
        const auto f = read_frame(rest.data());
        if (f.size < header_size || f.size - 1 > large_message_limit) {
            return {at, event::violation};
        }
        switch (f.type) {
            case 'Q':
            case 'F':
                // Behind a refused extended message these are thrown away like the rest.
                ends_after_remain_ = !reported_;
                break;
            case 'S':
                // There is nothing to refuse in a bare Sync.
                reported_ = true;
                ends_after_remain_ = true;
                break;
            case 'P':
            case 'B':
            case 'D':
            case 'E':
            case 'C':
                if (!reported_) {
                    reported_ = true;
                    return {at, event::error};
                }
                break;
            case 'H':
            case 'd':
            case 'c':
            case 'f': break;
            case 'X': return {at, event::terminate};
            default: return {at, event::violation};
        }
        remain_ = static_cast<std::uint32_t>(f.size);
    }
}

}  // namespace pgweir::protocol
