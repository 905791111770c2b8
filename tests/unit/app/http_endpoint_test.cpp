// HTTP over real sockets: what is answered, and what strangers cannot take.
#include "pgweir/app/http_endpoint.hpp"

#include "net/no_descriptors.hpp"
#include "pgweir/net/address.hpp"
#include "pgweir/net/descriptor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <chrono>
#include <netinet/in.h>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <vector>

namespace pgweir::app {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

std::uint16_t free_port() {
    const net::descriptor fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof name;
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&name), size), 0);
    EXPECT_EQ(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&name), &size), 0);
    return ntohs(name.sin_port);
}

class http_endpoint_test : public ::testing::Test {
protected:
    // Opens it with these limits; answers at once, unless `answers_later`.
    void open(const http_limits& limits = {}) {
        settings_.addresses = {"127.0.0.1"};
        settings_.port = free_port();
        endpoint_.emplace(
            io_,
            [this](const observe::http_question& question, http_endpoint::reply done) {
                asked_.push_back(question);
                if (answers_later_) {
                    waiting_.push_back(std::move(done));
                } else {
                    done(answer_);
                }
            },
            limits);
        endpoint_->open(settings_);
    }

    net::descriptor connect() {
        net::descriptor fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        const auto a = net::parse_address("127.0.0.1", settings_.port);
        EXPECT_EQ(::connect(fd.get(), a->raw(), a->size), 0);
        return fd;
    }
    static void send(const net::descriptor& fd, std::string_view text) {
        EXPECT_EQ(::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(text.size()));
    }
    // All that comes until the other end closes; nothing if it does not within `patience`.
    std::optional<std::string> read_to_end(const net::descriptor& fd,
                                           std::chrono::milliseconds patience = 10s) {
        std::string all;
        const auto end = std::chrono::steady_clock::now() + patience;
        while (std::chrono::steady_clock::now() < end) {
            io_.restart();
            io_.run_for(1ms);
            char chunk[4096];
            const auto got = ::recv(fd.get(), chunk, sizeof chunk, MSG_DONTWAIT);
            if (got > 0) {
                all.append(chunk, static_cast<std::size_t>(got));
            } else if (got == 0 || errno != EAGAIN) {
                return all;
            }
        }
        return std::nullopt;
    }
    std::string answer_to(std::string_view request) {
        const auto fd = connect();
        send(fd, request);
        return read_to_end(fd).value_or("no end");
    }
    void run_for(std::chrono::milliseconds time) {
        io_.restart();
        io_.run_for(time);
    }

    boost::asio::io_context io_;
    config::http_settings settings_;
    http_answer answer_{200, "hello\n"};
    bool answers_later_ = false;
    std::vector<observe::http_question> asked_;
    std::vector<http_endpoint::reply> waiting_;
    std::optional<http_endpoint> endpoint_;
};

TEST_F(http_endpoint_test, a_get_is_answered_and_the_connection_ends) {
    open();
    EXPECT_THAT(answer_to("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
                AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Connection: close\r\n"),
                      HasSubstr("Content-Type: text/plain; charset=utf-8\r\n"),
                      HasSubstr("Content-Length: 6\r\n"), HasSubstr("Cache-Control: no-store\r\n"),
                      EndsWith("\r\n\r\nhello\n")));
}

TEST_F(http_endpoint_test, a_head_gets_the_same_without_a_body) {
    open();
    EXPECT_THAT(answer_to("HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
                AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Content-Length: 6\r\n"),
                      EndsWith("\r\n\r\n")));
}

TEST_F(http_endpoint_test, the_question_reaches_the_handler) {
    open();
    (void)answer_to("GET /readyz?cluster=main HTTP/1.1\r\nHost: a\r\n\r\n");
    ASSERT_EQ(asked_.size(), 1U);
    EXPECT_EQ(asked_[0].page, observe::http_page::readyz);
    EXPECT_EQ(asked_[0].cluster, "main");
}

TEST_F(http_endpoint_test, status_and_type_are_the_handlers) {
    answer_ = {503, "no\n", "text/x"};
    open();
    EXPECT_THAT(answer_to("GET /metrics HTTP/1.0\r\n\r\n"),
                AllOf(StartsWith("HTTP/1.1 503 Service Unavailable\r\n"),
                      HasSubstr("Content-Type: text/x\r\n")));
}

TEST_F(http_endpoint_test, an_answer_may_come_later) {
    answers_later_ = true;
    open();
    const auto fd = connect();
    send(fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(read_to_end(fd, 50ms), std::nullopt);
    ASSERT_EQ(waiting_.size(), 1U);
    waiting_[0]({200, "late\n"});
    EXPECT_THAT(read_to_end(fd).value(), EndsWith("late\n"));
}

TEST_F(http_endpoint_test, an_answer_to_one_who_has_left_goes_nowhere) {
    answers_later_ = true;
    open({.request_bytes = 8192, .connections = 1, .time = 50ms});
    {
        const auto fd = connect();
        send(fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        run_for(20ms);
    }
    run_for(100ms);
    ASSERT_EQ(waiting_.size(), 1U);
    waiting_[0]({200, "late\n"});
    answers_later_ = false;
    EXPECT_THAT(answer_to("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"), EndsWith("hello\n"));
}

TEST_F(http_endpoint_test, a_second_answer_is_ignored) {
    answers_later_ = true;
    open();
    const auto fd = connect();
    send(fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(read_to_end(fd, 20ms), std::nullopt);
    ASSERT_EQ(waiting_.size(), 1U);
    waiting_[0]({200, "one\n"});
    waiting_[0]({200, "two\n"});
    EXPECT_THAT(read_to_end(fd).value(), AllOf(EndsWith("one\n"), Not(HasSubstr("two"))));
}

TEST_F(http_endpoint_test, what_is_not_asked_for_never_reaches_the_handler) {
    open();
    EXPECT_THAT(answer_to("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
                AllOf(StartsWith("HTTP/1.1 404"), HasSubstr("/metrics")));
    EXPECT_THAT(answer_to("POST /metrics HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"),
                AllOf(StartsWith("HTTP/1.1 405"), HasSubstr("Allow: GET, HEAD\r\n")));
    EXPECT_THAT(answer_to("HEAD / HTTP/1.1\r\n\r\n"),
                AllOf(StartsWith("HTTP/1.1 404"), EndsWith("\r\n\r\n")));
    EXPECT_THAT(asked_, IsEmpty());
}

TEST_F(http_endpoint_test, what_is_no_http_is_refused) {
    open();
    EXPECT_THAT(answer_to("\x16\x03\x01\x02\r\n\r\n"), StartsWith("HTTP/1.1 400"));
    EXPECT_THAT(answer_to("GET /metrics HTTP/9.9\r\n\r\n"), StartsWith("HTTP/1.1 400"));
}

TEST_F(http_endpoint_test, a_request_without_an_end_is_refused_once_it_is_too_long) {
    open();
    EXPECT_THAT(answer_to("GET /metrics HTTP/1.1\r\nX: " + std::string(9'000, 'x')),
                StartsWith("HTTP/1.1 431"));
}

TEST_F(http_endpoint_test, a_request_that_does_not_come_ends_the_connection) {
    open({.request_bytes = 8192, .connections = 64, .time = 50ms});
    const auto fd = connect();
    send(fd, "GET /metr");
    EXPECT_EQ(read_to_end(fd).value(), "");
}

TEST_F(http_endpoint_test, an_answer_that_does_not_come_ends_the_connection) {
    answers_later_ = true;
    open({.request_bytes = 8192, .connections = 64, .time = 50ms});
    const auto fd = connect();
    send(fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(read_to_end(fd).value(), "");
}

TEST_F(http_endpoint_test, an_answer_that_nobody_reads_ends_the_connection) {
    answer_.body.assign(16 << 20, 'x');
    open({.request_bytes = 8192, .connections = 1, .time = 100ms});
    const auto lazy = connect();
    send(lazy, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    run_for(300ms);
    answer_.body = "hello\n";
    EXPECT_THAT(answer_to("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"), EndsWith("hello\n"));
}

TEST_F(http_endpoint_test, one_connection_too_many_is_closed_at_once) {
    open({.request_bytes = 8192, .connections = 2, .time = 10s});
    const auto first = connect();
    const auto second = connect();
    run_for(20ms);
    EXPECT_THAT(answer_to("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"), Not(HasSubstr("HTTP")));
    send(first, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_THAT(read_to_end(first).value(), EndsWith("hello\n"));
}

TEST_F(http_endpoint_test, what_comes_behind_a_request_does_not_cost_the_answer) {
    open();
    const auto fd = connect();
    send(fd, "GET /healthz HTTP/1.1\r\nContent-Length: 60000\r\n\r\n" + std::string(60'000, 'x'));
    EXPECT_THAT(read_to_end(fd).value(), EndsWith("hello\n"));
}

TEST_F(http_endpoint_test, sessions_may_outlive_the_endpoint) {
    open();
    const auto fd = connect();
    run_for(20ms);
    endpoint_.reset();
    send(fd, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_THAT(read_to_end(fd).value(), EndsWith("hello\n"));
}

TEST_F(http_endpoint_test, who_comes_while_no_descriptor_is_left_is_answered_later) {
    open();
    run_for(1ms);  // the sanitizer needs descriptors when it meets a type for the first time
    const auto fd = connect();
    send(fd, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    {
        const net::no_descriptors now;
        run_for(20ms);
        EXPECT_TRUE(asked_.empty());
    }
    EXPECT_THAT(read_to_end(fd).value(), EndsWith("hello\n"));
}

TEST_F(http_endpoint_test, may_be_closed_while_no_descriptor_is_left) {
    open();
    const auto fd = connect();
    {
        const net::no_descriptors now;
        run_for(20ms);
    }
    endpoint_->close();
    io_.restart();
    io_.run();  // nothing is left to wait for
    EXPECT_TRUE(asked_.empty());
}

TEST_F(http_endpoint_test, an_address_in_use_is_refused_by_name) {
    open();
    http_endpoint second{io_, [](const auto&, const auto&) {}};
    EXPECT_THAT([&] { second.open(settings_); }, ::testing::ThrowsMessage<std::runtime_error>(
                                                     HasSubstr("cannot listen on 127.0.0.1")));
}

}  // namespace
}  // namespace pgweir::app
