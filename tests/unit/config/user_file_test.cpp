// Users from a file in PgBouncer's format.
#include "config/user_file.hpp"

#include "config/loading.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>

namespace pgweir::config::testing {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using pairs = std::vector<std::pair<std::string, std::string>>;

pairs users_in(std::string_view text) {
    const auto parsed = parse_user_file(text, "users.txt");
    pairs out;
    if (const auto* users = std::get_if<std::vector<user_entry>>(&parsed)) {
        for (const auto& u : *users) {
            out.emplace_back(u.name, u.password.reveal());
        }
    } else {
        ADD_FAILURE() << std::get<1>(parsed).front().text();
    }
    return out;
}

std::vector<std::string> problems_of_users(std::string_view text) {
    const auto parsed = parse_user_file(text, "users.txt");
    std::vector<std::string> out;
    if (const auto* problems = std::get_if<std::vector<problem>>(&parsed)) {
        for (const auto& p : *problems) {
            out.push_back(p.text());
        }
    }
    return out;
}

TEST(UserFile, HoldsAUserAndASecretALine) {
    EXPECT_EQ(users_in("\"ann\" \"pencil\"\n\"bob\" \"crayon\"\n"),
              (pairs{{"ann", "pencil"}, {"bob", "crayon"}}));
}

TEST(UserFile, NeedsNoLineEndAtItsEnd) {
    EXPECT_EQ(users_in("\"ann\" \"pencil\""), (pairs{{"ann", "pencil"}}));
}

TEST(UserFile, MayHaveLineEndsOfWindows) {
    EXPECT_EQ(users_in("\"ann\" \"pencil\"\r\n\r\n\"bob\" \"x\"\r\n"),
              (pairs{{"ann", "pencil"}, {"bob", "x"}}));
}

TEST(UserFile, MayBeIndentedAndHaveEmptyLines) {
    EXPECT_EQ(users_in("\n  \"ann\"\t\"pencil\"\n\n"), (pairs{{"ann", "pencil"}}));
}

TEST(UserFile, HasCommentsThatBeginWithASemicolon) {
    EXPECT_EQ(users_in("; \"eve\" \"x\"\n  ;\n\"ann\" \"pencil\"\n"), (pairs{{"ann", "pencil"}}));
}

TEST(UserFile, WritesAQuotationMarkTwice) {
    EXPECT_EQ(users_in("\"a\"\"b\" \"c\"\"\"\n"), (pairs{{"a\"b", "c\""}}));
}

TEST(UserFile, IgnoresWhatFollowsTheSecret) {
    EXPECT_EQ(users_in("\"ann\" \"pencil\" whatever \"else\"\n"), (pairs{{"ann", "pencil"}}));
}

TEST(UserFile, MayHaveUsersWithoutAPassword) {
    EXPECT_EQ(users_in("\"ann\" \"\"\n"), (pairs{{"ann", ""}}));
}

TEST(UserFile, MayBeEmpty) { EXPECT_THAT(users_in(""), IsEmpty()); }

TEST(UserFile, SaysWhichLinesAreWrong) {
    EXPECT_THAT(problems_of_users("\"ann\" \"x\"\nbob y\n\"cid\"\n"),
                ElementsAre(HasSubstr("users.txt:2:1: line does not begin with a user"),
                            HasSubstr("users.txt:3:1: line has no secret")));
}

TEST(UserFile, RefusesAStringThatDoesNotEndOnItsLine) {
    EXPECT_THAT(problems_of_users("\"ann\" \"pen\ncil\"\n"),
                ElementsAre(HasSubstr(":1:1: line has no secret"), HasSubstr(":2:1: ")));
}

TEST(UserFile, RefusesAUserWithoutAName) {
    EXPECT_THAT(problems_of_users("\"\" \"x\"\n"), ElementsAre(HasSubstr("without a name")));
}

TEST(UserFile, RefusesANameThatNoRoleCanHave) {
    EXPECT_THAT(problems_of_users("\"" + std::string(64, 'x') + "\" \"x\"\n"),
                ElementsAre(HasSubstr("longer than 63 bytes")));
}

TEST(UserFile, RefusesHalfAVerifierAndDoesNotQuoteIt) {
    EXPECT_THAT(
        problems_of_users("\"ann\" \"SCRAM-SHA-256$4096:abc\"\n"),
        ElementsAre(::testing::AllOf(HasSubstr("not a complete one"), Not(HasSubstr("abc")))));
}

TEST(UserFile, DoesNotListAMillionProblems) {
    std::string text;
    for (int i = 0; i < 10'000; ++i) {
        text += "x\n";
    }
    EXPECT_EQ(problems_of_users(text).size(), 100U);
}

class UserFileOfAConfiguration : public ::testing::Test {
protected:
    UserFileOfAConfiguration() {
        std::string name = ::testing::TempDir() + "users-XXXXXX";
        folder_ = ::mkdtemp(name.data());
    }
    ~UserFileOfAConfiguration() override { std::filesystem::remove_all(folder_); }

    void write(const std::string& text, mode_t mode = 0600) {
        const auto path = folder_ + "/users.txt";
        std::ofstream{path} << text;
        ::chmod(path.c_str(), mode);
    }
    load_result load(const std::string& more = {}) {
        return load_text("auth.user_file = \"users.txt\"\n[database.shop]\n" + more,
                         folder_ + "/pgweir.toml");
    }

    std::string folder_;
};

TEST_F(UserFileOfAConfiguration, AddsUsers) {
    write("\"ann\" \"pencil\"\n");
    const auto result = load();
    ASSERT_THAT(problems_of(result), IsEmpty());
    EXPECT_EQ(std::get<0>(result)->find_user("ann")->password.reveal(), "pencil");
}

TEST_F(UserFileOfAConfiguration, YieldsToASection) {
    write("\"ann\" \"from-file\"\n");
    const auto result = load("[user.ann]\npassword = \"from-section\"\n");
    ASSERT_THAT(problems_of(result), IsEmpty());
    EXPECT_EQ(std::get<0>(result)->find_user("ann")->password.reveal(), "from-section");
}

TEST_F(UserFileOfAConfiguration, CountsTheLastLineOfAName) {
    write("\"ann\" \"first\"\n\"ann\" \"last\"\n");
    const auto result = load();
    ASSERT_THAT(problems_of(result), IsEmpty());
    EXPECT_EQ(std::get<0>(result)->find_user("ann")->password.reveal(), "last");
}

TEST_F(UserFileOfAConfiguration, MustBeThere) {
    EXPECT_THAT(problems_of(load()),
                ElementsAre(::testing::AllOf(HasSubstr("auth.user_file cannot be read from"),
                                             HasSubstr("No such file"))));
}

TEST_F(UserFileOfAConfiguration, MustNotBeReadableForOthers) {
    write("\"ann\" \"pencil\"\n", 0644);
    EXPECT_THAT(problems_of(load()), ElementsAre(HasSubstr("chmod o-rwx")));
}

TEST_F(UserFileOfAConfiguration, IsNamedInItsProblems) {
    write("nonsense\n");
    EXPECT_THAT(problems_of(load()), ElementsAre(HasSubstr("/users.txt:1:1: ")));
}

TEST_F(UserFileOfAConfiguration, IsReadAgainByAReload) {
    write("\"ann\" \"old\"\n");
    const auto before = load();
    write("\"ann\" \"new\"\n");
    const auto after = load();
    EXPECT_THAT(diff(*std::get<0>(before), *std::get<0>(after)).changed,
                ElementsAre("user.ann.password"));
}

}  // namespace pgweir::config::testing
