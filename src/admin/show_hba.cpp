// SHOW HBA: the rules for logins in force, in the order in which they are tried, and what is wrong
// with those that the last reload refused.
#include "admin/commands.hpp"
#include "pgweir/auth/access_rules.hpp"

#include <array>
#include <strings.h>

namespace pgweir::admin {
namespace {

// As PostgreSQL's view pg_hba_file_rules.
constexpr std::array columns{
    column{"rule_number", column_type::int4}, column{"file_name", column_type::text},
    column{"line_number", column_type::int4}, column{"type", column_type::text},
    column{"database", column_type::text},    column{"user_name", column_type::text},
    column{"address", column_type::text},     column{"netmask", column_type::text},
    column{"auth_method", column_type::text}, column{"options", column_type::text},
    column{"error", column_type::text},
};

// As PostgreSQL prints an array of texts: docs 8.15.6.
std::string array_of(const std::vector<std::string>& items) {
    std::string out = "{";
    for (const auto& item : items) {
        out += out.size() > 1 ? "," : "";
        const bool plain = !item.empty() &&
                           item.find_first_of("{},\"\\ \t\n\r\v\f") == std::string::npos &&
                           ::strcasecmp(item.c_str(), "null") != 0;
        if (plain) {
            out += item;
            continue;
        }
        out += '"';
        for (const char c : item) {
            out += c == '"' || c == '\\' ? "\\" : "";
            out += c;
        }
        out += '"';
    }
    return out + "}";
}

std::string names(const std::vector<auth::name_pattern>& entries) {
    std::vector<std::string> items;
    items.reserve(entries.size());
    for (const auto& entry : entries) {
        items.push_back(entry.text());
    }
    return array_of(items);
}

std::string options(const auth::hba_rule& rule) {
    std::vector<std::string> items;
    if (!rule.map.empty()) {
        items.push_back("map=" + rule.map);
    }
    if (rule.clientcert != auth::certificate_check::none) {
        items.emplace_back(rule.clientcert == auth::certificate_check::verify_ca
                               ? "clientcert=verify-ca"
                               : "clientcert=verify-full");
    }
    if (rule.clientname == auth::certificate_name::distinguished_name) {
        items.emplace_back("clientname=DN");
    }
    return items.empty() ? std::string{} : array_of(items);
}

// Why the rule can match nobody: empty when it can.
std::string_view remark(const auth::hba_rule& rule, const config::snapshot& snapshot) {
    const bool lacks_tls = rule.type == auth::connection_type::hostssl &&
                           snapshot.client_tls.mode == config::tls_mode::disable;
    return lacks_tls ? "hostssl record cannot match because SSL is disabled"
                     : std::string_view{rule.remark};
}

void put_address(const auth::hba_rule& rule, row_writer& rows) {
    if (rule.type == auth::connection_type::local) {
        rows.null().null();
        return;
    }
    switch (rule.from) {
        case auth::hba_rule::addresses::all: rows.text("all").null(); return;
        case auth::hba_rule::addresses::same_host: rows.text("samehost").null(); return;
        case auth::hba_rule::addresses::same_network: rows.text("samenet").null(); return;
        case auth::hba_rule::addresses::range: break;
    }
    rows.text(rule.network.to_string()).text(rule.mask.to_string());
}

// As the view shows a line with an error: without a number, and without what could not be read.
void fill_refused(const config::snapshot& snapshot, row_writer& rows) {
    for (const auto& refused : snapshot.refused_rules) {
        rows.null().text(refused.file).number_or_null(refused.line);
        rows.null().null().null().null().null().null().null().text(
            "refused by the last reload, not in force: " + refused.error);
    }
}

void fill_in_force(const config::snapshot& snapshot, row_writer& rows) {
    for (const auto& rule : snapshot.access->rules()) {
        rows.number(rule.number).text(rule.file).number(rule.line).text(to_string(rule.type));
        rows.text(names(rule.databases)).text(names(rule.users));
        put_address(rule, rows);
        rows.text(to_string(rule.method))
            .text_or_null(options(rule))
            .text_or_null(remark(rule, snapshot));
    }
}

void fill(const metrics::report&, const config::snapshot& snapshot, row_writer& rows) {
    if (snapshot.access != nullptr) {
        fill_in_force(snapshot, rows);
    }
    fill_refused(snapshot, rows);
}

}  // namespace

const report_table show_hba{columns, fill};

}  // namespace pgweir::admin
