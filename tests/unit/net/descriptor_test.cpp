// Who closes a descriptor.
#include "pgweir/net/descriptor.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <utility>

namespace pgweir::net {
namespace {

int open_something() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

TEST(descriptor, is_empty_at_first) { EXPECT_EQ(descriptor{}.get(), -1); }

TEST(descriptor, closes_when_it_dies) {
    const int fd = open_something();
    { const descriptor d{fd}; }
    EXPECT_FALSE(is_open(fd));
}

TEST(descriptor, gives_away_what_it_moves) {
    descriptor from{open_something()};
    const descriptor to{std::move(from)};
    EXPECT_TRUE(is_open(to.get()));
}

TEST(descriptor, closes_what_another_replaces) {
    const int fd = open_something();
    descriptor d{fd};
    d = descriptor{};
    EXPECT_FALSE(is_open(fd));
}

TEST(descriptor, does_not_close_what_it_released) {
    const int fd = open_something();
    {
        descriptor d{fd};
        (void)d.release();
    }
    EXPECT_TRUE(is_open(fd));
    const descriptor closes{fd};
}

}  // namespace
}  // namespace pgweir::net
