// Two engines that talk to each other without a network.
#pragma once

#include "pgweir/tls/engine.hpp"
#include "tls/certificates.hpp"

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace pgweir::tls {

inline context_ptr must_load(const context_settings& settings) {
    auto loaded = context::load(settings);
    if (const auto* bad = std::get_if<context_fault>(&loaded)) {
        throw std::runtime_error{bad->message};
    }
    return std::get<context_ptr>(loaded);
}

// A server with a certificate for localhost, and a client that trusts it.
struct engine_pair {
    using progress = engine::progress;

    static authority& home() {
        static authority one{"Example Root"};
        return one;
    }
    static context_settings server_settings() {
        static const auto usual = server_settings(key_kind::p256);
        return usual;
    }
    static context_settings server_settings(key_kind key) {
        const auto own = home().issue(
            {.common_name = "localhost", .alternative_names = "DNS:localhost", .key = key});
        return {.side = role::server, .certificate = own.certificate, .key = own.key};
    }
    // Of one who asks for an exchange that takes its time.
    static context_settings slow_client_settings() {
        auto slow = client_settings();
        slow.groups = "P-384";
        return slow;
    }
    static context_settings client_settings() {
        return {.side = role::client, .peer = verification::required, .ca = home().file()};
    }

    explicit engine_pair(const context_settings& for_server = server_settings(),
                         const context_settings& for_client = client_settings(),
                         expectation expected = {.host = "localhost", .verify_host = true})
        : server{must_load(for_server)}, client{must_load(for_client), std::move(expected)} {}

    // Carries messages to and fro, at most `at_once` bytes a call, until both are done or one has
    // failed. What both say in the end.
    std::pair<progress, progress> shake(std::size_t at_once = 1 << 20) {
        to_server += step(client, client_is, {});
        return carry(at_once);
    }
    // The same from where they are.
    std::pair<progress, progress> carry(std::size_t at_once = 1 << 20) {
        while (!to_server.empty() || !to_client.empty()) {
            pass(to_server, server, server_is, to_client, at_once);
            pass(to_client, client, client_is, to_server, at_once);
            const bool is_over = server_is != progress::more && client_is != progress::more;
            if (is_over || server_is == progress::failed) {
                break;
            }
        }
        return {server_is, client_is};
    }
    [[nodiscard]] bool is_done() const {
        return server_is == progress::done && client_is == progress::done;
    }

    // As records, each of at most `record` bytes.
    static std::string encrypted(engine& by,
                                 std::string_view text,
                                 std::size_t record = engine::record_size) {
        std::string out;
        do {
            const auto piece = text.substr(0, record);
            std::string sealed(piece.size() + engine::record_overhead, '\0');
            const auto used = by.encrypt(piece, sealed);
            if (!used) {
                throw std::runtime_error{std::string{by.error()}};
            }
            out += by.take_output();
            out.append(sealed, 0, *used);
            text.remove_prefix(piece.size());
        } while (!text.empty());
        return out;
    }
    // All plain text that there is in `bytes`, taken `room` bytes a call.
    struct opened {
        std::string text;
        engine::condition then = engine::condition::open;
    };
    static opened decrypted(engine& by, std::string_view bytes, std::size_t room = 64 * 1024) {
        opened all;
        std::string into(room, '\0');
        do {
            const auto got = by.decrypt(std::exchange(bytes, {}), into);
            all.text.append(into, 0, got.size);
            all.then = got.then;
        } while (by.has_pending());
        return all;
    }

    engine server;
    engine client;
    progress server_is = progress::more;
    progress client_is = progress::more;
    std::string to_server;
    std::string to_client;

private:
    static std::string step(engine& e, progress& is, std::string_view bytes) {
        is = e.handshake(bytes);
        return e.take_output();
    }
    static void pass(
        std::string& from, engine& to, progress& is, std::string& answer, std::size_t at_once) {
        while (!from.empty() && is == progress::more) {
            const auto piece = from.substr(0, at_once);
            from.erase(0, piece.size());
            answer += step(to, is, piece);
        }
    }
};

}  // namespace pgweir::tls
