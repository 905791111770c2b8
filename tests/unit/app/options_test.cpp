// What the command line asks for.
#include "pgweir/app/options.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pgweir::app {
namespace {

options parse(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "pgweir");
    std::vector<char*> argv;
    for (auto& a : arguments) {
        argv.push_back(a.data());
    }
    argv.push_back(nullptr);
    return parse_command_line(static_cast<int>(arguments.size()), argv.data());
}

std::string printed_for(const std::vector<std::string>& arguments) {
    ::testing::internal::CaptureStdout();
    (void)parse(arguments);
    return ::testing::internal::GetCapturedStdout();
}

std::string complaint_for(const std::vector<std::string>& arguments) {
    ::testing::internal::CaptureStderr();
    (void)parse(arguments);
    return ::testing::internal::GetCapturedStderr();
}

TEST(options, run_with_a_configuration) {
    EXPECT_EQ(parse({"run", "-c", "pgweir.toml"}).what, command::run);
}

TEST(options, run_as_root_only_where_that_is_insisted_on) {
    EXPECT_FALSE(parse({"run", "-c", "pgweir.toml"}).may_stay_root);
    EXPECT_TRUE(parse({"run", "--allow-root", "-c", "pgweir.toml"}).may_stay_root);
}

TEST(options, check_a_configuration) {
    EXPECT_EQ(parse({"check", "-c", "pgweir.toml"}).what, command::check);
}

TEST(options, know_the_configuration_file) {
    EXPECT_EQ(parse({"run", "--config", "pgweir.toml"}).config_file, "pgweir.toml");
}

TEST(options, make_a_verifier) {
    EXPECT_EQ(parse({"scram-verifier"}).what, command::scram_verifier);
}

TEST(options, make_a_verifier_with_so_many_iterations) {
    EXPECT_EQ(parse({"scram-verifier", "--iterations", "10000"}).iterations, 10'000);
}

TEST(options, print_the_version) {
    EXPECT_EQ(printed_for({"--version"}), "pgweir " PGWEIR_VERSION "\n");
}

TEST(options, print_help_that_names_the_commands) {
    EXPECT_NE(printed_for({"--help"}).find("check"), std::string::npos);
}

TEST(options, name_what_is_missing) {
    EXPECT_NE(complaint_for({"run"}).find("--config is required"), std::string::npos);
}

TEST(options, name_what_they_do_not_know) {
    EXPECT_NE(complaint_for({"run", "-c", "x", "--fast"}).find("--fast"), std::string::npos);
}

class good_request : public ::testing::TestWithParam<std::string> {};

TEST_P(good_request, for_information_succeeds) {
    ::testing::internal::CaptureStdout();
    const auto o = parse({GetParam()});
    (void)::testing::internal::GetCapturedStdout();
    EXPECT_EQ(o.exit_code, 0);
}

INSTANTIATE_TEST_SUITE_P(any, good_request, ::testing::Values("--help", "--version", "-V"));

class bad_command_line : public ::testing::TestWithParam<std::vector<std::string>> {};

TEST_P(bad_command_line, ends_with_exit_code_two) {
    ::testing::internal::CaptureStderr();
    const auto o = parse(GetParam());
    (void)::testing::internal::GetCapturedStderr();
    EXPECT_EQ(o.exit_code, 2);
}

TEST_P(bad_command_line, does_not_run_anything) {
    ::testing::internal::CaptureStderr();
    const auto o = parse(GetParam());
    (void)::testing::internal::GetCapturedStderr();
    EXPECT_EQ(o.what, command::exit);
}

using words = std::vector<std::string>;
INSTANTIATE_TEST_SUITE_P(any,
                         bad_command_line,
                         ::testing::Values(words{},
                                           words{"run"},
                                           words{"check"},
                                           words{"walk"},
                                           words{"run", "-c"},
                                           words{"run", "-c", "a", "check", "-c", "b"},
                                           words{"scram-verifier", "--iterations", "0"},
                                           words{"scram-verifier", "--iterations", "many"}));

}  // namespace
}  // namespace pgweir::app
