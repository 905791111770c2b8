// The other end of a connection, that speaks TLS and blocks.
#pragma once

#include "net/sockets.hpp"
#include "tls/engine_pair.hpp"

#include <array>
#include <string>
#include <string_view>

namespace pgweir::net {

// Uses a descriptor of somebody else's, on the test's thread.
class tls_peer {
public:
    explicit tls_peer(const descriptor& fd,
                      const tls::context_settings& settings = tls::engine_pair::client_settings())
        : fd_{fd}, engine_{tls::must_load(settings), {.host = "localhost", .verify_host = true}} {}

    using progress = tls::engine::progress;
    progress shake() {
        if (engine_.speaks_first()) {
            (void)step({});
        }
        return answer();
    }
    // Answers what comes until the handshake is over.
    progress answer() {
        auto is = progress::more;
        while (is == progress::more) {
            const auto bytes = some();
            if (bytes.empty()) {
                break;
            }
            is = step(bytes);
        }
        return is;
    }
    // Waits for what comes.
    std::string some() {
        std::array<char, 16 * 1024> into;
        const auto n = ::recv(fd_.get(), into.data(), into.size(), 0);
        return n <= 0 ? std::string{} : std::string{into.data(), static_cast<std::size_t>(n)};
    }
    progress step(const std::string& bytes) {
        const auto is = engine_.handshake(bytes);
        write_all(fd_, engine_.take_output());
        return is;
    }

    void write(std::string_view text, std::size_t record = tls::engine::record_size) {
        write_all(fd_, sealed(text, record));
    }
    std::string sealed(std::string_view text, std::size_t record = tls::engine::record_size) {
        return tls::engine_pair::encrypted(engine_, text, record);
    }
    void close() {
        engine_.close();
        write_all(fd_, engine_.take_output());
    }
    // Waits for `size` bytes of text; fewer at the end.
    std::string read(std::size_t size) {
        std::string out;
        while (out.size() < size && !ended_) {
            const auto bytes = some();
            const auto got = tls::engine_pair::decrypted(engine_, bytes);
            out += got.text;
            is_closed_ = got.then == tls::engine::condition::closed;
            ended_ = bytes.empty() || got.then != tls::engine::condition::open;
        }
        return out;
    }
    // Did the other side say that it sends no more?
    [[nodiscard]] bool is_closed() const { return is_closed_; }
    [[nodiscard]] tls::engine& engine() { return engine_; }

private:
    const descriptor& fd_;
    tls::engine engine_;
    bool ended_ = false;
    bool is_closed_ = false;
};

}  // namespace pgweir::net
