// What single values may look like.
#include "config/loading.hpp"

namespace pgweir::config::testing {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::shared_ptr<const snapshot> with_query(const std::string& value) {
    return loaded(enough + "[timeouts]\nquery = " + value + "\n");
}
std::vector<std::string> problems_with(const std::string& section, const std::string& assignment) {
    return problems_in(enough + "[" + section + "]\n" + assignment + "\n");
}

TEST(ByteCounts, TakeANumberOrAUnit) {
    const auto with = [](const std::string& value) {
        return loaded(enough + "[cluster.main]\nnodes = [\"a\"]\nmax_lag_bytes = " + value + "\n")
            ->clusters.at("main")
            .max_lag_bytes;
    };
    EXPECT_EQ(with("0"), 0U);
    EXPECT_EQ(with("1000"), 1'000U);
    EXPECT_EQ(with(R"("1000")"), 1'000U);
    EXPECT_EQ(with(R"("2KiB")"), 2'048U);
    EXPECT_EQ(with(R"("3MiB")"), 3U << 20);
    EXPECT_EQ(with(R"("4GiB")"), 4ULL << 30);
    EXPECT_EQ(with(R"("5TiB")"), 5ULL << 40);
}

class BadByteCounts : public ::testing::TestWithParam<const char*> {};

TEST_P(BadByteCounts, AreRefused) {
    EXPECT_THAT(problems_in(enough + "[cluster.main]\nnodes = [\"a\"]\nmax_lag_bytes = " +
                            GetParam() + "\n"),
                ElementsAre(HasSubstr("x.toml:5:17: cluster.main.max_lag_bytes ")));
}

INSTANTIATE_TEST_SUITE_P(Values,
                         BadByteCounts,
                         ::testing::Values("-1",
                                           R"("-1KiB")",
                                           R"("16MB")",
                                           R"("16 MiB")",
                                           R"("MiB")",
                                           R"("")",
                                           "1.5",
                                           "true",
                                           "1125899906842625",
                                           R"("1025TiB")",
                                           R"("99999999999999999999")"));

TEST(Durations, TakeEveryUnit) {
    EXPECT_EQ(with_query(R"("250ms")")->timeouts.query, 250ms);
    EXPECT_EQ(with_query(R"("30s")")->timeouts.query, 30s);
    EXPECT_EQ(with_query(R"("5m")")->timeouts.query, 5min);
    EXPECT_EQ(with_query(R"("1h")")->timeouts.query, 1h);
    EXPECT_EQ(with_query(R"("2d")")->timeouts.query, 48h);
}

TEST(Durations, ZeroNeedsNoUnit) {
    EXPECT_EQ(with_query("0")->timeouts.query, 0ms);
    EXPECT_EQ(with_query(R"("0")")->timeouts.query, 0ms);
    EXPECT_EQ(with_query(R"("0s")")->timeouts.query, 0ms);
}

TEST(Durations, BareNumberIsRefusedWithAHint) {
    EXPECT_THAT(problems_with("timeouts", "query = 30"),
                ElementsAre(HasSubstr("timeouts.query has no unit (write a number and a unit")));
}

TEST(Durations, BareNumberInQuotesIsRefusedWithAHint) {
    EXPECT_THAT(problems_with("timeouts", "query = \"30\""), ElementsAre(HasSubstr("has no unit")));
}

class BadDurations : public ::testing::TestWithParam<const char*> {};

TEST_P(BadDurations, AreRefused) {
    EXPECT_THAT(problems_with("timeouts", std::string{"query = "} + GetParam()),
                ElementsAre(HasSubstr("timeouts.query ")));
}

INSTANTIATE_TEST_SUITE_P(Values,
                         BadDurations,
                         ::testing::Values(R"("30 s")",
                                           R"("s")",
                                           R"("")",
                                           R"("1.5s")",
                                           R"("-1s")",
                                           R"("30sec")",
                                           R"("366d")",
                                           "1.5",
                                           "true",
                                           "[]",
                                           "{}",
                                           R"("99999999999999999999s")",
                                           R"("9223372036854775807d")",
                                           R"("99999999999999999999")",
                                           "1979-05-27"));

TEST(Durations, FractionOfASecondIsRefusedWhereTheKernelTakesSeconds) {
    EXPECT_THAT(problems_with("tcp", "keepalive_idle = \"1500ms\""),
                ElementsAre(HasSubstr("is not a multiple of \"1s\"")));
}

TEST(Durations, ZeroIsRefusedWhereAConnectWouldNeverGiveUp) {
    EXPECT_THAT(problems_with("pool", "server_connect_timeout = 0"),
                ElementsAre(HasSubstr("is 0, which is outside \"1ms\" to \"365d\"")));
}

TEST(Numbers, TextIsRefusedWithAHint) {
    EXPECT_THAT(problems_with("pool", "size = \"20\""),
                ElementsAre(HasSubstr("pool.size must be a whole number, not a string (write it "
                                      "without quotes)")));
}

TEST(Numbers, ZeroIsNoPoolSize) {
    EXPECT_THAT(problems_with("pool", "size = 0"),
                ElementsAre(HasSubstr("pool.size is 0, which is outside 1 to 262143")));
}

TEST(Numbers, NegativeOnesAreOutOfRange) {
    EXPECT_THAT(problems_with("limits", "max_clients = -1"), ElementsAre(HasSubstr("is -1")));
}

TEST(Numbers, PortsEndAt65535) {
    EXPECT_THAT(problems_with("listen", "port = 65536"),
                ElementsAre(HasSubstr("listen.port is 65536, which is outside 1 to 65535")));
}

TEST(Flags, TextIsRefused) {
    EXPECT_THAT(problems_with("tcp", "keepalive = \"on\""),
                ElementsAre(HasSubstr("tcp.keepalive must be true or false, not a string")));
}

TEST(Words, MistypedOneGetsTheNearest) {
    EXPECT_THAT(problems_with("pool", "mode = \"transction\""),
                ElementsAre(HasSubstr("(did you mean \"transaction\"?)")));
}

TEST(Words, UnknownOneGetsTheList) {
    EXPECT_THAT(problems_with("log", "level = \"loud\""),
                ElementsAre(HasSubstr("which is not one of \"trace\", \"debug\", \"info\", "
                                      "\"warn\", \"error\"")));
}

TEST(UnixSocketMode, NumberIsRefusedBecauseTomlWouldReadItAsDecimal) {
    EXPECT_THAT(problems_with("listen", "unix_socket_mode = 777"),
                ElementsAre(HasSubstr("write octal digits in quotes")));
}

TEST(UnixSocketMode, DigitsMustBeOctal) {
    EXPECT_THAT(problems_with("listen", "unix_socket_mode = \"0790\""),
                ElementsAre(HasSubstr("which is not a mode")));
}

TEST(UnixSocketDir, MustBeAbsolute) {
    EXPECT_THAT(problems_with("listen", "unix_socket_dir = \"run\""),
                ElementsAre(HasSubstr("is not an absolute path")));
}

TEST(UnixSocketDir, MustFitIntoASocketAddress) {
    EXPECT_THAT(problems_with("listen", "unix_socket_dir = \"/" + std::string(100, 'a') + "\""),
                ElementsAre(HasSubstr("is longer than 92 bytes")));
}

TEST(Addresses, OneStringIsRefusedWithTheShapeOfAList) {
    EXPECT_THAT(problems_with("listen", "addresses = \"::1\""),
                ElementsAre(HasSubstr(R"(write a list: ["127.0.0.1", "::1"])")));
}

TEST(Addresses, NumbersInTheListAreRefused) {
    EXPECT_THAT(problems_with("listen", "addresses = [1]"),
                ElementsAre(HasSubstr("must hold strings, not a whole number")));
}

TEST(Addresses, SameOneTwiceIsRefused) {
    EXPECT_THAT(problems_with("listen", R"(addresses = ["::1", "::1"])"),
                ElementsAre(HasSubstr("twice")));
}

TEST(Addresses, UnixSocketIsSentToItsKey) {
    EXPECT_THAT(problems_with("listen", R"(addresses = ["/tmp"])"),
                ElementsAre(HasSubstr("unix sockets go in listen.unix_socket_dir")));
}

TEST(Hosts, EmptyOneIsRefused) {
    EXPECT_THAT(problems_with("database.b", "host = \"\""), ElementsAre(HasSubstr("is empty")));
}

TEST(Hosts, ListOfHostsIsRefused) {
    EXPECT_THAT(problems_with("database.b", "host = \"a,b\""),
                ElementsAre(HasSubstr("which is not a host")));
}

TEST(Hosts, ControlCharactersAreRefusedAndEscaped) {
    EXPECT_THAT(problems_with("database.b", R"(host = "a\nb")"),
                ElementsAre(HasSubstr(R"("a\u000ab", which is not a host)")));
}

}  // namespace pgweir::config::testing
