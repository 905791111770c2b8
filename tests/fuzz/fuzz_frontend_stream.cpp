// Hostile bytes of a client, whole and in pieces: both ways must decide the same.
#include "pgweir/protocol/frame.hpp"
#include "pgweir/protocol/frontend_stream.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

using namespace pgweir::protocol;
using stop = frontend_stream::stop;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

struct end {
    ledger owed;
    session_marks marks;
    std::string forwarded;
    stop why = stop::more;
};

// `piece` bytes at a time; 0: all at once.
end play(std::string_view input, std::size_t piece, std::uint64_t foreign) {
    end e;
    e.marks.unnamed_owner = foreign;
    frontend_stream stream;
    stream.begin_link(1);
    std::string kept;
    do {
        const auto now = input.substr(0, piece == 0 ? input.size() : piece);
        input.remove_prefix(now.size());
        kept += now;
        do {
            const auto step = stream.scan(kept, e.owed, e.marks);
            require(step.forward <= kept.size());
            require(step.why != stop::more || step.forward == kept.size());
            require(step.why != stop::held || kept.size() - step.forward < hold_limit);
            e.forwarded += kept.substr(0, step.forward);
            kept.erase(0, step.forward);
            e.why = step.why;
        } while (e.why == stop::close_unnamed);
        require(e.owed.outstanding() <= e.forwarded.size() / header_size + 1);
    } while (!input.empty() && (e.why == stop::more || e.why == stop::held));
    return e;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view input{reinterpret_cast<const char*>(data), size};
    if (input.empty()) {
        return 0;
    }
    const auto seed = static_cast<unsigned char>(input.front());
    input.remove_prefix(1);
    const std::uint64_t foreign = seed & 1U ? 7 : 0;
    const auto whole = play(input, 0, foreign);
    const auto cut = play(input, 1 + seed / 2U, foreign);
    require(whole.forwarded == input.substr(0, whole.forwarded.size()));
    require(whole.forwarded == cut.forwarded && whole.why == cut.why);
    require(whole.owed.outstanding() == cut.owed.outstanding());
    // A cut may make a text look suspicious, never innocent.
    require(cut.marks.dirty || !whole.marks.dirty);
    const auto look = look_at_first(input);
    require(look.skip <= input.size());
    return 0;
}
