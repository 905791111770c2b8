// Hostile bytes of a server that owes any requests, whole and in pieces: both must decide the same.
#include "pgweir/protocol/backend_stream.hpp"
#include "pgweir/protocol/frame.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

using namespace pgweir::protocol;
using stop = backend_stream::stop;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

struct ear : backend_listener {
    std::string heard;

    virtual ~ear() = default;
    void on_parameter(std::string_view name, std::string_view value) override {
        heard.append(name).append("=").append(value).append(";");
    }
    void on_error(const error_fields& e, origin owner) override {
        heard.append(e.severity).append(e.sqlstate).append(e.message).append(e.detail);
        heard += owner == origin::client ? 'c' : 'p';
    }
    void on_settlement(const ledger::settlement& s) override {
        require(s.failed <= 1 && (s.skipped == 0 || s.done == 0));
        settlement.done += s.done;
        settlement.failed += s.failed;
        settlement.skipped += s.skipped;
    }
    void on_deallocated() override { heard += 'd'; }

    ledger::settlement settlement;
};

struct end {
    ledger owed;
    session_marks marks;
    ear listener;
    std::string to_client;
    std::size_t looked_at = 0;
    int settled = 0;
    stop why = stop::more;
};

// A letter a request; capitals are the client's, and a '+' in front makes it a tracked one. How
// many of those there are.
std::size_t owe(ledger& l, std::string_view letters) {
    std::size_t tracked = 0;
    bool is_tracked = false;
    for (const char c : letters) {
        const auto n = static_cast<unsigned char>(c | 0x20) - 'a';
        if (n >= 0 && n < 12) {
            l.sent(static_cast<request>(n), c >= 'a' ? origin::pooler : origin::client, is_tracked);
            tracked += is_tracked ? 1 : 0;
        }
        is_tracked = c == '+';
    }
    return tracked;
}

void answer_known(end& e, const backend_stream& stream) {
    while (stream.is_known_due(e.owed)) {
        e.to_client += e.owed.answer_known();
        if (const auto settled = e.owed.take_settlement()) {
            e.listener.on_settlement(settled);
        }
    }
}

// `piece` bytes at a time; 0: all at once.
end play(std::string_view requests, std::string_view input, std::size_t piece, bool has_client) {
    end e;
    const auto tracked = owe(e.owed, requests);
    const auto owed_at_first = e.owed.outstanding();
    backend_stream stream;
    std::string kept;
    while (!input.empty() && e.why != stop::violation) {
        const auto now = input.substr(0, piece == 0 ? input.size() : piece);
        input.remove_prefix(now.size());
        kept += now;
        do {
            const auto step = stream.scan(kept, e.owed, e.marks, has_client, e.listener);
            require(step.size <= kept.size());
            require(step.why != stop::more || step.size == kept.size());
            require(step.why != stop::held || kept.size() - step.size < hold_limit);
            require(step.why != stop::turned || step.size != 0);
            require((step.why == stop::named) == (step.error != 0) && step.error <= step.size);
            require(step.why != stop::idle || e.owed.is_empty());
            require(step.why != stop::ready || (step.size >= ready_size && !e.owed.is_empty()));
            require(has_client || !step.to_client);
            if (step.to_client) {
                e.to_client += kept.substr(0, step.size);
            }
            e.looked_at += step.size;
            e.settled += step.why == stop::idle;
            kept.erase(0, step.size);
            e.why = step.why;
            if (e.why == stop::known) {
                answer_known(e, stream);
            }
        } while (!kept.empty() && e.why != stop::held && e.why != stop::violation);
        if (e.why != stop::violation) {
            answer_known(e, stream);
        }
        require(e.owed.outstanding() <= owed_at_first);
        const auto& s = e.listener.settlement;
        require(s.done + s.failed + s.skipped <= tracked);
    }
    return e;
}

}  // namespace

// The first byte says how to cut, then come the requests up to a newline, then the server's bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view input{reinterpret_cast<const char*>(data), size};
    const auto newline = input.find('\n');
    if (newline == std::string_view::npos || newline == 0) {
        return 0;
    }
    const auto seed = static_cast<unsigned char>(input.front());
    const auto requests = input.substr(1, newline - 1);
    input.remove_prefix(newline + 1);
    const bool has_client = (seed & 1U) != 0;
    const auto whole = play(requests, input, 0, has_client);
    const auto cut = play(requests, input, 1 + seed / 2U, has_client);
    require(whole.looked_at == cut.looked_at && whole.settled == cut.settled);
    require((whole.why == stop::violation) == (cut.why == stop::violation));
    require(whole.to_client == cut.to_client);
    require(whole.listener.heard == cut.listener.heard);
    require(whole.owed.outstanding() == cut.owed.outstanding());
    require(whole.listener.settlement.done == cut.listener.settlement.done);
    require(whole.listener.settlement.failed == cut.listener.settlement.failed);
    require(whole.marks.dirty == cut.marks.dirty && whole.marks.permanent == cut.marks.permanent);
    return 0;
}
