// Listening sockets: what is bound, and what is refused.
#include "pgweir/app/listener.hpp"

#include "pgweir/net/address.hpp"
#include "pgweir/net/descriptor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <netinet/in.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace pgweir::app {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

net::descriptor connect_to(const net::address& a) {
    net::descriptor fd{::socket(a.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    return ::connect(fd.get(), a.raw(), a.size) == 0 ? std::move(fd) : net::descriptor{};
}

// Sets the umask of the process while it lives.
class umask_for_now {
public:
    explicit umask_for_now(mode_t m) : before_{::umask(m)} {}
    umask_for_now(const umask_for_now&) = delete;
    umask_for_now& operator=(const umask_for_now&) = delete;
    ~umask_for_now() { ::umask(before_); }

private:
    mode_t before_;
};

class listener_test : public ::testing::Test {
protected:
    listener_test() {
        char name[] = "/tmp/pgweir-test-XXXXXX";
        folder_ = ::mkdtemp(name);
        settings_.addresses.clear();
        settings_.unix_socket_dir = folder_;
    }
    ~listener_test() override {
        listener_.close();
        std::filesystem::remove_all(folder_);
    }

    [[nodiscard]] std::string path() const { return folder_ + "/.s.PGSQL.6432"; }
    [[nodiscard]] net::address address() const { return *net::parse_address(folder_, 6432); }
    // What open() complains of; empty when it does not.
    std::string complaint() {
        try {
            listener_.open(settings_, {});
            return {};
        } catch (const std::runtime_error& e) {
            return e.what();
        }
    }
    // Has a client come to one of the sockets?
    bool has_client() {
        std::vector<pollfd> all;
        for (const auto& socket : listener_.sockets()) {
            all.push_back({socket.get(), POLLIN, 0});
        }
        return ::poll(all.data(), all.size(), 0) > 0;
    }

    std::string folder_;
    config::listen_settings settings_;
    listener listener_;
};

// --- the unix socket

class unix_socket : public listener_test {
protected:
    unsigned mode_under(mode_t umask, std::uint32_t configured) {
        const umask_for_now m{umask};
        settings_.unix_socket_mode = configured;
        listener_.open(settings_, {});
        struct stat s {};
        ::stat(path().c_str(), &s);
        return s.st_mode & 0777;
    }
    // A socket that somebody listens on.
    net::descriptor live_socket(int backlog = 8) {
        net::descriptor fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        const auto a = address();
        EXPECT_EQ(::bind(fd.get(), a.raw(), a.size), 0);
        EXPECT_EQ(::listen(fd.get(), backlog), 0);
        return fd;
    }
};

TEST_F(unix_socket, has_the_configured_mode_under_a_strict_umask) {
    EXPECT_EQ(mode_under(0077, 0777), 0777U);
}

TEST_F(unix_socket, has_the_configured_mode_under_a_lax_umask) {
    EXPECT_EQ(mode_under(0, 0700), 0700U);
}

TEST_F(unix_socket, leaves_the_umask_as_it_was) {
    const umask_for_now m{0027};
    listener_.open(settings_, {});
    EXPECT_EQ(::umask(0027), 0027U);
}

TEST_F(unix_socket, takes_the_place_of_one_that_nobody_listens_on) {
    live_socket().reset();
    ASSERT_TRUE(std::filesystem::exists(path()));
    listener_.open(settings_, {});
    const auto c = connect_to(address());
    EXPECT_TRUE(has_client());
}

TEST_F(unix_socket, does_not_take_the_place_of_a_live_one) {
    const auto other = live_socket();
    EXPECT_THAT(complaint(), AllOf(HasSubstr(path()), HasSubstr("Address already in use")));
}

TEST_F(unix_socket, does_not_take_the_place_of_a_live_one_whose_backlog_is_full) {
    const auto other = live_socket(0);
    const auto c = connect_to(address());
    EXPECT_THAT(complaint(), HasSubstr("Address already in use"));
}

TEST_F(unix_socket, leaves_the_file_of_a_live_one_alone) {
    const auto other = live_socket();
    (void)complaint();
    listener_.close();
    EXPECT_TRUE(std::filesystem::exists(path()));
}

TEST_F(unix_socket, needs_its_folder) {
    settings_.unix_socket_dir = folder_ + "/missing";
    EXPECT_THAT(complaint(), HasSubstr("No such file or directory"));
}

TEST_F(unix_socket, needs_a_path_that_the_kernel_takes) {
    settings_.unix_socket_dir = folder_ + "/" + std::string(100, 'x');
    EXPECT_THAT(complaint(), HasSubstr("File name too long"));
}

TEST_F(unix_socket, goes_with_the_listener) {
    listener_.open(settings_, {});
    listener_.close();
    EXPECT_FALSE(std::filesystem::exists(path()));
}

// --- addresses

class tcp_socket : public listener_test {
protected:
    tcp_socket() { settings_.unix_socket_dir.clear(); }

    // Listens on `addresses`, at a port that is free on all of them.
    void open(const std::vector<std::string>& addresses) {
        settings_.addresses = addresses;
        std::string why;
        for (int attempt = 0; attempt < 20; ++attempt) {
            settings_.port = free_port();
            why = complaint();
            if (why.find("in use") == std::string::npos) {
                break;
            }
            listener_.close();
        }
        ASSERT_EQ(why, "");
    }
    net::descriptor connect(const std::string& host) {
        return connect_to(*net::parse_address(host, settings_.port));
    }
    static std::uint16_t free_port() {
        const net::descriptor fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        sockaddr_in in{};
        in.sin_family = AF_INET;
        socklen_t size = sizeof in;
        ::bind(fd.get(), reinterpret_cast<sockaddr*>(&in), size);
        ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&in), &size);
        return ntohs(in.sin_port);
    }
};

TEST_F(tcp_socket, is_bound_to_each_address) {
    open({"127.0.0.1", "127.0.0.2"});
    EXPECT_GE(connect("127.0.0.1").get(), 0);
    EXPECT_GE(connect("127.0.0.2").get(), 0);
}

TEST_F(tcp_socket, is_bound_to_no_other_address) {
    open({"127.0.0.2"});
    EXPECT_LT(connect("127.0.0.1").get(), 0);
}

TEST_F(tcp_socket, is_bound_to_all_addresses_of_a_star) {
    open({"*"});
    EXPECT_GE(connect("127.0.0.1").get(), 0);
    EXPECT_GE(connect("127.0.0.3").get(), 0);
}

TEST_F(tcp_socket, is_bound_to_a_name) {
    open({"localhost"});
    EXPECT_GE(connect("127.0.0.1").get(), 0);
}

TEST_F(tcp_socket, goes_along_with_a_unix_socket) {
    open({"127.0.0.1"});
    listener_.close();
    settings_.unix_socket_dir = folder_;
    listener_.open(settings_, {});
    EXPECT_GE(connect("127.0.0.1").get(), 0);
    EXPECT_GE(connect(folder_).get(), 0);
}

TEST_F(tcp_socket, needs_a_free_port) {
    open({"127.0.0.1"});
    listener second;
    try {
        second.open(settings_, {});
        FAIL() << "it is taken";
    } catch (const std::runtime_error& e) {
        EXPECT_THAT(e.what(), AllOf(HasSubstr("127.0.0.1, port " + std::to_string(settings_.port)),
                                    HasSubstr("Address already in use")));
    }
}

TEST_F(tcp_socket, needs_an_address_of_this_machine) {
    settings_.addresses = {"192.0.2.1"};  // for documentation only, RFC 5737
    EXPECT_THAT(complaint(), HasSubstr("192.0.2.1, port 6432: Cannot assign requested address"));
}

// --- closing

// Workers let go of theirs a little later.
TEST_F(unix_socket, refuses_clients_once_it_is_closed_though_there_is_a_duplicate) {
    listener_.open(settings_, {});
    const net::descriptor duplicate{::dup(listener_.sockets().front().get())};
    const auto file = folder_ + "/moved";
    std::filesystem::rename(path(), file);
    listener_.close();
    std::filesystem::rename(file, path());
    EXPECT_LT(connect_to(address()).get(), 0);
}

TEST_F(tcp_socket, refuses_clients_once_it_is_closed_though_there_is_a_duplicate) {
    open({"127.0.0.1"});
    const net::descriptor duplicate{::dup(listener_.sockets().front().get())};
    listener_.close();
    EXPECT_LT(connect("127.0.0.1").get(), 0);
}

}  // namespace
}  // namespace pgweir::app
