// Answers HTTP requests on the control thread, one a connection.
#pragma once

#include "pgweir/app/listener.hpp"
#include "pgweir/config/snapshot.hpp"
#include "pgweir/observe/http_question.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pgweir::app {

struct http_answer {
    unsigned status = 200;
    std::string body;
    const char* content_type = "text/plain; charset=utf-8";  // static
};

// What a stranger may take. A request longer than this is refused, a connection more is closed at
// once, and one that has not got its answer by then is closed.
struct http_limits {
    std::size_t request_bytes = 8 * 1024;
    std::size_t connections = 64;
    std::chrono::milliseconds time{10'000};
};

// Control thread only. Whatever the peer sends, it costs a bounded amount of memory and time.
class http_endpoint {
public:
    using reply = std::function<void(http_answer)>;
    // `done` may be called at once or later, on the control thread, or be dropped.
    using handler = std::function<void(const observe::http_question& question, reply done)>;

    http_endpoint(boost::asio::io_context& io, handler on_question, const http_limits& limits = {});
    http_endpoint(const http_endpoint&) = delete;
    http_endpoint& operator=(const http_endpoint&) = delete;
    ~http_endpoint();

    // Binds everything or throws std::runtime_error saying what could not be bound.
    void open(const config::http_settings& settings);
    // Takes no more connections; those that are open get their answers.
    void close();

private:
    struct shared;
    class session;
    class door;

    boost::asio::io_context& io_;
    std::shared_ptr<shared> shared_;
    listener listener_;
    std::vector<std::shared_ptr<door>> doors_;
};

}  // namespace pgweir::app
