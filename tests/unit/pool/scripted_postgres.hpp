// PostgreSQL as a test plays it: a unix socket in a folder of its own, and each backend by hand.
#pragma once

#include "net/sockets.hpp"
#include "pgweir/protocol/frame.hpp"
#include "pgweir/protocol/message_writer.hpp"
#include "pool/server_dialogue.hpp"

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <poll.h>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/time.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace pgweir::pool {

// How long a test waits for what must come, however busy the machine is.
inline constexpr std::chrono::seconds patience{30};

inline std::string bytes_of(const messages& all) {
    std::string out;
    for (const auto& m : all) {
        protocol::message_writer{out}.begin(m.type).put_bytes(m.body).end();
    }
    return out;
}

// What is said after a query that worked.
inline messages done(const std::string& tag = "SELECT 1", char status = 'I') {
    return {{'C', tag + '\0'}, {'Z', std::string(1, status)}};
}

// What is said after a query that failed.
inline messages failed(std::string_view sqlstate, char status = 'I') {
    std::string whole;
    protocol::append_error(
        whole, {.severity = "ERROR", .sqlstate = sqlstate, .message = "this is not possible"});
    return {{'E', whole.substr(protocol::header_size)}, {'Z', std::string(1, status)}};
}

// PostgreSQL answers it by closing the connection.
inline bool is_cancel_request(std::string_view packet) {
    constexpr std::uint32_t code = 80877102;
    return packet.size() >= 8 && base::load_be32(packet.data() + 4) == code;
}

// PostgreSQL's side of one connection. Reading waits, and throws when nothing comes.
class backend {
public:
    explicit backend(net::descriptor fd) : fd_{std::move(fd)} {
        const timeval limit{patience.count(), 0};
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    }

    // The first packet, whole: of a login or a cancel request.
    std::string read_startup() { return read_packet(0); }
    // The next message; nothing at the end of the connection.
    std::optional<message> read() {
        auto packet = read_packet(1);
        if (packet.empty()) {
            return std::nullopt;
        }
        return message{packet[0], packet.substr(protocol::header_size)};
    }
    void send(const messages& all) { net::write_all(fd_, bytes_of(all)); }
    void send_bytes(std::string_view bytes) { net::write_all(fd_, bytes); }

    void log_in(postgres how = trusting()) { log_in(read_startup(), std::move(how)); }
    // `sent`: the startup packet.
    void log_in(std::string sent, postgres how = trusting()) {
        for (;;) {
            const auto answer = how(sent);
            send(answer);
            if (answer.empty() || answer.back().type == 'Z' || answer.back().type == 'E') {
                return;
            }
            sent = read_packet(1);
        }
    }
    // Reads the next message, which must be a query, and returns its text.
    std::string read_query() {
        const auto m = read();
        if (!m || m->type != 'Q') {
            throw std::runtime_error{"no query came"};
        }
        return m->body.substr(0, m->body.size() - 1);
    }
    // Was it told to end? Reads to the end of what comes.
    bool is_told_to_end() {
        bool told = false;
        while (const auto m = read()) {
            told = m->type == 'X';
        }
        return told;
    }
    // Nothing came that is not read yet.
    [[nodiscard]] bool hears_nothing() const {
        char c;
        return ::recv(fd_.get(), &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
    }
    // The process is gone.
    void end() { fd_ = net::descriptor{}; }

private:
    // `ahead`: bytes before the length.
    std::string read_packet(std::size_t ahead) {
        errno = 0;
        auto packet = net::read_exactly(fd_, ahead + 4);
        if (packet.size() < ahead + 4) {
            if (errno == EAGAIN) {
                throw std::runtime_error{"nothing came"};
            }
            return {};
        }
        return packet + net::read_exactly(fd_, base::load_be32(packet.data() + ahead) - 4);
    }

    net::descriptor fd_;
};

// Where backends come from.
class scripted_postgres {
public:
    static constexpr std::uint16_t port = 5432;

    scripted_postgres() {
        char name[] = "/tmp/pgweir-test-XXXXXX";
        if (::mkdtemp(name) == nullptr) {
            throw std::system_error{errno, std::system_category(), "mkdtemp"};
        }
        folder_ = name;
        start();
    }
    scripted_postgres(const scripted_postgres&) = delete;
    scripted_postgres& operator=(const scripted_postgres&) = delete;
    ~scripted_postgres() {
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }

    void start() {
        stop();
        fd_ = net::descriptor{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        const auto a = net::parse_address(folder_, port);
        if (!a || ::bind(fd_.get(), a->raw(), a->size) < 0 || ::listen(fd_.get(), 128) < 0) {
            throw std::system_error{errno, std::system_category(), "bind"};
        }
    }
    // Connections are refused from now on, those that nobody accepted are reset.
    void stop() {
        fd_ = net::descriptor{};
        ::unlink((folder_ + "/.s.PGSQL." + std::to_string(port)).c_str());
    }

    [[nodiscard]] const std::string& folder() const noexcept { return folder_; }
    // Somebody has connected and was not accepted yet.
    [[nodiscard]] bool has_visitor(std::chrono::milliseconds within = {}) const {
        pollfd p{fd_.get(), POLLIN, 0};
        return ::poll(&p, 1, static_cast<int>(within.count())) == 1;
    }
    // Waits for a connection.
    backend accept() {
        if (!has_visitor(patience)) {
            throw std::runtime_error{"nobody connects"};
        }
        return backend{net::descriptor{::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC)}};
    }
    // The next to connect is logged in.
    backend let_in() {
        auto b = accept();
        b.log_in();
        return b;
    }

private:
    std::string folder_;
    net::descriptor fd_;
};

}  // namespace pgweir::pool
