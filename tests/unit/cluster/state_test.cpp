// The state of a cluster as text: it comes back as it was, or not at all.
#include "pgweir/cluster/state.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgweir::cluster {
namespace {

cluster_state full_state() {
    cluster_state state;
    state.system_identifier = 18'446'744'073'709'551'615U;
    state.epoch = 12;
    state.max_granted_tli = 4'294'967'295U;
    state.granted = "n2";
    state.forced = true;
    state.disowned = {{"n1", disowning::replaced},
                      {"n4", disowning::metadata},
                      {"n5", disowning::rogue},
                      {"n6", disowning::forced}};
    state.fenced = {"n1", "n3"};
    return state;
}

// Null when the text was accepted.
const state_error* error_of(const std::variant<cluster_state, state_error>& result) {
    return std::get_if<state_error>(&result);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos);
    return text.replace(at, from.size(), to);
}

TEST(cluster_state_text, is_what_the_documentation_shows) {
    cluster_state state;
    state.system_identifier = 7'312'345'678'901'234'567U;
    state.epoch = 5;
    state.max_granted_tli = 2;
    state.granted = "n2";
    state.disowned = {{"n1", disowning::replaced}};
    state.fenced = {"n3"};
    EXPECT_EQ(to_text(state),
              "pgweir-cluster-state 1\n"
              "system-identifier 7312345678901234567\n"
              "epoch 5\n"
              "max-granted-timeline 2\n"
              "granted n2\n"
              "forced no\n"
              "disowned n1 replaced\n"
              "fenced n3\n"
              "checksum a57ef8cf\n");
}

TEST(cluster_state_text, comes_back_as_it_was) {
    EXPECT_EQ(std::get<cluster_state>(parse_state(to_text(full_state()))), full_state());
}

TEST(cluster_state_text, of_nothing_known_comes_back_as_it_was) {
    EXPECT_EQ(std::get<cluster_state>(parse_state(to_text({}))), cluster_state{});
}

TEST(cluster_state_text, carries_any_name) {
    cluster_state state;
    state.granted = std::string{"a b\nc%d\0\xff", 9};
    state.disowned = {{" ", disowning::rogue}};
    state.fenced = {"", "%", "\n"};
    EXPECT_EQ(std::get<cluster_state>(parse_state(to_text(state))), state);
}

TEST(cluster_state_text, is_refused_when_it_is_cut_anywhere) {
    const auto text = to_text(full_state());
    for (std::size_t size = 0; size < text.size(); ++size) {
        EXPECT_NE(error_of(parse_state(text.substr(0, size))), nullptr) << size;
    }
}

TEST(cluster_state_text, is_refused_when_any_bit_is_another) {
    const auto text = to_text(full_state());
    for (std::size_t at = 0; at < text.size(); ++at) {
        for (int bit = 0; bit < 8; ++bit) {
            auto changed = text;
            changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
            EXPECT_NE(error_of(parse_state(changed)), nullptr) << at << " bit " << bit;
        }
    }
}

TEST(cluster_state_text, is_refused_when_something_follows) {
    EXPECT_NE(error_of(parse_state(to_text(full_state()) + "\n")), nullptr);
}

TEST(cluster_state_text, of_another_version_is_refused_in_its_first_line) {
    const auto result = parse_state(replaced(to_text(full_state()), "state 1", "state 2"));
    ASSERT_NE(error_of(result), nullptr);
    EXPECT_EQ(error_of(result)->line, 1U);
}

TEST(cluster_state_text, with_a_key_of_the_future_is_refused_in_its_line) {
    const auto result = parse_state(replaced(to_text(full_state()), "forced", "focred"));
    ASSERT_NE(error_of(result), nullptr);
    EXPECT_EQ(error_of(result)->line, 6U);
}

TEST(cluster_state_text, that_lacks_a_line_is_refused_although_its_checksum_is_right) {
    // CRC-32 of the line before it.
    const auto result = parse_state("pgweir-cluster-state 1\nchecksum 4d7d72cf\n");
    ASSERT_NE(error_of(result), nullptr);
    EXPECT_EQ(error_of(result)->message, "the lines are not those that pgweir writes");
}

}  // namespace
}  // namespace pgweir::cluster
