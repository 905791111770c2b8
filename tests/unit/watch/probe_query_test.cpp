// What is asked, and what when something is missing.
#include "watch/probe_query.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgweir::watch {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(probe_query, without_repmgr_nothing_of_it_is_asked) {
    EXPECT_THAT(parts_to_ask(false, {}),
                ElementsAre(part::role, part::receiver, part::senders, part::slots));
}

TEST(probe_query, the_function_with_addresses_comes_before_the_table) {
    EXPECT_THAT(parts_to_ask(true, {}), Contains(part::repmgr_nodes));
    EXPECT_THAT(parts_to_ask(true, {}), Not(Contains(part::repmgr_table)));
}

TEST(probe_query, the_table_is_asked_where_the_function_is_missing) {
    const part_set lacking{part::repmgr_nodes};
    EXPECT_THAT(parts_to_ask(true, lacking), Not(Contains(part::repmgr_nodes)));
    EXPECT_THAT(parts_to_ask(true, lacking), Contains(part::repmgr_table));
}

TEST(probe_query, what_was_refused_is_left_out) {
    EXPECT_THAT(parts_to_ask(false, {part::senders}), Not(Contains(part::senders)));
}

TEST(probe_query, statements_come_in_the_order_of_the_parts) {
    const auto batch = batch_of(std::vector{part::slots, part::repmgr_term});
    EXPECT_LT(batch.find("pg_replication_slots"), batch.find("voting_term"));
}

TEST(probe_query, advice_names_the_grant) {
    EXPECT_THAT(advice_on(part::senders, "42501", "watcher"),
                HasSubstr("GRANT pg_monitor TO \"watcher\""));
}

TEST(probe_query, advice_on_a_missing_schema_names_the_key) {
    EXPECT_THAT(advice_on(part::repmgr_table, "42P01", "watcher"), HasSubstr("monitor_database"));
}

}  // namespace
}  // namespace pgweir::watch
