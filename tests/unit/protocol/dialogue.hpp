// Scripted dialogues: what a client and a server say, in letters, played through both streams.
#pragma once

#include "pgweir/protocol/backend_stream.hpp"
#include "pgweir/protocol/frontend_stream.hpp"
#include "pgweir/protocol/message_writer.hpp"
#include "pgweir/protocol/statement_relay.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::protocol::testing {

using namespace std::string_view_literals;

inline std::string message(char type, std::string_view body = {}) {
    std::string out;
    message_writer{out}.begin(type).put_bytes(body).end();
    return out;
}

// A message of a client by its type; 'D' describes a statement and 'p' a portal.
inline std::string client_message(char letter) {
    switch (letter) {
        case 'Q': return message('Q', "select 1\0"sv);
        case 'P': return message('P', "\0select 1\0\0\0"sv);
        case 'B': return message('B', "\0\0\0\0\0\0\0\0"sv);
        case 'D': return message('D', "S\0"sv);
        case 'p': return message('D', "P\0"sv);
        case 'E': return message('E', "\0\0\0\0\0"sv);
        case 'C': return message('C', "S\0"sv);
        case 'F': return message('F', "\0\0\0\x01\0\0\0\0\0\0"sv);
        case 'd': return message('d', "1\n"sv);
        case 'f': return message('f', "enough\0"sv);
        default: return message(letter);
    }
}

// A message of a server by its type; 'z' is a ReadyForQuery inside a transaction, '!' a FATAL
// error.
inline std::string server_message(char letter) {
    switch (letter) {
        case 'Z': return message('Z', "I");
        case 'z': return message('Z', "T");
        case 'C': return message('C', "SELECT 1\0"sv);
        case 'S': return message('S', "TimeZone\0UTC\0"sv);
        case 'N': return message('N', "SNOTICE\0VNOTICE\0C00000\0Mhello\0\0"sv);
        case 'E': return message('E', "SERROR\0VERROR\0C22012\0Mdivision by zero\0\0"sv);
        case '!': return message('E', "SFATAL\0VFATAL\0C57P01\0Mterminating\0\0"sv);
        case '1':
        case '2':
        case '3':
        case 'I':
        case 'n':
        case 's':
        case 'c': return message(letter);
        default: return message(letter, "\0\x01\0\x02"sv);
    }
}

// "> PBES < 12CZ": who speaks, and then a letter a message.
struct line {
    bool from_client = true;
    char letter = 0;

    [[nodiscard]] std::string bytes() const {
        return from_client ? client_message(letter) : server_message(letter);
    }
};

inline std::vector<line> read_script(std::string_view script) {
    std::vector<line> lines;
    bool from_client = true;
    for (const char c : script) {
        if (c == '>' || c == '<') {
            from_client = c == '>';
        } else if (c != ' ') {
            lines.push_back({from_client, c});
        }
    }
    return lines;
}

// A client linked to a server. What either says goes through its stream in the pieces given here.
class relay : public backend_listener {
public:
    ledger owed;
    session_marks marks;
    frontend_stream client_stream;
    backend_stream server_stream;
    std::string to_server;
    std::string to_client;
    std::string heard;  // what the listener was told
    frontend_stream::stop client_stop = frontend_stream::stop::more;
    backend_stream::stop server_stop = backend_stream::stop::more;
    int settled = 0;
    bool has_client = true;

    relay() { link(); }
    relay(relay&&) = default;
    virtual ~relay() = default;

    // The server serves the client from now on, with the marks that it has.
    void link() {
        auto& p = *prepared_;
        client_stream.begin_link({.client = p.client,
                                  .server = p.server,
                                  .store = p.store,
                                  .settings = nullptr,
                                  .self = 1,
                                  .limit = 200,
                                  .counts = p.counted},
                                 marks);
    }

    void client(std::string_view piece) {
        using stop = frontend_stream::stop;
        if (is_violated()) {
            return;  // the connection is closed
        }
        client_kept_ += piece;
        do {
            const auto step = client_stream.scan(client_kept_, server_stream.status(), owed, marks,
                                                 prepared_->arena);
            to_server += client_kept_.substr(0, step.forward);
            to_server += step.bytes;
            client_kept_.erase(0, step.forward + step.skip);
            client_stop = step.why;
            prepared_->arena.clear();
        } while (client_stop == stop::edit || client_stop == stop::no_room);
        if (client_stream.take_flush()) {
            answer_known();
        }
    }

    void server(std::string_view piece) {
        using stop = backend_stream::stop;
        if (is_violated()) {
            return;
        }
        server_kept_ += piece;
        do {
            const auto step = server_stream.scan(server_kept_, owed, marks, has_client, *this);
            if (step.to_client) {
                to_client += server_kept_.substr(0, step.size);
            }
            server_kept_.erase(0, step.size);
            server_stop = step.why;
            settled += server_stop == stop::idle;
            if (server_stop == stop::known) {
                answer_known();
            }
        } while (!server_kept_.empty() && server_stop != stop::held &&
                 server_stop != stop::violation);
        if (!is_violated()) {
            answer_known();
        }
    }

    void say(const line& l, std::string_view piece) {
        l.from_client ? client(piece) : server(piece);
    }

    [[nodiscard]] bool is_violated() const {
        return client_stop == frontend_stream::stop::violation ||
               server_stop == backend_stream::stop::violation;
    }
    // Everybody is at peace: the server could serve somebody else.
    [[nodiscard]] bool is_idle() const {
        return !is_violated() && owed.is_empty() && client_stream.at_boundary() &&
               server_stream.at_boundary() && client_kept_.empty() && server_kept_.empty();
    }
    // All that can be observed, so that two ways to play a script can be compared.
    [[nodiscard]] std::string outcome() const {
        return "to server: " + to_server + "\nto client: " + to_client + "\nheard: " + heard +
               "\nsettled: " + std::to_string(settled) +
               "\noutstanding: " + std::to_string(owed.outstanding()) +
               "\nskipping: " + std::to_string(owed.is_skipping()) +
               "\ncopying: " + std::to_string(owed.is_copying_in()) +
               "\ndoubtful: " + std::to_string(owed.is_doubtful()) +
               "\ndirty: " + std::to_string(marks.dirty) + "\nstatus: " + server_stream.status() +
               "\nviolated: " + std::to_string(is_violated()) +
               "\nidle: " + std::to_string(is_idle());
    }

private:
    void on_parameter(std::string_view name, std::string_view value) override {
        heard.append(name).append("=").append(value).append(";");
    }
    void on_error(const error_fields& error, origin owner) override {
        heard.append(error.severity).append(" ").append(error.sqlstate);
        heard += owner == origin::client ? ";" : " for the pooler;";
    }
    void on_settlement(const ledger::settlement& s) override {
        if (prepared_->client != nullptr) {
            prepared_->server.finish(s, *prepared_->client, marks);
        }
    }
    void on_deallocated() override { heard += "deallocated;"; }

    void answer_known() {
        while (server_stream.is_known_due(owed)) {
            to_client += owed.answer_known();
            on_settlement(owed.take_settlement());
        }
    }

    // What is linked must stay where it is.
    struct statements {
        std::unique_ptr<client_statements> client;
        server_statements server;
        statement_store store{0};
        byte_arena arena;
        metrics::traffic counted;
    };
    std::unique_ptr<statements> prepared_ = std::make_unique<statements>();
    std::string client_kept_;
    std::string server_kept_;
};

}  // namespace pgweir::protocol::testing
