// Turns of an event loop: readiness, tasks, fairness, and things that die in between.
#include "pgweir/net/loop.hpp"

#include "net/manual_clock.hpp"
#include "net/sockets.hpp"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace pgweir::net {
namespace {

using namespace std::chrono_literals;

// A connected stream on a loop, with its peer. Made and destroyed on the loop's thread.
struct connection {
    socket_pair sockets;
    recorder handler;
    stream ours;

    explicit connection(loop& l, stream::origin from = stream::origin::accepted) {
        ours.attach(l, sockets.ours.release(), handler, from);
    }

    // Sends until the kernel takes no more; how much that was.
    std::size_t fill() {
        const std::string some(100'000, 'x');
        const iovec piece{const_cast<char*>(some.data()), some.size()};
        std::size_t sent = 0;
        while (ours.writable()) {
            sent += ours.send({&piece, 1}).size;
        }
        return sent;
    }

    std::string receive(std::size_t at_most = 1000) {
        std::string out(at_most, '\0');
        out.resize(ours.receive(out).size);
        return out;
    }
};

class loop_test : public ::testing::Test {
protected:
    ~loop_test() override {
        worker_.call([this] {
            for (auto& c : connections_) {
                c.reset();
            }
        });
    }

    // The n-th connection, once its first readiness has been told.
    connection& connect(std::size_t n = 0, stream::origin from = stream::origin::accepted) {
        worker_.call([this, n, from] {
            connections_[n] = std::make_unique<connection>(worker_.loop, from);
        });
        worker_.call([] {});
        return *connections_[n];
    }
    int calls_of(const connection& c) {
        return worker_.call([&c] { return c.handler.calls; });
    }

    std::array<std::unique_ptr<connection>, 3> connections_;
    loop_thread worker_;
};

// --- tasks

TEST(loop, runs_tasks_in_the_order_of_their_posting) {
    loop l;
    std::string order;
    for (const char c : {'a', 'b', 'c'}) {
        l.post([&order, c] { order += c; });
    }
    l.stop();
    l.run();
    EXPECT_EQ(order, "abc");
}

TEST(loop, runs_a_task_that_a_task_posts_after_those_that_wait) {
    loop l;
    std::string order;
    l.post([&] {
        order += 'a';
        l.post([&] {
            order += 'c';
            l.stop();
        });
    });
    l.post([&order] { order += 'b'; });
    l.run();
    EXPECT_EQ(order, "abc");
}

TEST(loop, drops_tasks_that_never_ran) {
    const auto owned = std::make_shared<int>();
    {
        loop l;
        l.post([owned] {});
    }
    EXPECT_EQ(owned.use_count(), 1);
}

TEST(loop, loses_no_task_of_many_threads) {
    constexpr int threads = 8;
    constexpr int tasks = 500;
    int ran = 0;  // the loop's thread only
    loop_thread worker;
    std::vector<std::thread> posting;
    for (int t = 0; t < threads; ++t) {
        posting.emplace_back([&] {
            for (int i = 0; i < tasks; ++i) {
                worker.loop.post([&ran] { ++ran; });
            }
        });
    }
    for (auto& t : posting) {
        t.join();
    }
    EXPECT_EQ(worker.call([&ran] { return ran; }), threads * tasks);
}

TEST(loop, keeps_the_order_of_each_of_many_threads) {
    constexpr int threads = 8;
    std::array<int, threads> last{};
    int out_of_order = 0;
    loop_thread worker;
    std::vector<std::thread> posting;
    for (std::size_t t = 0; t < threads; ++t) {
        posting.emplace_back([&, t] {
            for (int i = 1; i <= 500; ++i) {
                worker.loop.post([&, t, i] { out_of_order += std::exchange(last[t], i) != i - 1; });
            }
        });
    }
    for (auto& t : posting) {
        t.join();
    }
    EXPECT_EQ(worker.call([&out_of_order] { return out_of_order; }), 0);
}

TEST_F(loop_test, lets_one_handler_compute_in_a_turn) {
    const auto ask_twice = [this] {
        const bool first = worker_.loop.may_compute();
        return std::pair(first, worker_.loop.may_compute());
    };
    EXPECT_EQ(worker_.call(ask_twice), std::pair(true, false));
    EXPECT_EQ(worker_.call(ask_twice), std::pair(true, false));
}

TEST_F(loop_test, runs_tasks_that_were_posted_meanwhile_in_one_turn) {
    auto& c = connect();
    int turn = 0;
    std::vector<int> turns;
    worker_.call([&] {
        // Called once a turn, for ever: counts them.
        c.handler.then = [&] {
            ++turn;
            c.ours.call_again();
        };
        c.ours.call_again();
        for (int i = 0; i < 100; ++i) {
            worker_.loop.post([&] { turns.push_back(turn); });
        }
    });
    worker_.call([&c] { c.handler.then = [] {}; });
    EXPECT_EQ(turns, std::vector<int>(100, turns.at(0)));
}

// --- readiness

TEST_F(loop_test, takes_an_accepted_stream_for_writable_without_a_turn) {
    auto& c = connect();
    EXPECT_TRUE(worker_.call([&c] { return c.ours.writable(); }));
    EXPECT_EQ(calls_of(c), 0);
}

TEST_F(loop_test, tells_when_a_connecting_stream_is_connected) {
    auto& c = connect(0, stream::origin::connecting);
    EXPECT_TRUE(worker_.call([&c] { return c.ours.writable(); }));
    EXPECT_EQ(calls_of(c), 1);
}

TEST_F(loop_test, tells_each_time_that_a_full_stream_has_room_again) {
    auto& c = connect();
    for (int times = 0; times < 2; ++times) {
        const auto sent = worker_.call([&c] { return c.fill(); });
        EXPECT_FALSE(worker_.call([&c] { return c.ours.writable(); }));
        (void)read_exactly(c.sockets.peer, sent);
        EXPECT_TRUE(worker_.call([&c] { return c.ours.writable(); }));
    }
}

TEST_F(loop_test, tells_that_something_came) {
    auto& c = connect();
    write_all(c.sockets.peer, "a");
    EXPECT_TRUE(worker_.call([&c] { return c.ours.readable(); }));
}

TEST_F(loop_test, tells_once_what_nobody_receives) {
    auto& c = connect();
    const int before = calls_of(c);
    write_all(c.sockets.peer, "a");
    (void)calls_of(c);
    (void)calls_of(c);
    EXPECT_EQ(calls_of(c), before + 1);
}

TEST_F(loop_test, tells_of_every_part_of_what_comes_in_parts) {
    auto& c = connect();
    std::string all;
    worker_.call([&] { c.handler.then = [&] { all += c.receive(); }; });
    for (const char* part : {"one ", "two ", "three"}) {
        write_all(c.sockets.peer, part);
        (void)calls_of(c);
    }
    EXPECT_EQ(worker_.call([&all] { return all; }), "one two three");
}

TEST_F(loop_test, remembers_that_a_full_receive_left_something) {
    auto& c = connect();
    write_all(c.sockets.peer, "abcdef");
    EXPECT_TRUE(worker_.call([&c] {
        (void)c.receive(4);
        return c.ours.readable();
    }));
}

TEST_F(loop_test, spares_the_call_after_a_short_receive) {
    auto& c = connect();
    write_all(c.sockets.peer, "abc");
    EXPECT_FALSE(worker_.call([&c] {
        (void)c.receive(4);
        return c.ours.readable();
    }));
}

TEST_F(loop_test, has_the_end_of_file_fetched_behind_a_short_receive) {
    auto& c = connect();
    write_all(c.sockets.peer, "abc");
    worker_.call([&c] { c.sockets.peer.reset(); });
    EXPECT_TRUE(worker_.call([&c] {
        (void)c.receive(4);
        return c.ours.readable();
    }));
}

TEST_F(loop_test, tells_a_peer_that_ended_from_one_that_broke) {
    auto& ended = connect(0);
    auto& broke = connect(1);
    worker_.call([&] {
        ended.sockets.peer.reset();
        const iovec unread{const_cast<char*>("x"), 1};
        (void)broke.ours.send({&unread, 1});
        broke.sockets.peer.reset();  // with a byte unread, which resets the connection
    });
    EXPECT_TRUE(worker_.call([&] { return ended.ours.hung_up() && !ended.ours.is_broken(); }));
    EXPECT_TRUE(worker_.call([&] { return broke.ours.is_broken(); }));
}

// --- what is thrown

TEST_F(loop_test, ends_the_connection_whose_handler_throws) {
    auto& c = connect();
    worker_.call([&c] {
        c.handler.then = [&c] {
            c.handler.then = [] {};
            throw std::runtime_error{"no memory"};
        };
    });
    write_all(c.sockets.peer, "a");
    EXPECT_EQ(read_exactly(c.sockets.peer, 1), "");
    EXPECT_TRUE(worker_.call([&c] { return c.ours.hung_up(); }));
}

TEST_F(loop_test, outlives_a_handler_that_throws_once_its_stream_is_gone) {
    auto& c = connect();
    worker_.call([this, &c] {
        c.handler.then = [this] {
            const auto dying = std::move(connections_[0]);
            dying->ours.close();
            throw std::runtime_error{"no memory"};
        };
    });
    const descriptor peer{worker_.call([&c] { return c.sockets.peer.release(); })};
    write_all(peer, "a");
    EXPECT_EQ(read_exactly(peer, 1), "");
}

TEST(loop, goes_on_with_the_next_task_when_one_throws) {
    loop l;
    bool ran = false;
    l.post([] { throw std::runtime_error{"no memory"}; });
    l.post([&ran] { ran = true; });
    l.stop();
    l.run();
    EXPECT_TRUE(ran);
}

// --- streams that die

TEST_F(loop_test, lets_a_stream_die_in_its_own_handler) {
    auto& c = connect();
    worker_.call([&] { c.handler.then = [this] { connections_[0].reset(); }; });
    const descriptor peer{worker_.call([&c] { return c.sockets.peer.release(); })};
    write_all(peer, "a");
    EXPECT_EQ(read_exactly(peer, 1), "");
}

TEST_F(loop_test, drops_events_of_a_stream_that_another_destroyed_in_the_same_turn) {
    connect(0);
    connect(1);
    int calls = 0;
    worker_.call([&] {
        for (const std::size_t n : {0U, 1U}) {
            connections_[n]->handler.then = [this, &calls, n] {
                ++calls;
                connections_[1 - n].reset();
            };
        }
        // Both become ready while the loop is busy here, so that the next turn fetches both.
        write_all(connections_[0]->sockets.peer, "a");
        write_all(connections_[1]->sockets.peer, "a");
    });
    EXPECT_EQ(worker_.call([&calls] { return calls; }), 1);
}

TEST_F(loop_test, does_not_tell_a_stream_that_was_replaced_what_came_for_the_old_one) {
    connect(0);
    connect(1);
    bool told = false;
    worker_.call([&] {
        connections_[0]->handler.then = [&] {
            // The new stream may get the old one's descriptor number.
            connections_[1].reset();
            connections_[1] = std::make_unique<connection>(worker_.loop);
            connections_[1]->handler.then = [&] { told |= connections_[1]->ours.readable(); };
            connections_[0]->handler.then = [] {};
        };
        write_all(connections_[0]->sockets.peer, "a");
        write_all(connections_[1]->sockets.peer, "a");
    });
    worker_.call([] {});
    EXPECT_FALSE(worker_.call([&told] { return told; }));
}

// --- taking turns

TEST_F(loop_test, lets_streams_with_more_to_do_take_turns) {
    auto& a = connect(0);
    auto& b = connect(1);
    std::string order;
    worker_.call([&] {
        const auto take_turns = [&order](connection& c, char name) {
            c.handler.then = [&order, &c, name] {
                order += name;
                if (order.size() < 6) {
                    c.ours.call_again();
                }
            };
            c.ours.call_again();
        };
        take_turns(a, 'a');
        take_turns(b, 'b');
    });
    (void)calls_of(a);
    worker_.call([] {});
    worker_.call([] {});
    worker_.call([] {});
    EXPECT_EQ(worker_.call([&order] { return order; }).substr(0, 6), "ababab");
}

TEST_F(loop_test, serves_others_while_a_stream_has_more_to_do) {
    auto& busy = connect(0);
    auto& other = connect(1);
    worker_.call([&busy] {
        busy.handler.then = [&busy] { busy.ours.call_again(); };
        busy.ours.call_again();
    });
    write_all(other.sockets.peer, "a");
    EXPECT_TRUE(worker_.call([&other] { return other.ours.readable(); }));
}

TEST_F(loop_test, calls_a_stream_once_a_turn_however_often_it_asks) {
    auto& c = connect();
    const int before = calls_of(c);
    worker_.call([&c] {
        c.ours.call_again();
        c.ours.call_again();
    });
    worker_.call([] {});
    EXPECT_EQ(calls_of(c), before + 1);
}

TEST_F(loop_test, does_not_call_a_stream_that_closed_meanwhile) {
    auto& c = connect();
    const int before = calls_of(c);
    worker_.call([&c] {
        c.ours.call_again();
        c.ours.close();
    });
    worker_.call([] {});
    EXPECT_EQ(calls_of(c), before);
}

// --- burials

struct ghost final : mortal {
    explicit ghost(std::function<void()> f) : at_end{std::move(f)} {}
    ~ghost() override { at_end(); }
    std::function<void()> at_end;
};

TEST_F(loop_test, does_not_destroy_what_is_buried_before_the_handler_returned) {
    bool gone = false;
    EXPECT_FALSE(worker_.call([&] {
        worker_.loop.bury(std::make_unique<ghost>([&gone] { gone = true; }));
        return gone;
    }));
    worker_.call([] {});  // the ghost writes to `gone`, which must outlive it
}

TEST_F(loop_test, destroys_what_is_buried_by_the_next_turn) {
    bool gone = false;
    worker_.call([&] { worker_.loop.bury(std::make_unique<ghost>([&gone] { gone = true; })); });
    EXPECT_TRUE(worker_.call([&gone] { return gone; }));
}

TEST_F(loop_test, buries_what_the_buried_bury) {
    int gone = 0;
    worker_.call([&] {
        for (int i = 0; i < 3; ++i) {
            worker_.loop.bury(std::make_unique<ghost>([&] {
                ++gone;
                worker_.loop.bury(std::make_unique<ghost>([&gone] { ++gone; }));
            }));
        }
    });
    worker_.call([] {});
    EXPECT_EQ(worker_.call([&gone] { return gone; }), 6);
}

TEST(loop, destroys_what_is_buried_as_it_stops) {
    bool gone = false;
    loop l;
    l.post([&] {
        l.stop();
        l.bury(std::make_unique<ghost>([&gone] { gone = true; }));
    });
    l.run();
    EXPECT_TRUE(gone);
}

// --- time

struct alarm final : timer {
    std::promise<void> rang;
    void on_timer() override { rang.set_value(); }
};

TEST(loop, wakes_up_for_a_timer) {
    alarm a;
    loop_thread worker;
    worker.call([&] { worker.loop.timers().set(a, worker.loop.now() + 5ms); });
    EXPECT_EQ(a.rang.get_future().wait_for(10s), std::future_status::ready);
}

TEST(loop, does_not_wake_up_for_a_timer_before_its_time) {
    alarm a;
    loop_thread worker;
    const auto due = base::steady::now() + 30ms;
    worker.call([&] { worker.loop.timers().set(a, due); });
    a.rang.get_future().wait();
    EXPECT_GE(base::steady::now(), due);
}

TEST(loop, knows_what_time_it_is_in_a_turn) {
    loop_thread worker;
    const auto before = base::steady::now();
    EXPECT_GE(worker.call([&worker] { return worker.loop.now(); }), before);
}

TEST(loop, goes_by_the_clock_it_was_given) {
    struct counter final : timer {
        int rings = 0;
        void on_timer() override { ++rings; }
    } c;
    loop_thread worker{manual_clock::now};
    worker.call([&] { worker.loop.timers().set(c, worker.loop.now() + 1h); });
    manual_clock::advance(59min);
    EXPECT_EQ(worker.call([&c] { return c.rings; }), 0);
    manual_clock::advance(2min);
    EXPECT_EQ(worker.call([&c] { return c.rings; }), 1);
}

}  // namespace
}  // namespace pgweir::net
