// TLS without a socket: received bytes in, plain text out, and the other way round.
#pragma once

#include "pgweir/tls/context.hpp"
#include "pgweir/tls/facts.hpp"

#include <cstddef>
#include <memory>
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
        heavy,   // took what was received, and has yet to compute
    };
    enum class effort : unsigned char {
        any,     // up to milliseconds of processor time, with some keys many
        little,  // some tenths of one
    };
    // Takes the next bytes; none to begin with as a client, and none after `heavy`, which only
    // comes of `little`. take_output() is to be sent afterwards, whatever came out. REQUIRES: not
    // done or failed; with `little`, that next_step() is not heavy.
    [[nodiscard]] progress handshake(std::string_view received, effort most = effort::any);
    // What the next handshake() takes, whatever is received.
    enum class step : unsigned char {
        light,    // next to nothing: a server has had its last word, and verifies no certificate
        depends,  // on the client's greeting, where the server's own key is quick: `little` tells
        heavy,
    };
    [[nodiscard]] step next_step() const noexcept;
    // What the engine itself has to say to the peer. Nearly always empty after the handshake.
    [[nodiscard]] std::string take_output();
    [[nodiscard]] bool has_output() const noexcept { return overflow_ != nullptr; }

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

    // The peer has said that it sends no more (close_notify; RFC 8446, section 6.1).
    [[nodiscard]] bool is_closed() const noexcept { return condition_ == condition::closed; }

    // What it was made with.
    [[nodiscard]] const context_ptr& shared() const noexcept { return shared_; }
    // REQUIRES: the handshake is done.
    [[nodiscard]] facts security() const noexcept;
    // Why it failed; empty: it did not.
    [[nodiscard]] std::string_view error() const noexcept {
        return details_ == nullptr ? std::string_view{} : details_->error;
    }

private:
    // What most clients of ours have none of, and there are thousands of them.
    struct details {
        expectation expected;
        std::string common_name;         // of the peer's certificate
        std::string distinguished_name;  // likewise
        std::string end_point;           // likewise, in a client
        std::string error;
    };
    class call;

    [[nodiscard]] details& make_details();
    progress fail(std::string why);
    progress finish();
    [[nodiscard]] std::string why_unexpected();
    [[nodiscard]] std::string_view behind_rest(std::string_view received);
    void keep_rest(std::string_view rest);

    const context_ptr shared_;
    ssl_st* ssl_;
    std::unique_ptr<details> details_;
    // Null where they would be empty, which is nearly always.
    std::unique_ptr<std::string> tail_;      // received, but not given to OpenSSL yet
    std::unique_ptr<std::string> overflow_;  // for take_output()
    bool pending_ = false;
    condition condition_ = condition::open;
};

}  // namespace pgweir::tls
