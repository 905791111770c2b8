// What Patroni's REST API says of a node and its cluster. Total: any bytes may come.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgweir::watch {

struct patroni_member {
    std::string name;
    std::string host;
    std::uint16_t port = 0;
    bool is_leader = false;
    std::uint16_t api_port = 0;  // 0: not told
};

// Of one node, at one time.
struct patroni_facts {
    bool holds_lock = false;                             // it is the leader, and may be written to
    bool is_unlocked = false;                            // nobody holds the leader's lock
    std::string member;                                  // its own name; empty: not told
    std::optional<std::vector<patroni_member>> members;  // absent: not told
};

// The answer to GET /primary: 200 from who holds the lock, 503 from others. Absent: it is not of
// Patroni. Sets all but `members`.
[[nodiscard]] std::optional<patroni_facts> read_patroni_status(unsigned http_status,
                                                               std::string_view body);
// The answer to GET /cluster. Members without a name or an address are left out.
[[nodiscard]] std::optional<std::vector<patroni_member>> read_patroni_members(
    unsigned http_status, std::string_view body);

}  // namespace pgweir::watch
