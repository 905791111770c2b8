// One rule of pg_hba.conf: whom it is for, and how they prove who they are.
#pragma once

#include "pgweir/auth/ip_address.hpp"
#include "pgweir/auth/name_pattern.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::auth {

// PostgreSQL docs 21.1. GSSAPI encryption is never spoken: hostgssenc matches nobody, hostnogssenc
// whomever host matches.
enum class connection_type : std::uint8_t {
    local,
    host,
    hostssl,
    hostnossl,
    hostgssenc,
    hostnogssenc
};

// Those of PostgreSQL docs 21.3 that pgweir has; ident on a unix socket is peer.
enum class hba_method : std::uint8_t { trust, reject, password, md5, scram_sha_256, cert, peer };

// clientcert: none is asked for; a valid one; a valid one with the user's name.
enum class certificate_check : std::uint8_t { none, verify_ca, verify_full };
// clientname: which part of the certificate's subject names the user.
enum class certificate_name : std::uint8_t { common_name, distinguished_name };

[[nodiscard]] const char* to_string(connection_type) noexcept;
[[nodiscard]] const char* to_string(hba_method) noexcept;

// What is known of a client that has sent its startup packet. The views outlive the question.
struct connection_facts {
    std::optional<ip_address> peer{};  // nullopt: a unix socket
    bool is_encrypted = false;         // TLS
    std::string_view database{};
    std::string_view user{};
    // replication=true; replication=database is an ordinary connection here.
    bool is_physical_replication = false;
    // Of this machine, for samehost and samenet; needed where access_rules::needs_interfaces().
    std::span<const interface_address> interfaces{};
};

struct hba_rule {
    enum class addresses : std::uint8_t { all, same_host, same_network, range };

    unsigned number = 0;  // 1-based, in the order in which rules are tried
    std::string file;
    unsigned line = 0;
    connection_type type = connection_type::local;
    std::vector<name_pattern> databases;
    std::vector<name_pattern> users;
    addresses from = addresses::all;  // of another type than local
    ip_address network;               // of a range
    ip_address mask;
    hba_method method = hba_method::reject;
    std::string map;  // of pg_ident.conf; empty: the names must be equal
    certificate_check clientcert = certificate_check::none;
    certificate_name clientname = certificate_name::common_name;
    std::string remark;  // why it can match nobody; empty: it can

    [[nodiscard]] bool matches(const connection_facts& client) const;

    friend bool operator==(const hba_rule&, const hba_rule&) = default;
};

}  // namespace pgweir::auth
