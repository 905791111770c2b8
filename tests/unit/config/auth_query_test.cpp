// Where users are looked up that the configuration does not name.
#include "config/loading.hpp"

namespace pgweir::config::testing {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::optional<auth_query_settings> query_of(const std::string& toml) {
    const auto s = loaded(toml);
    const auto* d = s->find_database("shop");
    EXPECT_EQ(has_auth_query(*s, *d), find_auth_query(*s, *d).has_value());
    return find_auth_query(*s, *d);
}

TEST(AuthQuery, IsNotMadeByDefault) { EXPECT_FALSE(query_of(enough)); }

TEST(AuthQuery, IsMadeByTheUserOfTheSectionAuth) {
    const auto q =
        query_of("[auth]\nauth_user = \"pooler\"\nauth_password = \"x\"\n[database.shop]\n");
    ASSERT_TRUE(q);
    EXPECT_EQ(q->user, "pooler");
    EXPECT_EQ(q->password.reveal(), "x");
    EXPECT_EQ(q->database, "postgres");
    EXPECT_THAT(q->query, HasSubstr("pg_catalog.pg_authid"));
}

TEST(AuthQuery, HonoursExpiryByDefault) {
    EXPECT_THAT(auth_settings{}.auth_query, HasSubstr("rolvaliduntil < pg_catalog.now()"));
}

TEST(AuthQuery, OfADatabaseComesFirst) {
    const auto q = query_of(
        "[auth]\nauth_user = \"all\"\nauth_database = \"a\"\n[database.shop]\n"
        "auth_user = \"own\"\nauth_query = \"select f($1)\"\n");
    EXPECT_EQ(q->user, "own");
    EXPECT_EQ(q->query, "select f($1)");
    EXPECT_EQ(q->database, "a");
}

TEST(AuthQuery, OfAClusterComesBeforeThatOfAll) {
    const auto q = query_of(
        "[auth]\nauth_user = \"all\"\n[cluster.c]\nnodes = [\"n\"]\n"
        "auth_user = \"own\"\n[database.shop]\ncluster = \"c\"\n");
    EXPECT_EQ(q->user, "own");
}

TEST(AuthQuery, TakesNoPasswordThatBelongsToAnotherUser) {
    const auto q = query_of(
        "[auth]\nauth_user = \"all\"\nauth_password = \"x\"\n[database.shop]\n"
        "auth_user = \"own\"\n");
    EXPECT_TRUE(q->password.empty());
}

TEST(AuthQuery, MustAskForItsParameter) {
    EXPECT_THAT(problems_in(enough + "auth_query = \"select 1\"\n"),
                ElementsAre(HasSubstr("does not ask for $1")));
}

TEST(AuthQuery, LetsAConfigurationNameNobody) {
    EXPECT_THAT(problems_in("[auth]\nauth_user = \"pooler\"\n[database.shop]\n"), IsEmpty());
}

}  // namespace pgweir::config::testing
