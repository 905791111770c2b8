// Looking names up without waiting for them.
#include "pgweir/watch/name_lookup.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <optional>

namespace pgweir::watch {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

std::promise<void> answer_comes;
std::promise<void> answer_came;

// A name service that takes its time.
name_lookup::result slow(const std::string&) {
    answer_comes.get_future().wait();
    answer_came.set_value();
    return {{"10.0.0.1"}, {}};
}

name_lookup::result quick(const std::string& host) {
    return host == "pg-1" ? name_lookup::result{{"10.0.0.1", "10.0.0.2"}, {}}
                          : name_lookup::result{{}, "unknown"};
}

name_lookup::result found(const std::string& host) {
    boost::asio::io_context io{1};
    name_lookup names{io, quick};
    std::optional<name_lookup::result> out;
    names.resolve(host, [&out](name_lookup::result r) { out = std::move(r); });
    const auto work = boost::asio::make_work_guard(io);
    while (!out) {
        io.run_one_for(30s);
    }
    return *out;
}

TEST(name_lookup_test, tells_what_a_name_leads_to) {
    EXPECT_THAT(found("pg-1").addresses, ElementsAre("10.0.0.1", "10.0.0.2"));
}

TEST(name_lookup_test, tells_why_a_name_leads_nowhere) {
    const auto r = found("pg-9");
    EXPECT_TRUE(r.addresses.empty());
    EXPECT_EQ(r.error, "unknown");
}

TEST(name_lookup_test, takes_an_address_for_what_it_is) {
    EXPECT_THAT(found("10.0.0.7").addresses, ElementsAre("10.0.0.7"));
}

TEST(name_lookup_test, its_end_does_not_wait_for_a_slow_name_service) {
    bool is_told = false;
    {
        boost::asio::io_context io{1};
        name_lookup names{io, slow};
        names.resolve("pg-1", [&is_told](const name_lookup::result&) { is_told = true; });
    }
    answer_comes.set_value();  // with an end that waits, this line is not reached
    answer_came.get_future().wait();
    EXPECT_FALSE(is_told);
}

}  // namespace
}  // namespace pgweir::watch
