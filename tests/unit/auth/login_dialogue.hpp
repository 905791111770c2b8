// Lets a client_login and a server_login talk to each other, with one message spoiled on its way.
#pragma once

#include "pgweir/auth/client_login.hpp"
#include "pgweir/auth/server_login.hpp"
#include "pgweir/base/byte_order.hpp"

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace pgweir::auth {

inline const digest seed{7, 7, 7};
inline const std::string salt = "0123456789abcdef";

inline login_entropy entropy() { return {"server-nonce", {'s', 'a', 'l', 't'}}; }

inline credentials known(std::string secret) { return {"alice", std::move(secret), true, {}}; }
inline credentials unknown() { return {"alice", "", false, {}}; }

// A verifier with one iteration: these tests are about messages.
inline std::string verifier_of(std::string_view password) {
    return make_scram_verifier(password, salt, 1).to_string();
}

inline server_credentials with_password(std::string password) {
    return {"alice", std::move(password), {}, {}, 0};
}

// Bodies without their type byte and length word.
inline std::vector<std::string> bodies(std::string_view messages) {
    std::vector<std::string> out;
    while (messages.size() >= 5) {
        const std::size_t size = base::load_be32(messages.data() + 1) - 4;
        out.emplace_back(messages.substr(5, size));
        messages.remove_prefix(5 + size);
    }
    return out;
}

inline std::string body(std::string_view message) { return bodies(message).at(0); }

// Both machines at once: `door` is pgweir towards a client, `visitor` pgweir towards a server.
struct dialogue {
    client_login door;
    server_login visitor;
    // May change the n-th message body, counted over both directions.
    std::function<void(std::size_t, std::string&)> spoil = [](std::size_t, std::string&) {};
    std::size_t messages = 0;
    bool accepted = false;   // the door let the visitor in
    bool logged_in = false;  // the visitor believes the door

    dialogue(method how,
             credentials door_knows,
             server_credentials visitor_has,
             channel_binding door_s = {},
             channel_binding visitor_s = {})
        : door{how, std::move(door_knows), seed, entropy(), std::move(door_s)},
          visitor{std::move(visitor_has), "client-nonce", std::move(visitor_s)} {}

    void run() {
        client_login::step said = door.start();
        for (;;) {
            if (said.what == client_login::step::kind::hash) {
                said = door.on_hashed(hashed(door.request()));
                continue;
            }
            if (said.what == client_login::step::kind::refused) {
                return;
            }
            accepted = said.what == client_login::step::kind::accepted;
            const std::string reply = visitor_answers(said.send);
            if (accepted || reply.empty()) {
                return;
            }
            said = door.on_message('p', reply);
        }
    }

    static scram_keys hashed(const hash_request& request) {
        return derive_scram_keys(request.password, request.salt, request.iterations);
    }

private:
    std::string visitor_answers(std::string_view send) {
        using kind = server_login::step::kind;
        for (std::string& request : bodies(send)) {
            spoil(messages++, request);
            server_login::step step = visitor.on_authentication(request);
            if (step.what == kind::hash) {
                step = visitor.on_hashed(hashed(visitor.request()));
            }
            logged_in = step.what == kind::ok;
            if (step.what == kind::send) {
                std::string answer = body(step.send);
                spoil(messages++, answer);
                return answer;
            }
            if (step.what == kind::failed) {
                return {};
            }
        }
        return {};
    }
};

}  // namespace pgweir::auth
