// The way of a channel from plain text to TLS.
#pragma once

#include "pgweir/net/background.hpp"
#include "pgweir/net/channel.hpp"

#include <functional>
#include <memory>
#include <string>

namespace pgweir::net {

// Performs an engine's handshake. Its steps, a signature among them, take milliseconds of processor
// time and run on background threads, but for those that are light, and one quick key exchange a
// turn of the loop; the socket stays with its worker. Worker thread only; may be destroyed at any
// time.
class tls_handshake {
public:
    // `wake` is called on the thread of `home` when advance() has something to do; it may destroy
    // this. `steps` and `home` must outlive this, and `steps` be stopped before `home` dies.
    tls_handshake(std::unique_ptr<tls::engine> e,
                  background& steps,
                  loop& home,
                  std::function<void()> wake);
    tls_handshake(const tls_handshake&) = delete;
    tls_handshake& operator=(const tls_handshake&) = delete;

    enum class outcome : unsigned char {
        pending,  // waits for the peer, or for a step under way
        done,     // the channel speaks TLS
        failed,   // error() says why; an alert for the peer may be queued
        crowded,  // too many wait for a thread already, which says nothing of the peer: try later
    };
    // Goes on with what `c` has received; call it when that has input, and by `wake`. Bytes kept in
    // `c` are the handshake's first ones. Not again once it is over.
    [[nodiscard]] outcome advance(channel& c);
    [[nodiscard]] const std::string& error() const noexcept { return error_; }

private:
    // Shared with the thread that takes the step: whoever comes last ends it.
    struct work {
        std::unique_ptr<tls::engine> engine;
        std::string received;
        std::string output;
        tls::engine::progress is = tls::engine::progress::more;
    };
    static void take_step(work& w, tls::engine::effort most);
    [[nodiscard]] bool may_step_here() noexcept;
    outcome finish_step(channel& c);
    outcome begin_step();
    outcome fail(std::string why);

    background& steps_;
    loop& home_;
    std::function<void()> wake_;
    std::shared_ptr<work> work_;
    enum class state : unsigned char { begins, waits, steps, stepped };
    state state_;
    bool is_closed_ = false;  // the peer has sent its last byte
    std::string error_;
    std::shared_ptr<tls_handshake*> self_;  // held weakly by steps under way
};

}  // namespace pgweir::net
