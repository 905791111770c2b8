// Workers on their own threads, and clients that a test plays.
#pragma once

#include "net/sockets.hpp"
#include "pgweir/net/address.hpp"
#include "pgweir/protocol/error_response.hpp"
#include "pgweir/protocol/frame.hpp"
#include "pgweir/protocol/message_writer.hpp"
#include "pgweir/protocol/startup.hpp"
#include "pgweir/session/client.hpp"
#include "pgweir/session/worker.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/time.h>
#include <utility>
#include <vector>

namespace pgweir::session {

// A client's end of a connection over a unix socket. Reading waits, and ends with the connection.
class remote_client {
public:
    // Connects, and says nothing yet.
    explicit remote_client(worker& w) {
        net::socket_pair sockets;
        w.loop().post([&w, ours = std::move(sockets.ours)]() mutable {
            net::address of_unix_socket;
            of_unix_socket.storage.ss_family = AF_UNIX;
            client::begin(w, std::move(ours), of_unix_socket, {});
        });
        take(std::move(sockets.peer));
    }
    // Is connected.
    explicit remote_client(net::descriptor fd) { take(std::move(fd)); }
    // Connects and sends its startup packet.
    remote_client(worker& w, std::string_view database) : remote_client{w} { ask_for(database); }

    // Sends the startup packet.
    void ask_for(std::string_view database) {
        std::string packet;
        protocol::message_writer{packet}
            .begin_untyped()
            .put_int32(protocol::protocol_3_0)
            .put_cstr("user")
            .put_cstr("alice")
            .put_cstr("database")
            .put_cstr(database)
            .put_cstr("")
            .end();
        net::write_all(fd_, packet);
    }

    void say(char type, std::string_view text) {
        std::string message;
        protocol::message_writer{message}.begin(type).put_cstr(text).end();
        net::write_all(fd_, message);
    }
    struct frame {
        char type;
        std::string body;
    };
    // Nothing when the connection ends before.
    std::optional<frame> read() {
        const auto header = net::read_exactly(fd_, protocol::header_size);
        if (header.size() < protocol::header_size) {
            return std::nullopt;
        }
        const auto f = protocol::read_frame(header.data());
        return frame{f.type, net::read_exactly(fd_, f.size - protocol::header_size)};
    }
    // Reads up to a ReadyForQuery; false when the connection ends before.
    bool read_ready() {
        for (;;) {
            const auto m = read();
            if (!m || m->type == 'Z') {
                return m.has_value();
            }
        }
    }
    // The text of the error that comes next; empty: something else comes.
    std::string read_error() {
        const auto m = read();
        return m && m->type == 'E' ? std::string{protocol::parse_error(m->body).message}
                                   : std::string{};
    }
    // Has anything come, if only the end, and was not read yet?
    [[nodiscard]] bool has_word() const {
        char c;
        return ::recv(fd_.get(), &c, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
    }
    // Does the connection end before it is ready again?
    bool is_ended() {
        char c;
        return !read_ready() && ::recv(fd_.get(), &c, 1, 0) == 0;
    }

private:
    void take(net::descriptor fd) {
        const timeval limit{30, 0};
        ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        fd_ = std::move(fd);
    }

    net::descriptor fd_;
};

// The configuration knows one user, alice; a test may change it before it starts the workers.
class fleet_scene : public ::testing::Test {
protected:
    fleet_scene() {
        snapshot_->users["alice"].name = "alice";
        fleet_.max_clients = 10;
    }
    // Not in the destructor: what a test adds to this has gone by then, and workers call it.
    void TearDown() override {
        for (const auto& w : workers_) {
            w->stop();
        }
        fleet_.pools.keys.stop();  // they post to workers
        fleet_.pools.names.stop();
        fleet_.accounts.stop();
    }

    void start(unsigned workers = 1) {
        for (unsigned i = 0; i < workers; ++i) {
            workers_.push_back(std::make_unique<worker>(fleet_, i, snapshot_));
        }
        for (const auto& w : workers_) {
            w->start();
        }
    }

    std::shared_ptr<config::snapshot> snapshot_ = std::make_shared<config::snapshot>();
    fleet fleet_;
    std::vector<std::unique_ptr<worker>> workers_;
};

}  // namespace pgweir::session
