// Input that is meant to hurt: deep, long, cut or binary.
#include "config/loading.hpp"

namespace pgweir::config::testing {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string repeated(const std::string& part, std::size_t times) {
    std::string out;
    for (std::size_t i = 0; i < times; ++i) {
        out += part;
    }
    return out;
}

TEST(HostileFiles, DeepDottedKeyIsRefused) {
    EXPECT_THAT(problems_in(repeated("a.", 500'000) + "a = 1\n"),
                ElementsAre(HasSubstr("a key of too many parts")));
}

TEST(HostileFiles, DeepHeaderIsRefusedEvenWithQuotedParts) {
    EXPECT_THAT(problems_in("[" + repeated("\"a\" . 'b'.", 1'000) + "c]\n"),
                ElementsAre(HasSubstr("x.toml:1:")));
}

TEST(HostileFiles, DeepKeyAfterAMultiLineStringIsFoundOnItsLine) {
    EXPECT_THAT(problems_in("a = \"\"\"x\n\\\"\"\"\"\"\n" + repeated("a.", 9) + "a = 1\n"),
                ElementsAre(HasSubstr("x.toml:3:16: a key of too many parts")));
}

TEST(HostileFiles, DotsInStringsAndCommentsAreNoKeys) {
    EXPECT_THAT(problems_in("# a.b.c.d.e.f.g.h.i.j\n" + enough +
                            "[log]\nfile = \"/a.b.c.d.e.f.g.h.i.j\"\n"),
                IsEmpty());
}

TEST(HostileFiles, DotsOfSeveralAddressesAreNoDeepKey) {
    EXPECT_THAT(
        problems_in(enough + "[listen]\naddresses = ['10.0.0.1', '10.0.0.2', '10.0.0.3']\n"),
        IsEmpty());
}

TEST(HostileFiles, DeepListsAreRefused) {
    EXPECT_THAT(problems_in("a = " + repeated("[", 1'000'000)),
                ElementsAre(HasSubstr("maximum nested value depth")));
}

TEST(HostileFiles, DeepestTablesThatParseAreSurvived) {
    EXPECT_THAT(
        problems_in("a = " + repeated("{a.a.a.a.a.a.a.a = ", 250) + "1" + repeated("}", 250)),
        Not(IsEmpty()));
}

TEST(HostileFiles, MoreThanFourMebibytesAreRefused) {
    EXPECT_THAT(problems_in(std::string((4U << 20) + 1, '#')),
                ElementsAre("x.toml: larger than 4 MiB"));
}

TEST(HostileFiles, BinaryIsOneProblem) {
    std::string bytes;
    for (int i = 0; i < 256; ++i) {
        bytes += static_cast<char>(i);
    }
    EXPECT_THAT(problems_in(bytes), ElementsAre(HasSubstr("not valid TOML")));
}

TEST(HostileFiles, EveryPrefixOfAGoodFileIsAnswered) {
    const std::string good = enough +
                             "[user.ann]\npassword = { env = \"HOME\" }\n[listen]\n"
                             "addresses = [\"::1\", '''x''']\n";
    for (std::size_t n = 0; n <= good.size(); ++n) {
        const auto result = load_text(std::string_view{good}.substr(0, n), "x.toml");
        EXPECT_TRUE(std::holds_alternative<std::shared_ptr<const snapshot>>(result) ||
                    !problems_of(result).empty());
    }
}

}  // namespace pgweir::config::testing
