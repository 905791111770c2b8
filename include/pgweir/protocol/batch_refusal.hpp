// Answers what a client sent without a server: an error in the place where PostgreSQL would put it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pgweir::protocol {

// A client's request is refused (its wait was cancelled, or took too long), but its connection goes
// on. Consumes the request as PostgreSQL does after an error: a Query or FunctionCall is answered
// by an error and ReadyForQuery; of the extended protocol the first message is answered by the
// error, everything up to Sync is thrown away, and Sync is answered by ReadyForQuery. Sans-io;
// total.
class batch_refusal {
public:
    enum class event : std::uint8_t {
        more,   // all bytes are consumed; the request goes on
        held,   // the rest is a cut header: keep it and give it again with more
        error,  // send the error now, then call again with the rest
        done,   // send the error if `error` has not come, then ReadyForQuery; the client is idle
        terminate,  // the client said goodbye
        violation,
    };
    struct step {
        std::size_t consumed = 0;
        event what = event::more;
    };

    [[nodiscard]] step scan(std::string_view data) noexcept;
    // All that was consumed is whole messages that PostgreSQL ignores: there is nothing to refuse.
    [[nodiscard]] bool is_untouched() const noexcept { return remain_ == 0 && !reported_; }
    // `error` was reported, so `done` needs only ReadyForQuery.
    [[nodiscard]] bool has_reported() const noexcept { return reported_; }

private:
    std::uint32_t remain_ = 0;
    bool ends_after_remain_ = false;
    bool reported_ = false;
};

}  // namespace pgweir::protocol
