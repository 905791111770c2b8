// Fields of a rule, in their order; what is wrong is said as PostgreSQL's parse_hba_line() says it.
#include "auth/hba_line.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace pgweir::auth {
namespace {

// Ends the line at its first problem; caught in parse_hba_line().
struct refused {
    std::string message;
    std::string hint;
};

constexpr std::array types{connection_type::local,      connection_type::host,
                           connection_type::hostssl,    connection_type::hostnossl,
                           connection_type::hostgssenc, connection_type::hostnogssenc};
constexpr std::array methods{hba_method::trust, hba_method::reject,        hba_method::password,
                             hba_method::md5,   hba_method::scram_sha_256, hba_method::cert,
                             hba_method::peer};
// PostgreSQL's others.
constexpr std::array<std::string_view, 8> methods_lacking{"ident", "gss",  "sspi",   "pam",
                                                          "bsd",   "ldap", "radius", "oauth"};

std::string quoted(std::string_view text) { return '"' + std::string{text} + '"'; }

class line_parser {
public:
    explicit line_parser(const rule_line& line) : line_{line} {
        rule_.file = line.file;
        rule_.line = line.line;
    }

    hba_rule parse() {
        read_type();
        read_names(next("database specification"), rule_.databases, "samerole");
        read_names(next("role specification"), rule_.users, "");
        if (rule_.type != connection_type::local) {
            read_address();
        }
        read_method();
        while (next_ < line_.fields.size()) {
            for (const auto& option : line_.fields[next_]) {
                read_option(option.text);
            }
            ++next_;
        }
        if (rule_.method == hba_method::cert) {
            rule_.clientcert = certificate_check::verify_full;
        }
        return std::move(rule_);
    }

private:
    const field& next(const std::string& what, std::string hint = {}) {
        if (next_ >= line_.fields.size()) {
            throw refused{"end-of-line before " + what, std::move(hint)};
        }
        return line_.fields[next_++];
    }

    const token& next_single(const std::string& absent,
                             const std::string& what,
                             std::string hint,
                             std::string absent_hint = {}) {
        const auto& f = next(absent, std::move(absent_hint));
        if (f.size() > 1) {
            throw refused{"multiple values specified for " + what, std::move(hint)};
        }
        return f.front();
    }

    void read_type() {
        const auto& word = next_single("connection type", "connection type",
                                       "Specify exactly one connection type per line.");
        const auto* const found =
            std::ranges::find(types, word.text, [](auto t) { return to_string(t); });
        if (found == types.end()) {
            throw refused{"invalid connection type " + quoted(word.text), {}};
        }
        rule_.type = *found;
        if (rule_.type == connection_type::hostgssenc) {
            rule_.remark =
                "hostgssenc record cannot match because GSSAPI is not supported by this build";
        }
    }

    void read_names(const field& from, std::vector<name_pattern>& out, std::string_view keyword) {
        for (const auto& entry : from) {
            name_pattern name;
            if (auto wrong = name.assign(entry.text, entry.is_quoted)) {
                throw refused{std::move(*wrong), {}};
            }
            const bool by_role = keyword.empty()
                                     ? name.is_membership()
                                     : name.is_keyword(keyword) || name.is_keyword("samegroup");
            if (by_role) {
                throw refused{"membership of roles is not known to pgweir: " + quoted(entry.text),
                              "name the users, or match them with a regular expression"};
            }
            out.push_back(std::move(name));
        }
    }

    void read_address() {
        const auto& word = next_single("IP address specification", "host address",
                                       "Specify one address range per line.");
        if (word.is_keyword("all")) {
            return;
        }
        if (word.is_keyword("samehost") || word.is_keyword("samenet")) {
            rule_.from = word.text == "samehost" ? hba_rule::addresses::same_host
                                                 : hba_rule::addresses::same_network;
            return;
        }
        rule_.from = hba_rule::addresses::range;
        const std::string_view text = word.text;
        const auto slash = text.find('/');
        const auto network = ip_address::parse(text.substr(0, slash));
        if (!network) {
            if (slash != std::string_view::npos) {
                throw refused{"specifying both host name and CIDR mask is invalid: " + quoted(text),
                              {}};
            }
            throw refused{"host names are not supported by pgweir: " + quoted(text),
                          "write its address or network, such as 192.0.2.0/24"};
        }
        rule_.network = *network;
        if (slash == std::string_view::npos) {
            return read_mask();
        }
        const auto bits = text.substr(slash + 1);
        unsigned number = 0;
        const auto [end, error] = std::from_chars(bits.data(), bits.data() + bits.size(), number);
        const auto mask = ip_address::mask_of(network->kind(), number);
        if (error != std::errc{} || end != bits.data() + bits.size() || !mask) {
            throw refused{"invalid CIDR mask in address " + quoted(text), {}};
        }
        rule_.mask = *mask;
    }

    void read_mask() {
        const auto& word = next_single(
            "netmask specification", "netmask", {},
            "Specify an address range in CIDR notation, or provide a separate netmask.");
        const auto mask = ip_address::parse(word.text);
        if (!mask) {
            throw refused{"invalid IP mask " + quoted(word.text) + ": Name or service not known",
                          {}};
        }
        if (mask->kind() != rule_.network.kind()) {
            throw refused{"IP address and mask do not match", {}};
        }
        rule_.mask = *mask;
    }

    void read_method() {
        const auto& word = next_single("authentication method", "authentication type",
                                       "Specify exactly one authentication type per line.");
        const bool is_local = rule_.type == connection_type::local;
        const auto* found =
            std::ranges::find(methods, word.text, [](auto m) { return to_string(m); });
        // Before there was peer, this is what it was called.
        if (is_local && word.text == "ident") {
            found = std::ranges::find(methods, hba_method::peer);
        }
        if (found == methods.end()) {
            const bool is_known =
                std::ranges::find(methods_lacking, word.text) != methods_lacking.end();
            throw refused{"invalid authentication method " + quoted(word.text) +
                              (is_known ? ": not supported by this build" : ""),
                          is_known ? "pgweir has trust, reject, password, md5, scram-sha-256, cert "
                                     "and peer"
                                   : ""};
        }
        rule_.method = *found;
        if (!is_local && rule_.method == hba_method::peer) {
            throw refused{"peer authentication is only supported on local sockets", {}};
        }
        if (rule_.type != connection_type::hostssl && rule_.method == hba_method::cert) {
            throw refused{"cert authentication is only supported on hostssl connections", {}};
        }
    }

    void read_option(std::string_view text) {
        const auto sign = text.find('=');
        if (sign == std::string_view::npos) {
            throw refused{"authentication option not in name=value format: " + std::string{text},
                          {}};
        }
        const auto name = text.substr(0, sign);
        const auto value = text.substr(sign + 1);
        if (name == "map") {
            return read_map(value);
        }
        if (name != "clientcert" && name != "clientname") {
            throw refused{"unrecognized authentication option name: " + quoted(name), {}};
        }
        if (rule_.type != connection_type::hostssl) {
            throw refused{std::string{name} + R"( can only be configured for "hostssl" rows)", {}};
        }
        if (name == "clientname") {
            if (value != "CN" && value != "DN") {
                throw refused{"invalid value for clientname: " + quoted(value), {}};
            }
            rule_.clientname = value == "DN" ? certificate_name::distinguished_name
                                             : certificate_name::common_name;
            return;
        }
        if (value == "verify-full") {
            rule_.clientcert = certificate_check::verify_full;
        } else if (value != "verify-ca") {
            throw refused{"invalid value for clientcert: " + quoted(value), {}};
        } else if (rule_.method == hba_method::cert) {
            throw refused{
                R"(clientcert can only be set to "verify-full" when using "cert" authentication)",
                {}};
        } else {
            rule_.clientcert = certificate_check::verify_ca;
        }
    }

    void read_map(std::string_view value) {
        if (rule_.method != hba_method::peer && rule_.method != hba_method::cert) {
            throw refused{
                "authentication option \"map\" is only valid for authentication methods "
                "ident, peer, gssapi, sspi, and cert",
                {}};
        }
        rule_.map = value;
    }

    const rule_line& line_;
    std::size_t next_ = 0;
    hba_rule rule_;
};

}  // namespace

std::variant<hba_rule, rule_problem> parse_hba_line(const rule_line& line) try {
    if (!line.error.empty()) {
        return rule_problem{line.file, line.line, line.error, {}};
    }
    return line_parser{line}.parse();
} catch (refused& why) {
    return rule_problem{line.file, line.line, std::move(why.message), std::move(why.hint)};
}

}  // namespace pgweir::auth
