// SHOW PEERS: the other pgweirs behind the same name, and the cancel requests sent to them.
#include "admin/commands.hpp"

#include <array>

namespace pgweir::admin {
namespace {

// PgBouncer's, and what became of the requests.
constexpr std::array columns{
    column{"peer_id", column_type::int4}, column{"host", column_type::text},
    column{"port", column_type::int4},    column{"self", column_type::int4},
    column{"cancels", column_type::int8}, column{"cancels_failed", column_type::int8},
};

void fill(const metrics::report& report, const config::snapshot&, row_writer& rows) {
    for (const auto& p : report.peers) {
        rows.number(p.id).text(p.host).number(p.port).number(p.is_self ? 1 : 0);
        rows.number(p.cancels).number(p.cancels_failed);
    }
}

}  // namespace

const report_table show_peers{columns, fill};

}  // namespace pgweir::admin
