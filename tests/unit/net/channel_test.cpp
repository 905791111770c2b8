// Receiving and sending over real sockets, with what was left over.
#include "pgweir/net/channel.hpp"

#include "net/sockets.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace pgweir::net {
namespace {

std::string pattern(std::size_t size) {
    std::string out(size, '\0');
    for (std::size_t i = 0; i < size; ++i) {
        out[i] = static_cast<char>('a' + i % 23);
    }
    return out;
}

class channel_test : public ::testing::Test {
protected:
    channel_test() {
        worker_.call([this] {
            channel_ = std::make_unique<channel>(worker_.loop);
            channel_->attach(sockets_.ours.release(), handler_);
        });
        worker_.call([] {});  // until the socket's first readiness has been told
    }
    ~channel_test() override {
        worker_.call([this] { channel_.reset(); });
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
    // Receives once and keeps all but the first `used` bytes.
    void receive_and_use(std::size_t used) {
        worker_.call([this, used] { channel_->keep(channel_->receive().data.substr(used)); });
    }
    bool send(const std::string& bytes) {
        return worker_.call([&] { return channel_->send(bytes); });
    }
    bool has_backlog() {
        return worker_.call([this] { return channel_->has_backlog(); });
    }
    std::size_t bytes_in_use() {
        return worker_.call([this] { return worker_.loop.buffers().bytes_in_use(); });
    }
    // From now on sends what is queued whenever there is room.
    void flush_when_writable() {
        worker_.call([this] { handler_.then = [this] { (void)channel_->flush(); }; });
    }
    void shrink_send_buffer() {
        worker_.call([this] {
            const int size = 4096;
            ::setsockopt(channel_->stream().fd(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
        });
    }

    socket_pair sockets_;
    recorder handler_;
    std::unique_ptr<channel> channel_;  // the loop's thread only
    loop_thread worker_;
};

TEST_F(channel_test, receives_what_the_peer_sent) {
    write_all(sockets_.peer, "hello");
    EXPECT_EQ(receive().data, "hello");
}

TEST_F(channel_test, has_nothing_to_receive_at_first) {
    EXPECT_EQ(receive().status, io_status::would_block);
}

TEST_F(channel_test, has_nothing_to_receive_once_it_has_all) {
    write_all(sockets_.peer, "hello");
    (void)receive();
    EXPECT_EQ(receive().status, io_status::would_block);
}

TEST_F(channel_test, puts_what_was_kept_first) {
    write_all(sockets_.peer, "half a mess");
    receive_and_use(5);
    write_all(sockets_.peer, "age");
    EXPECT_EQ(receive().data, "a message");
}

TEST_F(channel_test, answers_what_was_kept_when_there_is_no_more) {
    write_all(sockets_.peer, "half a mess");
    receive_and_use(5);
    EXPECT_EQ(receive().data, "a mess");
}

TEST_F(channel_test, has_input_while_something_is_kept) {
    write_all(sockets_.peer, "half");
    receive_and_use(0);
    EXPECT_TRUE(worker_.call([this] { return channel_->has_input(); }));
}

TEST_F(channel_test, gives_away_what_it_kept) {
    write_all(sockets_.peer, "half a mess");
    receive_and_use(5);
    EXPECT_EQ(worker_.call([this] { return channel_->take_kept(); }), "a mess");
}

TEST_F(channel_test, owns_no_memory_once_what_was_kept_is_used) {
    write_all(sockets_.peer, "half a mess");
    receive_and_use(5);
    (void)receive();
    EXPECT_EQ(bytes_in_use(), 0U);
}

TEST_F(channel_test, receives_one_scratch_at_a_time) {
    write_all(sockets_.peer, pattern(loop::scratch_size + 10));
    EXPECT_EQ(receive().data.size(), loop::scratch_size);
}

TEST_F(channel_test, goes_on_where_a_full_scratch_ended) {
    write_all(sockets_.peer, pattern(loop::scratch_size + 10));
    (void)receive();
    EXPECT_EQ(receive().data, pattern(loop::scratch_size + 10).substr(loop::scratch_size));
}

TEST_F(channel_test, receives_no_more_while_what_is_kept_fills_the_scratch) {
    write_all(sockets_.peer, pattern(loop::scratch_size + 10));
    receive_and_use(0);
    EXPECT_EQ(receive().status, io_status::would_block);
}

TEST_F(channel_test, still_has_all_it_kept_when_that_fills_the_scratch) {
    write_all(sockets_.peer, pattern(loop::scratch_size + 10));
    receive_and_use(0);
    EXPECT_EQ(receive().data, pattern(loop::scratch_size));
}

TEST_F(channel_test, fills_the_room_that_what_is_kept_leaves) {
    write_all(sockets_.peer, pattern(loop::scratch_size + 10));
    receive_and_use(4);
    EXPECT_EQ(receive().data, pattern(loop::scratch_size + 10).substr(4, loop::scratch_size));
}

TEST_F(channel_test, has_what_the_peer_sent_before_it_left) {
    write_all(sockets_.peer, "good bye");
    sockets_.peer.reset();
    EXPECT_EQ(receive().data, "good bye");
}

TEST_F(channel_test, says_closed_once_it_has_what_the_peer_sent_before_it_left) {
    write_all(sockets_.peer, "good bye");
    sockets_.peer.reset();
    (void)receive();
    EXPECT_EQ(receive().status, io_status::closed);
}

TEST_F(channel_test, answers_what_was_kept_together_with_the_end) {
    write_all(sockets_.peer, "half");
    receive_and_use(0);
    sockets_.peer.reset();
    EXPECT_EQ(receive().data, "half");
}

TEST_F(channel_test, knows_that_the_peer_hung_up_before_it_receives) {
    sockets_.peer.reset();
    EXPECT_TRUE(worker_.call([this] { return channel_->stream().hung_up(); }));
}

TEST_F(channel_test, still_sends_to_a_peer_that_only_ended_its_side) {
    ::shutdown(sockets_.peer.get(), SHUT_WR);
    (void)send("answer");
    EXPECT_EQ(read_exactly(sockets_.peer, 6), "answer");
}

TEST_F(channel_test, sends_at_once) {
    (void)send("hello");
    EXPECT_EQ(read_exactly(sockets_.peer, 5), "hello");
}

TEST_F(channel_test, has_no_backlog_when_the_kernel_took_all) {
    (void)send("hello");
    EXPECT_FALSE(has_backlog());
}

TEST_F(channel_test, queues_what_the_kernel_does_not_take) {
    shrink_send_buffer();
    (void)send(pattern(1'000'000));
    EXPECT_TRUE(has_backlog());
}

TEST_F(channel_test, delivers_a_backlog_in_order) {
    const auto text = pattern(1'000'000);
    shrink_send_buffer();
    flush_when_writable();
    (void)send(text);
    EXPECT_EQ(read_exactly(sockets_.peer, text.size()), text);
}

TEST_F(channel_test, sends_nothing_ahead_of_a_backlog) {
    const auto text = pattern(1'000'000);
    shrink_send_buffer();
    flush_when_writable();
    (void)send(text);
    (void)send("behind");
    EXPECT_EQ(read_exactly(sockets_.peer, text.size() + 6), text + "behind");
}

TEST_F(channel_test, goes_on_within_the_piece_that_was_cut) {
    std::vector<std::string> texts;
    std::string all;
    for (std::size_t i = 0; i < 60; ++i) {
        texts.push_back(pattern(i * 997 % 12'000));
        all += texts.back();
    }
    shrink_send_buffer();
    flush_when_writable();
    worker_.call([&] {
        std::vector<iovec> pieces;
        for (const auto& t : texts) {
            pieces.push_back(as_piece(t));
        }
        (void)channel_->send(pieces);
    });
    EXPECT_EQ(read_exactly(sockets_.peer, all.size()), all);
}

TEST_F(channel_test, owns_no_memory_once_its_backlog_is_sent) {
    const auto text = pattern(1'000'000);
    shrink_send_buffer();
    flush_when_writable();
    (void)send(text);
    (void)read_exactly(sockets_.peer, text.size());
    EXPECT_EQ(bytes_in_use(), 0U);
}

TEST_F(channel_test, says_so_when_it_sends_to_nobody) {
    sockets_.peer.reset();
    EXPECT_FALSE(send("hello"));
}

TEST_F(channel_test, says_so_when_its_backlog_goes_to_nobody) {
    shrink_send_buffer();
    (void)send(pattern(1'000'000));
    sockets_.peer.reset();
    EXPECT_FALSE(worker_.call([this] { return channel_->flush(); }));
}

TEST_F(channel_test, forgets_all_it_holds_when_told) {
    write_all(sockets_.peer, "half");
    receive_and_use(0);
    shrink_send_buffer();
    (void)send(pattern(1'000'000));
    worker_.call([this] { channel_->drop_all(); });
    EXPECT_EQ(bytes_in_use(), 0U);
}

TEST_F(channel_test, gives_its_descriptor_away) {
    const descriptor fd{worker_.call([this] { return channel_->stream().detach(); })};
    write_all(sockets_.peer, "hello");
    EXPECT_EQ(read_exactly(fd, 5), "hello");
}

TEST_F(channel_test, hears_nothing_of_a_descriptor_it_gave_away) {
    const descriptor fd{worker_.call([this] { return channel_->stream().detach(); })};
    const int before = worker_.call([this] { return handler_.calls; });
    write_all(sockets_.peer, "hello");
    EXPECT_EQ(worker_.call([this] { return handler_.calls; }), before);
}

}  // namespace
}  // namespace pgweir::net
