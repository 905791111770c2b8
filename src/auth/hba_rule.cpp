// Whom a rule is for.
#include "pgweir/auth/hba_rule.hpp"

#include <algorithm>

namespace pgweir::auth {
namespace {

bool is_for_database(const name_pattern& entry, const connection_facts& client) {
    if (client.is_physical_replication) {
        return entry.is_keyword("replication");
    }
    if (entry.is_keyword("all")) {
        return true;
    }
    if (entry.is_keyword("sameuser")) {
        return client.database == client.user;
    }
    return !entry.is_keyword("replication") && entry.matches(client.database);
}

bool is_for_user(const name_pattern& entry, std::string_view user) {
    return entry.is_keyword("all") || entry.matches(user);
}

bool is_from(const hba_rule& rule, const connection_facts& client) {
    const auto& peer = *client.peer;
    switch (rule.from) {
        case hba_rule::addresses::all: return true;
        case hba_rule::addresses::range: return peer.is_within(rule.network, rule.mask);
        case hba_rule::addresses::same_host:
            return std::ranges::find(client.interfaces, peer, &interface_address::address) !=
                   client.interfaces.end();
        case hba_rule::addresses::same_network:
            return std::ranges::any_of(client.interfaces, [&](const interface_address& i) {
                return peer.is_within(i.address, i.mask);
            });
    }
    return false;
}

bool is_of_type(connection_type type, const connection_facts& client) {
    if (type == connection_type::local || !client.peer) {
        return type == connection_type::local && !client.peer;
    }
    switch (type) {
        case connection_type::hostssl: return client.is_encrypted;
        case connection_type::hostnossl: return !client.is_encrypted;
        case connection_type::hostgssenc: return false;
        case connection_type::local:
        case connection_type::host:
        case connection_type::hostnogssenc: break;
    }
    return true;
}

}  // namespace

const char* to_string(connection_type type) noexcept {
    switch (type) {
        case connection_type::local: return "local";
        case connection_type::host: return "host";
        case connection_type::hostssl: return "hostssl";
        case connection_type::hostnossl: return "hostnossl";
        case connection_type::hostgssenc: return "hostgssenc";
        case connection_type::hostnogssenc: return "hostnogssenc";
    }
    return "";
}

const char* to_string(hba_method method) noexcept {
    switch (method) {
        case hba_method::trust: return "trust";
        case hba_method::reject: return "reject";
        case hba_method::password: return "password";
        case hba_method::md5: return "md5";
        case hba_method::scram_sha_256: return "scram-sha-256";
        case hba_method::cert: return "cert";
        case hba_method::peer: return "peer";
    }
    return "";
}

bool hba_rule::matches(const connection_facts& client) const {
    return is_of_type(type, client) && (type == connection_type::local || is_from(*this, client)) &&
           std::ranges::any_of(databases,
                               [&](const auto& d) { return is_for_database(d, client); }) &&
           std::ranges::any_of(users, [&](const auto& u) { return is_for_user(u, client.user); });
}

}  // namespace pgweir::auth
