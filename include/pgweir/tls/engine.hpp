// TLS without a socket: received bytes in, plain text out, and the other way round.
#pragma once

#include "pgweir/tls/context.hpp"
#include "pgweir/tls/facts.hpp"
#include "pgweir/tls/wire.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

struct ssl_st;

namespace pgweir::tls {

// What a client expects of its server's certificate.
struct expectation {
    std::string host{};        // told to the server (SNI), unless it is an address
    bool verify_host = false;  // must be in the certificate, by libpq's rules (verify-full)
};

// One side of one connection. Used by one thread at a time, not always the same; total for any
// bytes. Between two calls it owns nothing but OpenSSL's state, as long as all that was received is
// read. Throws std::bad_alloc only.
class engine {
public:
    explicit engine(context_ptr shared, expectation expected = {});
    ~engine();
    engine(const engine&) = delete;
    engine& operator=(const engine&) = delete;

    // --- the handshake

    [[nodiscard]] bool speaks_first() const noexcept { return shared_->side() == role::client; }
    enum class progress : unsigned char {
        more,    // needs to receive more
        done,    // security() holds; what came behind the handshake is kept for decrypt()
        failed,  // error() says why; output may be an alert for the peer
    };
    // Takes the next bytes; none to begin with as a client. May take milliseconds of processor
    // time. take_output() is to be sent afterwards, whatever came out. REQUIRES: not done or
    // failed.
    [[nodiscard]] progress handshake(std::string_view received);
    // What the engine itself has to say to the peer. Nearly always empty after the handshake.
    [[nodiscard]] std::string take_output();
    [[nodiscard]] bool has_output() const noexcept { return !wire_.overflow.empty(); }

    // --- after the handshake

    enum class condition : unsigned char {
        open,
        closed,  // the peer has said that it sends no more
        failed,  // what came is not from the peer: error() says why
    };
    struct plain {
        std::size_t size = 0;
        condition then = condition::open;  // what follows these bytes
    };
    // Takes all of `received` and fills `into` as far as there is plain text for it. What did not
    // fit stays, and comes first the next time. A peer that floods us with messages of TLS itself
    // instead is one that has failed.
    [[nodiscard]] plain decrypt(std::string_view received, std::span<char> into);
    // Would decrypt() have more without receiving?
    [[nodiscard]] bool has_pending() const noexcept { return pending_; }

    // The most plain text in one record (RFC 8446, section 5.1), and a bound for all else in it,
    // with a message of TLS itself that may have to go in front.
    static constexpr std::size_t record_size = 16 * 1024;
    static constexpr std::size_t record_overhead = 512;
    // Makes one record of `bytes`, and returns how much of `out` it took; empty when the connection
    // has failed. REQUIRES: at most record_size bytes, and room for record_overhead more.
    [[nodiscard]] std::optional<std::size_t> encrypt(std::string_view bytes, std::span<char> out);
    // Tells the peer, by take_output(), that nothing more will be sent. Once; then does nothing.
    void close() noexcept;

    // What it was made with.
    [[nodiscard]] const context_ptr& shared() const noexcept { return shared_; }
    [[nodiscard]] const facts& security() const noexcept { return facts_; }
    [[nodiscard]] const std::string& error() const noexcept { return error_; }

private:
    progress finish();
    [[nodiscard]] bool is_expected_peer();
    void keep_rest(bool of_tail);

    const context_ptr shared_;
    const expectation expected_;
    wire wire_;
    ssl_st* ssl_;
    std::string tail_;  // received, but not given to OpenSSL yet
    bool pending_ = false;
    condition condition_ = condition::open;
    std::string peer_end_point_;  // what facts_.server_end_point is of, in a client
    std::string error_;
    facts facts_;
};

}  // namespace pgweir::tls
