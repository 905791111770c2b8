// PostgreSQL's rules of who answers what, as dialogues played whole, in pieces, late, and broken.
#include "protocol/dialogue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>

namespace pgweir::protocol {
namespace {

using namespace std::string_view_literals;
using testing::line;
using testing::read_script;
using testing::relay;

enum class ending : std::uint8_t {
    idle,      // all is answered
    owing,     // something is not
    doubtful,  // all is answered, but nobody should trust it
};

struct scene {
    const char* name;
    const char* script;
    ending end = ending::idle;

    friend void PrintTo(const scene& s, std::ostream* out) { *out << s.script; }
};

constexpr scene scenes[] = {
    {"simple_query", "> Q < TDDCZ"},
    {"simple_query_inside_a_transaction", "> Q < Cz > Q < Cz > Q < CZ"},
    {"empty_query", "> Q < IZ"},
    {"several_statements_in_one_query", "> Q < TDCCTCIZ"},
    {"error_in_a_simple_query", "> Q < TDEZ"},
    {"asynchronous_messages_anywhere", "< NSA > Q < NTSDACNZ < S > S < NZ"},
    {"pipelined_simple_queries", "> QQQ < TDCZEZTDCZ"},
    {"function_call", "> F < VZ"},
    {"function_call_that_fails", "> F < EZ"},

    {"extended_query", "> PBpES < 12TDDCZ"},
    {"extended_query_without_rows", "> PBpES < 12nCZ"},
    {"extended_empty_query", "> PBES < 12IZ"},
    {"described_statement", "> PDS < 1tTZ"},
    {"described_statement_without_rows", "> PDS < 1tnZ"},
    {"many_described_statements", "> DDD < t > D < Tt > S < ntTtnZ"},
    {"described_statement_that_fails", "> DDS < tTEZ"},
    {"suspended_portal", "> PBEHEHES < 12DsDsDCZ"},
    {"closed_statement", "> CCS < 33Z"},
    {"bare_syncs", "> SSS < ZZZ"},
    {"flush_is_not_answered", "> H > PH < 1 > BEHS < 2CZ"},
    {"commit_fails_at_sync", "> PBES < 12CEZ"},
    {"pipelined_batches", "> PBESPBESPBES < 12DCZ12DCZ12DCZ"},
    {"batch_pipelined_behind_a_failed_one", "> PBESPBES < EZ12DCZ"},
    {"middle_one_of_three_batches_fails", "> PBESPBESPBES < 12DCZ1EZ12DCZ"},
    {"simple_query_between_batches", "> PBESQPBES < 12CZTDCZ12CZ"},
    {"simple_query_ends_a_batch_without_sync", "> PBEQ < 12CTDCZ"},
    {"batch_without_sync_is_open", "> PBEH < 12C", ending::owing},
    {"flush_leaves_a_batch_open", "> PBEH < 12C > H", ending::owing},
    {"closing_leaves_a_batch_open", "> CH < 3", ending::owing},
    {"query_ends_an_open_batch", "> PBEH < 12C > Q < CZ"},
    {"sync_ends_an_open_batch", "> PBEH < 12C > S < Z"},
    {"function_call_ends_an_open_batch", "> PH < 1 > F < VZ"},
    {"sync_does_not_end_the_batch_behind_it", "> PBESPBEH < 12CZ12C", ending::owing},
    {"error_waits_for_its_sync", "> PBE < 1E", ending::owing},
    {"all_is_skipped_after_an_error_until_sync", "> P < E > QFPBECDpcH > S < Z"},
    {"sync_that_was_on_its_way_ends_an_error", "> PBE > S < EZ > Q < CZ"},

    {"simple_copy_out", "> Q < HdddcCZ"},
    {"extended_copy_out", "> PBpES < 12nHddcCZ"},
    {"copy_out_that_fails", "> Q < HddEZ"},
    {"simple_copy_in", "> Q < G > dddc < CZ"},
    {"simple_copy_in_given_up", "> Q < G > df < EZ"},
    {"simple_copy_in_whose_data_is_wrong", "> Q < G > d < EZ > ddc > Q < TDCZ"},
    {"error_of_a_copy_crosses_its_end", "> Q < G > d < E > dc < Z > S < Z"},
    {"two_copies_in_one_query", "> Q < G > dc < CG > dc < CZ"},
    {"copy_in_and_out_in_one_query", "> Q < G > dc < CHdcCTDCZ"},
    {"second_copy_of_a_query_fails", "> Q < G > dc < CG > d < EZ > dc"},
    {"sync_and_flush_inside_a_copy_are_ignored", "> Q < G > dSHdSc < CZ"},
    {"copies_sent_without_waiting", "> QdcQdc < GCZGCZ"},
    {"copy_end_between_other_messages_is_ignored", "> cPBcEdSf < 12CZ > c > Q < CZ"},
    {"extended_copy_in_of_libpq", "> PBpES < 12nG > ddcS < CZ"},
    {"extended_copy_in_eats_the_sync_of_its_batch", "> PBpES < 12nG > ddc < C", ending::owing},
    {"extended_copy_in_eats_a_sync_sent_before_its_end", "> PBpESc < 12nGC", ending::owing},
    {"extended_copy_in_before_another_batch", "> PBpESdcSPBES < 12nGCZ12CZ"},
    {"extended_copy_in_behind_flush", "> PBpEH < 12nG > ddcS < CZ"},
    {"extended_copy_in_then_more_in_the_batch", "> PBEH < 12G > dcPBES < C12DCZ"},
    {"extended_copy_in_that_fails", "> PBpEH < 12nG > d < E > dcS < Z > Q < CZ"},
    {"failed_copy_that_may_have_eaten_a_sync", "> PBpES < 12nG > dfS < EZ", ending::doubtful},
    {"failed_copy_that_left_a_sync", "> PBpES < 12nG < EZ > dcS < Z", ending::doubtful},
    {"copy_both", "> Q < W > d < d > d < dc > c < CZ"},

    {"fatal_error_while_idle", "< !"},
    {"fatal_error_during_a_query", "> Q < TD!", ending::owing},
    {"fatal_error_in_a_batch", "> PBES < 1!", ending::owing},
};

class dialogue : public ::testing::TestWithParam<scene> {
protected:
    std::vector<line> lines = read_script(GetParam().script);

    static relay play(const std::vector<line>& script) {
        relay r;
        for (const auto& l : script) {
            r.say(l, l.bytes());
        }
        return r;
    }
};

TEST_P(dialogue, is_legal) { EXPECT_FALSE(play(lines).is_violated()); }

TEST_P(dialogue, ends_as_it_should) {
    const auto r = play(lines);
    EXPECT_EQ(r.is_idle(), GetParam().end != ending::owing) << r.outcome();
    EXPECT_EQ(r.owed.is_doubtful(), GetParam().end == ending::doubtful);
}

TEST_P(dialogue, passes_every_byte_on) {
    std::string from_client;
    std::string from_server;
    for (const auto& l : lines) {
        (l.from_client ? from_client : from_server) += l.bytes();
    }
    const auto r = play(lines);
    EXPECT_EQ(r.to_server, from_client);
    EXPECT_EQ(r.to_client, from_server);
}

TEST_P(dialogue, is_the_same_in_single_bytes) {
    relay r;
    for (const auto& l : lines) {
        for (const char c : l.bytes()) {
            r.say(l, {&c, 1});
        }
    }
    EXPECT_EQ(r.outcome(), play(lines).outcome());
}

// Everything one side says in a row arrives in two pieces, cut anywhere.
TEST_P(dialogue, is_the_same_wherever_a_turn_is_cut) {
    const auto whole = play(lines).outcome();
    bool is_cut = true;
    for (std::size_t cut = 1; is_cut; ++cut) {
        is_cut = false;
        relay r;
        for (std::size_t i = 0; i < lines.size();) {
            const auto& speaker = lines[i];
            std::string turn;
            for (; i < lines.size() && lines[i].from_client == speaker.from_client; ++i) {
                turn += lines[i].bytes();
            }
            const auto at = std::min(cut, turn.size());
            is_cut = is_cut || cut < turn.size();
            r.say(speaker, std::string_view{turn}.substr(0, at));
            r.say(speaker, std::string_view{turn}.substr(at));
        }
        ASSERT_EQ(r.outcome(), whole) << "cut at " << cut;
    }
}

// A server answers the same bytes in the same way however early they were sent.
TEST_P(dialogue, ends_the_same_when_all_replies_come_late) {
    if (GetParam().end == ending::doubtful) {
        GTEST_SKIP() << "which Sync a failed COPY has eaten depends on time";
    }
    auto late = lines;
    std::ranges::stable_partition(late, &line::from_client);
    const auto r = play(late);
    EXPECT_FALSE(r.is_violated());
    EXPECT_EQ(r.is_idle(), GetParam().end == ending::idle) << r.outcome();
}

TEST_P(dialogue, refuses_a_message_no_server_sends_anywhere) {
    for (std::size_t at = 0; at <= lines.size(); ++at) {
        for (const char alien : {'K', 'R', 'v', 'Q', '\0', '\x7f'}) {
            auto broken = lines;
            broken.insert(broken.begin() + static_cast<std::ptrdiff_t>(at), {false, alien});
            broken.resize(at + 1);
            EXPECT_TRUE(play(broken).is_violated()) << "'" << alien << "' at " << at;
        }
    }
}

TEST_P(dialogue, refuses_a_message_no_client_sends_anywhere) {
    for (std::size_t at = 0; at <= lines.size(); ++at) {
        for (const char alien : {'K', 'R', 'q', '1', '\0', '\x7f'}) {
            auto broken = lines;
            broken.insert(broken.begin() + static_cast<std::ptrdiff_t>(at), {true, alien});
            broken.resize(at + 1);
            EXPECT_TRUE(play(broken).is_violated()) << "'" << alien << "' at " << at;
        }
    }
}

TEST_P(dialogue, never_settles_when_a_due_reply_is_missing) {
    if (GetParam().end != ending::idle) {
        GTEST_SKIP() << "does not settle anyway";
    }
    for (std::size_t at = 0; at < lines.size(); ++at) {
        if (lines[at].from_client ||
            "123tnsVZ"sv.find(lines[at].letter) == std::string_view::npos) {
            continue;
        }
        if (at + 1 < lines.size() && lines[at + 1].letter == 'E') {
            continue;  // the error may as well stand in its place
        }
        auto broken = lines;
        broken.erase(broken.begin() + static_cast<std::ptrdiff_t>(at));
        EXPECT_FALSE(play(broken).is_idle()) << "without '" << lines[at].letter << "' at " << at;
    }
}

TEST_P(dialogue, never_settles_when_a_reply_comes_twice) {
    for (std::size_t at = 0; at < lines.size(); ++at) {
        if (lines[at].from_client || "123tsZz"sv.find(lines[at].letter) == std::string_view::npos) {
            continue;
        }
        auto broken = lines;
        broken.insert(broken.begin() + static_cast<std::ptrdiff_t>(at), lines[at]);
        const auto r = play(broken);
        EXPECT_TRUE(!r.is_idle() || r.owed.is_doubtful())
            << "'" << lines[at].letter << "' at " << at;
    }
}

INSTANTIATE_TEST_SUITE_P(postgresql, dialogue, ::testing::ValuesIn(scenes), [](const auto& s) {
    return s.param.name;
});

}  // namespace
}  // namespace pgweir::protocol
