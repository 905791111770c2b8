// Loads text in tests and says what came out of it in a few words.
#pragma once

#include "pgweir/config/load.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace pgweir::config::testing {

// The sections that every valid file needs.
inline const std::string enough = "auth.method = \"trust\"\n[database.shop]\n";

inline std::vector<std::string> problems_of(const load_result& result) {
    std::vector<std::string> lines;
    if (const auto* problems = std::get_if<std::vector<problem>>(&result)) {
        for (const auto& p : *problems) {
            lines.push_back(p.text());
        }
    }
    return lines;
}

inline std::vector<std::string> problems_in(const std::string& toml) {
    return problems_of(load_text(toml, "x.toml"));
}

// The snapshot of `toml`; fails the test and gives an empty one when there are problems.
inline std::shared_ptr<const snapshot> loaded(const std::string& toml) {
    const auto result = load_text(toml, "x.toml");
    EXPECT_THAT(problems_of(result), ::testing::IsEmpty());
    const auto* read = std::get_if<std::shared_ptr<const snapshot>>(&result);
    return read != nullptr ? *read : std::make_shared<const snapshot>();
}

}  // namespace pgweir::config::testing
