// Where passwords may come from, their forms, and that they stay secret.
#include "config/loading.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

namespace pgweir::config::testing {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string key32 = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const std::string verifier = "SCRAM-SHA-256$4096:c2FsdHNhbHQ=$" + key32 + ":" + key32;
const std::string md5_hash = "md50123456789abcdef0123456789abcdef";

std::string user_with(const std::string& value) {
    return enough + "[user.ann]\npassword = " + value + "\n";
}
std::string quoted(const std::string& text) { return "\"" + text + "\""; }

class SecretFile : public ::testing::Test {
protected:
    void SetUp() override { ASSERT_NE(mkdtemp(directory_.data()), nullptr); }
    void TearDown() override {
        unlink(path().c_str());
        rmdir(directory_.c_str());
    }
    void write(const std::string& content, mode_t mode = 0600) {
        std::ofstream{path()} << content;
        ASSERT_EQ(chmod(path().c_str(), mode), 0);
    }
    [[nodiscard]] std::string path() const { return directory_ + "/secret"; }
    [[nodiscard]] load_result load(const std::string& value) const {
        return load_text(user_with(value), directory_ + "/pgweir.toml");
    }
    [[nodiscard]] std::string password(const std::string& value) const {
        const auto result = load(value);
        EXPECT_THAT(problems_of(result), IsEmpty());
        const auto* read = std::get_if<0>(&result);
        return read != nullptr ? std::string{(*read)->users.at("ann").password.reveal()} : "";
    }

private:
    std::string directory_ = ::testing::TempDir() + "pgweir-secret-XXXXXX";
};

TEST_F(SecretFile, IsRelativeToTheConfigurationFile) {
    write("hunter2");
    EXPECT_EQ(password(R"({ file = "secret" })"), "hunter2");
}

TEST_F(SecretFile, MayBeAbsolute) {
    write("hunter2");
    EXPECT_EQ(password("{ file = \"" + path() + "\" }"), "hunter2");
}

TEST_F(SecretFile, LosesOneNewlineAtItsEnd) {
    write("hunter2\n\n");
    EXPECT_EQ(password(R"({ file = "secret" })"), "hunter2\n");
}

TEST_F(SecretFile, LosesACarriageReturnBeforeTheNewline) {
    write("hunter2\r\n");
    EXPECT_EQ(password(R"({ file = "secret" })"), "hunter2");
}

TEST_F(SecretFile, ThatOthersCanReadIsRefused) {
    write("hunter2", 0644);
    EXPECT_THAT(problems_of(load(R"({ file = "secret" })")),
                ElementsAre(HasSubstr("(chmod o-rwx the file")));
}

TEST_F(SecretFile, ThatTheGroupCanReadIsTaken) {
    write("hunter2", 0640);
    EXPECT_EQ(password(R"({ file = "secret" })"), "hunter2");
}

TEST_F(SecretFile, ThatIsMissingIsAProblem) {
    EXPECT_THAT(problems_of(load(R"({ file = "secret" })")),
                ElementsAre(HasSubstr("No such file or directory")));
}

TEST_F(SecretFile, ThatIsEmptyIsAProblem) {
    write("\n");
    EXPECT_THAT(problems_of(load(R"({ file = "secret" })")), ElementsAre(HasSubstr("is empty")));
}

TEST_F(SecretFile, ThatIsADirectoryIsAProblem) {
    EXPECT_THAT(problems_of(load(R"({ file = "." })")),
                ElementsAre(HasSubstr("not a regular file")));
}

TEST_F(SecretFile, ThatIsTooLongIsAProblem) {
    write(std::string(10'000, 'x'));
    EXPECT_THAT(problems_of(load(R"({ file = "secret" })")),
                ElementsAre(HasSubstr("which is larger than 4098 bytes")));
}

TEST_F(SecretFile, WithANulIsAProblem) {
    write(std::string("a\0b", 3));
    EXPECT_THAT(problems_of(load(R"({ file = "secret" })")), ElementsAre(HasSubstr("NUL")));
}

TEST(Secrets, ComeFromTheEnvironment) {
    ASSERT_EQ(setenv("PGWEIR_TEST_SECRET", "hunter2", 1), 0);
    EXPECT_EQ(
        loaded(user_with(R"({ env = "PGWEIR_TEST_SECRET" })"))->users.at("ann").password.reveal(),
        "hunter2");
}

TEST(Secrets, UnsetVariableIsAProblem) {
    EXPECT_THAT(problems_in(user_with(R"({ env = "PGWEIR_TEST_UNSET" })")),
                ElementsAre(HasSubstr("PGWEIR_TEST_UNSET, which is not set")));
}

TEST(Secrets, TableMustNameOneSource) {
    EXPECT_THAT(problems_in(user_with(R"({ env = "A", file = "b" })")),
                ElementsAre(HasSubstr("must name one file or one environment variable")));
}

TEST(Secrets, NumberIsRefused) {
    EXPECT_THAT(problems_in(user_with("12345678")),
                ElementsAre(HasSubstr("must be a string or a table, not a whole number")));
}

TEST(Secrets, VerifierAndHashAreTakenForUsers) {
    EXPECT_EQ(loaded(user_with(quoted(verifier)))->users.at("ann").password.reveal(), verifier);
    EXPECT_EQ(loaded(user_with(quoted(md5_hash)))->users.at("ann").password.reveal(), md5_hash);
}

class BrokenVerifiers : public ::testing::TestWithParam<std::string> {};

TEST_P(BrokenVerifiers, AreRefusedWithoutQuotingThem) {
    EXPECT_THAT(problems_in(user_with(quoted(GetParam()))),
                ElementsAre(::testing::AllOf(HasSubstr("looks like a stored verifier"),
                                             Not(HasSubstr(GetParam())))));
}

INSTANTIATE_TEST_SUITE_P(Forms,
                         BrokenVerifiers,
                         ::testing::Values("SCRAM-SHA-256$",
                                           "SCRAM-SHA-256$4096",
                                           "SCRAM-SHA-256$4096:",
                                           "SCRAM-SHA-256$0:c2FsdHNhbHQ=$" + key32 + ":" + key32,
                                           "SCRAM-SHA-256$x:c2FsdHNhbHQ=$" + key32 + ":" + key32,
                                           "SCRAM-SHA-256$4096:$" + key32 + ":" + key32,
                                           "SCRAM-SHA-256$4096:c2FsdHNhbHQ=$" + key32,
                                           "SCRAM-SHA-256$4096:c2FsdHNhbHQ=$" + key32 + ":" +
                                               key32 + ":",
                                           "SCRAM-SHA-256$4096:c2FsdHNhbHQ=$" + key32 + ":short===",
                                           "SCRAM-SHA-256$4096:not base64!!$" + key32 + ":" + key32,
                                           "md5zzzz56789abcdef0123456789abcdef0"));

TEST(Secrets, TextThatOnlyBeginsLikeAHashIsPlain) {
    EXPECT_EQ(loaded(user_with(quoted("md5sum")))->users.at("ann").password.reveal(), "md5sum");
}

TEST(Secrets, VerifierCannotLogInToAServer) {
    EXPECT_THAT(problems_in(enough + "user = \"app\"\npassword = \"" + verifier + "\"\n"),
                ElementsAre(HasSubstr("cannot log in to a server")));
}

TEST(Secrets, ServerPasswordMustBePlain) {
    EXPECT_THAT(problems_in(enough + "[user.ann]\nserver_password = \"" + md5_hash + "\"\n"),
                ElementsAre(HasSubstr("a plain password is needed")));
}

TEST(Secrets, WithoutQuotesDoNotReachTheProblem) {
    for (const auto* value : {"hunter2hunter2", "99999999999999999999999", "trhunter", "0xhunter",
                              "\"hunter2", "hunter'2'"}) {
        EXPECT_THAT(problems_in(user_with(value)), Each(Not(HasSubstr("hunter"))));
        EXPECT_THAT(problems_in(user_with(value)), Each(Not(HasSubstr("99999"))));
    }
}

TEST(Secrets, DoNotReachTheEffectiveKeys) {
    const auto s = loaded(enough + "user = \"app\"\npassword = \"hunter2\"\n" +
                          "[user.ann]\npassword = \"hunter2\"\n");
    for (const auto& key : s->keys) {
        EXPECT_THAT(key.value, Not(HasSubstr("hunter2")));
    }
}

}  // namespace pgweir::config::testing
