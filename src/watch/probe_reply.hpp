// From the rows that a node answers with to facts. Total: a server may lie in any way it likes.
#pragma once

#include "pgweir/cluster/evidence.hpp"
#include "pgweir/watch/result_rows.hpp"
#include "watch/probe_query.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pgweir::watch {

// Where the metadata of repmgr or Patroni say that a node is.
struct node_address {
    std::optional<int> id;  // repmgr's
    std::string name;
    std::string type;
    std::string host;            // empty: not told
    std::uint16_t port = 0;      // 0: not told
    std::uint16_t api_port = 0;  // Patroni's; 0: not told
};

// pg_stat_replication, as told.
struct sender_told {
    cluster::sender_row row;  // its silence is not set
    int pid = 0;
    std::optional<std::int64_t> replied;   // microseconds of the standby's clock
    std::optional<cluster::duration> ago;  // `replied` by the asked node's clock
};

// What one batch told. Absent: it was not asked, or made no sense.
struct probe_answer {
    std::optional<cluster::role_facts> role;
    std::optional<cluster::receiver_facts> receiver;
    std::optional<std::vector<sender_told>> senders;
    std::optional<std::vector<cluster::slot_row>> slots;
    std::optional<std::vector<cluster::repmgr_row>> repmgr;
    std::optional<std::vector<node_address>> addresses;
    std::optional<int> repmgr_local;
    int repmgr_term = 0;
    // Parts that were answered with NULLs, as PostgreSQL does for want of a privilege.
    part_set unseen;
};

// Adds what the rows of one part tell.
void read_part(part p, const result_rows& rows, probe_answer& out);

// "16/B374D848"; absent: it is none.
[[nodiscard]] std::optional<cluster::lsn> parse_lsn(const std::string& text);

// Since when a standby has not replied. pg_stat_replication tells by the standby's clock, which may
// be minutes off; that its time changes from one probe to the next is proof without any clock.
class sender_silence {
public:
    // The rows with their silence, as of a probe that was asked then.
    std::vector<cluster::sender_row> judge(const std::vector<sender_told>& told,
                                           cluster::time_point asked);

private:
    struct memory {
        std::int64_t replied = 0;
        cluster::time_point since;  // when that was first told
        cluster::duration before;   // how old it was then
    };
    std::map<int, memory> known_;  // by pid
};

}  // namespace pgweir::watch
