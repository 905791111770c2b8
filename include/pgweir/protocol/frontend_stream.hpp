// Follows what a client sends to a server: what may be passed on, and what the server then owes.
#pragma once

#include "pgweir/protocol/ledger.hpp"
#include "pgweir/protocol/session_marks.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pgweir::protocol {

// What a look at a client's first bytes, before it has a server, tells.
enum class first_message : std::uint8_t {
    incomplete,  // wait for more: no server should wait with us
    needs_server,
    ignorable,  // late copy data, or a Flush with nothing to flush: PostgreSQL ignores it too
    terminate,
    violation,
};
struct first_look {
    first_message what = first_message::incomplete;
    std::size_t skip = 0;  // ignorable bytes at the front, to be dropped
};
[[nodiscard]] first_look look_at_first(std::string_view data) noexcept;

// What is wrong with the message that `data` begins with, in PostgreSQL's words, for an error
// 08P01. REQUIRES: it was found to be a violation, so `data` is not empty.
[[nodiscard]] std::string violation_text(std::string_view data);

// One client's stream towards one server. Reads whole messages in order, records them in the
// server's ledger, and lets large ones stream through. Decides only; the caller moves the bytes.
// One a client, for its life; begin_link() with every new server. Worker thread only.
class frontend_stream {
public:
    enum class stop : std::uint8_t {
        more,           // all bytes may be passed on
        held,           // the rest is an incomplete message: keep it and give it again with more
        close_unnamed,  // send close_unnamed_message, then go on with the same bytes
        full,           // the ledger is full: pass on `forward` and our own Flush, stop reading
        terminate,      // the client said goodbye; what follows is void
        violation,      // see violation_text()
    };
    struct step {
        std::size_t forward = 0;  // bytes from the front to pass on now
        stop why = stop::more;
    };

    // A server serves us from now on; `self` is an id that no other client has ever had.
    void begin_link(std::uint64_t self) noexcept {
        self_ = self;
        unnamed_is_settled_ = false;
    }

    // Looks at `data`, which starts where the last call's `forward` ended. Requests whose bytes are
    // passed on are in `ledger` afterwards, and what they leave behind in `marks`. Total.
    step scan(std::string_view data, ledger& ledger, session_marks& marks);

    // Nothing of a message has been passed on without its end.
    [[nodiscard]] bool at_boundary() const noexcept { return remain_ == 0; }

private:
    bool must_close_unnamed(std::string_view head, session_marks& marks) noexcept;
    void start(std::string_view head, ledger& ledger, session_marks& marks);

    std::uint64_t self_ = 0;
    std::uint64_t unnamed_count_ = 0;  // unnamed statements parsed, on any server
    std::uint32_t remain_ = 0;         // bytes of a streamed message still to come
    bool probing_ = false;             // the streamed message is SQL text
    bool unnamed_is_settled_ = false;  // nobody else's unnamed statement can be met on this link
    session_probe probe_;
};

// Our own Close of the unnamed statement, for stop::close_unnamed; its ledger entry is made by
// scan(). And our own Flush, which has no reply.
inline constexpr std::string_view close_unnamed_message{"C\0\0\0\x06S\0", 7};
inline constexpr std::string_view flush_message{"H\0\0\0\x04", 5};
inline constexpr std::string_view sync_message{"S\0\0\0\x04", 5};
inline constexpr std::string_view terminate_message{"X\0\0\0\x04", 5};

}  // namespace pgweir::protocol
