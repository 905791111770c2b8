// Hostile bytes of a client whose transaction was lost, whole and in pieces: same answers, same
// end, and a sequence of replies that a client can follow.
#include "pgweir/protocol/failed_transaction.hpp"
#include "pgweir/protocol/frame.hpp"
#include "protocol/failed_scene.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

using namespace pgweir::protocol;
using event = failed_transaction::event;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

const std::string& lost_error() {
    static const std::string bytes = [] {
        std::string out;
        append_error(out, {.sqlstate = "08006", .message = "lost"});
        return out;
    }();
    return bytes;
}

failed_transaction::loss loss_of(unsigned char how) {
    const bool is_skipping = (how & 2U) != 0;
    return {.is_block = (how & 1U) != 0,
            .is_skipping = is_skipping,
            .remain = std::uint32_t{how} >> 4U,
            .error = (how & 4U) != 0 && !is_skipping ? lost_error() : std::string{}};
}

// How often the client has been told of the loss: the error itself is said once at most.
std::size_t tellings(std::string_view out) {
    std::size_t n = 0;
    for (auto at = out.find(lost_error()); at != std::string_view::npos;
         at = out.find(lost_error(), at + 1)) {
        ++n;
    }
    return n;
}

// What was said; `piece` bytes at a time, 0: all at once.
std::string play(std::string_view input, unsigned char how, std::size_t piece) {
    testing::failed_scene scene{loss_of(how)};
    const bool was_told = scene.machine.is_told();
    for (;;) {
        const auto now = input.substr(0, piece == 0 ? input.size() : piece);
        input.remove_prefix(now.size());
        scene.send(now);
        require(tellings(scene.out) <= (was_told ? 0U : 1U));
        require(tellings(scene.out) == 0 || scene.machine.is_told());
        if (scene.is_over() || input.empty()) {
            break;
        }
    }
    // A client that has not been told may leave only by a ROLLBACK.
    require(scene.last != event::left || scene.machine.is_told());
    const bool is_over = scene.is_over();
    return testing::words_of(scene.out) +
           (is_over ? std::to_string(static_cast<int>(scene.last)) : "");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input{reinterpret_cast<const char*>(data), size};
    if (input.size() < 2) {
        return 0;
    }
    const auto how = static_cast<unsigned char>(input[0]);
    const auto rest = input.substr(2);
    require(play(rest, how, 0) == play(rest, how, 1U + static_cast<unsigned char>(input[1])));
    (void)look_at_statement(rest);
    return 0;
}
