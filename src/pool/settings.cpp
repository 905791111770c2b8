// Interned startup settings.
#include "pgweir/pool/settings.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>

namespace pgweir::pool {
namespace {

// E'' takes backslash escapes whatever standard_conforming_strings says. Bytes above ASCII are
// escaped, as the server still reads this in the previous client's encoding, where such a byte may
// swallow the backslash behind it; it also takes them as they are then, as from a startup packet.
std::string quote(std::string_view text) {
    static constexpr char hex[] = "0123456789abcdef";
    std::string out = "E'";
    for (const char c : text) {
        const auto u = static_cast<unsigned char>(c);
        if (u >= 0x80) {
            out.append({'\\', 'x', hex[u >> 4], hex[u & 15]});
            continue;
        }
        if (c == '\'' || c == '\\') {
            out.push_back(c);  // doubled: \' is refused in some encodings (backslash_quote)
        }
        out.push_back(c);
    }
    return out += '\'';
}

using value_list = std::vector<std::pair<std::string, std::string>>;

// Who the session runs as comes last, since it decides what else may be set; and the role behind
// the session's user, which takes the role away.
value_list in_order_of_setting(value_list values) {
    const auto rank = [](const auto& v) {
        return v.first == "role" ? 2 : v.first == "session_authorization" ? 1 : 0;
    };
    std::ranges::stable_sort(values, {}, rank);
    return values;
}

std::string make_apply_sql(const value_list& values) {
    std::string sql;
    for (const auto& [name, value] : in_order_of_setting(values)) {
        sql += sql.empty() ? "SELECT " : ", ";
        sql += "pg_catalog.set_config(" + quote(name) + ", " + quote(value) + ", false)";
    }
    return sql;
}

// Equal exactly when the values are: neither names nor values contain a zero byte.
std::string text_of(const value_list& values) {
    std::string text;
    for (const auto& [name, value] : values) {
        text.append(name).push_back('\0');
        text.append(value).push_back('\0');
    }
    return text;
}

std::string number(double n) {
    std::array<char, 32> text{};
    return {text.data(), std::to_chars(text.data(), text.data() + text.size(), n).ptr};
}

// All settings may, but for those known to do nothing of the kind.
bool may_change_parsing(std::string_view name) noexcept {
    constexpr std::array<std::string_view, 6> harmless{
        "application_name",  "client_min_messages", "lock_timeout",
        "statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"};
    return std::ranges::find(harmless, name) == harmless.end();
}

}  // namespace

std::string_view settings::value_of(std::string_view name) const noexcept {
    for (const auto& [n, v] : values) {
        if (n == name) {
            return v;
        }
    }
    return {};
}

std::string preparation_sql(cleansing what, const settings* next, double seed) {
    // RESET ALL leaves role and session_authorization alone. DISCARD ALL does the same work as the
    // longest list, but cannot share an implicit transaction with the settings that follow.
    std::string sql = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL";
    if (what != cleansing::settings) {
        sql = "CLOSE ALL; " + sql +
              "; UNLISTEN *; SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; "
              "DISCARD SEQUENCES; SELECT pg_catalog.setseed(" +
              number(seed) + ")";
    }
    if (what == cleansing::all) {
        sql += "; DEALLOCATE ALL";
    }
    if (next != nullptr && !next->apply_sql.empty()) {
        sql += "; " + next->apply_sql;
    }
    return sql;
}

std::string restoring_sql(const settings& s, std::string_view login_role) {
    // The source of what a client, or apply_sql, has set is "session". Who the session runs as is
    // not in pg_settings.
    std::string listed;
    std::string rest;
    for (const auto& [name, value] : in_order_of_setting(s.values)) {
        if (name == "role" || name == "session_authorization") {
            const std::string_view reset = name == "role" ? "none" : login_role;
            rest += "; SELECT pg_catalog.set_config(" + quote(name) + ", " + quote(value) +
                    ", false) WHERE pg_catalog.current_setting(" + quote(name) +
                    ") = " + quote(reset);
        } else {
            listed += (listed.empty() ? "(" : ", (") + quote(name) + ", " + quote(value) + ")";
        }
    }
    if (listed.empty()) {
        return rest.empty() ? rest : rest.substr(2);
    }
    return "SELECT pg_catalog.set_config(v.name, v.value, false) FROM (VALUES " + listed +
           ") v(name, value) JOIN pg_catalog.pg_settings s ON pg_catalog.lower(s.name) = v.name "
           "WHERE s.source <> 'session'" +
           rest;
}

settings_ptr settings_store::intern(value_list values) {
    for (auto& [name, value] : values) {
        std::ranges::transform(name, name.begin(), [](char c) {
            return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
        });
    }
    std::ranges::stable_sort(values, {}, [](const auto& v) { return v.first; });
    // Of equal names keep the last.
    value_list unique;
    for (auto& v : values) {
        if (!unique.empty() && unique.back().first == v.first) {
            unique.back() = std::move(v);
        } else {
            unique.push_back(std::move(v));
        }
    }
    auto text = text_of(unique);

    const std::lock_guard lock{mutex_};
    if (known_.size() >= sweep_at_) {
        std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
        std::erase_if(parsings_, [](const auto& entry) { return entry.second.expired(); });
        sweep_at_ = std::max<std::size_t>(64, known_.size() * 2);
    }
    auto& entry = known_[std::move(text)];
    auto found = entry.lock();
    if (!found) {
        value_list parsing;
        std::ranges::copy_if(unique, std::back_inserter(parsing),
                             [](const auto& v) { return may_change_parsing(v.first); });
        auto& same = parsings_[text_of(parsing)];
        auto shared = same.lock();
        if (!shared) {
            shared = std::make_shared<const char>();
            same = shared;
        }
        auto sql = make_apply_sql(unique);
        found = std::make_shared<const settings>(
            settings{std::move(unique), std::move(sql), std::move(shared)});
        entry = found;
    }
    // Clients that come one after the other mostly want the same.
    if (std::ranges::find(recent_, found) == recent_.end()) {
        recent_[next_recent_++ % recent_.size()] = found;
    }
    return found;
}

}  // namespace pgweir::pool
