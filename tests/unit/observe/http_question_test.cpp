// Which requests are understood.
#include "pgweir/observe/http_question.hpp"

#include <gtest/gtest.h>

namespace pgweir::observe {
namespace {

http_question asked(std::string_view method, std::string_view target) {
    const auto understood = understand(method, target);
    const auto* question = std::get_if<http_question>(&understood);
    EXPECT_NE(question, nullptr) << method << ' ' << target;
    return question == nullptr ? http_question{} : *question;
}
unsigned refused(std::string_view method, std::string_view target) {
    const auto understood = understand(method, target);
    const auto* refusal = std::get_if<http_refusal>(&understood);
    return refusal == nullptr ? 200 : refusal->status;
}

TEST(http_question, is_one_of_three_pages) {
    EXPECT_EQ(asked("GET", "/metrics").page, http_page::metrics);
    EXPECT_EQ(asked("GET", "/healthz").page, http_page::healthz);
    EXPECT_EQ(asked("GET", "/readyz").page, http_page::readyz);
}

TEST(http_question, head_asks_for_the_same_pages) {
    EXPECT_EQ(asked("HEAD", "/metrics").page, http_page::metrics);
}

TEST(http_question, other_paths_are_not_found) {
    for (const auto* target : {"", "/", "*", "metrics", "/metrics/", "/Metrics", "//metrics",
                               "/metrics%00", "http://a/metrics", "/../metrics"}) {
        EXPECT_EQ(refused("GET", target), 404U) << target;
    }
}

TEST(http_question, other_methods_are_not_allowed) {
    for (const auto* method : {"POST", "PUT", "DELETE", "OPTIONS", "get", ""}) {
        EXPECT_EQ(refused(method, "/metrics"), 405U) << method;
    }
}

TEST(http_question, parameters_of_pages_without_any_are_ignored) {
    EXPECT_EQ(asked("GET", "/metrics?x=%").page, http_page::metrics);
    EXPECT_EQ(asked("GET", "/healthz?").page, http_page::healthz);
}

TEST(http_question, readiness_may_name_a_cluster) {
    EXPECT_EQ(asked("GET", "/readyz").cluster, std::nullopt);
    EXPECT_EQ(asked("GET", "/readyz?").cluster, std::nullopt);
    EXPECT_EQ(asked("GET", "/readyz?cluster=main").cluster, "main");
    EXPECT_EQ(asked("GET", "/readyz?cluster=").cluster, "");
    EXPECT_EQ(asked("GET", "/readyz?cluster=a%20b%2Fc").cluster, "a b/c");
}

TEST(http_question, other_parameters_of_readiness_are_refused) {
    for (const auto* target : {"/readyz?clutser=main", "/readyz?main", "/readyz?cluster=a&x=b",
                               "/readyz?cluster=%", "/readyz?cluster=%2", "/readyz?cluster=%2g"}) {
        EXPECT_EQ(refused("GET", target), 400U) << target;
    }
}

}  // namespace
}  // namespace pgweir::observe
