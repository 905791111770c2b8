// Clients that share servers as in transaction mode, each server a model of PostgreSQL.
#pragma once

#include "pgweir/protocol/backend_stream.hpp"
#include "pgweir/protocol/frontend_stream.hpp"
#include "pgweir/protocol/message_writer.hpp"
#include "pgweir/protocol/statement_relay.hpp"
#include "protocol/client_view.hpp"
#include "protocol/postgresql_model.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgweir::protocol::testing {

// --- messages of a client

inline std::string say_parse(std::string_view name, std::string_view text) {
    std::string out;
    message_writer{out}.begin('P').put_cstr(name).put_cstr(text).put_int16(0).end();
    return out;
}
inline std::string say_bind(std::string_view name, std::string_view portal = {}) {
    std::string out;
    message_writer w{out};
    w.begin('B').put_cstr(portal).put_cstr(name).put_int16(0).put_int16(0).put_int16(0).end();
    return out;
}
inline std::string say_describe(std::string_view name) {
    std::string out;
    message_writer{out}.begin('D').put_byte('S').put_cstr(name).end();
    return out;
}
inline std::string say_execute(std::string_view portal = {}) {
    std::string out;
    message_writer{out}.begin('E').put_cstr(portal).put_int32(0).end();
    return out;
}
inline std::string say_close(std::string_view name) {
    std::string out;
    message_writer{out}.begin('C').put_byte('S').put_cstr(name).end();
    return out;
}
inline std::string say_query(std::string_view text) {
    std::string out;
    message_writer{out}.begin('Q').put_cstr(text).end();
    return out;
}
inline std::string say_function_call() {
    std::string out;
    message_writer w{out};
    w.begin('F').put_int32(1).put_int16(0).put_int16(0).put_int16(0).end();
    return out;
}
inline std::string say_flush() { return std::string{flush_message}; }
inline std::string say_sync() { return std::string{sync_message}; }
// Binds and runs.
inline std::string say_run(std::string_view name) { return say_bind(name) + say_execute(); }

// --- how to play

struct playing {
    std::size_t limit = 200;
    // Of what a server sends, so much is read at once; 0: all.
    std::size_t reply_piece = 0;
    bool names_may_be_ours = false;  // clients use names that begin as ours do
};

// The glue around the streams, as src/session does it. Servers and clients are known by numbers.
class pooled_dialogue {
public:
    std::string problems;

    explicit pooled_dialogue(const playing& how = {}) : how_{how} {}

    // The client says this, and is served by that server when nobody serves it already. Nothing
    // is answered before flow().
    void say(std::size_t client, std::size_t server, std::string_view bytes) {
        auto& c = client_at(client);
        c.wanted = server;
        c.view.sends(bytes);
        c.kept += bytes;
        pump(c);
    }
    // Until nobody has anything to say.
    void flow() {
        bool moved = true;
        while (moved) {
            moved = false;
            for (std::size_t i = 0; i < servers_.size(); ++i) {
                moved = answer(*servers_[i]) || moved;
            }
            for (auto& c : clients_) {
                moved = pump(*c) || moved;
            }
        }
        check();
    }
    void turn(std::size_t client, std::size_t server, std::string_view bytes) {
        say(client, server, bytes);
        flow();
    }

    [[nodiscard]] client_view& view(std::size_t client) { return client_at(client).view; }
    // All that the client was sent.
    [[nodiscard]] const std::string& to_client(std::size_t i) { return client_at(i).to_client; }
    [[nodiscard]] bool is_served(std::size_t client) {
        return client_at(client).serving != nullptr;
    }
    [[nodiscard]] bool is_closed(std::size_t client) { return client_at(client).closed; }
    [[nodiscard]] postgresql_model& postgresql(std::size_t server) {
        return server_at(server).postgresql;
    }
    [[nodiscard]] session_marks& marks(std::size_t server) { return server_at(server).marks; }
    [[nodiscard]] std::size_t clients() const noexcept { return clients_.size(); }
    [[nodiscard]] std::size_t servers() const noexcept { return servers_.size(); }
    // "P#1 B#1 E S": what the server was sent since it was last asked. #1 is the first statement
    // that anybody shares.
    std::string take_heard(std::size_t server) {
        std::string words;
        for (std::string_view rest = server_at(server).heard; rest.size() >= header_size;) {
            const auto f = read_frame(rest.data());
            words += words.empty() ? "" : " ";
            words += word(rest.substr(0, f.size));
            rest.remove_prefix(std::min(rest.size(), f.size));
        }
        server_at(server).heard.clear();
        return words;
    }
    std::string take_client_heard(std::size_t client) {
        return std::exchange(client_at(client).view.heard, {});
    }

    // Every name of every client means what the client must believe, wherever it is used next.
    void check_beliefs() {
        for (std::size_t i = 0; i < clients_.size(); ++i) {
            if (clients_[i]->closed) {
                continue;
            }
            turn(i, 0, say_sync());
            auto& view = clients_[i]->view;
            const auto fresh = servers_.size();
            const bool is_kept = view.unnamed.value_or("").size() < hold_limit - 64;
            if (view.status == 'I' && is_kept && view.unnamed_is_certain) {
                check_meaning(i, 0, {}, view.unnamed);
                check_meaning(i, fresh, {}, view.unnamed);
            } else if (view.status != 'I') {
                turn(i, 0, say_query("rollback"));
            }
            for (const auto& name : std::set<std::string>{view.names}) {
                const auto known = view.statements.find(name.substr(0, 63));
                const auto meant = known == view.statements.end()
                                       ? std::nullopt
                                       : std::optional<std::string>{known->second};
                if (!name.empty()) {
                    check_meaning(i, 0, name, meant);
                    check_meaning(i, fresh, name, meant);
                }
            }
        }
    }

private:
    struct pooled_client;
    // A session of PostgreSQL, and what the pooler knows about it.
    struct pooled_server : backend_listener {
        postgresql_model postgresql;
        ledger owed;
        session_marks marks;
        backend_stream stream;
        server_statements held;
        pooled_client* user = nullptr;
        std::string inbox;   // on its way to PostgreSQL
        std::string outbox;  // not read yet
        std::string kept;
        std::string heard;

        virtual ~pooled_server() = default;
        void on_parameter(std::string_view, std::string_view) override {}
        void on_error(const error_fields&, origin) override {}
        void on_settlement(const ledger::settlement& s) override {
            if (user != nullptr && user->statements != nullptr) {
                held.finish(s, *user->statements, marks);
            }
        }
        void on_deallocated() override {
            held.forget_all();
            if (user != nullptr && user->statements != nullptr) {
                user->statements->forget_all();
            }
        }
    };
    struct pooled_client {
        std::uint64_t id = 0;
        frontend_stream stream;
        std::unique_ptr<client_statements> statements;
        client_view view;
        pooled_server* serving = nullptr;
        std::size_t wanted = 0;
        std::string kept;
        std::string to_client;
        bool awaits = false;
        bool closed = false;
    };

    // --- client to server

    // True when it moved anything.
    bool pump(pooled_client& c) {
        if (c.closed || c.awaits || c.kept.empty()) {
            return false;
        }
        const auto before = c.kept.size();
        if (c.serving == nullptr || is_at_peace(c)) {
            const auto look = look_at_first(c.kept);
            if (look.what == first_message::terminate || look.what == first_message::violation) {
                close(c);
                return true;
            }
            c.kept.erase(0, look.skip);
            if (look.what != first_message::needs_server) {
                give_back(c);
                return c.kept.size() != before;
            }
        }
        if (c.serving == nullptr) {
            link(c);
        }
        forward(c);
        give_back(c);
        return c.kept.size() != before || c.closed;
    }

    static bool is_at_peace(const pooled_client& c) {
        return c.serving->owed.is_empty() && c.serving->stream.status() == 'I' &&
               c.stream.at_boundary();
    }

    void link(pooled_client& c) {
        auto at = c.wanted;
        while (server_at(at).user != nullptr) {
            ++at;
        }
        c.serving = &server_at(at);
        c.serving->user = &c;
        c.stream.begin_link({.client = c.statements,
                             .server = c.serving->held,
                             .store = store_,
                             .settings = nullptr,
                             .self = c.id,
                             .limit = how_.limit,
                             .counts = counted_},
                            c.serving->marks);
    }

    void forward(pooled_client& c) {
        using stop = frontend_stream::stop;
        auto& s = *c.serving;
        auto why = stop::edit;
        arena_.clear();
        while (why == stop::edit || why == stop::no_room) {
            const auto step = c.stream.scan(c.kept, s.stream.status(), s.owed, s.marks, arena_);
            why = step.why;
            send(s, std::string_view{c.kept}.substr(0, step.forward));
            send(s, step.bytes);
            c.kept.erase(0, step.forward + step.skip);
            if (why == stop::no_room) {
                arena_.clear();
            }
        }
        if (why == stop::full || why == stop::wait) {
            send(s, flush_message);
            c.awaits = true;
        }
        if (c.stream.take_flush()) {
            answer_known(s);
        }
        if (why == stop::terminate || why == stop::violation || why == stop::too_long) {
            close(c);
        }
    }

    static void send(pooled_server& s, std::string_view bytes) {
        s.inbox += bytes;
        s.heard += bytes;
    }

    // --- server to client

    bool answer(pooled_server& s) {
        s.outbox += s.postgresql.hear(std::exchange(s.inbox, {}));
        if (s.outbox.empty()) {
            return false;
        }
        while (!s.outbox.empty()) {
            const auto n = how_.reply_piece == 0 ? s.outbox.size()
                                                 : std::min(how_.reply_piece, s.outbox.size());
            s.kept += s.outbox.substr(0, n);
            s.outbox.erase(0, n);
            pass_replies(s);
        }
        return true;
    }

    void pass_replies(pooled_server& s) {
        using stop = backend_stream::stop;
        if (s.user == nullptr) {
            problems += "reply without a client\n";
            s.kept.clear();
            return;
        }
        auto& c = *s.user;
        bool settled = false;
        while (!s.kept.empty()) {
            const auto step = s.stream.scan(s.kept, s.owed, s.marks, true, s);
            settled = settled || step.why == stop::idle;
            if (step.to_client) {
                hear(c, std::string_view{s.kept}.substr(0, step.size - step.error));
            }
            if (step.why == stop::named) {
                pass_error(c, std::string_view{s.kept}.substr(step.size - step.error, step.error));
            } else if (step.why == stop::known) {
                hear(c, s.owed.answer_known());
                s.on_settlement(s.owed.take_settlement());
            }
            s.kept.erase(0, step.size);
            if (step.why == stop::held) {
                break;
            }
            if (step.why == stop::violation) {
                problems += "the ledger does not know this reply: " + s.kept.substr(0, 1) + "\n";
                s.kept.clear();
            }
        }
        answer_known(s);
        if (settled) {
            give_back(c);
        }
        c.awaits = false;
    }

    void pass_error(pooled_client& c, std::string_view message) {
        std::string translated;
        if (c.statements == nullptr || !translate_names(message, *c.statements, translated)) {
            translated = message;
        }
        hear(c, translated);
    }

    void answer_known(pooled_server& s) {
        while (s.stream.is_known_due(s.owed)) {
            hear(*s.user, s.owed.answer_known());
            s.on_settlement(s.owed.take_settlement());
        }
    }

    void hear(pooled_client& c, std::string_view bytes) {
        c.to_client += bytes;
        c.view.hears(bytes);
    }

    // --- the end of a link

    void give_back(pooled_client& c) {
        if (c.serving == nullptr || c.closed || !is_at_peace(c) ||
            (c.statements != nullptr && c.statements->is_tied())) {
            return;
        }
        auto& s = *c.serving;
        c.serving = nullptr;
        s.user = nullptr;
        c.awaits = false;
        if (s.marks.permanent || s.owed.is_doubtful()) {
            replace(s);
        } else if (s.marks.dirty) {
            clean(s);
        } else if (how_.limit != 0 && s.held.size() != s.postgresql.statements.size()) {
            problems += "the server has " + std::to_string(s.postgresql.statements.size()) +
                        " statements and not " + std::to_string(s.held.size()) + "\n";
        }
    }

    static void clean(pooled_server& s) {
        s.postgresql.unnamed.reset();
        if (s.marks.hides_statements()) {
            s.postgresql.statements.clear();
            s.on_deallocated();
        }
        s.marks = {};
    }

    // The connection was closed; another one takes its place.
    void replace(pooled_server& s) {
        const auto same = [&s](const auto& other) { return other.get() == &s; };
        auto& place = *std::ranges::find_if(servers_, same);
        auto next = std::make_unique<pooled_server>();
        next->heard = s.heard;
        (void)s.held.abandon();
        retired_.push_back(std::exchange(place, std::move(next)));
    }

    void close(pooled_client& c) {
        c.closed = true;
        if (c.serving != nullptr) {
            auto& s = *std::exchange(c.serving, nullptr);
            s.user = nullptr;
            replace(s);
        }
    }

    // --- checks

    void check() {
        for (const auto& c : clients_) {
            problems += std::exchange(c->view.problems, {});
            if (c->awaits) {
                problems += "a client waits for nothing\n";
                c->awaits = false;
            }
            if (!how_.names_may_be_ours && c->to_client.find(shared_prefix) != std::string::npos) {
                problems += "a client was told a name of ours\n";
            }
        }
    }

    // As told by a Describe.
    void check_meaning(std::size_t client,
                       std::size_t server,
                       const std::string& name,
                       const std::optional<std::string>& meant) {
        if (how_.limit == 0) {
            return;
        }
        auto& view = client_at(client).view;
        view.heard.clear();
        turn(client, server, say_describe(name) + say_sync());
        const auto heard = take_client_heard(client);
        const auto due = meant ? "t T(" + *meant + ") Z(I)" : "E(26000) Z(I)";
        if (heard != due && !(meant && heard == "t n Z(I)")) {
            problems +=
                "'" + name + "' is not '" + meant.value_or("nothing") + "': " + heard + "\n";
        }
    }

    static std::string word(std::string_view message) {
        field_reader in{message.substr(header_size)};
        std::string out{message.front()};
        switch (message.front()) {
            case 'P': return out + shown(in.cstr());
            case 'B': in.cstr(); return out + shown(in.cstr());
            case 'C':
            case 'D': return in.byte() == 'S' ? out + shown(in.cstr()) : out + "/portal";
            case 'Q': return out + "(" + in.cstr() + ")";
            default: return out;
        }
    }
    static std::string shown(const std::string& name) {
        if (!name.starts_with(shared_prefix) || name.size() == shared_prefix.size()) {
            return name;
        }
        const auto digits = name.substr(shared_prefix.size());
        if (digits.find_first_not_of("0123456789abcdef") != std::string::npos) {
            return name;
        }
        return "#" + std::to_string(std::stoull(digits, nullptr, 16) >> 6);
    }

    pooled_client& client_at(std::size_t i) {
        while (clients_.size() <= i) {
            clients_.push_back(std::make_unique<pooled_client>());
            clients_.back()->id = clients_.size();
        }
        return *clients_[i];
    }
    pooled_server& server_at(std::size_t i) {
        while (servers_.size() <= i) {
            servers_.push_back(std::make_unique<pooled_server>());
        }
        return *servers_[i];
    }

    const playing how_;
    statement_store store_{0};
    byte_arena arena_;
    metrics::traffic counted_;
    std::vector<std::unique_ptr<pooled_client>> clients_;
    std::vector<std::unique_ptr<pooled_server>> servers_;
    std::vector<std::unique_ptr<pooled_server>> retired_;  // somebody may still be looking at them
};

}  // namespace pgweir::protocol::testing
