// What is refused, and in which words.
#include "config/loading.hpp"

namespace pgweir::config::testing {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

TEST(Problems, AreAllReportedAtOnceInTheOrderOfTheirLines) {
    EXPECT_THAT(problems_in("[pool]\n"
                            "sise = 3\n"
                            "mode = 1\n"
                            "[database.pgweir]\n"
                            "[auth]\n"
                            "method = \"trust\"\n"
                            "[listen]\n"
                            "  port = 0\n"),
                ElementsAre("x.toml:2:1: unknown key \"sise\" in [pool] (did you mean \"size\"?)",
                            "x.toml:3:8: pool.mode must be a string, not a whole number (one of "
                            "\"session\", \"transaction\", \"statement\")",
                            "x.toml:4:11: database.pgweir is reserved for the console (call it "
                            "something else and set dbname)",
                            "x.toml:8:10: listen.port is 0, which is outside 1 to 65535"));
}

TEST(Problems, BrokenTomlIsOneProblemWithItsPlace) {
    EXPECT_THAT(problems_in("[pool]\nsize = \n"), ElementsAre(HasSubstr("x.toml:2:8: not valid")));
}

TEST(Problems, KeyThatOccursTwiceIsNamed) {
    EXPECT_THAT(problems_in("[pool]\nsize = 1\nsize = 2\n"),
                ElementsAre(HasSubstr("cannot redefine existing integer 'size'")));
}

TEST(Problems, KeyWithALineBreakThatOccursTwiceStaysOneLine) {
    EXPECT_THAT(problems_in("\"a\\nb\" = 1\n\"a\\nb\" = 2\n"), ElementsAre(Not(HasSubstr("\n"))));
}

TEST(Problems, SectionThatOccursTwiceIsNamed) {
    EXPECT_THAT(problems_in("[user.ann]\n[user.ann]\n"), ElementsAre(HasSubstr("user.ann")));
}

TEST(Problems, EmptyFileHasNoDatabaseAndNoUser) {
    EXPECT_THAT(problems_in(""), ElementsAre(HasSubstr("x.toml: there is no database"),
                                             HasSubstr("x.toml: there is no user")));
}

TEST(Problems, UnknownSectionGetsTheNearestName) {
    EXPECT_THAT(problems_in(enough + "[timeout]\n"),
                ElementsAre("x.toml:3:2: unknown section [timeout] (did you mean [timeouts]?)"));
}

TEST(Problems, UnknownSectionWithoutANearNameGetsTheListOfThem) {
    EXPECT_THAT(problems_in(enough + "[zebra]\n"), ElementsAre(HasSubstr("(sections are auth, ")));
}

TEST(Problems, KeyOutsideAnySectionIsSentToItsSection) {
    EXPECT_THAT(problems_in("max_clients = 3\n" + enough),
                ElementsAre(HasSubstr("did you mean \"max_clients\" in [limits]?")));
}

TEST(Problems, KeyOfAnotherSectionIsSentThere) {
    EXPECT_THAT(problems_in(enough + "[pool]\nquery_wait = \"1s\"\n"),
                ElementsAre(HasSubstr("did you mean \"query_wait\" in [timeouts]?")));
}

TEST(Problems, PoolKeyInADatabaseIsSentToItsPool) {
    EXPECT_THAT(problems_in(enough + "size = 3\n"),
                ElementsAre(HasSubstr("did you mean \"size\" in [database.shop.pool]?")));
}

TEST(Problems, ShutdownIsGlobalOnly) {
    EXPECT_THAT(problems_in(enough + "timeouts.shutdown = \"1s\"\n"),
                ElementsAre(HasSubstr("did you mean \"shutdown\" in [timeouts]?")));
}

TEST(Problems, UnknownKeyWithControlCharactersStaysOneLine) {
    EXPECT_THAT(problems_in(enough + "[pool]\n\"a\\nb\" = 3\n"),
                ElementsAre(HasSubstr(R"(unknown key "a\u000ab" in [pool])")));
}

struct foreign_name {
    const char* section;
    const char* name;
    const char* hint;
};

class PgBouncerNames : public ::testing::TestWithParam<foreign_name> {};

TEST_P(PgBouncerNames, AreTranslated) {
    const auto& p = GetParam();
    EXPECT_THAT(problems_in(enough + "[" + p.section + "]\n" + p.name + " = 1\n"),
                ElementsAre(HasSubstr(p.hint)));
}

INSTANTIATE_TEST_SUITE_P(
    Settings,
    PgBouncerNames,
    ::testing::Values(
        foreign_name{"pool", "pool_size", "did you mean \"size\"?"},
        foreign_name{"pool", "default_pool_size", "did you mean \"size\"?"},
        foreign_name{"pool", "pool_mode", "did you mean \"mode\"?"},
        foreign_name{"database.b", "pool_size", "did you mean \"size\" in [database.b.pool]?"},
        foreign_name{"database.b", "pool_mode", "did you mean \"mode\" in [database.b.pool]?"},
        foreign_name{"listen", "listen_addr", "did you mean \"addresses\"?"},
        foreign_name{"listen", "listen_port", "did you mean \"port\"?"},
        foreign_name{"pool", "listen_port", "did you mean \"port\" in [listen]?"},
        foreign_name{"limits", "max_client_conn", "did you mean \"max_clients\"?"},
        foreign_name{"pool", "auth_type", "did you mean \"method\" in [auth]?"},
        foreign_name{"timeouts", "server_idle_timeout",
                     "did you mean \"server_idle_timeout\" in [pool]?"},
        foreign_name{"timeouts", "query_wait_timeout", "did you mean \"query_wait\"?"},
        foreign_name{"limits", "max_db_connections",
                     "did you mean \"max_server_connections\" in [database.NAME]?"}));

TEST(Problems, ScalarInThePlaceOfASectionIsRefused) {
    EXPECT_THAT(
        problems_in("pool = 3\n" + enough),
        ElementsAre(HasSubstr("pool must be a section, not a whole number (write [pool])")));
}

TEST(Problems, ConnectionStringAsADatabaseIsRefused) {
    EXPECT_THAT(problems_in("auth.method = \"trust\"\n[database]\nshop = \"host=db1\"\n"),
                ElementsAre(HasSubstr("has a section of its own: [database.NAME]")));
}

TEST(Problems, ListOfDatabasesIsRefused) {
    EXPECT_THAT(problems_in("auth.method = \"trust\"\n[[database]]\n"),
                ElementsAre(HasSubstr("database must be a section, not a list")));
}

TEST(Problems, ConsoleNamesAreReserved) {
    EXPECT_THAT(problems_in(enough + "[database.pgbouncer]\n"),
                ElementsAre(HasSubstr("database.pgbouncer is reserved")));
}

TEST(Problems, NameLongerThanPostgresqlAllowsIsRefused) {
    EXPECT_THAT(problems_in(enough + "[user." + std::string(64, 'a') + "]\n"),
                ElementsAre(HasSubstr("is longer than 63 bytes")));
}

TEST(Problems, EmptyNameIsRefused) {
    EXPECT_THAT(problems_in(enough + "[database.\"\"]\n"), ElementsAre(HasSubstr("has no name")));
}

TEST(Problems, UsersHaveNoFallback) {
    EXPECT_THAT(problems_in(enough + "[user.\"*\"]\n"), ElementsAre(HasSubstr("no fallback")));
}

TEST(Problems, ListeningOnNothingIsRefused) {
    EXPECT_THAT(problems_in(enough + "[listen]\naddresses = []\n"),
                ElementsAre("x.toml:4:13: listen.addresses is empty, and there is no unix socket "
                            "either (name an address, or set listen.unix_socket_dir)"));
}

TEST(Problems, UnixSocketAloneIsEnoughToListenOn) {
    EXPECT_THAT(problems_in(enough + "[listen]\naddresses = []\nunix_socket_dir = \"/tmp\"\n"),
                IsEmpty());
}

TEST(Problems, MinSizeAboveSizeIsRefusedOnceForAllWhoInherit) {
    EXPECT_THAT(problems_in(enough + "[pool]\nmin_size = 30\n"),
                ElementsAre("x.toml:4:12: pool.min_size is 30, more than the size of 20"));
}

TEST(Problems, MinSizeAboveSizeIsRefusedInADatabase) {
    EXPECT_THAT(problems_in(enough + "pool.min_size = 21\n"),
                ElementsAre(HasSubstr("x.toml:3:17: database.shop.pool.min_size is 21")));
}

TEST(Problems, MinSizeAboveTheDatabasesLimitIsRefused) {
    EXPECT_THAT(problems_in(enough + "max_server_connections = 2\npool.min_size = 3\n"),
                ElementsAre(HasSubstr("less than the min_size of 3")));
}

TEST(Problems, UserWhoseSizeIsBelowADatabasesMinSizeIsRefused) {
    EXPECT_THAT(problems_in(enough + "pool.min_size = 5\n[user.ann.pool]\nsize = 3\n"),
                ElementsAre(HasSubstr("x.toml:5:8: user.ann.pool.size gives database \"shop\" a "
                                      "min_size of 5 in a pool of size 3")));
}

TEST(Problems, MoreLoginClientsThanClientsIsAllowed) {
    EXPECT_THAT(problems_in(enough + "[limits]\nmax_clients = 1\nmax_login_clients = 2\n"),
                IsEmpty());
}

TEST(Problems, DatabasePasswordWithoutAUserIsRefused) {
    EXPECT_THAT(problems_in(enough + "password = \"x\"\n"),
                ElementsAre(HasSubstr("database.shop.password is set without a user")));
}

TEST(Problems, ForcedUserWithoutAPasswordIsAllowed) {
    EXPECT_THAT(problems_in(enough + "user = \"app\"\n"), IsEmpty());
}

TEST(Problems, NobodyWhoCouldLogInIsRefused) {
    EXPECT_THAT(problems_in("[database.shop]\n"),
                ElementsAre(HasSubstr("there is no user, and auth.method is \"scram-sha-256\"")));
}

TEST(Problems, UserWithoutAPasswordIsRefusedUnlessTrusted) {
    EXPECT_THAT(problems_in("[database.shop]\n[user.ann]\n"),
                ElementsAre(HasSubstr("x.toml:2:7: user.ann.password is missing")));
}

TEST(Problems, Md5HashIsRefusedWhereOnlyScramIsSpoken) {
    EXPECT_THAT(problems_in("[database.shop]\n[user.ann]\npassword = "
                            "\"md50123456789abcdef0123456789abcdef\"\n"),
                ElementsAre(HasSubstr("user.ann.password is an md5 hash")));
}

TEST(Problems, MissingFileIsAProblemWithoutALine) {
    EXPECT_THAT(problems_of(load_file("/nonexistent/pgweir.toml")),
                ElementsAre("/nonexistent/pgweir.toml: cannot be opened: No such file or "
                            "directory"));
}

TEST(Problems, DirectoryIsNotAFile) {
    EXPECT_THAT(problems_of(load_file("/")), ElementsAre(HasSubstr("cannot be read")));
}

TEST(Problems, FileWithoutAnEndIsRefused) {
    EXPECT_THAT(problems_of(load_file("/dev/zero")), ElementsAre(HasSubstr("larger than 4 MiB")));
}

TEST(Problems, ReportOfAHostileFileIsBounded) {
    std::string toml = "[pool]\n";
    for (int i = 0; i < 5'000; ++i) {
        toml += "k" + std::to_string(i) + " = 1\n";
    }
    const auto problems = problems_in(toml);
    EXPECT_THAT(problems, SizeIs(1'001));
    EXPECT_EQ(problems.back(), "x.toml: 4002 further problems are not listed");
}

}  // namespace pgweir::config::testing
