// Follows what a client sends to a server: what may be passed on, and what the server then owes.
#pragma once

#include "pgweir/protocol/ledger.hpp"
#include "pgweir/protocol/session_marks.hpp"
#include "pgweir/protocol/statement_relay.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

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
        more,      // all bytes may be passed on
        held,      // the rest is an incomplete message: keep it and give it again with more
        edit,      // send `bytes` in place of the `skip` bytes that follow, then go on behind those
        wait,      // keep the rest until replies have come, and ask the server to flush them
        no_room,   // the arena is full: send what there is, clear it, then go on
        too_long,  // a name that no statement can have: end the client
        full,      // the ledger is full: pass on `forward` and our own Flush, stop reading
        terminate,  // the client said goodbye; what follows is void
        violation,  // see violation_text()
    };
    struct step {
        std::size_t forward = 0;  // bytes from the front to pass on now
        stop why = stop::more;
        std::string_view bytes{};  // stays until the arena is cleared, or the next server
        std::size_t skip = 0;
    };

    // A server serves us from now on, for one session: everything is passed on as it is.
    void begin_session() noexcept { relay_.reset(); }
    // A server serves us from now on, and others after us.
    void begin_link(const statement_relay::link& l, const session_marks& marks) {
        relay_.emplace(l, marks);
    }

    // Looks at `data`, which starts where the last call's `forward` (and `skip`) ended. `status`:
    // the server's last transaction status. Requests whose bytes are passed on are in `ledger`
    // afterwards, and what they leave behind in `marks`. Total.
    step scan(std::string_view data,
              char status,
              ledger& ledger,
              session_marks& marks,
              byte_arena& arena);

    // Was a Flush passed on since the last call? Replies that are ours are due then as well.
    [[nodiscard]] bool take_flush() noexcept { return std::exchange(flushed_, false); }
    // The server is gone: what is still to come of a message that was being passed on. The next
    // bytes behind those begin a message.
    [[nodiscard]] std::uint32_t take_remain() noexcept { return std::exchange(remain_, 0U); }
    // Nothing of a message has been passed on without its end.
    [[nodiscard]] bool at_boundary() const noexcept { return remain_ == 0; }

private:
    void start(std::string_view head, ledger& ledger, session_marks& marks);

    std::optional<statement_relay> relay_;
    std::uint32_t remain_ = 0;  // bytes of a streamed message still to come
    bool probing_ = false;      // the streamed message is SQL text
    bool flushed_ = false;
    session_probe probe_;
};

// Messages of our own. A Flush has no reply.
inline constexpr std::string_view flush_message{"H\0\0\0\x04", 5};
inline constexpr std::string_view sync_message{"S\0\0\0\x04", 5};
inline constexpr std::string_view terminate_message{"X\0\0\0\x04", 5};

}  // namespace pgweir::protocol
