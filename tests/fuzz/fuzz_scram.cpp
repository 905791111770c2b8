// Hostile bytes for both SCRAM machines, both login machines and the verifier parser.
#include "pgweir/auth/client_login.hpp"
#include "pgweir/auth/server_login.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using namespace pgweir::auth;

// The next message: what comes before a newline.
std::string_view take_line(std::string_view& input) {
    const std::size_t end = input.find('\n');
    const std::string_view line = input.substr(0, end);
    input.remove_prefix(end == std::string_view::npos ? input.size() : end + 1);
    return line;
}

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

const scram_verifier& verifier() {
    static const scram_verifier made = make_scram_verifier("pencil", "0123456789abcdef", 1);
    return made;
}

void parse_verifier(std::string_view input) {
    const auto parsed = scram_verifier::parse(input);
    if (parsed) {
        require(scram_verifier::parse(parsed->to_string()) == parsed);
    }
}

void scram_both_ways(std::string_view input) {
    scram_server server{verifier(), "server-nonce", false};
    (void)server.on_client_first(take_line(input));
    (void)server.on_client_final(take_line(input));
    scram_client client{"client-nonce"};
    if (!client.on_server_first(take_line(input))) {
        require(client.iterations() >= 1 && client.iterations() <= scram_client::max_iterations);
        (void)client.final_message({});
        (void)client.verify_server_final(take_line(input));
    }
}

// Nobody is let in who was not known, whatever he says.
void client_without_a_user(method how, std::string_view input) {
    client_login login{how, {"nobody", "", false, {}}, digest{}, {"server-nonce", {}}};
    client_login::step step = login.start();
    while (!input.empty() && step.what != client_login::step::kind::refused) {
        step = step.what == client_login::step::kind::hash
                   ? login.on_hashed({})
                   : login.on_message('p', take_line(input));
        require(step.what != client_login::step::kind::accepted);
    }
}

// No server is believed after it began SCRAM: it does not know the password.
void server_without_a_verifier(std::string_view input) {
    server_login login{{"alice", "pencil", {}, {}, 0}, "client-nonce"};
    static constexpr char sasl[] = "\0\0\0\x0aSCRAM-SHA-256\0";
    server_login::step step = login.on_authentication({sasl, sizeof sasl});
    while (!input.empty() && step.what != server_login::step::kind::failed) {
        step = step.what == server_login::step::kind::hash
                   ? login.on_hashed({})
                   : login.on_authentication(take_line(input));
        require(step.what != server_login::step::kind::ok);
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
    switch (what) {
        case 'v': parse_verifier(input); break;
        case 's': scram_both_ways(input); break;
        case 'c': client_without_a_user(method::scram_sha_256, input); break;
        case 'p': client_without_a_user(method::password, input); break;
        case 'm': client_without_a_user(method::md5, input); break;
        case 'r': server_without_a_verifier(input); break;
        default: break;
    }
    return 0;
}
