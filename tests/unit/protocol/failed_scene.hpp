// A client in a failed transaction without a server, and what it reads in words.
#pragma once

#include "pgweir/protocol/error_response.hpp"
#include "pgweir/protocol/failed_transaction.hpp"
#include "pgweir/protocol/frame.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace pgweir::protocol::testing {

// "1 2 n ROLLBACK ZI": a word a message, of errors their SQLSTATE, of tags their text.
inline std::string words_of(std::string_view bytes) {
    std::string words;
    while (!bytes.empty()) {
        const auto f = read_frame(bytes.data());
        const auto body = bytes.substr(header_size, f.size - header_size);
        words += words.empty() ? "" : " ";
        switch (f.type) {
            case 'E': words += parse_error(body).sqlstate; break;
            case 'C': words += body.substr(0, body.size() - 1); break;
            case 'Z': words += std::string{"Z"} + body.front(); break;
            default: words += f.type; break;
        }
        bytes.remove_prefix(f.size);
    }
    return words;
}

class failed_scene {
public:
    using event = failed_transaction::event;

    std::unique_ptr<client_statements> client;
    std::string out;
    event last = event::more;

    explicit failed_scene(failed_transaction::loss what) : machine{std::move(what)} {}
    failed_scene(const failed_scene&) = delete;
    failed_scene& operator=(const failed_scene&) = delete;

    // What the client sends next; of no interest once its transaction is over.
    void send(std::string_view piece) {
        kept_ += piece;
        if (is_over()) {
            return;
        }
        const auto step = machine.scan(kept_, known_, out);
        kept_.erase(0, step.consumed);
        last = step.what;
    }
    [[nodiscard]] bool is_over() const { return last != event::more && last != event::held; }
    // What the client has read, and behind "->" what is left for a server.
    [[nodiscard]] std::string outcome() {
        auto said = words_of(out);
        switch (last) {
            case event::terminate: return said + " X";
            case event::violation: return said + " !";
            case event::left: break;
            default: return said;
        }
        const auto left = machine.take_rest() + kept_;
        if (left.empty()) {
            return said;
        }
        said += " -> ";
        for (std::string_view rest = left; rest.size() >= header_size;
             rest.remove_prefix(read_frame(rest.data()).size)) {
            said += rest.front();
        }
        return said;
    }

    failed_transaction machine;
    statement_store store{0};

private:
    lost_statements known_{
        {.client = client, .store = store, .settings = nullptr, .are_shared = true}};
    std::string kept_;
};

}  // namespace pgweir::protocol::testing
