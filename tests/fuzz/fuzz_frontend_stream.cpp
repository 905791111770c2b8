// Hostile bytes of a client, whole and in pieces: both ways must decide the same.
#include "pgweir/protocol/frame.hpp"
#include "pgweir/protocol/frontend_stream.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
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
    std::size_t insertions = 0;
    stop why = stop::more;
};

// `piece` bytes at a time; 0: all at once. `limit`: of named statements; none: as in session mode.
end play(std::string_view input,
         std::size_t piece,
         std::uint64_t foreign,
         std::optional<std::size_t> limit) {
    end e;
    e.marks.unnamed_owner = foreign;
    std::unique_ptr<client_statements> client;
    server_statements server;
    statement_store store{0};
    byte_arena arena;
    pgweir::metrics::traffic counted;
    frontend_stream stream;
    if (limit) {
        stream.begin_link({.client = client,
                           .server = server,
                           .store = store,
                           .settings = nullptr,
                           .self = 1,
                           .limit = *limit,
                           .counts = counted},
                          e.marks);
    } else {
        stream.begin_session();
    }
    const auto hold = limit ? statement_limit : hold_limit;
    std::string kept;
    do {
        const auto now = input.substr(0, piece == 0 ? input.size() : piece);
        input.remove_prefix(now.size());
        kept += now;
        do {
            const auto step = stream.scan(kept, 'I', e.owed, e.marks, arena);
            require(step.forward + step.skip <= kept.size());
            require(step.why != stop::more || step.forward == kept.size());
            require(step.why != stop::held || kept.size() - step.forward < hold);
            require(step.why == stop::edit || (step.bytes.empty() && step.skip == 0));
            e.forwarded += kept.substr(0, step.forward);
            e.forwarded += step.bytes;
            e.insertions += step.why == stop::edit && step.skip == 0;
            kept.erase(0, step.forward + step.skip);
            e.why = step.why;
            arena.clear();
        } while (e.why == stop::edit || e.why == stop::no_room);
        require(limit || e.owed.outstanding() <= e.forwarded.size() / header_size + 1);
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
    for (const auto limit : {std::optional<std::size_t>{}, {0}, {1}, {200}}) {
        const auto whole = play(input, 0, foreign, limit);
        const auto cut = play(input, 1 + seed / 2U, foreign, limit);
        require(limit || whole.forwarded == input.substr(0, whole.forwarded.size()));
        require(whole.insertions == cut.insertions);
        require(whole.forwarded == cut.forwarded && whole.why == cut.why);
        require(whole.owed.outstanding() == cut.owed.outstanding());
        // A cut may make a text look suspicious, never innocent.
        require(cut.marks.dirty || !whole.marks.dirty);
    }
    const auto look = look_at_first(input);
    require(look.skip <= input.size());
    return 0;
}
