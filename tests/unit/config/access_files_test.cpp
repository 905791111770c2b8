// Files of access rules: where they are looked for, and what becomes of their problems.
#include "config/loading.hpp"
#include "pgweir/auth/access_rules.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>

namespace pgweir::config::testing {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RuleFiles : public ::testing::Test {
protected:
    void SetUp() override { ASSERT_NE(mkdtemp(directory_.data()), nullptr); }
    void TearDown() override { std::filesystem::remove_all(directory_); }

    void write(const std::string& name, const std::string& text) const {
        std::ofstream{directory_ + "/" + name} << text;
    }
    [[nodiscard]] load_result load(const std::string& auth = R"(hba_file = "hba")") const {
        return load_text("[auth]\nmethod = \"hba\"\n" + auth + "\n[database.shop]\n",
                         directory_ + "/pgweir.toml");
    }
    [[nodiscard]] std::vector<std::string> problems(
        const std::string& auth = R"(hba_file = "hba")") const {
        auto all = problems_of(load(auth));
        for (auto& p : all) {
            if (const auto at = p.find(directory_ + "/"); at != std::string::npos) {
                p.erase(at, directory_.size() + 1);
            }
        }
        return all;
    }
    [[nodiscard]] std::shared_ptr<const snapshot> read(
        const std::string& auth = R"(hba_file = "hba")") const {
        const auto result = load(auth);
        EXPECT_THAT(problems_of(result), IsEmpty());
        const auto* found = std::get_if<0>(&result);
        return found != nullptr ? *found : std::make_shared<const snapshot>();
    }

    std::string directory_ = ::testing::TempDir() + "pgweir-rules-XXXXXX";
};

TEST_F(RuleFiles, AreRelativeToTheConfigurationFile) {
    write("hba", "local all all peer\n");
    const auto s = read();
    ASSERT_NE(s->access, nullptr);
    ASSERT_EQ(s->access->rules().size(), 1U);
    EXPECT_EQ(s->access->rules()[0].file, directory_ + "/hba");
}

TEST_F(RuleFiles, MayBeAbsolute) {
    write("hba", "local all all peer map=m\n");
    write("ident", "m root app\n");
    const auto s =
        read("hba_file = \"" + directory_ + "/hba\"\nident_file = \"" + directory_ + "/ident\"");
    ASSERT_NE(s->access, nullptr);
    EXPECT_EQ(s->access->maps().size(), 1U);
}

TEST_F(RuleFiles, MakeUsersAndPasswordsOptional) {
    write("hba", "local all all peer\n");
    EXPECT_THAT(problems(), IsEmpty());
    EXPECT_THAT(problems("hba_file = \"hba\"\n[user.app]\n"), IsEmpty());
}

TEST_F(RuleFiles, AreNeededWhereRulesDecide) {
    EXPECT_THAT(problems(""),
                ElementsAre(HasSubstr("auth.hba_file is missing, and auth.method is \"hba\"")));
}

TEST_F(RuleFiles, AreRefusedWhereNobodyWouldGoByThem) {
    EXPECT_THAT(problems_in("[auth]\nmethod = \"trust\"\nhba_file = \"x\"\nident_file = \"y\"\n"
                            "[database.shop]\n"),
                ElementsAre(HasSubstr("x.toml:3:12: auth.hba_file is set, and auth.method is "
                                      "\"trust\": nobody would go by it"),
                            HasSubstr("x.toml:4:14: auth.ident_file is set")));
}

TEST_F(RuleFiles, HaveTheirProblemsToldWithThoseOfTheConfiguration) {
    write("hba", "local all all peer\nlocal all all guess\n");
    write("ident", "m root\n");
    EXPECT_THAT(problems("hba_file = \"hba\"\nident_file = \"ident\"\nmethods = 1"),
                ElementsAre(HasSubstr("pgweir.toml:5:1: unknown key \"methods\""),
                            "hba:2: invalid authentication method \"guess\"",
                            "ident:1: missing entry at end of line"));
}

TEST_F(RuleFiles, AskForCertificatesOnlyWhereTheyCanBeChecked) {
    write("hba", "hostssl all all all scram-sha-256\nhostssl all all all cert\n");
    EXPECT_THAT(problems(), ElementsAre("hba:2: client certificates can only be checked if a root "
                                        "certificate store is available (set client_tls.ca)"));
}

TEST_F(RuleFiles, AreNotMissedSilently) {
    EXPECT_THAT(problems(), ElementsAre(HasSubstr("/hba\": No such file or directory")));
}

TEST_F(RuleFiles, MustBeFiles) {
    std::filesystem::create_directory(directory_ + "/hba");
    EXPECT_THAT(problems(), ElementsAre(HasSubstr("not a regular file")));
}

TEST_F(RuleFiles, MustNotBeAFifoThatNobodyWrites) {
    ASSERT_EQ(mkfifo((directory_ + "/hba").c_str(), 0600), 0);
    EXPECT_THAT(problems(), ElementsAre(HasSubstr("not a regular file")));
}

TEST_F(RuleFiles, MustNotBeWritableForEverybody) {
    write("hba", "local all all trust\n");
    ASSERT_EQ(chmod((directory_ + "/hba").c_str(), 0666), 0);
    EXPECT_THAT(problems(), ElementsAre(HasSubstr("every user of this machine can write to it")));
}

TEST_F(RuleFiles, HaveASizeThatIsBounded) {
    write("hba", std::string((4u << 20) + 1, '#'));
    EXPECT_THAT(problems(), ElementsAre(HasSubstr("larger than 4 MiB")));
}

TEST_F(RuleFiles, TellAHundredProblemsAndHowManyMore) {
    std::string text;
    for (int i = 0; i < 103; ++i) {
        text += "x\n";
    }
    write("hba", text);
    const auto all = problems();
    ASSERT_EQ(all.size(), 101U);
    EXPECT_THAT(all.back(), HasSubstr("and 3 further problems"));
}

TEST_F(RuleFiles, TellEachProblemInOneLine) {
    write("hba", "local all all \"a\x01\vb\"\n");
    EXPECT_THAT(problems(), ElementsAre("hba:1: invalid authentication method \"a??b\""));
}

TEST_F(RuleFiles, IncludeADirectoryWithoutItsHiddenFilesAndOthers) {
    write("hba", "include_dir rules\n");
    std::filesystem::create_directories(directory_ + "/rules/3.conf");
    write("rules/2.conf", "local b all peer\n");
    write("rules/1.conf", "local a all peer\n");
    write("rules/.0.conf", "local no all trust\n");
    write("rules/1.conf~", "local no all trust\n");
    const auto s = read();
    ASSERT_NE(s->access, nullptr);
    ASSERT_EQ(s->access->rules().size(), 2U);
    EXPECT_EQ(s->access->rules()[0].databases[0].text(), "a");
    EXPECT_EQ(s->access->rules()[1].databases[0].text(), "b");
}

TEST_F(RuleFiles, ThatSaySomethingElseAreADifference) {
    const std::string both = "hba_file = \"hba\"\nident_file = \"ident\"";
    write("hba", "local all all peer map=m\n");
    write("ident", "m root app\n");
    const auto before = read(both);
    EXPECT_THAT(diff(*before, *read(both)).changed, IsEmpty());
    write("hba", "local all all reject\n");
    write("ident", "m root boss\n");
    EXPECT_THAT(diff(*before, *read(both)).changed,
                ElementsAre("auth.hba_file", "auth.ident_file"));
}

TEST(RuleFile, OfTheExamplesLetsApplicationsIn) {
    const auto s = loaded(R"([auth]
method = "hba"
hba_file = ")" PGWEIR_SOURCE_DIR R"(/conf/pg_hba.conf"
[database.shop]
)");
    ASSERT_NE(s->access, nullptr);
    const auto* rule = s->access->find(
        {.peer = auth::ip_address::parse("10.1.2.3"), .database = "shop", .user = "app_web"});
    ASSERT_NE(rule, nullptr);
    EXPECT_EQ(rule->method, auth::hba_method::scram_sha_256);
    EXPECT_EQ(
        s->access->find(
            {.peer = auth::ip_address::parse("192.0.2.1"), .database = "shop", .user = "app_web"}),
        nullptr);
}

}  // namespace pgweir::config::testing
