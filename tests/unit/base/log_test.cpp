// What ends up in a log file.
#include "pgweir/base/log.hpp"

#include <boost/property_tree/json_parser.hpp>

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace pgweir::base {
namespace {

namespace fs = std::filesystem;

class log_file : public ::testing::Test {
protected:
    log_file() {
        const std::string name = ::testing::UnitTest::GetInstance()->current_test_info()->name();
        directory_ = fs::path{::testing::TempDir()} /
                     ("pgweir_log_" + name + "_" + std::to_string(::getpid()));
        fs::create_directories(directory_);
        file_ = directory_ / "pgweir.log";
    }
    ~log_file() override {
        stop_logging();
        fs::remove_all(directory_);
    }

    void start(bool json) { start_logging({spdlog::level::info, json, file_.native()}); }

    // Everything logged so far has been written when this returns.
    static std::vector<std::string> lines_of(const fs::path& file) {
        stop_logging();
        std::ifstream in{file};
        std::vector<std::string> lines;
        for (std::string line; std::getline(in, line);) {
            lines.push_back(line);
        }
        return lines;
    }

    static std::string message_of(const std::string& json_line) {
        std::istringstream in{json_line};
        boost::property_tree::ptree tree;
        boost::property_tree::read_json(in, tree);
        return tree.get<std::string>("message");
    }

    fs::path directory_;
    fs::path file_;
};

// What clients send is not UTF-8; JSON must be. Bytes become the code points of the same number.
std::string as_code_points(const std::string& bytes) {
    std::string out;
    for (const char c : bytes) {
        const auto u = static_cast<unsigned char>(c);
        if (u < 0x80) {
            out.push_back(c);
        } else {
            out.push_back(static_cast<char>(0xc0 | (u >> 6)));
            out.push_back(static_cast<char>(0x80 | (u & 0x3f)));
        }
    }
    return out;
}

TEST_F(log_file, stays_json_with_any_bytes) {
    std::string bytes;
    for (int i = 0; i < 256; ++i) {
        bytes.push_back(static_cast<char>(i));
    }
    start(true);
    PGWEIR_LOG(info, "{}", bytes);
    const auto lines = lines_of(file_);
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_EQ(message_of(lines[0]), as_code_points(bytes));
}

TEST_F(log_file, stays_json_with_text_that_looks_like_json) {
    const std::string hostile = R"(","level":"critical","message":"\u0000)";
    start(true);
    PGWEIR_LOG(info, "{}", hostile);
    EXPECT_EQ(message_of(lines_of(file_).at(0)), hostile);
}

TEST_F(log_file, keeps_a_text_message_on_its_line) {
    start(false);
    PGWEIR_LOG(info, "user \"{}\"", "a\n2000-01-01 [1] critical: forged\r\x1b[2J");
    EXPECT_EQ(lines_of(file_).size(), 1U);
}

TEST_F(log_file, leaves_text_in_other_alphabets_readable) {
    start(false);
    PGWEIR_LOG(info, "user \"{}\"", "жук");
    EXPECT_NE(lines_of(file_).at(0).find("жук"), std::string::npos);
}

TEST_F(log_file, goes_on_under_its_name_after_rotation) {
    start(false);
    fs::rename(file_, directory_ / "old.log");
    reopen_log();
    PGWEIR_LOG(info, "after");
    const auto lines = lines_of(file_);
    ASSERT_EQ(lines.size(), 1U);
    EXPECT_NE(lines[0].find("after"), std::string::npos);
}

TEST_F(log_file, keeps_what_was_written_before_a_reopen) {
    start(false);
    PGWEIR_LOG(info, "before");
    reopen_log();
    PGWEIR_LOG(info, "after");
    EXPECT_EQ(lines_of(file_).size(), 2U);
}

TEST_F(log_file, goes_on_in_the_old_file_when_the_new_one_cannot_be_opened) {
    const auto old = directory_ / "old.log";
    start(false);
    fs::rename(file_, old);
    fs::create_directory(file_);
    reopen_log();
    PGWEIR_LOG(info, "after");
    const auto lines = lines_of(old);
    EXPECT_NE(lines.back().find("after"), std::string::npos);
}

TEST_F(log_file, may_be_reopened_while_threads_log) {
    start(true);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([] {
            for (int i = 0; i < 200; ++i) {
                PGWEIR_LOG(info, "line {}", i);
            }
        });
    }
    for (int i = 0; i < 20; ++i) {
        reopen_log();
    }
    for (auto& t : threads) {
        t.join();
    }
    EXPECT_EQ(lines_of(file_).size(), 800U);
}

TEST_F(log_file, has_no_lines_below_the_level) {
    start(false);
    PGWEIR_LOG(debug, "too much detail");
    EXPECT_TRUE(lines_of(file_).empty());
}

TEST_F(log_file, follows_a_change_of_the_level) {
    start(false);
    set_log_level(spdlog::level::debug);
    PGWEIR_LOG(debug, "detail");
    EXPECT_EQ(lines_of(file_).size(), 1U);
}

TEST_F(log_file, costs_no_arguments_when_the_level_is_off) {
    int evaluated = 0;
    start(false);
    PGWEIR_LOG(debug, "{}", ++evaluated);
    EXPECT_EQ(evaluated, 0);
}

TEST_F(log_file, that_cannot_be_opened_is_said_at_once) {
    EXPECT_THROW(start_logging({spdlog::level::info, false, directory_.native()}),
                 std::runtime_error);
}

}  // namespace
}  // namespace pgweir::base
