// PostgreSQL's part of a login, for each way to log in, and the conversation with a server_startup.
#pragma once

#include "pgweir/auth/md5.hpp"
#include "pgweir/auth/scram_server.hpp"
#include "pgweir/base/byte_order.hpp"
#include "pgweir/pool/server_startup.hpp"
#include "pgweir/protocol/error_response.hpp"
#include "pgweir/protocol/message_writer.hpp"

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace pgweir::pool {

struct message {
    char type;
    std::string body;
};
inline void PrintTo(const message& m, std::ostream* out) {
    *out << "message of type " << m.type << " with " << m.body.size() << " bytes";
}
using messages = std::vector<message>;
// Answers what it was sent last (first: the startup packet).
using postgres = std::function<messages(std::string_view sent)>;

inline const std::string password = "pencil";
inline const std::string salt = "0123456789abcdef";

inline std::string int32(std::int32_t v) {
    char b[4];
    base::store_be32(b, static_cast<std::uint32_t>(v));
    return {b, 4};
}

inline message authentication(std::int32_t code, std::string_view data = {}) {
    return {'R', int32(code) + std::string{data}};
}

inline message error(std::string_view sqlstate, std::string_view text) {
    std::string whole;
    protocol::append_error(whole, {.severity = "FATAL", .sqlstate = sqlstate, .message = text});
    return {'E', whole.substr(5)};
}

inline message parameter(const std::string& name, const std::string& value) {
    return {'S', name + '\0' + value + '\0'};
}

// From AuthenticationOk to ReadyForQuery.
inline messages welcome() {
    return {authentication(0),
            parameter("server_version", "15.4"),
            parameter("TimeZone", "UTC"),
            {'K', int32(77) + int32(4711)},
            {'Z', "I"}};
}

inline messages refuse_password() {
    return {error("28P01", "password authentication failed for user \"alice\"")};
}

// The body of a 'p' message.
inline std::string_view body_of(std::string_view sent) {
    return sent.size() < 5 ? std::string_view{} : sent.substr(5);
}

inline postgres trusting() {
    return [](std::string_view) { return welcome(); };
}

inline postgres asking_for_cleartext() {
    return [asked = false](std::string_view sent) mutable -> messages {
        if (!std::exchange(asked, true)) {
            return {authentication(3)};
        }
        return body_of(sent) == password + '\0' ? welcome() : refuse_password();
    };
}

inline postgres asking_for_md5() {
    return [asked = false](std::string_view sent) mutable -> messages {
        if (!std::exchange(asked, true)) {
            return {authentication(5, "salt")};
        }
        const auto right = auth::md5_response(auth::md5_secret("alice", password), "salt");
        return body_of(sent) == right + '\0' ? welcome() : refuse_password();
    };
}

inline postgres asking_for_scram() {
    auto peer = std::make_shared<auth::scram_server>(auth::make_scram_verifier(password, salt, 1),
                                                     "server-nonce", false);
    return [peer, step = 0](std::string_view sent) mutable -> messages {
        using namespace std::string_literals;
        auto text = body_of(sent);
        if (++step == 1) {
            return {authentication(10, "SCRAM-SHA-256\0\0"s)};
        }
        if (step == 2) {
            text.remove_prefix(text.find('\0') + 5);  // the mechanism's name and a length
            return {authentication(11, std::get<std::string>(peer->on_client_first(text)))};
        }
        const auto final = peer->on_client_final(text);
        if (std::holds_alternative<auth::scram_error>(final)) {
            return refuse_password();
        }
        messages out{authentication(12, std::get<std::string>(final))};
        for (auto& m : welcome()) {
            out.push_back(std::move(m));
        }
        return out;
    };
}

inline auth::server_credentials alice(std::string with_password = password) {
    return {"alice", std::move(with_password), {}, {}, 0};
}

struct outcome {
    server_startup::step::kind what = server_startup::step::kind::read_more;
    std::size_t messages = 0;
    std::size_t hashings = 0;
};

// Talks until the startup is decided or `server` has no more to say. `spoil` may change the n-th
// message of the server.
inline outcome converse(
    server_startup& s,
    const postgres& server,
    const std::function<void(std::size_t, message&)>& spoil = [](std::size_t, message&) {}) {
    using kind = server_startup::step::kind;
    outcome o;
    for (std::string sent = s.startup_packet(); !sent.empty();) {
        for (auto& m : server(std::exchange(sent, {}))) {
            spoil(o.messages++, m);
            auto step = s.on_message(m.type, m.body);
            if (step.what == kind::hash) {
                const auto& r = s.request();
                ++o.hashings;
                step = s.on_hashed(auth::derive_scram_keys(r.password, r.salt, r.iterations));
            }
            o.what = step.what;
            if (step.what == kind::ready || step.what == kind::failed) {
                return o;
            }
            sent += step.send;
        }
    }
    return o;
}

}  // namespace pgweir::pool
