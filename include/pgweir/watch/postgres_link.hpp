// One connection to a PostgreSQL through libpq, which never blocks: everything happens on the
// io_context.
#pragma once

#include "pgweir/watch/refusal.hpp"
#include "pgweir/watch/result_rows.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

struct pg_conn;
struct pg_result;

namespace pgweir::watch {

// How a batch of statements ended.
struct batch_result {
    std::vector<result_rows> results;  // of the statements that ran, in order
    // The error of the statement behind them, which ended the batch.
    struct error {
        std::string sqlstate;
        std::string text;
    };
    std::optional<error> failed;
};

// A read is always armed, so that the end of the connection is noticed while nothing is asked. It
// has no timeouts: whoever loses patience calls close().
class postgres_link {
public:
    // Called on the io_context's thread and never from within a method of this class. After `lost`
    // the link is closed.
    struct handlers {
        std::function<void()> connected;
        std::function<void(batch_result)> answered;
        std::function<void(refusal)> lost;
    };
    using parameters = std::vector<std::pair<std::string, std::string>>;

    postgres_link(boost::asio::io_context& io, handlers on) : descriptor_{io}, on_{std::move(on)} {}
    ~postgres_link() { close(); }
    postgres_link(const postgres_link&) = delete;
    postgres_link& operator=(const postgres_link&) = delete;

    // Keywords and values of libpq, with hostaddr. REQUIRES: it is closed.
    void connect(const parameters& p);
    // REQUIRES: it is connected, and has answered what was asked before.
    void ask(const std::string& sql);
    // One statement with parameters $1, $2, ... as text. REQUIRES: as above, and there is one.
    void ask(const std::string& sql, const std::vector<std::string>& arguments);
    // No handler is called for what was under way.
    void close() noexcept;

    [[nodiscard]] bool is_connected() const noexcept { return is_connected_; }

private:
    using direction = boost::asio::posix::stream_descriptor::wait_type;

    void began_asking(bool is_sent);
    bool watch_socket();
    void wait(direction d, void (postgres_link::*then)());
    void continue_connecting();
    void flush();
    void on_readable();
    bool take(const pg_result& result);
    void lose();
    void lose(refusal why);
    static void on_notice(void* self, const pg_result* notice);

    boost::asio::posix::stream_descriptor descriptor_;  // a duplicate of libpq's socket
    handlers on_;
    pg_conn* connection_ = nullptr;
    std::shared_ptr<char> era_;  // of one connection: what waits for another one is void
    bool is_connected_ = false;
    std::optional<batch_result> batch_;              // under way
    result_rows rows_;                               // of the statement under way
    std::optional<batch_result::error> last_words_;  // what the server said, unasked
};

}  // namespace pgweir::watch
