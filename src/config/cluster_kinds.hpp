// What the keys of a cluster may hold.
#pragma once

#include "config/value_kinds.hpp"

namespace pgweir::config {

[[nodiscard]] reading node_host(std::string_view text);        // a name or an address
[[nodiscard]] reading state_directory(std::string_view text);  // absolute

// Nodes in short: ["10.0.0.1", "pg-2:5433", "[::1]:5433"]. Each is called by its host.
struct node_list {
    using value_type = std::vector<node_settings>;
    [[nodiscard]] reading read(const node& n, value_type& out, const reading_place&) const;
    [[nodiscard]] std::string print(const value_type& value) const;
};

// PostgreSQL's system identifier, as a number or as text: TOML's whole numbers end at 2^63.
struct system_number {
    using value_type = std::uint64_t;
    [[nodiscard]] reading read(const node& n, std::uint64_t& out, const reading_place&) const;
    [[nodiscard]] std::string print(std::uint64_t value) const;
};

// repmgr's node_id; 0 stands for none.
struct repmgr_number {
    using value_type = std::optional<int>;
    [[nodiscard]] reading read(const node& n, value_type& out, const reading_place&) const;
    [[nodiscard]] std::string print(const value_type& value) const {
        return std::to_string(value.value_or(0));
    }
};

}  // namespace pgweir::config
