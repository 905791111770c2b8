// Who may log in, from where and how: pg_hba.conf and pg_ident.conf (PostgreSQL docs chapter 21).
#pragma once

#include "pgweir/auth/client_login.hpp"
#include "pgweir/auth/hba_rule.hpp"
#include "pgweir/auth/rule_source.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pgweir::auth {

// One thing that is wrong with a file of rules; in PostgreSQL's words where it has them.
struct rule_problem {
    std::string file;
    unsigned line = 0;  // 1-based; 0: the file as a whole
    std::string message;
    std::string hint;  // may be empty
};

// One line of pg_ident.conf: whom the system calls `system_user` may log in as `user`.
struct identity_map_entry {
    std::string map;
    name_pattern system_user;
    name_pattern user;  // "all" is a keyword; "\1" stands for what the expression's () took

    friend bool operator==(const identity_map_entry&, const identity_map_entry&) = default;
};

// Immutable once parsed; any thread.
class access_rules {
public:
    // All that is wrong with both files, in the order of their lines, or the rules. No
    // `ident_path`: there are no maps. Total for any text; ends, however files include each other.
    [[nodiscard]] static std::variant<std::shared_ptr<const access_rules>,
                                      std::vector<rule_problem>>
    parse(const std::string& hba_path, const std::string& ident_path, rule_source& source);

    [[nodiscard]] const std::vector<hba_rule>& rules() const noexcept { return rules_; }
    [[nodiscard]] const std::vector<identity_map_entry>& maps() const noexcept { return maps_; }
    // Is there a rule with samehost or samenet?
    [[nodiscard]] bool needs_interfaces() const noexcept { return needs_interfaces_; }

    // The first rule for this client; null: none, it is to be refused.
    [[nodiscard]] const hba_rule* find(const connection_facts& client) const;

    // May whom the system or a certificate calls `identity` log in as `user` under `rule`?
    struct identity_verdict {
        bool is_allowed = false;
        std::string why;  // not; for the log, PostgreSQL's words
    };
    [[nodiscard]] identity_verdict judge_identity(const hba_rule& rule,
                                                  std::string_view identity,
                                                  std::string_view user) const;

private:
    [[nodiscard]] std::vector<rule_problem> missing_maps(const std::string& ident_path) const;

    std::vector<hba_rule> rules_;
    std::vector<identity_map_entry> maps_;
    bool needs_interfaces_ = false;
};

// FATAL 28000 for whom no rule is, and for whom a rule rejects, as PostgreSQL says them. `host`:
// the client's address as text, "[local]" for a unix socket.
[[nodiscard]] refusal refuse_without_rule(const connection_facts& client, std::string_view host);
[[nodiscard]] refusal refuse_by_rule(const connection_facts& client, std::string_view host);
// FATAL for a failed login by this method: 28P01 where it is by password, else 28000.
[[nodiscard]] refusal refuse_failed(hba_method method, std::string_view user);

}  // namespace pgweir::auth
