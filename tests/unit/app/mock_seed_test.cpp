// The secret behind the salts of unknown users.
#include "pgweir/app/mock_seed.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>

namespace pgweir::app {
namespace {

class mock_seed_test : public ::testing::Test {
protected:
    mock_seed_test() {
        std::string name = ::testing::TempDir() + "seed-XXXXXX";
        folder_ = ::mkdtemp(name.data());
    }
    ~mock_seed_test() override { std::filesystem::remove_all(folder_); }

    [[nodiscard]] std::string path() const { return folder_ + "/mock_seed"; }
    void write(const std::string& text, mode_t mode = 0600) const {
        std::ofstream{path()} << text;
        ::chmod(path().c_str(), mode);
    }

    std::string folder_;
};

TEST_F(mock_seed_test, is_the_same_the_next_time) {
    const auto first = load_mock_seed(folder_);
    EXPECT_EQ(load_mock_seed(folder_), first);
}

TEST_F(mock_seed_test, is_for_its_owner_only) {
    (void)load_mock_seed(folder_);
    struct stat status {};
    ASSERT_EQ(::stat(path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(mock_seed_test, leaves_nothing_else_behind) {
    (void)load_mock_seed(folder_);
    const auto files = std::filesystem::directory_iterator{folder_};
    EXPECT_EQ(std::distance(begin(files), end(files)), 1);
}

TEST_F(mock_seed_test, is_made_up_where_it_cannot_be_kept) {
    EXPECT_NE(load_mock_seed(folder_ + "/nowhere"), load_mock_seed(folder_ + "/nowhere"));
}

TEST_F(mock_seed_test, is_not_taken_from_a_file_that_others_can_read) {
    write(std::string(32, 'x'), 0644);
    auth::digest known{};
    known.fill('x');
    EXPECT_NE(load_mock_seed(folder_), known);
}

TEST_F(mock_seed_test, is_not_taken_from_a_file_of_another_size) {
    for (const std::size_t size : {0, 31, 33}) {
        write(std::string(size, 'x'));
        EXPECT_NE(load_mock_seed(folder_), load_mock_seed(folder_)) << size;
    }
}

TEST_F(mock_seed_test, replaces_no_file) {
    write("precious");
    (void)load_mock_seed(folder_);
    EXPECT_EQ(std::filesystem::file_size(path()), 8U);
}

}  // namespace
}  // namespace pgweir::app
