// SHOW NODES: what is known of each node of each cluster, and what was concluded from it.
#include "admin/commands.hpp"

#include <array>
#include <charconv>
#include <string>

namespace pgweir::admin {
namespace {

constexpr std::array columns{
    column{"cluster", column_type::text},
    column{"name", column_type::text},
    column{"host", column_type::text},
    column{"port", column_type::int4},
    column{"weight", column_type::int4},
    column{"state", column_type::text},
    column{"reason", column_type::text},
    column{"reads", column_type::text},
    column{"contact", column_type::text},
    column{"error", column_type::text},
    column{"tli", column_type::int8},
    column{"lsn", column_type::text},
    column{"lag_bytes", column_type::int8},
    column{"lag_ms", column_type::int8},
    column{"system_identifier", column_type::int8},
    column{"repmgr_id", column_type::int4},
    column{"repmgr_type", column_type::text},
    column{"repmgr_active", column_type::int4},
    column{"upstream", column_type::text},
    column{"followers", column_type::int4},
    column{"sync_state", column_type::text},
    column{"last_ok_ms", column_type::int8},
    column{"probe_us", column_type::int8},
    column{"probes", column_type::int8},
    column{"probes_failed", column_type::int8},
};

// As PostgreSQL's pg_lsn: two halves in hexadecimal. Empty: not known.
std::string format_lsn(std::uint64_t lsn) {
    if (lsn == 0) {
        return {};
    }
    std::array<char, 17> text{};
    constexpr unsigned half = 32;
    auto* end = std::to_chars(text.begin(), text.end(), lsn >> half, 16).ptr;
    *end++ = '/';
    end = std::to_chars(end, text.end(), lsn & 0xffffffffU, 16).ptr;
    std::string upper{text.begin(), end};
    for (char& c : upper) {
        c = c >= 'a' && c <= 'f' ? static_cast<char>(c - 'a' + 'A') : c;
    }
    return upper;
}

void fill(const metrics::report& report, const config::snapshot&, row_writer& rows) {
    for (const auto& n : report.nodes) {
        rows.text(n.cluster).text(n.name).text(n.host).number(n.port).number(n.weight);
        rows.text(n.state).text_or_null(n.reason).text_or_null(n.reads);
        rows.text_or_null(n.contact).text_or_null(n.error);
        rows.number_or_null(n.tli).text_or_null(format_lsn(n.lsn));
        rows.number_if_known(n.lag_bytes).number_if_known(n.lag_ms);
        rows.number_or_null(n.system_identifier).number_if_known(n.repmgr_id);
        rows.text_or_null(n.repmgr_type).number_if_known(n.repmgr_active);
        rows.text_or_null(n.upstream).number(n.followers).text_or_null(n.sync_state);
        rows.number_if_known(n.last_ok_ms).number(n.probe_us);
        rows.number(n.probes).number(n.probes_failed);
    }
}

}  // namespace

const report_table show_nodes{columns, fill};

}  // namespace pgweir::admin
