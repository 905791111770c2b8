// Reads the head of one request, answers it, and closes: Boost.Beast over Boost.Asio.
#include "pgweir/app/http_endpoint.hpp"

#include "pgweir/base/log.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include <optional>
#include <string_view>
#include <sys/socket.h>
#include <utility>

namespace pgweir::app {

namespace http = boost::beast::http;
using boost::asio::ip::tcp;
using boost::system::error_code;

namespace {

// After the answer, what the peer still sends is read for a while: a socket that is closed with
// something unread is reset, and the answer may be lost on its way.
constexpr auto longest_farewell = std::chrono::seconds{1};
constexpr std::size_t farewell_bytes = 256 * 1024;
constexpr std::size_t farewell_chunk = 4096;
// Out of descriptors.
constexpr auto pause_when_full = std::chrono::milliseconds{200};

std::string_view view_of(boost::beast::string_view s) noexcept { return {s.data(), s.size()}; }

tcp protocol_of(int fd) {
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    const bool known = ::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) == 0;
    return known && name.ss_family == AF_INET6 ? tcp::v6() : tcp::v4();
}

// Empty: the peer is gone, and nobody waits for an answer.
std::optional<http_answer> answer_to(const error_code& broken) {
    if (broken == http::error::header_limit || broken == http::error::buffer_overflow) {
        return http_answer{431, "the request is too long\n"};
    }
    if (broken == http::error::end_of_stream || broken == http::error::partial_message ||
        broken.category() != http::make_error_code(http::error::end_of_stream).category()) {
        return std::nullopt;
    }
    return http_answer{400, "not an HTTP request: " + broken.message() + "\n"};
}

}  // namespace

// What sessions need of the endpoint, which may go before they do.
struct http_endpoint::shared {
    handler on_question;
    http_limits limits;
    std::size_t open = 0;
};

// One connection. Lives as long as its timer waits.
class http_endpoint::session : public std::enable_shared_from_this<session> {
public:
    session(tcp::socket socket, std::shared_ptr<shared> all)
        : all_{std::move(all)},
          socket_{std::move(socket)},
          timer_{socket_.get_executor()},
          buffer_{all_->limits.request_bytes} {
        ++all_->open;
        parser_.header_limit(static_cast<std::uint32_t>(all_->limits.request_bytes));
    }
    session(const session&) = delete;
    session& operator=(const session&) = delete;
    ~session() { --all_->open; }

    void run() {
        expire_after(all_->limits.time);
        http::async_read_header(
            socket_, buffer_, parser_,
            [self = shared_from_this()](error_code error, std::size_t) { self->on_head(error); });
    }

private:
    void expire_after(std::chrono::milliseconds time) {
        timer_.expires_after(time);
        timer_.async_wait([self = shared_from_this()](error_code error) {
            if (!error) {
                self->close();
            }
        });
    }

    void close() {
        error_code ignored;
        socket_.close(ignored);
        timer_.cancel();
    }

    void on_head(error_code error) {
        if (error) {
            const auto answer = answer_to(error);
            return answer ? send(*answer, false) : close();
        }
        const auto& request = parser_.get();
        const bool head_only = request.method() == http::verb::head;
        auto understood =
            observe::understand(view_of(request.method_string()), view_of(request.target()));
        if (const auto* refusal = std::get_if<observe::http_refusal>(&understood)) {
            return send({refusal->status, refusal->text + "\n"}, head_only);
        }
        all_->on_question(std::get<observe::http_question>(understood),
                          [weak = weak_from_this(), head_only](http_answer answer) {
                              if (const auto self = weak.lock()) {
                                  self->send(std::move(answer), head_only);
                              }
                          });
    }

    void send(http_answer answer, bool head_only) {
        if (!socket_.is_open() || serializer_) {
            return;
        }
        response_.version(11);
        response_.result(answer.status);
        response_.set(http::field::content_type, answer.content_type);
        response_.set(http::field::cache_control, "no-store");
        if (answer.status == 405) {
            response_.set(http::field::allow, "GET, HEAD");
        }
        response_.keep_alive(false);
        response_.body() = std::move(answer.body);
        response_.prepare_payload();
        serializer_.emplace(response_);
        auto sent = [self = shared_from_this()](error_code error, std::size_t) {
            error ? self->close() : self->say_farewell();
        };
        if (head_only) {
            http::async_write_header(socket_, *serializer_, std::move(sent));
        } else {
            http::async_write(socket_, *serializer_, std::move(sent));
        }
    }

    void say_farewell() {
        error_code ignored;
        socket_.shutdown(tcp::socket::shutdown_send, ignored);
        expire_after(longest_farewell);
        buffer_.clear();
        read_on();
    }

    void read_on() {
        socket_.async_read_some(buffer_.prepare(std::min(farewell_chunk, buffer_.max_size())),
                                [self = shared_from_this()](error_code error, std::size_t size) {
                                    self->read_past_ += size;
                                    if (error || self->read_past_ > farewell_bytes) {
                                        return self->close();
                                    }
                                    self->read_on();
                                });
    }

    std::shared_ptr<shared> all_;
    tcp::socket socket_;
    boost::asio::steady_timer timer_;
    boost::beast::flat_buffer buffer_;
    http::request_parser<http::empty_body> parser_;
    http::response<http::string_body> response_;
    std::optional<http::response_serializer<http::string_body>> serializer_;
    std::size_t read_past_ = 0;
};

// Accepts at one address. What is under way keeps it alive.
class http_endpoint::door : public std::enable_shared_from_this<door> {
public:
    door(boost::asio::io_context& io, int listening, std::shared_ptr<shared> all)
        : all_{std::move(all)}, socket_{io, protocol_of(listening), listening}, again_{io} {}

    void accept() {
        socket_.async_accept([self = shared_from_this()](error_code error, tcp::socket client) {
            if (!self->socket_.is_open()) {
                return;
            }
            if (error) {
                return self->pause(error);
            }
            self->is_pausing_ = false;
            if (self->all_->open < self->all_->limits.connections) {
                std::make_shared<session>(std::move(client), self->all_)->run();
            }
            self->accept();
        });
    }

    void close() {
        error_code ignored;
        socket_.close(ignored);
        again_.cancel();
    }

private:
    void pause(error_code why) {
        if (!std::exchange(is_pausing_, true)) {
            PGWEIR_LOG(err, "cannot accept connections for HTTP: {}; trying again", why.message());
        }
        again_.expires_after(pause_when_full);
        again_.async_wait([self = shared_from_this()](error_code) {
            if (self->socket_.is_open()) {
                self->accept();
            }
        });
    }

    std::shared_ptr<shared> all_;
    tcp::acceptor socket_;
    boost::asio::steady_timer again_;
    bool is_pausing_ = false;
};

http_endpoint::http_endpoint(boost::asio::io_context& io,
                             handler on_question,
                             const http_limits& limits)
    : io_{io}, shared_{std::make_shared<shared>(shared{std::move(on_question), limits})} {}

http_endpoint::~http_endpoint() { close(); }

void http_endpoint::open(const config::http_settings& settings) {
    config::listen_settings where;
    where.addresses = settings.addresses;
    where.port = settings.port;
    where.backlog = static_cast<int>(shared_->limits.connections);
    listener_.open(where, {});
    for (const auto& s : listener_.sockets()) {
        auto own = s.duplicate();
        doors_.push_back(std::make_shared<door>(io_, own.get(), shared_));
        (void)own.release();  // it is the door's
        doors_.back()->accept();
    }
}

void http_endpoint::close() {
    for (const auto& d : doors_) {
        d->close();
    }
    doors_.clear();
    listener_.close();
}

}  // namespace pgweir::app
