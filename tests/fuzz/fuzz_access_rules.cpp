// Hostile files of access rules: parts of the input between lines of "%" are pg_hba.conf,
// pg_ident.conf, a file to include, and names to ask about.
#include "auth/rule_files.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

using namespace pgweir::auth;

std::string take_part(std::string_view& input) {
    const auto end = input.find("\n%\n");
    std::string part{input.substr(0, end)};
    input.remove_prefix(end == std::string_view::npos ? input.size() : end + 3);
    return part;
}

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

void ask(const access_rules& rules, connection_facts client, const std::string& name) {
    const interface_address here{*ip_address::parse("10.1.2.3"), *ip_address::parse("255.0.0.0")};
    client.interfaces = {&here, 1};
    const auto* rule = rules.find(client);
    if (rule == nullptr) {
        return;
    }
    require(rule->matches(client));
    for (const auto& earlier : rules.rules()) {
        if (&earlier == rule) {
            break;
        }
        require(!earlier.matches(client));
    }
    const auto verdict = rules.judge_identity(*rule, name, client.user);
    require(verdict.is_allowed == verdict.why.empty());
    require(!rule->map.empty() || verdict.is_allowed == (name == client.user));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view input{reinterpret_cast<const char*>(data), size};
    rule_files files{{"/d/hba", take_part(input)},
                     {"/d/ident", take_part(input)},
                     {"/d/more.conf", take_part(input)}};
    const std::string user = take_part(input);
    const std::string database = take_part(input);
    const std::string identity = take_part(input);
    const auto parsed = access_rules::parse("/d/hba", "/d/ident", files);
    if (const auto* problems = std::get_if<std::vector<rule_problem>>(&parsed)) {
        require(!problems->empty());
        return 0;
    }
    const auto& rules = *std::get<0>(parsed);
    require(!rules.rules().empty());
    for (const auto* address : {"", "10.1.2.3", "192.0.2.1", "::1"}) {
        for (const bool flag : {false, true}) {
            ask(rules,
                {.peer = ip_address::parse(address),
                 .is_encrypted = flag,
                 .database = database,
                 .user = user,
                 .is_physical_replication = flag && *address == '1'},
                identity);
        }
    }
    return 0;
}
