// One GET of HTTP/1.1, on the watch thread's io_context.
#pragma once

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace pgweir::watch {

struct http_answer {
    unsigned status = 0;  // 0: none came
    std::string body;
    std::string error;
};

struct http_question {
    std::string address;  // numeric
    std::uint16_t port = 0;
    std::string host;  // for the header of that name
    std::string path;
    std::chrono::nanoseconds timeout{};
};

// `done` is called once, later, unless the io_context ends before. An answer above 1 MiB is an
// error.
void http_get(boost::asio::io_context& io,
              http_question question,
              std::function<void(http_answer)> done);

}  // namespace pgweir::watch
