// Accepting: crowds, several loops at one socket, and running out of descriptors.
#include "pgweir/net/acceptor.hpp"

#include "net/blocker.hpp"
#include "net/no_descriptors.hpp"
#include "net/sockets.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <sys/socket.h>
#include <thread>
#include <utility>
#include <vector>

namespace pgweir::net {
namespace {

using namespace std::chrono_literals;

class acceptor_test : public ::testing::Test {
protected:
    acceptor_test() {
        char name[] = "/tmp/pgweir-test-XXXXXX";
        folder_ = ::mkdtemp(name);
        socket_ = descriptor{::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
        EXPECT_EQ(::bind(socket_.get(), address_of_socket().raw(), address_of_socket().size), 0);
        EXPECT_EQ(::listen(socket_.get(), 1024), 0);
    }
    ~acceptor_test() override {
        for (auto& w : workers_) {
            w->stop();
        }
        std::filesystem::remove_all(folder_);
    }

    // A loop with an acceptor of its own.
    struct worker {
        explicit worker(descriptor socket) {
            loop.call([this, &socket] {
                taker = std::make_unique<acceptor>(loop.loop, std::move(socket),
                                                   [this](descriptor client, const address&) {
                                                       clients.push_back(std::move(client));
                                                       count_turn();
                                                       ++count;
                                                       if (is_clumsy) {
                                                           throw std::runtime_error{"dropped it"};
                                                       }
                                                   });
            });
        }
        void stop() {
            loop.call([this] { taker.reset(); });
        }
        // How often its thread has gone to sleep.
        long rests() {
            return loop.call([] {
                rusage u{};
                ::getrusage(RUSAGE_THREAD, &u);
                return u.ru_nvcsw;
            });
        }
        void count_turn() {
            if (std::exchange(turn, loop.loop.turn()) != loop.loop.turn()) {
                in_turns.push_back(0);
            }
            ++in_turns.back();
        }

        std::unique_ptr<acceptor> taker;
        std::vector<descriptor> clients;  // the loop's
        std::uint64_t turn = 0;
        std::vector<int> in_turns;  // how many in each turn that brought some; the loop's
        std::atomic<std::size_t> count = 0;
        std::atomic<bool> is_clumsy = false;
        loop_thread loop;
    };
    worker& add_worker() {
        workers_.push_back(std::make_unique<worker>(socket_.duplicate()));
        return *workers_.back();
    }

    [[nodiscard]] address address_of_socket() const { return *parse_address(folder_, 6432); }
    void connect() {
        const auto to = address_of_socket();
        crowd_.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        ASSERT_EQ(::connect(crowd_.back().get(), to.raw(), to.size), 0);
    }
    // Waits until so many have been accepted; false when that takes too long.
    bool accept(std::size_t number) {
        const auto end = std::chrono::steady_clock::now() + 30s;
        while (accepted() < number && std::chrono::steady_clock::now() < end) {
            std::this_thread::sleep_for(1ms);
        }
        return accepted() == number;
    }
    [[nodiscard]] std::size_t accepted() const {
        std::size_t all = 0;
        for (const auto& w : workers_) {
            all += w->count.load();
        }
        return all;
    }

    // Processor time of all threads; as much as the time itself when one of them does not rest.
    static constexpr auto a_while = 50ms;
    static std::chrono::microseconds spent_in_a_while() {
        const auto before = cpu_of_process();
        std::this_thread::sleep_for(a_while);
        return cpu_of_process() - before;
    }
    static std::chrono::microseconds cpu_of_process() {
        rusage u{};
        ::getrusage(RUSAGE_SELF, &u);
        return std::chrono::seconds{u.ru_utime.tv_sec + u.ru_stime.tv_sec} +
               std::chrono::microseconds{u.ru_utime.tv_usec + u.ru_stime.tv_usec};
    }

    std::string folder_;
    descriptor socket_;
    std::vector<descriptor> crowd_;
    std::vector<std::unique_ptr<worker>> workers_;
};

TEST_F(acceptor_test, hands_descriptors_over_that_neither_block_nor_survive_exec) {
    auto& w = add_worker();
    connect();
    ASSERT_TRUE(accept(1));
    const int fd = w.loop.call([&w] { return w.clients.front().get(); });
    EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(acceptor_test, accepts_any_number_of_clients_that_wait) {
    for (int i = 0; i < 150; ++i) {
        connect();
    }
    add_worker();
    EXPECT_TRUE(accept(150));
}

TEST_F(acceptor_test, accepts_clients_that_come_one_by_one) {
    add_worker();
    for (std::size_t i = 1; i <= 20; ++i) {
        connect();
        ASSERT_TRUE(accept(i));
    }
}

TEST_F(acceptor_test, takes_one_of_a_crowd_and_more_from_turn_to_turn) {
    auto& w = add_worker();
    blocker busy;
    busy.occupy(w.loop.loop);
    for (int i = 0; i < 150; ++i) {
        connect();
    }
    busy.go_on.set_value();
    ASSERT_TRUE(accept(150));
    EXPECT_EQ(w.loop.call([&w] { return w.in_turns; }), (std::vector{1, 2, 4, 8, 16, 32, 64, 23}));
}

TEST_F(acceptor_test, begins_with_one_again_after_a_crowd) {
    auto& w = add_worker();
    blocker busy;
    busy.occupy(w.loop.loop);
    for (int i = 0; i < 7; ++i) {  // as many as three turns want
        connect();
    }
    busy.go_on.set_value();
    ASSERT_TRUE(accept(7));
    w.loop.call([] {});
    blocker busy_again;
    busy_again.occupy(w.loop.loop);
    connect();
    connect();
    busy_again.go_on.set_value();
    ASSERT_TRUE(accept(9));
    EXPECT_EQ(w.loop.call([&w] { return w.in_turns; }), (std::vector{1, 2, 4, 1, 1}));
}

TEST_F(acceptor_test, goes_on_when_a_client_could_not_be_taken) {
    auto& w = add_worker();
    w.is_clumsy = true;
    connect();
    connect();
    EXPECT_TRUE(accept(2));
}

TEST_F(acceptor_test, leaves_clients_to_another_whose_loop_is_free) {
    std::array<worker*, 2> both{&add_worker(), &add_worker()};
    for (auto* busy : both) {
        blocker held;
        held.occupy(busy->loop.loop);
        const auto before = accepted();
        connect();
        EXPECT_TRUE(accept(before + 1));
        held.go_on.set_value();
        busy->loop.call([] {});
    }
}

TEST_F(acceptor_test, wakes_one_of_the_loops_that_are_idle) {
    std::array<worker*, 2> both{&add_worker(), &add_worker()};
    const long before = both[0]->rests() + both[1]->rests();
    constexpr long clients = 100;
    for (long i = 1; i <= clients; ++i) {
        connect();
        ASSERT_TRUE(accept(static_cast<std::size_t>(i)));
    }
    const long rests = both[0]->rests() + both[1]->rests() - before;
    EXPECT_GE(rests, clients / 2);      // the kernel counts them
    EXPECT_LT(rests, clients * 3 / 2);  // with both woken, twice for each client
}

TEST_F(acceptor_test, rests_once_the_socket_listens_no_more) {
    const descriptor tcp{::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    ASSERT_EQ(::listen(tcp.get(), 8), 0);  // at a port that the kernel chooses
    workers_.push_back(std::make_unique<worker>(tcp.duplicate()));
    ::shutdown(tcp.get(), SHUT_RDWR);
    workers_.front()->loop.call([] {});
    EXPECT_LT(spent_in_a_while(), a_while / 2);
}

// --- out of descriptors

class acceptor_without_descriptors : public acceptor_test {
protected:
    acceptor_without_descriptors() {
        auto& w = add_worker();
        blocker busy;
        busy.occupy(w.loop.loop);
        for (int i = 0; i < 3; ++i) {
            connect();
        }
        const no_descriptors now;
        busy.go_on.set_value();
        w.loop.call([] {});
        w.loop.call([] {});  // it has tried by now
        EXPECT_EQ(accepted(), 0U);
        spent_meanwhile_ = spent_in_a_while();
    }

    std::chrono::microseconds spent_meanwhile_{};
};

TEST_F(acceptor_without_descriptors, pauses_instead_of_trying_again_and_again) {
    EXPECT_LT(spent_meanwhile_, a_while / 2);
}

TEST_F(acceptor_without_descriptors, loses_nobody_who_waits) { EXPECT_TRUE(accept(3)); }

TEST_F(acceptor_without_descriptors, goes_on_accepting_afterwards) {
    ASSERT_TRUE(accept(3));
    connect();
    EXPECT_TRUE(accept(4));
}

TEST_F(acceptor_without_descriptors, can_be_closed_while_it_pauses) {
    workers_.front()->stop();
    EXPECT_EQ(accepted(), 0U);
}

}  // namespace
}  // namespace pgweir::net
