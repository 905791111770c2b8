// What is told of a cluster's service, of failovers and of leases.
#include "watch/service_record.hpp"

#include <gtest/gtest.h>

namespace pgweir::watch {
namespace {

using cluster::cause;
using namespace std::chrono_literals;

const auto start = cluster::time_point{} + 1h;

class a_service_record : public ::testing::Test {
protected:
    void serve(const std::string& node, std::uint64_t epoch, cluster::duration lease = 2500ms) {
        cluster::cluster_view view;
        view.why = cause::none;
        view.writes = cluster::write_mode::serve;
        view.primary = 0;
        view.epoch = epoch;
        view.lease_until = now_ + lease;
        record_.note(view, node, now_);
    }
    void lose(cause why, const std::string& granted = "n1") {
        cluster::cluster_view view;
        view.why = why;
        record_.note(view, granted, now_);
    }
    void pass(cluster::duration time) { now_ += time; }

    cluster::time_point now_ = start;
    service_record record_;
};

TEST_F(a_service_record, is_without_service_from_its_first_view_on) {
    lose(cause::starting, "");
    pass(1s);
    lose(cause::no_majority, "");
    EXPECT_EQ(record_.unserved_since(), start);
}

TEST_F(a_service_record, knows_of_no_loss_while_a_primary_is_served) {
    lose(cause::starting, "");
    serve("n1", 1);
    EXPECT_EQ(record_.unserved_since(), cluster::no_time);
}

TEST_F(a_service_record, counts_from_the_loss_also_when_its_cause_changes) {
    serve("n1", 1);
    pass(1s);
    lose(cause::suspect);
    pass(5s);
    lose(cause::no_claimant);
    EXPECT_EQ(record_.unserved_since(), start + 1s);
}

TEST_F(a_service_record, takes_the_first_primary_for_no_failover) {
    lose(cause::starting, "");
    serve("n1", 1);
    EXPECT_EQ(record_.failovers(), 0U);
}

TEST_F(a_service_record, takes_the_return_of_the_same_primary_for_no_failover) {
    serve("n1", 1);
    lose(cause::suspect);
    serve("n1", 1);
    EXPECT_EQ(record_.failovers(), 0U);
}

TEST_F(a_service_record, counts_a_failover_by_the_cause_that_came_first) {
    serve("n1", 1);
    lose(cause::suspect);
    lose(cause::no_claimant);
    lose(cause::unconfirmed);
    serve("n2", 2);
    EXPECT_EQ(record_.failovers(), 1U);
    EXPECT_EQ(record_.failovers(cause::suspect), 1U);
}

TEST_F(a_service_record, measures_a_failover_from_the_loss_to_the_service) {
    serve("n1", 1);
    pass(1s);
    lose(cause::suspect);
    pass(2s);
    lose(cause::unsaved, "n2");  // granted, and not on disk yet
    pass(1s);
    serve("n2", 2);
    EXPECT_EQ(record_.failover_times().sum_us, 3'000'000U);
}

TEST_F(a_service_record, counts_a_failover_without_a_gap) {
    serve("n1", 1);
    serve("n2", 2);
    EXPECT_EQ(record_.failovers(cause::none), 1U);
    EXPECT_EQ(record_.failover_times().classes[0], 1U);
}

TEST_F(a_service_record, knows_from_before_a_restart_who_was_primary) {
    service_record record{"n1"};
    cluster::cluster_view view;
    record.note(view, "n1", start);
    view.primary = 0;
    view.epoch = 2;
    record.note(view, "n2", start + 1s);
    EXPECT_EQ(record.failovers(cause::starting), 1U);
}

TEST_F(a_service_record, knows_the_least_that_was_left_of_a_lease) {
    EXPECT_FALSE(record_.least_lease());
    serve("n1", 1);
    pass(2s);
    serve("n1", 1);
    pass(1s);
    serve("n1", 1);
    EXPECT_EQ(record_.least_lease(), 500ms);
    EXPECT_EQ(record_.lapses(), 0U);
}

TEST_F(a_service_record, counts_a_lease_that_ran_out_and_was_renewed_too_late) {
    serve("n1", 1);
    pass(2500ms);
    serve("n1", 1);
    EXPECT_EQ(record_.lapses(), 1U);
    EXPECT_EQ(record_.least_lease(), 0s);
}

TEST_F(a_service_record, counts_a_lease_that_ran_out_and_was_not_renewed) {
    serve("n1", 1);
    pass(3s);
    lose(cause::suspect);
    pass(1s);
    lose(cause::suspect);
    EXPECT_EQ(record_.lapses(), 1U);
}

TEST_F(a_service_record, takes_a_lease_that_is_taken_back_for_no_lapse) {
    serve("n1", 1);
    pass(2s);
    lose(cause::suspect);
    pass(2s);
    serve("n1", 1);
    EXPECT_EQ(record_.lapses(), 0U);
}

TEST_F(a_service_record, forgets_with_a_grant_what_was_left_of_the_lease_before) {
    serve("n1", 1);
    pass(2400ms);
    lose(cause::suspect);
    serve("n2", 2);
    pass(1s);
    serve("n2", 2);
    EXPECT_EQ(record_.least_lease(), 1500ms);
}

}  // namespace
}  // namespace pgweir::watch
