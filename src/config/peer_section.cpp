// From [peer.ID] and [peers] to the other instances of pgweir.
#include "config/peer_section.hpp"

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace pgweir::config {

namespace {

// 0, which is nobody's, where `text` is no peer's number.
unsigned number_in(std::string_view text) {
    unsigned number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool is_one = error == std::errc{} && end == text.data() + text.size();
    return is_one && number <= max_peer_id ? number : 0;
}

std::string range() { return "a number from 1 to " + std::to_string(max_peer_id); }

}  // namespace

reading peer_number::read(const node& n, unsigned& out, const reading_place&) const {
    if (!n.is_table()) {
        std::int64_t number = 0;
        auto refused = read_whole(n, 0, max_peer_id, number);
        if (!refused) {
            out = static_cast<unsigned>(number);
        }
        return refused;
    }
    const auto* name = n.children.size() == 1 && n.children[0].name == "env"
                           ? std::get_if<std::string>(&n.children[0].value)
                           : nullptr;
    if (name == nullptr || name->empty() || any_text(*name)) {
        return fault{"must be a number or name one environment variable",
                     R"(write 1 or { env = "NAME" })"};
    }
    const char* value = std::getenv(name->c_str());
    const auto number = number_in(value == nullptr ? "" : value);
    if (number == 0) {
        return fault{"is in the environment variable " + key_part(*name) + ", which " +
                         (value == nullptr ? "is not set" : "is not " + range()),
                     {}};
    }
    out = number;
    return std::nullopt;
}

void read_peer(const node& n, snapshot& out, section_reader& reader) {
    const section_name section{"peer.ID", "peer." + key_part(n.name)};
    if (!reader.expect_table(n, section.shown, "each peer has a section of its own: [peer.ID]")) {
        return;
    }
    const auto id = number_in(n.name);
    if (id == 0 || std::to_string(id) != n.name) {
        reader.complain(n.name_at, section.shown + " is not called by " + range(),
                        "the name is the peer's own peers.id");
        return;
    }
    peer_settings& peer = out.peers[id];
    peer.tls = out.server_tls;
    reader.read(n, section, peer_rules(), peer, {"tls"});
    if (const node* tls = n.child("tls");
        tls != nullptr && reader.expect_table(*tls, section.below("tls").shown)) {
        reader.read(*tls, section.below("tls"), server_tls_rules(), peer.tls);
    }
    if (n.child("host") == nullptr) {
        reader.complain(n.name_at, section.shown + ".host is missing", "a name or an address");
    }
}

}  // namespace pgweir::config
