// What is read from the rows of a node, honest or not.
#include "watch/probe_reply.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace pgweir::watch {
namespace {

using namespace std::chrono_literals;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::optional<std::string> null;

probe_answer read(part p, const result_rows& rows) {
    probe_answer out;
    read_part(p, rows, out);
    return out;
}

result_row primary_row() {
    return {"f",  "f", "7312345678901234567", "3", "16/B374D848", null,
            null, "f", "1700000000000000"};
}

result_row standby_row() {
    return {"t",       "f", "7312345678901234567", "2", "0/5010628", "0/5010600",
            "2500000", "t", "1700000000000001"};
}

// ---- The role

TEST(probe_reply, a_primary) {
    const auto role = read(part::role, {primary_row()}).role;
    ASSERT_TRUE(role);
    EXPECT_FALSE(role->in_recovery);
    EXPECT_EQ(role->system_identifier, 7312345678901234567U);
    EXPECT_EQ(role->tli, 3U);
    EXPECT_EQ(role->position, 0x16B374D848U);
    EXPECT_EQ(role->replay_age, std::nullopt);
    EXPECT_EQ(role->postmaster_started, 1700000000000000);
}

TEST(probe_reply, a_standby) {
    const auto role = read(part::role, {standby_row()}).role;
    ASSERT_TRUE(role);
    EXPECT_TRUE(role->in_recovery);
    EXPECT_EQ(role->replayed, 0x5010600U);
    EXPECT_EQ(role->replay_age, 2500ms);
    EXPECT_TRUE(role->replay_paused);
}

// Its bigint is negative for half of all values.
TEST(probe_reply, a_system_identifier_of_64_bits) {
    auto row = primary_row();
    row[2] = "-1";
    EXPECT_EQ(read(part::role, {row}).role->system_identifier, UINT64_MAX);
}

TEST(probe_reply, a_standby_that_has_replayed_nothing_yet) {
    auto row = standby_row();
    row[4] = row[5] = row[6] = null;
    const auto role = read(part::role, {row}).role;
    ASSERT_TRUE(role);
    EXPECT_EQ(role->position, 0U);
    EXPECT_EQ(role->replay_age, std::nullopt);
}

// Clocks of two machines differ.
TEST(probe_reply, an_age_below_zero_is_none) {
    auto row = standby_row();
    row[6] = "-500";
    EXPECT_EQ(read(part::role, {row}).role->replay_age, 0ms);
}

TEST(probe_reply, no_role_without_a_timeline) {
    auto row = primary_row();
    row[3] = "0";
    EXPECT_FALSE(read(part::role, {row}).role);
}

TEST(probe_reply, no_role_where_a_cell_is_no_boolean) {
    auto row = primary_row();
    row[0] = "maybe";
    EXPECT_FALSE(read(part::role, {row}).role);
}

TEST(probe_reply, no_role_where_a_cell_is_null_that_must_not_be) {
    for (const std::size_t cell : {0U, 1U, 2U, 3U, 7U, 8U}) {
        auto row = primary_row();
        row[cell] = null;
        EXPECT_FALSE(read(part::role, {row}).role) << "cell " << cell;
    }
}

TEST(probe_reply, no_role_from_two_rows) {
    EXPECT_FALSE(read(part::role, {primary_row(), standby_row()}).role);
}

TEST(probe_reply, no_role_from_a_row_with_a_cell_too_many) {
    auto row = primary_row();
    row.emplace_back("t");
    EXPECT_FALSE(read(part::role, {row}).role);
}

// ---- The receiver

TEST(probe_reply, a_receiver_that_streams) {
    const auto receiver =
        read(part::receiver, {{"streaming", "3", "10.0.0.1", "5432", "slot_2", "1500000"}})
            .receiver;
    ASSERT_TRUE(receiver);
    EXPECT_TRUE(receiver->streaming);
    EXPECT_EQ(receiver->tli, 3U);
    EXPECT_EQ(receiver->sender_host, "10.0.0.1");
    EXPECT_EQ(receiver->sender_port, 5432);
    EXPECT_EQ(receiver->slot, "slot_2");
    EXPECT_EQ(receiver->silence, 1500ms);
}

TEST(probe_reply, a_receiver_that_waits_does_not_stream) {
    const auto receiver =
        read(part::receiver, {{"waiting", "3", "h", "5432", null, null}}).receiver;
    ASSERT_TRUE(receiver);
    EXPECT_FALSE(receiver->streaming);
}

TEST(probe_reply, no_receiver_is_a_fact) {
    const auto receiver = read(part::receiver, {}).receiver;
    ASSERT_TRUE(receiver);
    EXPECT_FALSE(receiver->streaming);
}

TEST(probe_reply, a_receiver_that_must_not_be_seen_is_no_fact) {
    const auto answer = read(part::receiver, {{null, null, null, null, null, null}});
    EXPECT_FALSE(answer.receiver);
    EXPECT_TRUE(answer.unseen.has(part::receiver));
}

TEST(probe_reply, a_port_that_is_none_is_0) {
    const auto receiver =
        read(part::receiver, {{"streaming", "3", "h", "70000", null, null}}).receiver;
    ASSERT_TRUE(receiver);
    EXPECT_EQ(receiver->sender_port, 0);
}

// ---- Senders and slots

TEST(probe_reply, senders) {
    const auto senders =
        read(part::senders, {{"n2", "slot_2", "streaming", "sync", "41", "1000", "250000"},
                             {"backup", null, "backup", "async", "42", null, null}})
            .senders;
    ASSERT_TRUE(senders);
    ASSERT_THAT(*senders, SizeIs(2));
    EXPECT_EQ(senders->at(0).row.name, "n2");
    EXPECT_EQ(senders->at(0).row.slot, "slot_2");
    EXPECT_TRUE(senders->at(0).row.streaming);
    EXPECT_EQ(senders->at(0).row.sync_state, "sync");
    EXPECT_EQ(senders->at(0).ago, 250ms);
    EXPECT_FALSE(senders->at(1).row.streaming);
}

TEST(probe_reply, senders_that_must_not_be_seen_are_no_fact) {
    const auto answer = read(part::senders, {{null, null, null, null, "41", null, null}});
    EXPECT_FALSE(answer.senders);
    EXPECT_TRUE(answer.unseen.has(part::senders));
}

TEST(probe_reply, slots) {
    const auto slots = read(part::slots, {{"a", "t"}, {"b", "f"}, {"c", "x"}}).slots;
    ASSERT_TRUE(slots);
    ASSERT_THAT(*slots, SizeIs(2));
    EXPECT_TRUE(slots->at(0).active);
    EXPECT_FALSE(slots->at(1).active);
}

// ---- repmgr

TEST(probe_reply, nodes_with_their_addresses) {
    const auto answer = read(part::repmgr_nodes, {{"1", "n1", "primary", "f", null, "pg-1", "5432"},
                                                  {"2", "n2", "standby", "t", "1", null, null}});
    ASSERT_TRUE(answer.repmgr && answer.addresses);
    ASSERT_THAT(*answer.repmgr, SizeIs(2));
    EXPECT_FALSE(answer.repmgr->at(0).active);
    EXPECT_EQ(answer.repmgr->at(1).upstream, 1);
    EXPECT_EQ(answer.addresses->at(0).host, "pg-1");
    EXPECT_EQ(answer.addresses->at(0).port, 5432);
    EXPECT_EQ(answer.addresses->at(1).host, "");
}

TEST(probe_reply, nodes_from_the_table_have_no_addresses) {
    const auto answer = read(part::repmgr_table, {{"1", "n1", "primary", "t", null}});
    EXPECT_TRUE(answer.repmgr);
    EXPECT_FALSE(answer.addresses);
}

TEST(probe_reply, repmgrd_that_has_not_attached_says_minus_one) {
    EXPECT_EQ(read(part::repmgr_local, {{"-1"}}).repmgr_local, std::nullopt);
    EXPECT_EQ(read(part::repmgr_local, {{"2"}}).repmgr_local, 2);
}

// ---- Lies

TEST(probe_reply, positions) {
    EXPECT_EQ(parse_lsn("FFFFFFFF/FFFFFFFF"), UINT64_MAX);
    for (const char* bad :
         {"", "/", "1/", "/1", "1", "1/1/1", "100000000/0", "-1/0", "0/x", " 0/1"}) {
        EXPECT_EQ(parse_lsn(bad), std::nullopt) << bad;
    }
}

TEST(probe_reply, a_cell_without_end_is_not_kept) {
    EXPECT_THAT(*read(part::slots, {{std::string(1 << 20, 'x'), "t"}}).slots, IsEmpty());
}

TEST(probe_reply, any_rows_are_survived) {
    std::mt19937 random{1};
    const std::vector<std::optional<std::string>> cells = {null,
                                                           "",
                                                           "t",
                                                           "f",
                                                           "-1",
                                                           "0",
                                                           "1",
                                                           "4294967296",
                                                           "9223372036854775807",
                                                           "-9223372036854775808",
                                                           "99999999999999999999",
                                                           "streaming",
                                                           "0/0",
                                                           "x/y",
                                                           "\xff\xfe"};
    for (int round = 0; round < 20'000; ++round) {
        result_rows rows(random() % 3);
        for (auto& row : rows) {
            for (auto n = random() % 11; n > 0; --n) {
                row.push_back(cells[random() % cells.size()]);
            }
        }
        const auto p = all_parts[random() % all_parts.size()];
        const auto answer = read(p, rows);
        if (answer.role) {
            EXPECT_NE(answer.role->tli, 0U);
        }
    }
}

// ---- Silence of senders, by a standby's clock that is an hour behind

class sender_silence_test : public ::testing::Test {
protected:
    cluster::duration silence(std::int64_t replied, cluster::time_point asked) {
        sender_told told;
        told.pid = 41;
        told.replied = replied;
        told.ago = 1h + std::chrono::microseconds{asked.time_since_epoch() / 1us - replied};
        return *judge_.judge({told}, asked).front().silence;
    }

    sender_silence judge_;
    cluster::time_point start_{1'000s};
};

TEST_F(sender_silence_test, is_what_the_clocks_say_at_first) {
    EXPECT_GE(silence(1'000'000'000, start_), 1h);
}

TEST_F(sender_silence_test, ends_with_a_new_reply) {
    silence(1'000'000'000, start_);
    EXPECT_EQ(silence(1'000'500'000, start_ + 1s), 0s);
}

TEST_F(sender_silence_test, grows_while_no_reply_comes) {
    silence(1'000'000'000, start_);
    silence(1'000'500'000, start_ + 1s);
    EXPECT_EQ(silence(1'000'500'000, start_ + 17s), 16s);
}

TEST_F(sender_silence_test, is_not_known_before_the_first_reply) {
    EXPECT_EQ(judge_.judge({sender_told{}}, start_).front().silence, std::nullopt);
}

}  // namespace
}  // namespace pgweir::watch
