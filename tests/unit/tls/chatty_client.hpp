// A client that says more of TLS itself than any engine would.
#pragma once

#include "tls/engine_pair.hpp"
#include "tls/openssl.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace pgweir::tls {

// Speaks TLS 1.3, believes anybody.
class chatty_client {
public:
    chatty_client() {
        SSL_set_connect_state(ssl_.get());
        SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    }

    // Takes what the server says, nothing to begin with; what the client says to that.
    std::string answer(std::string_view received) {
        give(received);
        (void)SSL_do_handshake(ssl_.get());
        return take();
    }
    [[nodiscard]] bool is_done() const { return SSL_is_init_finished(ssl_.get()) == 1; }
    // Speaks with `server` until both are done.
    void shake_hands_with(engine& server) {
        for (auto said = answer({}); !said.empty();) {
            (void)server.handshake(said);
            said = answer(server.take_output());
        }
        if (!is_done()) {
            throw std::runtime_error{"no handshake: " + std::string{server.error()}};
        }
    }

    // So many new keys, one after the other, each of which the other side is asked to answer.
    std::string new_keys(unsigned times) {
        for (unsigned i = 0; i < times; ++i) {
            if (SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_REQUESTED) != 1 ||
                SSL_do_handshake(ssl_.get()) != 1) {
                throw std::runtime_error{take_error()};
            }
        }
        return take();
    }
    std::string sealed(std::string_view text) {
        if (SSL_write(ssl_.get(), text.data(), static_cast<int>(text.size())) <= 0) {
            throw std::runtime_error{take_error()};
        }
        return take();
    }

private:
    void give(std::string_view bytes) {
        (void)BIO_write(SSL_get_rbio(ssl_.get()), bytes.data(), static_cast<int>(bytes.size()));
    }
    std::string take() {
        auto* said = SSL_get_wbio(ssl_.get());
        std::string out(BIO_ctrl_pending(said), '\0');
        (void)BIO_read(said, out.data(), static_cast<int>(out.size()));
        return out;
    }

    std::unique_ptr<SSL_CTX, freed_by<SSL_CTX_free>> context_{SSL_CTX_new(TLS_client_method())};
    std::unique_ptr<SSL, freed_by<SSL_free>> ssl_{SSL_new(context_.get())};
};

}  // namespace pgweir::tls
