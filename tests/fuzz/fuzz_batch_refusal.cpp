// Hostile bytes of a client whose request is refused, whole and in pieces: same answer, same end.
#include "pgweir/protocol/batch_refusal.hpp"
#include "pgweir/protocol/frame.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

using namespace pgweir::protocol;
using event = batch_refusal::event;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

// What was said and where; `piece` bytes at a time, 0: all at once.
std::string play(std::string_view input, std::size_t piece) {
    batch_refusal refusal;
    std::string said;
    std::string kept;
    std::size_t consumed = 0;
    int errors = 0;
    while (!input.empty()) {
        const auto now = input.substr(0, piece == 0 ? input.size() : piece);
        input.remove_prefix(now.size());
        kept += now;
        for (auto what = event::error; what == event::error;) {
            const auto step = refusal.scan(kept);
            require(step.consumed <= kept.size());
            require(step.what != event::more || step.consumed == kept.size());
            require(step.what != event::held || kept.size() - step.consumed < header_size);
            kept.erase(0, step.consumed);
            consumed += step.consumed;
            what = step.what;
            if (what != event::more && what != event::held) {
                said +=
                    std::to_string(static_cast<int>(what)) + "@" + std::to_string(consumed) + " ";
            }
            errors += what == event::error;
            require(errors <= 1 && (errors == 0 || refusal.has_reported()));
            if (what == event::done || what == event::terminate || what == event::violation) {
                return said;
            }
        }
    }
    return said;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input{reinterpret_cast<const char*>(data), size};
    if (input.empty()) {
        return 0;
    }
    const auto rest = input.substr(1);
    require(play(rest, 0) == play(rest, 1U + static_cast<unsigned char>(input.front())));
    return 0;
}
