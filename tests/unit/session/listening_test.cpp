// Whom a worker lets in at the sockets that it listens on.
#include "session/fleet_scene.hpp"

#include <cstdlib>
#include <filesystem>
#include <string>
#include <sys/socket.h>

namespace pgweir::session {
namespace {

class listening : public fleet_scene {
protected:
    listening() {
        char name[] = "/tmp/pgweir-test-XXXXXX";
        folder_ = ::mkdtemp(name);
        address_ = *net::parse_address(folder_, 6432);
        socket_ = net::descriptor{::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
        EXPECT_EQ(::bind(socket_.get(), address_.raw(), address_.size), 0);
        EXPECT_EQ(::listen(socket_.get(), 8), 0);
    }
    ~listening() override { std::filesystem::remove_all(folder_); }

    // Starts a worker that listens, and nobody else does.
    void listen() {
        start();
        workers_.front()->listen(std::move(socket_));
    }
    remote_client connect() {
        net::descriptor fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        EXPECT_EQ(::connect(fd.get(), address_.raw(), address_.size), 0);
        return remote_client{std::move(fd)};
    }

    std::string folder_;
    net::address address_;
    net::descriptor socket_;
};

TEST_F(listening, serves_whoever_comes) {
    snapshot_->auth.method = config::login_method::password;
    fleet_.logins.configure({.in_all = 10});
    listen();
    auto c = connect();
    c.ask_for("shop");
    const auto m = c.read();
    ASSERT_TRUE(m);
    EXPECT_EQ(m->type, 'R');
}

TEST_F(listening, closes_whom_admission_does_not_let_in) {
    fleet_.logins.configure({.in_all = 0});
    listen();
    auto c = connect();
    EXPECT_FALSE(c.read());
    EXPECT_EQ(fleet_.logins.refused(admission::refusal::full), 1U);
}

TEST_F(listening, ends_with_the_drain) {
    fleet_.logins.configure({.in_all = 10});
    listen();
    std::promise<void> drained;
    workers_.front()->drain([&drained] { drained.set_value(); });
    drained.get_future().wait();
    const net::descriptor fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    EXPECT_LT(::connect(fd.get(), address_.raw(), address_.size), 0);
}

TEST_F(listening, does_not_begin_in_a_drain) {
    start();
    workers_.front()->drain([] {});
    std::promise<void> done;
    workers_.front()->listen(std::move(socket_));
    workers_.front()->loop().post([&done] { done.set_value(); });
    done.get_future().wait();
    const net::descriptor fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    EXPECT_LT(::connect(fd.get(), address_.raw(), address_.size), 0);
}

}  // namespace
}  // namespace pgweir::session
