// Prepared statements and portals of one console session.
#pragma once

#include "admin/command.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pgweir::admin {

// A statement that Parse made. Portals keep what they were bound to, even when a new unnamed
// statement replaces it, as PostgreSQL does.
struct prepared_statement {
    std::optional<command> what;  // absent: the text was empty
};

struct portal {
    std::shared_ptr<const prepared_statement> statement;
    format_list result_formats;  // empty, or one a column
    std::string rows;            // DataRow messages, once executed
    std::size_t sent = 0;        // bytes of these
    bool is_executed = false;
};

// Follows PostgreSQL docs 55.2.3: the unnamed of each kind is replaced silently, a named one must
// not exist yet, closing what does not exist is no error, and closing a statement closes its
// portals. Owned by the session.
class prepared_store {
public:
    // Names of one kind; drivers cache statements, but a console has few to cache.
    static constexpr std::size_t statement_limit = 128;
    static constexpr std::size_t portal_limit = 16;

    // The bodies of Parse and Bind. Total.
    [[nodiscard]] std::optional<failure> parse(std::string_view body);
    [[nodiscard]] std::optional<failure> bind(std::string_view body);

    // Null when there is none of that name.
    [[nodiscard]] std::shared_ptr<const prepared_statement> find_statement(
        std::string_view name) const;
    // Valid until this portal, or all portals, are closed or replaced.
    [[nodiscard]] portal* find_portal(std::string_view name);
    [[nodiscard]] const portal* find_portal(std::string_view name) const;

    // What DEALLOCATE does: portals of the statement, its own among them, live on.
    bool forget_statement(std::string_view name);
    void forget_statements() { statements_.clear(); }
    // What Close does.
    void close_statement(std::string_view name);
    void close_portal(std::string_view name);
    // The end of a transaction ends its portals.
    void close_portals() { portals_.clear(); }

private:
    std::map<std::string, std::shared_ptr<const prepared_statement>, std::less<>> statements_;
    std::map<std::string, portal, std::less<>> portals_;
};

[[nodiscard]] failure no_such_statement(std::string_view name);
[[nodiscard]] failure no_such_portal(std::string_view name);
[[nodiscard]] failure malformed_message();

}  // namespace pgweir::admin
