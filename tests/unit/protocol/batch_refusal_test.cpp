// A refused request is consumed as PostgreSQL would, wherever its bytes are cut.
#include "pgweir/protocol/batch_refusal.hpp"

#include "pgweir/protocol/frame.hpp"
#include "protocol/dialogue.hpp"

#include <gtest/gtest.h>

#include <ostream>

namespace pgweir::protocol {
namespace {

using namespace std::string_view_literals;
using testing::client_message;
using testing::message;
using event = batch_refusal::event;

// What a client reads, in letters, when its bytes come in these pieces, then how many bytes are
// kept for later.
std::string answers(const std::vector<std::string_view>& pieces) {
    batch_refusal refusal;
    std::string out;
    std::string kept;
    for (const auto piece : pieces) {
        kept += piece;
        for (auto what = event::error; what == event::error;) {
            const auto step = refusal.scan(kept);
            EXPECT_LE(step.consumed, kept.size());
            kept.erase(0, step.consumed);
            what = step.what;
            switch (what) {
                case event::error: out += 'E'; break;
                case event::done: out += refusal.has_reported() ? "Z" : "EZ"; break;
                case event::terminate: return out + 'X';
                case event::violation: return out + '!';
                default: break;
            }
            if (what == event::done) {
                refusal = {};
                what = kept.empty() ? event::more : event::error;
            }
        }
    }
    return out + '.' + std::to_string(kept.size());
}

struct refused {
    const char* name;
    std::string_view letters;
    std::string_view answer;

    friend void PrintTo(const refused& r, std::ostream* out) { *out << r.letters; }
};

class refusal : public ::testing::TestWithParam<refused> {
protected:
    std::string bytes;

    refusal() {
        for (const char c : GetParam().letters) {
            bytes += c == '?' ? message('?') : client_message(c);
        }
    }
};

TEST_P(refusal, is_answered_like_an_error_in_postgresql) {
    EXPECT_EQ(answers({bytes}), GetParam().answer);
}

TEST_P(refusal, is_the_same_cut_anywhere) {
    const std::string_view all{bytes};
    for (std::size_t at = 0; at <= all.size(); ++at) {
        ASSERT_EQ(answers({all.substr(0, at), all.substr(at)}), GetParam().answer) << at;
    }
}

TEST_P(refusal, is_the_same_in_single_bytes) {
    std::vector<std::string_view> pieces;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        pieces.push_back(std::string_view{bytes}.substr(i, 1));
    }
    EXPECT_EQ(answers(pieces), GetParam().answer);
}

INSTANTIATE_TEST_SUITE_P(requests,
                         refusal,
                         ::testing::Values(refused{"query", "Q", "EZ.0"},
                                           refused{"function_call", "F", "EZ.0"},
                                           refused{"batch", "PBpES", "EZ.0"},
                                           refused{"parse_only", "P", "E.0"},
                                           refused{"closed_statement", "CS", "EZ.0"},
                                           refused{"described_statement", "DS", "EZ.0"},
                                           refused{"bare_sync", "S", "Z.0"},
                                           refused{"flush_then_sync", "HS", "Z.0"},
                                           refused{"late_copy_data_then_query", "ddcfQ", "EZ.0"},
                                           refused{"query_behind_a_refused_parse", "PQFBS", "EZ.0"},
                                           refused{"batch_with_copy_data", "PBEddcS", "EZ.0"},
                                           refused{"goodbye", "X", "X"},
                                           refused{"goodbye_in_a_batch", "PBX", "EX"},
                                           refused{"unknown_message", "?", "!"},
                                           refused{"unknown_message_in_a_batch", "P?", "E!"},
                                           refused{"next_request", "QQ", "EZEZ.0"},
                                           refused{"batch_behind_a_batch", "PSPS", "EZEZ.0"}),
                         [](const auto& r) { return r.param.name; });

TEST(refusal_of_a_lie, notices_a_length_that_is_impossible) {
    for (const std::string_view lie :
         {"Q\0\0\0\0"sv, "Q\0\0\0\x03"sv, "P\xff\xff\xff\xff"sv, "P\x40\0\0\0"sv}) {
        EXPECT_EQ(answers({lie}), "!");
    }
}

TEST(refusal_of_nothing, is_untouched_by_what_postgresql_ignores) {
    for (const char letter : {'H', 'd', 'c', 'f'}) {
        batch_refusal scanner;
        EXPECT_EQ(scanner.scan(client_message(letter)).what, event::more) << letter;
        EXPECT_TRUE(scanner.is_untouched()) << letter;
    }
}

TEST(refusal_of_nothing, is_not_sure_before_a_message_is_whole) {
    for (const char letter : {'d', 'Q', 'P'}) {
        batch_refusal scanner;
        const auto bytes = client_message(letter);
        for (auto what = event::error; what == event::error;) {
            what = scanner.scan(std::string_view{bytes}.substr(0, bytes.size() - 1)).what;
        }
        EXPECT_FALSE(scanner.is_untouched()) << letter;
    }
}

TEST(refusal_of_a_large_query, is_answered_behind_its_last_byte) {
    batch_refusal scanner;
    const auto query = message('Q', std::string(100'000, 'x'));
    const auto first = scanner.scan(std::string_view{query}.substr(0, 99'000));
    EXPECT_EQ(first.what, event::more);
    EXPECT_EQ(first.consumed, 99'000U);
    EXPECT_EQ(scanner.scan(std::string_view{query}.substr(99'000)).what, event::done);
}

}  // namespace
}  // namespace pgweir::protocol
