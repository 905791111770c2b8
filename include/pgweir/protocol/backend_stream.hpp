// Follows what a server sends: checks it against the ledger and says for whom it is.
#pragma once

#include "pgweir/protocol/error_response.hpp"
#include "pgweir/protocol/ledger.hpp"
#include "pgweir/protocol/session_marks.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pgweir::protocol {

// A whole ReadyForQuery.
inline constexpr std::size_t ready_size = 6;

// Hears of what passes by and matters to somebody. Views die with the call.
class backend_listener {
public:
    virtual void on_parameter(std::string_view name, std::string_view value) = 0;
    virtual void on_error(const error_fields& error, origin owner) = 0;
    // Tracked requests were answered.
    virtual void on_settlement(const ledger::settlement& s) = 0;
    // DEALLOCATE ALL or DISCARD ALL was run.
    virtual void on_deallocated() = 0;

protected:
    ~backend_listener() = default;
};

// One server connection's stream after its login. Decides only; the caller moves the bytes.
// One a server connection, for its life. Worker thread only.
class backend_stream {
public:
    enum class stop : std::uint8_t {
        more,    // all bytes belong where `to_client` says
        held,    // the rest is an incomplete message that must be seen whole: keep it
        turned,  // what follows has another destination: handle `size` bytes, call again
        known,   // the next reply is one that the server does not send: ledger::answer_known()
        named,   // `size` ends with an ErrorResponse, of `error` bytes, that names our statements
        fatal,   // behind `size` is a FATAL error of `error` bytes, not in the ledger: see below
        ready,   // `size` ends with a ReadyForQuery, and more is owed: look at status, call again
        idle,    // the same, and it settled the ledger
        violation,  // the bytes behind `size` do not answer what was asked: close the connection
    };
    struct step {
        std::size_t size = 0;    // bytes from the front that have been looked at
        bool to_client = false;  // pass them on, or swallow them
        stop why = stop::more;
        std::size_t error = 0;
    };

    // Looks at `data`, which starts where the last call's `size` ended. `has_client`: without one
    // everything is swallowed, and only asynchronous messages and replies to the pooler are legal.
    // Total.
    step scan(std::string_view data,
              ledger& ledger,
              session_marks& marks,
              bool has_client,
              backend_listener& listener);

    // The client may outlive this server: a FATAL error to it is not passed on, but reported as
    // `fatal`. Nothing follows it.
    void hold_fatal(bool held) noexcept { holds_fatal_ = held; }

    // Transaction status of the last ReadyForQuery: 'I', 'T' or 'E'.
    [[nodiscard]] char status() const noexcept { return status_; }
    // Nothing of a message has been seen without its end.
    [[nodiscard]] bool at_boundary() const noexcept { return remain_ == 0; }
    // May ledger::answer_known() be sent now? Not into the middle of a message.
    [[nodiscard]] bool is_known_due(const ledger& l) const noexcept {
        return at_boundary() && l.next_is_known();
    }

private:
    [[nodiscard]] static std::size_t skip_plain(std::string_view data, ledger& ledger);
    void tell_settled(ledger& ledger, backend_listener& listener) const;
    bool inspect(char type,
                 std::string_view body,
                 session_marks& marks,
                 origin owner,
                 backend_listener& listener);

    std::uint32_t remain_ = 0;
    bool remain_to_client_ = false;
    bool holds_fatal_ = false;
    char status_ = 'I';
    bool unread_ = false;  // see ledger::settlement, of the last error
};

}  // namespace pgweir::protocol
