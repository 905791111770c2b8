// SHOW CONFIG: the global settings in force; what is secret arrives masked.
#include "admin/commands.hpp"

#include <array>

namespace pgweir::admin {
namespace {

constexpr std::array columns{
    column{"key", column_type::text},
    column{"value", column_type::text},
    column{"default", column_type::text},
    column{"changeable", column_type::text},
};

void fill(const metrics::report&, const config::snapshot& snapshot, row_writer& rows) {
    for (const auto& k : snapshot.keys) {
        rows.text(k.key).text(k.value).text(k.initial).text(k.reloadable ? "yes" : "no");
    }
}

}  // namespace

const report_table show_config{columns, fill};

}  // namespace pgweir::admin
