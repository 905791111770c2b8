// The TLS engine over OpenSSL.
#include "pgweir/tls/engine.hpp"

#include "tls/certificate.hpp"
#include "tls/openssl.hpp"
#include "tls/wire_bio.hpp"

#include <openssl/err.h>

#include <new>
#include <utility>

namespace pgweir::tls {

namespace {

// How many messages of TLS itself one call of decrypt() goes through. New keys cost some thirty
// microseconds each, so that what comes with one receive could take a tenth of a second. No peer
// that means well has more to say at a time than a few session tickets.
constexpr unsigned most_messages = 16;

void count_message(
    int is_ours, int, int content_type, const void*, std::size_t size, SSL* ssl, void*) noexcept {
    const bool is_of_tls = content_type == SSL3_RT_HANDSHAKE || content_type == SSL3_RT_ALERT;
    if (!is_of_tls) {
        return;
    }
    auto& on = wire_of(SSL_get_rbio(ssl));
    if (is_ours == 0) {
        on.message_size = size;
    }
    if (on.messages_left != 0 && on.messages_left != wire::unlimited) {
        --on.messages_left;
    }
}

}  // namespace

// One call into OpenSSL.
class engine::call {
public:
    explicit call(engine& e) noexcept : on{.overflow = e.overflow_}, bio_{SSL_get_rbio(e.ssl_)} {
        set_wire(bio_, &on);
        ERR_clear_error();
    }
    call(const call&) = delete;
    call& operator=(const call&) = delete;
    ~call() { set_wire(bio_, nullptr); }

    wire on;

private:
    BIO* const bio_;
};

engine::engine(context_ptr shared, expectation expected)
    : shared_{std::move(shared)}, ssl_{SSL_new(shared_->ctx_)} {
    if (ssl_ == nullptr) {
        throw std::bad_alloc{};
    }
    try {
        auto* bio = make_bio().release();
        SSL_set_bio(ssl_, bio, bio);
        SSL_set_msg_callback(ssl_, count_message);
        if (shared_->side() == role::server) {
            SSL_set_accept_state(ssl_);
            return;
        }
        SSL_set_connect_state(ssl_);
        if (!expected.host.empty() && !is_address(expected.host)) {
            SSL_set_tlsext_host_name(ssl_, expected.host.c_str());
        }
        make_details().expected = std::move(expected);
    } catch (...) {
        SSL_free(ssl_);
        throw;
    }
}

engine::~engine() { SSL_free(ssl_); }

engine::details& engine::make_details() {
    if (details_ == nullptr) {
        details_ = std::make_unique<details>();
    }
    return *details_;
}

engine::progress engine::fail(std::string why) {
    make_details().error = std::move(why);
    condition_ = condition::failed;
    return progress::failed;
}

// What OpenSSL is to be given: what was received, and what was kept in front of it.
std::string_view engine::behind_rest(std::string_view received) {
    return tail_ == nullptr ? received : *tail_ += received;
}

// What OpenSSL has not asked for yet; may be a part of what is kept already.
void engine::keep_rest(std::string_view rest) {
    if (rest.empty()) {
        tail_.reset();
    } else if (tail_ != nullptr) {
        tail_->erase(0, tail_->size() - rest.size());
    } else {
        tail_ = std::make_unique<std::string>(rest);
    }
}

engine::progress engine::handshake(std::string_view received, effort most) {
    received = behind_rest(received);
    call c{*this};
    c.on.in = received;
    c.on.only_quick = most == effort::little;
    const int result = SSL_do_handshake(ssl_);
    keep_rest(c.on.in);
    if (result == 1) {
        return finish();
    }
    const int error = SSL_get_error(ssl_, result);
    if (error == SSL_ERROR_WANT_READ) {
        return progress::more;
    }
    if (error == SSL_ERROR_WANT_CLIENT_HELLO_CB && most == effort::little) {
        return progress::heavy;
    }
    auto why = take_error();
    if (const auto verified = SSL_get_verify_result(ssl_); verified != X509_V_OK) {
        why += std::string{": "} + X509_verify_cert_error_string(verified);
    }
    return fail(std::move(why));
}

// Key exchange and signature come before our Finished (RFC 8446, section 2; RFC 5246, section 7.3).
engine::step engine::next_step() const noexcept {
    if (shared_->side() == role::client) {
        return step::heavy;
    }
    char some = 0;
    if (SSL_get_finished(ssl_, &some, sizeof some) != 0) {
        return SSL_get_verify_mode(ssl_) == SSL_VERIFY_NONE ? step::light : step::heavy;
    }
    const auto state = SSL_get_state(ssl_);
    const bool waits_for_greeting = state == TLS_ST_BEFORE || state == TLS_ST_SR_CLNT_HELLO;
    return waits_for_greeting && shared_->signs_quickly() ? step::depends : step::heavy;
}

engine::progress engine::finish() {
    if (auto* certificate = SSL_get0_peer_certificate(ssl_); certificate != nullptr) {
        std::string why;
        auto subject = subject_of(certificate, why);
        if (!subject) {
            return fail(std::move(why));
        }
        auto& told = make_details();
        told.common_name = std::move(subject->common_name);
        told.distinguished_name = std::move(subject->distinguished_name);
    }
    if (shared_->side() == role::client) {
        if (auto why = why_unexpected(); !why.empty()) {
            return fail(std::move(why));
        }
    }
    pending_ = tail_ != nullptr;
    return progress::done;
}

// Why the server is not the one that we want; empty: it is.
std::string engine::why_unexpected() {
    auto* certificate = SSL_get0_peer_certificate(ssl_);
    if (certificate != nullptr) {
        details_->end_point = end_point_of(certificate);
    }
    const auto& expected = details_->expected;
    if (!expected.verify_host) {
        return {};
    }
    if (expected.host.empty()) {
        return "host name must be specified for a verified SSL connection";
    }
    if (certificate == nullptr || !is_for_host(certificate, expected.host)) {
        return "server certificate for \"" +
               (certificate == nullptr ? std::string{} : name_of(certificate)) +
               "\" does not match host name \"" + expected.host + '"';
    }
    return {};
}

facts engine::security() const noexcept {
    facts f;
    f.version = SSL_get_version(ssl_);
    f.cipher = SSL_CIPHER_get_name(SSL_get_current_cipher(ssl_));
    const unsigned char* protocol = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_, &protocol, &size);
    f.has_alpn = size != 0;
    f.has_peer_certificate = SSL_get0_peer_certificate(ssl_) != nullptr;
    if (details_ != nullptr) {
        f.peer_common_name = details_->common_name;
        f.peer_distinguished_name = details_->distinguished_name;
        f.server_end_point = details_->end_point;
    }
    if (shared_->side() == role::server) {
        f.server_end_point = shared_->end_point();
    }
    return f;
}

std::string engine::take_output() {
    const auto output = std::move(overflow_);
    return output == nullptr ? std::string{} : std::move(*output);
}

engine::plain engine::decrypt(std::string_view received, std::span<char> into) {
    if (condition_ != condition::open) {
        return {0, condition_};
    }
    received = behind_rest(received);
    call c{*this};
    c.on.in = received;
    c.on.messages_left = most_messages;
    plain p;
    while (p.size < into.size()) {
        std::size_t got = 0;
        if (SSL_read_ex(ssl_, into.data() + p.size, into.size() - p.size, &got) == 1) {
            p.size += got;
            continue;
        }
        const int why = SSL_get_error(ssl_, 0);
        if (why == SSL_ERROR_WANT_READ) {
            break;
        }
        if (why == SSL_ERROR_ZERO_RETURN) {
            condition_ = condition::closed;
        } else {
            fail(take_error());
        }
        break;
    }
    if (c.on.messages_left == 0 && condition_ == condition::open) {
        fail("too many TLS messages without data");
    }
    keep_rest(condition_ == condition::open ? c.on.in : std::string_view{});
    pending_ = condition_ == condition::open && (tail_ != nullptr || SSL_pending(ssl_) > 0);
    p.then = condition_;
    return p;
}

std::optional<std::size_t> engine::encrypt(std::string_view bytes, std::span<char> out) {
    call c{*this};
    c.on.room = out;
    std::size_t written = 0;
    if (SSL_write_ex(ssl_, bytes.data(), bytes.size(), &written) != 1) {
        make_details().error = take_error();
        return std::nullopt;
    }
    return c.on.used;
}

void engine::close() noexcept {
    if (condition_ != condition::failed && SSL_is_init_finished(ssl_) == 1 &&
        (SSL_get_shutdown(ssl_) & SSL_SENT_SHUTDOWN) == 0) {
        const call c{*this};
        SSL_shutdown(ssl_);
        ERR_clear_error();
    }
}

}  // namespace pgweir::tls
