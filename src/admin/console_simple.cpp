// The simple protocol of the console: a Query, its statements one after the other, ReadyForQuery.
#include "admin/console_session.hpp"
#include "admin/message_reader.hpp"
#include "admin/verbs.hpp"
#include "pgweir/protocol/message_writer.hpp"

#include <utility>

namespace pgweir::admin {
namespace {

// All of them, or the first problem: as in PostgreSQL nothing runs of a text that does not parse.
std::variant<std::vector<command>, failure> read_commands(std::string_view text) {
    auto read = read_statements(text);
    if (auto* problem = std::get_if<failure>(&read)) {
        return std::move(*problem);
    }
    std::vector<command> commands;
    for (auto& words : std::get<std::vector<token_list>>(read)) {
        auto recognised = recognise(std::move(words));
        if (auto* problem = std::get_if<failure>(&recognised)) {
            return std::move(*problem);
        }
        commands.push_back(std::move(std::get<command>(recognised)));
    }
    return commands;
}

}  // namespace

void console_session::on_query(std::string_view body, std::string& out) {
    owes_ready_ = true;
    batch_.clear();
    next_in_batch_ = 0;
    // PostgreSQL docs 55.2.3: the unnamed ones end with the next Query.
    prepared_.forget_statement("");
    prepared_.close_portal("");
    message_reader in{body};
    const auto text = in.cstr();
    if (!in.is_whole()) {
        return fail(malformed_message(), out);
    }
    auto read = read_commands(text);
    if (const auto* problem = std::get_if<failure>(&read)) {
        return fail(*problem, out);
    }
    batch_ = std::move(std::get<std::vector<command>>(read));
    if (batch_.empty()) {
        protocol::message_writer{out}.begin('I').end();
    }
}

// A step of the query under way: its next statement, or its end.
console_session::step console_session::run_batch(std::string& out) {
    if (next_in_batch_ < batch_.size()) {
        return run({&batch_[next_in_batch_++], nullptr, 0}, out);
    }
    owes_ready_ = false;
    batch_.clear();
    next_in_batch_ = 0;
    if (transaction_ == 'I') {
        prepared_.close_portals();
    }
    protocol::append_ready(out, transaction_);
    return {};
}

}  // namespace pgweir::admin
