// From files to rules, from a client to its rule, and from a rule to its refusal.
#include "pgweir/auth/access_rules.hpp"

#include "auth/hba_line.hpp"
#include "auth/ident_line.hpp"

#include <algorithm>
#include <utility>

namespace pgweir::auth {
namespace {

template <class Parsed>
void read_file(const std::string& path,
               rule_source& source,
               std::variant<Parsed, rule_problem> (*parse_line)(const rule_line&),
               std::vector<Parsed>& out,
               std::vector<rule_problem>& problems) {
    for (const auto& line : read_rule_lines(path, source)) {
        auto parsed = parse_line(line);
        if (auto* wrong = std::get_if<rule_problem>(&parsed)) {
            problems.push_back(std::move(*wrong));
        } else {
            out.push_back(std::move(std::get<Parsed>(parsed)));
        }
    }
}

std::string named(std::string_view what, std::string_view name) {
    return std::string{what} + " \"" + std::string{name} + '"';
}

// From whom the connection was, as both refusals say it.
std::string origin(const connection_facts& client, std::string_view host) {
    auto text = named("host", host) + ", " + named("user", client.user);
    if (!client.is_physical_replication) {
        text += ", " + named("database", client.database);
    }
    return text + (client.is_encrypted ? ", SSL encryption" : ", no encryption");
}

constexpr const char* not_authorized = "28000";  // invalid_authorization_specification

}  // namespace

std::variant<std::shared_ptr<const access_rules>, std::vector<rule_problem>> access_rules::parse(
    const std::string& hba_path, const std::string& ident_path, rule_source& source) {
    auto out = std::make_shared<access_rules>();
    std::vector<rule_problem> problems;
    read_file(hba_path, source, parse_hba_line, out->rules_, problems);
    if (out->rules_.empty() && problems.empty()) {
        problems.push_back({hba_path, 0,
                            named("configuration file", hba_path) + " contains no entries",
                            "nobody could log in: add a rule"});
    }
    if (!ident_path.empty()) {
        read_file(ident_path, source, parse_ident_line, out->maps_, problems);
    }
    for (unsigned number = 0; auto& rule : out->rules_) {
        rule.number = ++number;
        out->needs_interfaces_ |= rule.from == hba_rule::addresses::same_host ||
                                  rule.from == hba_rule::addresses::same_network;
    }
    if (problems.empty()) {
        problems = out->missing_maps(ident_path);
    }
    if (!problems.empty()) {
        return problems;
    }
    return std::shared_ptr<const access_rules>{std::move(out)};
}

// PostgreSQL finds out when somebody cannot log in.
std::vector<rule_problem> access_rules::missing_maps(const std::string& ident_path) const {
    std::vector<rule_problem> problems;
    for (const auto& rule : rules_) {
        const bool is_there =
            rule.map.empty() ||
            std::ranges::find(maps_, rule.map, &identity_map_entry::map) != maps_.end();
        if (!is_there) {
            problems.push_back(
                {rule.file, rule.line, "there is no " + named("map", rule.map),
                 ident_path.empty() ? "auth.ident_file is not set" : "add it to " + ident_path});
        }
    }
    return problems;
}

const hba_rule* access_rules::find(const connection_facts& client) const {
    const auto found =
        std::ranges::find_if(rules_, [&](const hba_rule& r) { return r.matches(client); });
    return found == rules_.end() ? nullptr : &*found;
}

access_rules::identity_verdict access_rules::judge_identity(const hba_rule& rule,
                                                            std::string_view identity,
                                                            std::string_view user) const {
    if (rule.map.empty()) {
        if (identity == user) {
            return {true, {}};
        }
        return {false, "provided user name (" + std::string{user} +
                           ") and authenticated user name (" + std::string{identity} +
                           ") do not match"};
    }
    for (const auto& entry : maps_) {
        if (entry.map != rule.map) {
            continue;
        }
        auto said = look_up(entry, identity, user);
        if (said.is_found || !said.error.empty()) {
            return {said.is_found, std::move(said.error)};
        }
    }
    return {false, "no match in " + named("usermap", rule.map) + " for " + named("user", user) +
                       ' ' + named("authenticated as", identity)};
}

refusal refuse_without_rule(const connection_facts& client, std::string_view host) {
    const std::string what = client.is_physical_replication
                                 ? "no pg_hba.conf entry for replication connection from "
                                 : "no pg_hba.conf entry for ";
    return {not_authorized, what + origin(client, host), {}};
}

refusal refuse_by_rule(const connection_facts& client, std::string_view host) {
    const std::string what = client.is_physical_replication ? "replication " : "";
    return {not_authorized,
            "pg_hba.conf rejects " + what + "connection for " + origin(client, host),
            {}};
}

refusal refuse_failed(hba_method method, std::string_view user) {
    std::string who = "for " + named("user", user);
    switch (method) {
        case hba_method::trust:
            return {not_authorized, "\"trust\" authentication failed " + who, {}};
        case hba_method::cert:
            return {not_authorized, "certificate authentication failed " + who, {}};
        case hba_method::peer: return {not_authorized, "Peer authentication failed " + who, {}};
        case hba_method::reject:
            return {not_authorized, "authentication failed " + who + ": host rejected", {}};
        case hba_method::password:
        case hba_method::md5:
        case hba_method::scram_sha_256: break;
    }
    return {"28P01", "password authentication failed " + who, {}};
}

}  // namespace pgweir::auth
