// Hostile bytes for the first packet of a connection and for its "options".
#include "pgweir/base/byte_order.hpp"
#include "pgweir/protocol/startup.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>

namespace {

using namespace pgweir::protocol;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

void check(const startup_message& m, std::size_t size) {
    require(!m.user.empty() && !m.database.empty());
    std::size_t bytes = m.options.size();
    std::set<std::string_view> names;
    for (const auto& [name, value] : m.settings) {
        require(!name.empty() && names.insert(name).second);
        bytes += name.size() + value.size();
    }
    for (const auto& name : m.protocol_options) {
        require(name.starts_with("_pq_."));
        bytes += name.size();
    }
    require(bytes < size);
    std::string out;
    append_negotiate_version(out, m.minor, m.protocol_options);
    require(out.empty() || pgweir::base::load_be32(out.data() + 1) + 1 == out.size());
}

void check_options(std::string_view text) {
    const auto parsed = parse_options(text);
    std::size_t bytes = 0;
    for (const auto& [name, value] : parsed.settings) {
        require(!name.empty() && name.find_first_of("-=") == std::string::npos);
        bytes += name.size() + value.size();
    }
    require(bytes <= text.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input{reinterpret_cast<const char*>(data), size};
    check_options(input);
    // As it is, and with a length word that tells the truth.
    (void)parse_startup(input);
    std::string packet(4, '\0');
    packet += input;
    pgweir::base::store_be32(packet.data(), static_cast<std::uint32_t>(packet.size()));
    const auto parsed = parse_startup(packet);
    if (const auto* m = std::get_if<startup_message>(&parsed)) {
        check(*m, packet.size());
        check_options(m->options);
    }
    return 0;
}
