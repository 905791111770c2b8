// The same channel with TLS: records, not bytes, come and go, and none is forgotten.
#include "net/blocker.hpp"
#include "net/sockets.hpp"
#include "net/tls_peer.hpp"
#include "pgweir/net/channel.hpp"
#include "pgweir/net/tls_handshake.hpp"
#include "tls/chatty_client.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

namespace pgweir::net {
namespace {

using progress = tls::engine::progress;
using outcome = tls_handshake::outcome;

std::string pattern(std::size_t size) {
    std::string out(size, '\0');
    for (std::size_t i = 0; i < size; ++i) {
        out[i] = static_cast<char>('a' + i % 23);
    }
    return out;
}

// A channel whose handshake is still to come.
class tls_handshake_test : public ::testing::Test {
protected:
    explicit tls_handshake_test(std::size_t queue = 16) : steps_{1, queue} {
        worker_.call([this] {
            channel_ = std::make_unique<channel>(worker_.loop);
            handler_.then = [this] { advance(); };
            channel_->attach(sockets_.ours.release(), handler_);
        });
    }
    ~tls_handshake_test() override {
        worker_.call([this] {
            handshake_.reset();
            channel_.reset();
        });
        steps_.stop();
    }

    // Begins as the server's side of it, in the same turn as `with`; `over` is the outcome.
    void begin(const std::function<void()>& with = [] {}) {
        auto context = tls::must_load(tls::engine_pair::server_settings());
        worker_.call([this, &context, &with] {
            with();
            handshake_ =
                std::make_unique<tls_handshake>(std::make_unique<tls::engine>(std::move(context)),
                                                steps_, worker_.loop, [this] { advance(); });
            advance();
        });
    }
    outcome wait() { return over_.get_future().get(); }

    background steps_;
    socket_pair sockets_;
    recorder handler_;
    std::unique_ptr<channel> channel_;
    std::unique_ptr<tls_handshake> handshake_;
    std::string error_;
    std::promise<outcome> over_;
    loop_thread worker_;

private:
    void advance() {
        if (handshake_ == nullptr) {
            return;
        }
        if (const auto is = handshake_->advance(*channel_); is != outcome::pending) {
            error_ = handshake_->error();
            handshake_.reset();
            handler_.then = [] {};
            over_.set_value(is);
        }
    }
};

TEST_F(tls_handshake_test, secures_the_channel) {
    begin();
    tls_peer peer{sockets_.peer};
    EXPECT_EQ(peer.shake(), progress::done);
    EXPECT_EQ(wait(), outcome::done);
}

TEST_F(tls_handshake_test, settles_the_facts) {
    begin();
    tls_peer peer{sockets_.peer};
    (void)peer.shake();
    (void)wait();
    EXPECT_EQ(worker_.call([this] { return std::string{channel_->security()->version}; }),
              "TLSv1.3");
}

TEST_F(tls_handshake_test, takes_bytes_that_were_kept_for_its_first) {
    tls_peer peer{sockets_.peer};
    (void)peer.step({});
    worker_.call([] {});
    worker_.call([this] { channel_->keep(channel_->receive().data); });
    begin();
    EXPECT_EQ(peer.answer(), progress::done);
    EXPECT_EQ(wait(), outcome::done);
}

TEST_F(tls_handshake_test, fails_at_bytes_that_are_no_tls) {
    begin();
    write_all(sockets_.peer, std::string("\0\0\0\x08\0\3\0\0", 8));
    EXPECT_EQ(wait(), outcome::failed);
}

TEST_F(tls_handshake_test, fails_when_the_peer_leaves) {
    begin();
    sockets_.peer.reset();
    EXPECT_EQ(wait(), outcome::failed);
    EXPECT_EQ(error_, "connection closed by the peer");
}

TEST_F(tls_handshake_test, may_be_given_up_before_a_step_is_taken) {
    std::promise<void> go_on;
    ASSERT_TRUE(steps_.submit([&go_on] { go_on.get_future().wait(); }));
    begin();
    tls_peer peer{sockets_.peer, tls::engine_pair::slow_client_settings()};
    (void)peer.step({});
    worker_.call([this] {
        handshake_.reset();
        channel_->stream().close();
    });
    go_on.set_value();
    EXPECT_EQ(read_exactly(sockets_.peer, 1), "");
}

// Which costs less than going to another thread and back.
TEST_F(tls_handshake_test, takes_its_last_step_without_a_thread) {
    begin();
    tls_peer peer{sockets_.peer};
    std::promise<void> go_on;
    peer.step({});
    const auto answer = peer.some();
    ASSERT_TRUE(steps_.submit([&go_on] { go_on.get_future().wait(); }));
    EXPECT_EQ(peer.step(answer), progress::done);
    EXPECT_EQ(wait(), outcome::done);
    go_on.set_value();
}

TEST_F(tls_handshake_test, takes_a_step_that_is_heavy_on_a_thread) {
    begin();
    tls_peer peer{sockets_.peer, tls::engine_pair::slow_client_settings()};
    EXPECT_EQ(peer.shake(), progress::done);
    EXPECT_EQ(wait(), outcome::done);
}

// No thread takes anything here.
class crowded_handshake_test : public tls_handshake_test {
protected:
    crowded_handshake_test() : tls_handshake_test{0} {}
};

// Nothing is wrong with the peer, so nobody may think worse of it.
TEST_F(crowded_handshake_test, says_so_where_too_many_wait) {
    begin();
    tls_peer peer{sockets_.peer, tls::engine_pair::slow_client_settings()};
    (void)peer.step({});
    EXPECT_EQ(wait(), outcome::crowded);
    EXPECT_EQ(error_, "too many handshakes are waiting");
}

TEST_F(crowded_handshake_test, needs_no_thread_for_a_quick_one) {
    begin();
    tls_peer peer{sockets_.peer};
    EXPECT_EQ(peer.shake(), progress::done);
    EXPECT_EQ(wait(), outcome::done);
}

TEST_F(crowded_handshake_test, needs_a_thread_for_the_second_quick_one_of_a_turn) {
    tls_peer peer{sockets_.peer};
    (void)peer.step({});
    worker_.call([] {});
    worker_.call([this] { channel_->keep(channel_->receive().data); });
    begin([this] { (void)worker_.loop.may_compute(); });
    EXPECT_EQ(wait(), outcome::crowded);
}

// One thread, which takes its time, and room for one more step.
class busy_handshake_test : public tls_handshake_test {
protected:
    busy_handshake_test() : tls_handshake_test{1} { busy_.occupy(steps_); }
    ~busy_handshake_test() override {
        busy_.go_on.set_value();
        steps_.stop();  // the thread has no use for `busy_` any more
    }

    blocker busy_;
};

TEST_F(busy_handshake_test, keeps_the_order_of_quick_ones_where_others_wait) {
    ASSERT_TRUE(steps_.submit([] {}));
    begin();
    tls_peer peer{sockets_.peer};
    (void)peer.step({});
    EXPECT_EQ(wait(), outcome::crowded);
}

// A channel after its handshake.
class channel_tls_test : public tls_handshake_test {
protected:
    channel_tls_test() {
        begin();
        if (peer_.shake() != progress::done || wait() != outcome::done) {
            throw std::runtime_error{std::string{peer_.engine().error()} + error_};
        }
        worker_.call([] {});
    }

    struct received {
        std::string data;
        io_status status;
    };
    received receive() {
        return worker_.call([this] {
            const auto in = channel_->receive();
            return received{std::string{in.data}, in.status};
        });
    }
    // Receives as long as there is something.
    static std::string all_of(channel& c) {
        std::string all;
        while (c.has_input()) {
            all += c.receive().data;
        }
        return all;
    }
    std::string receive_all() {
        return worker_.call([this] { return all_of(*channel_); });
    }
    // Keeps as much as fits of 80,000 bytes; the engine holds a part of the rest.
    void fill() {
        peer_.write(pattern(80'000), 1000);
        worker_.call([] {});
        worker_.call([this] {
            while (channel_->kept() < loop::scratch_size) {
                channel_->keep(channel_->receive().data);
            }
        });
    }
    void receive_and_use(std::size_t used) {
        worker_.call([this, used] { channel_->keep(channel_->receive().data.substr(used)); });
    }
    bool send(const std::string& bytes) {
        return worker_.call([&] { return channel_->send(bytes); });
    }
    bool readable() {
        return worker_.call([this] { return channel_->readable(); });
    }
    std::size_t bytes_in_use() {
        return worker_.call([this] { return worker_.loop.buffers().bytes_in_use(); });
    }
    void flush_when_writable() {
        worker_.call([this] { handler_.then = [this] { (void)channel_->flush(); }; });
    }
    void shrink_send_buffer() {
        worker_.call([this] {
            const int size = 4096;
            ::setsockopt(channel_->stream().fd(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        });
    }

    tls_peer peer_{sockets_.peer};
};

TEST_F(channel_tls_test, receives_what_the_peer_sent) {
    peer_.write("hello");
    EXPECT_EQ(receive().data, "hello");
}

TEST_F(channel_tls_test, has_nothing_to_receive_at_first) {
    EXPECT_EQ(receive().status, io_status::would_block);
}

TEST_F(channel_tls_test, has_nothing_of_half_a_record) {
    write_all(sockets_.peer, std::string_view{peer_.sealed("hello")}.substr(0, 9));
    const auto got = receive();
    EXPECT_EQ(got.data, "");
    EXPECT_EQ(got.status, io_status::would_block);
}

TEST_F(channel_tls_test, joins_a_record_that_came_in_two_halves) {
    const auto bytes = peer_.sealed("hello");
    write_all(sockets_.peer, std::string_view{bytes}.substr(0, 9));
    (void)receive();
    write_all(sockets_.peer, std::string_view{bytes}.substr(9));
    EXPECT_EQ(receive().data, "hello");
}

TEST_F(channel_tls_test, receives_many_records_at_once) {
    peer_.write(pattern(3000), 100);
    EXPECT_EQ(receive().data, pattern(3000));
}

TEST_F(channel_tls_test, puts_what_was_kept_first) {
    peer_.write("half a mess");
    receive_and_use(5);
    peer_.write("age");
    EXPECT_EQ(receive().data, "a message");
}

TEST_F(channel_tls_test, loses_nothing_of_much) {
    const auto text = pattern(150'000);
    peer_.write(text);
    EXPECT_EQ(receive_all(), text);
}

TEST_F(channel_tls_test, is_readable_while_text_waits_that_found_no_room) {
    fill();
    EXPECT_TRUE(readable());
}

TEST_F(channel_tls_test, gives_text_that_found_no_room_once_there_is_some) {
    fill();
    EXPECT_EQ(receive_all(), pattern(80'000));
}

TEST_F(channel_tls_test, receives_no_more_while_what_is_kept_fills_the_scratch) {
    fill();
    EXPECT_EQ(receive().status, io_status::would_block);
}

TEST_F(channel_tls_test, owns_no_buffer_once_all_is_used) {
    peer_.write(pattern(40'000));
    (void)receive();
    EXPECT_EQ(bytes_in_use(), 0U);
}

TEST_F(channel_tls_test, says_closed_when_the_peer_says_so) {
    peer_.close();
    EXPECT_EQ(receive().status, io_status::closed);
}

TEST_F(channel_tls_test, has_what_the_peer_sent_before_it_closed) {
    peer_.write("good bye");
    peer_.close();
    EXPECT_EQ(receive().data, "good bye");
}

TEST_F(channel_tls_test, says_closed_when_the_peer_leaves_without_a_word) {
    sockets_.peer.reset();
    EXPECT_EQ(receive().status, io_status::closed);
}

TEST_F(channel_tls_test, says_closed_to_bytes_that_are_not_the_peer_s) {
    write_all(sockets_.peer, pattern(100));
    EXPECT_EQ(receive().status, io_status::closed);
}

TEST_F(channel_tls_test, says_why_it_broke) {
    write_all(sockets_.peer, pattern(100));
    (void)receive();
    EXPECT_EQ(worker_.call([this] { return std::string{channel_->tls_error()}; }),
              "wrong version number");
}

TEST_F(channel_tls_test, sends_at_once) {
    (void)send("hello");
    EXPECT_EQ(peer_.read(5), "hello");
}

TEST_F(channel_tls_test, sends_small_pieces_as_one_record) {
    worker_.call([this] {
        const std::vector<iovec> pieces{as_piece("one, "), as_piece("two, "), as_piece("three")};
        (void)channel_->send(pieces);
    });
    std::string all(1000, '\0');
    all.resize(static_cast<std::size_t>(::recv(sockets_.peer.get(), all.data(), all.size(), 0)));
    EXPECT_EQ(tls::engine_pair::decrypted(peer_.engine(), all).text, "one, two, three");
    EXPECT_EQ(all.size(), 15U + 22U);
}

TEST_F(channel_tls_test, sends_pieces_of_any_size_in_order) {
    std::vector<std::string> texts;
    std::string all;
    for (std::size_t i = 0; i < 60; ++i) {
        texts.push_back(pattern(i * 997 % 40'000));
        all += texts.back();
    }
    flush_when_writable();
    worker_.call([&] {
        std::vector<iovec> pieces;
        for (const auto& t : texts) {
            pieces.push_back(as_piece(t));
        }
        (void)channel_->send(pieces);
    });
    EXPECT_EQ(peer_.read(all.size()), all);
}

TEST_F(channel_tls_test, delivers_a_backlog_in_order) {
    const auto text = pattern(1'000'000);
    shrink_send_buffer();
    flush_when_writable();
    (void)send(text);
    (void)send("behind");
    EXPECT_EQ(peer_.read(text.size() + 6), text + "behind");
}

TEST_F(channel_tls_test, owns_no_buffer_once_its_backlog_is_sent) {
    const auto text = pattern(1'000'000);
    shrink_send_buffer();
    flush_when_writable();
    (void)send(text);
    (void)peer_.read(text.size());
    EXPECT_EQ(bytes_in_use(), 0U);
}

TEST_F(channel_tls_test, tells_the_peer_that_it_sends_no_more) {
    (void)send("good bye");
    worker_.call([this] {
        (void)channel_->end_tls();
        channel_->stream().shut_down_sending();
    });
    EXPECT_EQ(peer_.read(100), "good bye");
    EXPECT_TRUE(peer_.is_closed());
}

TEST_F(channel_tls_test, goes_on_with_another_loop) {
    fill();
    auto [engine, kept, fd] = worker_.call([this] {
        auto text = channel_->take_kept();
        return std::tuple{channel_->take_tls(), text, channel_->stream().detach()};
    });
    loop_thread other;
    std::unique_ptr<channel> there;
    other.call([&, e = std::move(engine), text = kept, descriptor = fd]() mutable {
        there = std::make_unique<channel>(other.loop);
        there->attach(descriptor, handler_);
        there->secure(std::move(e));
        there->keep(text);
    });
    other.call([] {});  // until what is left in the kernel has been told
    EXPECT_EQ(other.call([&] { return all_of(*there); }), pattern(80'000));
    other.call([&] { there.reset(); });
}

// A channel to a client that says more of TLS than it has to.
class chatty_peer_test : public tls_handshake_test {
protected:
    chatty_peer_test() {
        begin();
        write_all(sockets_.peer, peer_.answer({}));
        while (!peer_.is_done()) {
            write_all(sockets_.peer, peer_.answer(some()));
        }
        if (wait() != outcome::done) {
            throw std::runtime_error{error_};
        }
        worker_.call([] {});
    }

    io_status receive() {
        return worker_.call([this] { return channel_->receive().status; });
    }
    // What the peer does not read stays with us.
    void fill_up() {
        worker_.call([this] {
            const int size = 4096;
            ::setsockopt(channel_->stream().fd(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
            (void)channel_->send(pattern(1'000'000));
        });
    }

    tls::chatty_client peer_;

private:
    std::string some() {
        std::string into(16 * 1024, '\0');
        const auto n = ::recv(sockets_.peer.get(), into.data(), into.size(), 0);
        into.resize(n <= 0 ? 0 : static_cast<std::size_t>(n));
        return into;
    }
};

TEST_F(chatty_peer_test, is_answered) {
    write_all(sockets_.peer, peer_.new_keys(2));
    EXPECT_EQ(receive(), io_status::would_block);
}

TEST_F(chatty_peer_test, is_left_when_it_reads_nothing_of_the_answers) {
    fill_up();
    write_all(sockets_.peer, peer_.new_keys(2));
    EXPECT_EQ(receive(), io_status::closed);
}

TEST_F(chatty_peer_test, is_left_when_it_has_nothing_else_to_say) {
    write_all(sockets_.peer, peer_.new_keys(1000));
    EXPECT_EQ(receive(), io_status::closed);
}

}  // namespace
}  // namespace pgweir::net
