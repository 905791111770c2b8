// Listening sockets: what is bound, what is refused, and running out of descriptors.
#include "pgweir/app/listener.hpp"

#include "pgweir/net/address.hpp"
#include "pgweir/net/descriptor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <netinet/in.h>
#include <string>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace pgweir::app {
namespace {

using namespace std::chrono_literals;
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
    // Serves until so many clients have been accepted; false when that takes too long.
    bool accept(std::size_t number) {
        const auto end = std::chrono::steady_clock::now() + 30s;
        while (accepted_.size() < number && std::chrono::steady_clock::now() < end) {
            io_.run_one_for(1s);
        }
        return accepted_.size() == number;
    }

    std::string folder_;
    config::listen_settings settings_;
    boost::asio::io_context io_;
    std::vector<net::descriptor> accepted_;
    listener listener_{io_, [this](int fd, const net::address&) { accepted_.emplace_back(fd); }};
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
    EXPECT_TRUE(accept(1));
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
    const auto c1 = connect("127.0.0.1");
    const auto c2 = connect("127.0.0.2");
    EXPECT_TRUE(accept(2));
}

TEST_F(tcp_socket, is_bound_to_no_other_address) {
    open({"127.0.0.2"});
    EXPECT_LT(connect("127.0.0.1").get(), 0);
}

TEST_F(tcp_socket, is_bound_to_all_addresses_of_a_star) {
    open({"*"});
    const auto c1 = connect("127.0.0.1");
    const auto c2 = connect("127.0.0.3");
    EXPECT_TRUE(accept(2));
}

TEST_F(tcp_socket, is_bound_to_a_name) {
    open({"localhost"});
    const auto c = connect("127.0.0.1");
    EXPECT_TRUE(accept(1));
}

TEST_F(tcp_socket, goes_along_with_a_unix_socket) {
    open({"127.0.0.1"});
    listener_.close();
    settings_.unix_socket_dir = folder_;
    listener_.open(settings_, {});
    const auto c1 = connect("127.0.0.1");
    const auto c2 = connect(folder_);
    EXPECT_TRUE(accept(2));
}

TEST_F(tcp_socket, needs_a_free_port) {
    open({"127.0.0.1"});
    listener second{io_, [](int, const net::address&) {}};
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

// --- accepting

TEST_F(listener_test, hands_descriptors_over_that_neither_block_nor_survive_exec) {
    listener_.open(settings_, {});
    const auto c = connect_to(address());
    ASSERT_TRUE(accept(1));
    const int fd = accepted_.front().get();
    EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(listener_test, accepts_any_number_of_clients_that_wait) {
    listener_.open(settings_, {});
    std::vector<net::descriptor> crowd;
    for (int i = 0; i < 150; ++i) {
        crowd.push_back(connect_to(address()));
    }
    EXPECT_TRUE(accept(crowd.size()));
}

TEST_F(listener_test, accepts_nobody_once_it_is_closed) {
    listener_.open(settings_, {});
    const auto early = connect_to(address());
    listener_.close();
    io_.poll();
    EXPECT_TRUE(accepted_.empty());
}

// --- out of descriptors

// No descriptor can be opened while it lives.
class no_descriptors {
public:
    no_descriptors() {
        const net::descriptor next{::dup(STDIN_FILENO)};
        ::getrlimit(RLIMIT_NOFILE, &before_);
        auto limit = before_;
        limit.rlim_cur = static_cast<rlim_t>(next.get());
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
    no_descriptors(const no_descriptors&) = delete;
    no_descriptors& operator=(const no_descriptors&) = delete;
    ~no_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

private:
    rlimit before_{};
};

class listener_without_descriptors : public listener_test {
protected:
    listener_without_descriptors() {
        listener_.open(settings_, {});
        io_.poll();  // the sanitizer needs descriptors when it meets a type for the first time
        for (int i = 0; i < 3; ++i) {
            clients_.push_back(connect_to(address()));
        }
    }

    std::vector<net::descriptor> clients_;
};

TEST_F(listener_without_descriptors, pauses_instead_of_trying_again_and_again) {
    const no_descriptors now;
    std::size_t tries = 0;
    for (int i = 0; i < 1000; ++i) {
        tries += io_.poll_one();
    }
    EXPECT_TRUE(accepted_.empty());
    EXPECT_LT(tries, 100U);  // one, and perhaps one for each 0.2 s that this took
}

TEST_F(listener_without_descriptors, loses_nobody_who_waits) {
    {
        const no_descriptors now;
        io_.poll();
    }
    EXPECT_TRUE(accept(clients_.size()));
}

TEST_F(listener_without_descriptors, goes_on_accepting_afterwards) {
    {
        const no_descriptors now;
        io_.poll();
    }
    ASSERT_TRUE(accept(clients_.size()));
    clients_.push_back(connect_to(address()));
    EXPECT_TRUE(accept(clients_.size()));
}

TEST_F(listener_without_descriptors, can_be_closed_while_it_pauses) {
    {
        const no_descriptors now;
        io_.poll();
    }
    listener_.close();
    io_.run();  // nothing is left to wait for
    EXPECT_TRUE(accepted_.empty());
}

}  // namespace
}  // namespace pgweir::app
