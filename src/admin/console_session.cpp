// One client's conversation with the console: the messages, and which part answers them.
#include "admin/console_session.hpp"

#include "admin/commands.hpp"
#include "pgweir/protocol/frame.hpp"
#include "pgweir/protocol/message_writer.hpp"

#include <algorithm>
#include <string>

namespace pgweir::admin {
namespace {

using kind = session::local_outcome::kind;

// Frontend messages after login; PostgreSQL docs 55.7.
constexpr std::string_view known_types = "QPBDECHSXFdcf";

}  // namespace

void console_session::welcome(std::string& out) { append_welcome(out); }

session::local_outcome console_session::on_bytes(std::string_view in, std::string& out) {
    if (is_closed_) {
        return {kind::close};
    }
    input_.append(in);
    return waiting_ ? waiting_for_ : go_on(out);
}

session::local_outcome console_session::go_on(std::string& out) {
    for (;;) {
        if (owes_ready_) {
            if (const auto stop = run_batch(out)) {
                return *stop;
            }
            continue;
        }
        const auto m = take_message(out);
        if (is_closed_) {
            return {kind::close};
        }
        if (!m) {
            input_.erase(0, taken_);
            taken_ = 0;
            return {kind::wait_for_input};
        }
        if (const auto stop = dispatch(*m, out)) {
            return *stop;
        }
    }
}

// Empty when the message is not whole yet, or when it broke the protocol.
std::optional<console_session::message> console_session::take_message(std::string& out) {
    const auto rest = std::string_view{input_}.substr(taken_);
    if (rest.empty()) {
        return std::nullopt;
    }
    if (known_types.find(rest[0]) == std::string_view::npos) {
        violate(out, "invalid frontend message type " +
                         std::to_string(static_cast<unsigned char>(rest[0])));
        return std::nullopt;
    }
    if (rest.size() < protocol::header_size) {
        return std::nullopt;
    }
    const auto frame = protocol::read_frame(rest.data());
    if (frame.size < protocol::header_size) {
        violate(out, "invalid message length");
        return std::nullopt;
    }
    if (frame.size > message_limit) {
        violate(out, "message is longer than the " + std::to_string(message_limit) +
                         " bytes that the console takes");
        return std::nullopt;
    }
    if (rest.size() < frame.size) {
        return std::nullopt;
    }
    taken_ += frame.size;
    return message{frame.type, rest.substr(0, frame.size).substr(protocol::header_size)};
}

console_session::step console_session::dispatch(const message& m, std::string& out) {
    if (m.type == 'X') {
        is_closed_ = true;
        return outcome{kind::close};
    }
    if (is_skipping_ && m.type != 'S') {
        return {};
    }
    switch (m.type) {
        case 'Q': on_query(m.body, out); return {};
        case 'F':
            protocol::append_error(
                out, {"ERROR", "0A000", "the console has no functions to call", {}, {}});
            protocol::append_ready(out, transaction_);
            return {};
        case 'd':
        case 'c':
        case 'f':
            return {};  // PostgreSQL, too, ignores what is left of a COPY that nobody waits for
        default: return on_extended(m, out);
    }
}

session::local_outcome console_session::violate(std::string& out, const std::string& text) {
    is_closed_ = true;
    input_.clear();
    taken_ = 0;
    protocol::append_error(out, {"FATAL", "08P01", text, {}, {}});
    return {kind::close};
}

}  // namespace pgweir::admin
