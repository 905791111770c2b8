// What the monitor asks a node: one batch of statements a probe.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::watch {

// A statement of the batch. All but `role` may be missing: a privilege, or repmgr, may be.
enum class part : std::uint8_t {
    role,          // who it is and what it does
    receiver,      // where it has its WAL from
    senders,       // whom it sends WAL to
    slots,         //
    repmgr_nodes,  // repmgr's metadata with addresses, through the function of conf/monitor.sql
    repmgr_table,  // the same without addresses, from the table, where that function is missing
    repmgr_local,  // the node that repmgrd says it is
    repmgr_term,   // shown only
};
inline constexpr std::size_t part_count = 8;
inline constexpr std::array<part, part_count> all_parts = {
    part::role,         part::receiver,     part::senders,      part::slots,
    part::repmgr_nodes, part::repmgr_table, part::repmgr_local, part::repmgr_term};

class part_set {
public:
    constexpr part_set() noexcept = default;
    constexpr part_set(std::initializer_list<part> parts) noexcept {
        for (const auto p : parts) {
            add(p);
        }
    }
    constexpr void add(part p) noexcept { bits_ |= bit(p); }
    constexpr void remove(part p) noexcept { bits_ &= ~bit(p); }
    [[nodiscard]] constexpr bool has(part p) const noexcept { return (bits_ & bit(p)) != 0; }
    friend constexpr bool operator==(part_set, part_set) noexcept = default;
    friend constexpr part_set operator|(part_set a, part_set b) noexcept {
        a.bits_ |= b.bits_;
        return a;
    }

private:
    static constexpr unsigned bit(part p) noexcept { return 1U << static_cast<unsigned>(p); }

    unsigned bits_ = 0;
};

// The parts to ask for, in the order of the batch. `lacking`: those that were refused.
[[nodiscard]] std::vector<part> parts_to_ask(bool uses_repmgr, part_set lacking);
// One simple query; its results come in the order of `parts`. For PostgreSQL 13 and later.
[[nodiscard]] std::string batch_of(std::span<const part> parts);

// What to tell the operator, once, when a part was refused with this SQLSTATE: what is missing and
// the command that helps. `user`: the monitor's role.
[[nodiscard]] std::string advice_on(part p, std::string_view sqlstate, std::string_view user);

[[nodiscard]] const char* to_string(part) noexcept;

}  // namespace pgweir::watch
