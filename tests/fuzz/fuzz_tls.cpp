// Hostile bytes for both sides of TLS, before, within and after the handshake.
#include "pgweir/tls/engine.hpp"
#include "tls/engine_pair.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using namespace pgweir::tls;
using progress = engine::progress;
using condition = engine::condition;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

const context_ptr& server_context() {
    static const context_ptr made = must_load(engine_pair::server_settings());
    return made;
}
const context_ptr& client_context() {
    static const context_ptr made = must_load(engine_pair::client_settings());
    return made;
}

// Nobody gets through a handshake without the keys for it.
void greet(engine& e, std::string_view bytes) {
    auto is = progress::more;
    while (is == progress::more && !bytes.empty()) {
        const auto at_once = 1 + static_cast<unsigned char>(bytes.front()) % 97U;
        const bool may_be_quick = e.next_step() == engine::step::depends;
        is = e.handshake(bytes.substr(0, at_once),
                         may_be_quick ? engine::effort::little : engine::effort::any);
        if (is == progress::heavy) {
            is = e.handshake({});
        }
        bytes.remove_prefix(std::min<std::size_t>(at_once, bytes.size()));
        require(is != progress::done);
        (void)e.take_output();
    }
}

// Bytes slipped into a connection end it, and nothing of them is taken for text.
void break_in(std::string_view bytes) {
    engine server{server_context()};
    engine client{client_context(), {.host = "localhost", .verify_host = true}};
    (void)client.handshake({});
    (void)server.handshake(client.take_output());
    require(client.handshake(server.take_output()) == progress::done);
    require(server.handshake(client.take_output()) == progress::done);
    require(engine_pair::decrypted(server, engine_pair::encrypted(client, "before")).text ==
            "before");
    char into[100];
    while (!bytes.empty()) {
        const auto at_once = 1 + static_cast<unsigned char>(bytes.front()) % 97U;
        const auto got = server.decrypt(bytes.substr(0, at_once), into);
        require(got.size == 0 && got.then != condition::closed);
        bytes.remove_prefix(std::min<std::size_t>(at_once, bytes.size()));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view input{reinterpret_cast<const char*>(data), size};
    if (input.empty()) {
        return 0;
    }
    const char what = input.front();
    input.remove_prefix(1);
    if (what == 's') {
        engine server{server_context()};
        greet(server, input);
    } else if (what == 'c') {
        engine client{client_context(), {.host = "localhost"}};
        (void)client.handshake({});
        (void)client.take_output();
        greet(client, input);
    } else {
        break_in(input);
    }
    return 0;
}
