// Secrets leave no trace where they were.
#include "pgweir/base/secret.hpp"

#include <gtest/gtest.h>

#include <array>
#include <new>
#include <string>
#include <string_view>

namespace pgweir::base {
namespace {

const std::string zeros(64, '\0');

// Longer than what std::string keeps within itself.
const std::string long_text = "a password that does not fit into the string object";

TEST(wipe, overwrites_all_bytes) {
    std::string text = "pencil";
    wipe(text.data(), text.size());
    EXPECT_EQ(text, zeros.substr(0, 6));
}

TEST(wipe, takes_nothing) { wipe(nullptr, 0); }

TEST(secret, shows_its_text_when_asked) { EXPECT_EQ(secret{"pencil"}.reveal(), "pencil"); }

TEST(secret, is_empty_at_first) { EXPECT_TRUE(secret{}.empty()); }

TEST(secret, moves_its_text) {
    secret from{"pencil"};
    const secret to{std::move(from)};
    EXPECT_EQ(to.reveal(), "pencil");
}

TEST(secret, leaves_no_short_text_behind_when_moved) {
    secret from{"pencil"};
    const char* where = from.reveal().data();
    const secret to{std::move(from)};
    EXPECT_EQ(std::string_view(where, 6), zeros.substr(0, 6));
}

TEST(secret, leaves_no_long_text_behind_when_moved) {
    secret from{long_text};
    const char* where = from.reveal().data();
    secret to;
    to = std::move(from);
    EXPECT_EQ(std::string_view(where, long_text.size()), zeros.substr(0, long_text.size()));
}

TEST(secret, wipes_what_a_shorter_one_replaces) {
    secret s{"pencil"};
    const char* where = s.reveal().data();
    s = secret{"x"};
    EXPECT_EQ(std::string_view(where + 1, 5), zeros.substr(0, 5));
}

TEST(secret, keeps_its_text_when_assigned_to_itself) {
    secret s{"pencil"};
    const secret& same = s;
    s = same;
    EXPECT_EQ(s.reveal(), "pencil");
}

TEST(secret, leaves_nothing_when_it_dies) {
    alignas(secret) std::array<char, sizeof(secret)> room{};
    auto* s = new (room.data()) secret{"pencil"};
    s->~secret();
    EXPECT_EQ(std::string_view(room.data(), room.size()).find("encil"), std::string_view::npos);
}

TEST(secret, compares_by_text) { EXPECT_EQ(secret{"pencil"}, secret{"pencil"}); }

}  // namespace
}  // namespace pgweir::base
