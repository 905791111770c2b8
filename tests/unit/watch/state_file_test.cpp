// The state file, on a real file system.
#include "watch/state_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

namespace pgweir::watch {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class state_file : public ::testing::Test {
protected:
    void SetUp() override {
        std::string name = fs::temp_directory_path() / "pgweir-state-XXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        folder_ = name;
        path_ = name + "/main.cluster";
        state_.system_identifier = 7;
        state_.epoch = 3;
        state_.granted = "n2";
    }
    void TearDown() override { fs::remove_all(folder_); }

    std::string load_error() {
        try {
            static_cast<void>(load_state(path_));
        } catch (const std::runtime_error& e) {
            return e.what();
        }
        return "";
    }

    fs::path folder_;
    std::string path_;
    cluster::cluster_state state_;
};

TEST_F(state_file, comes_back_as_it_was_stored) {
    EXPECT_EQ(store_state(path_, state_), "");
    EXPECT_EQ(load_state(path_), state_);
}

TEST_F(state_file, is_replaced) {
    EXPECT_EQ(store_state(path_, state_), "");
    state_.epoch = 4;
    EXPECT_EQ(store_state(path_, state_), "");
    EXPECT_EQ(load_state(path_).epoch, 4U);
}

TEST_F(state_file, leaves_nothing_beside_it) {
    EXPECT_EQ(store_state(path_, state_), "");
    EXPECT_EQ(std::distance(fs::directory_iterator{folder_}, fs::directory_iterator{}), 1);
}

TEST_F(state_file, that_is_missing_knows_nothing) {
    EXPECT_EQ(load_state(path_), cluster::cluster_state{});
}

TEST_F(state_file, that_is_damaged_is_refused_by_name_and_line) {
    EXPECT_EQ(store_state(path_, state_), "");
    std::ofstream{path_, std::ios::app} << "more\n";
    EXPECT_THAT(load_error(), HasSubstr(path_ + ": line"));
}

TEST_F(state_file, that_is_empty_is_refused) {
    std::ofstream{path_} << "";
    EXPECT_THAT(load_error(), HasSubstr("remove the file"));
}

TEST_F(state_file, that_is_huge_is_refused) {
    std::ofstream{path_} << std::string(2 << 20, 'x');
    EXPECT_THAT(load_error(), HasSubstr("File too large"));
}

TEST_F(state_file, without_its_folder_is_refused_before_it_is_needed) {
    path_ = folder_ / "no" / "main.cluster";
    EXPECT_THAT(load_error(), HasSubstr("process.state_dir"));
}

TEST_F(state_file, that_cannot_be_written_says_so_and_stays_as_it_was) {
    EXPECT_EQ(store_state(path_, state_), "");
    fs::create_directory(path_ + ".new");  // in the way, for root as well
    auto next = state_;
    next.epoch = 4;
    EXPECT_THAT(store_state(path_, next), HasSubstr("could not write " + path_));
    EXPECT_EQ(load_state(path_), state_);
}

}  // namespace
}  // namespace pgweir::watch
