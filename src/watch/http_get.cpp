// Getting a page.
#include "watch/http_get.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include <memory>
#include <utility>

namespace pgweir::watch {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using boost::asio::ip::tcp;

constexpr std::uint64_t largest_body = std::uint64_t{1} << 20;
constexpr int http_1_1 = 11;

// Keeps itself alive by its handlers.
class exchange : public std::enable_shared_from_this<exchange> {
public:
    exchange(boost::asio::io_context& io,
             http_question question,
             std::function<void(http_answer)> done)
        : stream_{io}, question_{std::move(question)}, done_{std::move(done)} {
        request_.method(http::verb::get);
        request_.version(http_1_1);
        request_.target(question_.path);
        request_.set(http::field::host, question_.host);
        request_.set(http::field::user_agent, "pgweir");
        request_.keep_alive(false);
        parser_.body_limit(largest_body);
    }

    void start() {
        stream_.expires_after(question_.timeout);
        boost::system::error_code error;
        const auto address = boost::asio::ip::make_address(question_.address, error);
        stream_.async_connect(tcp::endpoint{address, question_.port},
                              [self = shared_from_this()](auto e) { self->on_connected(e); });
    }

private:
    void on_connected(beast::error_code error) {
        if (error) {
            return fail(error);
        }
        http::async_write(stream_, request_, [self = shared_from_this()](auto e, std::size_t) {
            self->on_written(e);
        });
    }
    void on_written(beast::error_code error) {
        if (error) {
            return fail(error);
        }
        http::async_read(stream_, buffer_, parser_,
                         [self = shared_from_this()](auto e, std::size_t) { self->on_read(e); });
    }
    void on_read(beast::error_code error) {
        if (error) {
            return fail(error);
        }
        done_({parser_.get().result_int(), std::move(parser_.get().body()), {}});
    }
    void fail(beast::error_code error) { done_({0, {}, error.message()}); }

    beast::tcp_stream stream_;
    http_question question_;
    std::function<void(http_answer)> done_;
    http::request<http::empty_body> request_;
    http::response_parser<http::string_body> parser_;
    beast::flat_buffer buffer_;
};

}  // namespace

void http_get(boost::asio::io_context& io,
              http_question question,
              std::function<void(http_answer)> done) {
    std::make_shared<exchange>(io, std::move(question), std::move(done))->start();
}

}  // namespace pgweir::watch
