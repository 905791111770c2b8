// Who is at the other end of a unix socket, and what the system calls it.
#include "pgweir/net/local_user.hpp"

#include <gtest/gtest.h>

#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace pgweir::net {
namespace {

TEST(peer_user, is_who_connected) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    EXPECT_EQ(peer_user(ends[0]), ::geteuid());
    ::close(ends[0]);
    ::close(ends[1]);
}

TEST(peer_user, is_nobody_over_tcp) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(peer_user(fd), std::nullopt);
    ::close(fd);
}

TEST(peer_user, is_nobody_without_a_socket) { EXPECT_EQ(peer_user(-1), std::nullopt); }

TEST(user_name, is_that_of_the_system) {
    std::string error;
    EXPECT_EQ(user_name(0, error), "root");
    EXPECT_EQ(error, "");
}

TEST(user_name, that_the_system_does_not_know_is_an_error) {
    std::string error;
    EXPECT_EQ(user_name(4'000'000'000U, error), "");
    EXPECT_EQ(error, "local user with ID 4000000000 does not exist");
}

}  // namespace
}  // namespace pgweir::net
