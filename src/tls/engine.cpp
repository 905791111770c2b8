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
    int, int, int content_type, const void*, std::size_t, SSL*, void* counted) noexcept {
    auto& left = static_cast<wire*>(counted)->messages_left;
    const bool is_of_tls = content_type == SSL3_RT_HANDSHAKE || content_type == SSL3_RT_ALERT;
    if (is_of_tls && left != 0 && left != wire::unlimited) {
        --left;
    }
}

}  // namespace

engine::engine(context_ptr shared, expectation expected)
    : shared_{std::move(shared)}, expected_{std::move(expected)}, ssl_{SSL_new(shared_->ctx_)} {
    if (ssl_ == nullptr) {
        throw std::bad_alloc{};
    }
    try {
        auto* bio = make_bio(wire_).release();
        SSL_set_bio(ssl_, bio, bio);
    } catch (...) {
        SSL_free(ssl_);
        throw;
    }
    SSL_set_msg_callback(ssl_, count_message);
    SSL_set_msg_callback_arg(ssl_, &wire_);
    if (shared_->side() == role::server) {
        SSL_set_accept_state(ssl_);
        return;
    }
    SSL_set_connect_state(ssl_);
    if (!expected_.host.empty() && !is_address(expected_.host)) {
        SSL_set_tlsext_host_name(ssl_, expected_.host.c_str());
    }
}

engine::~engine() { SSL_free(ssl_); }

// What OpenSSL has not asked for yet.
void engine::keep_rest(bool of_tail) {
    if (wire_.in.empty()) {
        std::string{}.swap(tail_);  // gives its memory back
    } else if (of_tail) {
        tail_.erase(0, tail_.size() - wire_.in.size());
    } else {
        tail_ = wire_.in;
    }
    wire_.in = {};
}

engine::progress engine::handshake(std::string_view received) {
    wire_.in = received;
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_);
    keep_rest(false);
    if (result == 1) {
        return finish();
    }
    if (SSL_get_error(ssl_, result) == SSL_ERROR_WANT_READ) {
        return progress::more;
    }
    error_ = take_error();
    if (const auto verified = SSL_get_verify_result(ssl_); verified != X509_V_OK) {
        error_ += std::string{": "} + X509_verify_cert_error_string(verified);
    }
    condition_ = condition::failed;
    return progress::failed;
}

engine::progress engine::finish() {
    const auto* cipher = SSL_get_current_cipher(ssl_);
    facts_.version = SSL_get_version(ssl_);
    facts_.cipher = SSL_CIPHER_get_name(cipher);
    const unsigned char* protocol = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_, &protocol, &size);
    facts_.has_alpn = size != 0;
    auto* certificate = SSL_get0_peer_certificate(ssl_);
    if (certificate != nullptr) {
        auto subject = subject_of(certificate, error_);
        if (!subject) {
            condition_ = condition::failed;
            return progress::failed;
        }
        facts_.has_peer_certificate = true;
        facts_.peer_common_name = std::move(subject->common_name);
        facts_.peer_distinguished_name = std::move(subject->distinguished_name);
    }
    if (shared_->side() == role::server) {
        facts_.server_end_point = shared_->end_point();
    } else if (!is_expected_peer()) {
        condition_ = condition::failed;
        return progress::failed;
    }
    pending_ = !tail_.empty();
    return progress::done;
}

bool engine::is_expected_peer() {
    auto* certificate = SSL_get0_peer_certificate(ssl_);
    if (certificate != nullptr) {
        peer_end_point_ = end_point_of(certificate);
        facts_.server_end_point = peer_end_point_;
    }
    if (!expected_.verify_host) {
        return true;
    }
    if (expected_.host.empty()) {
        error_ = "host name must be specified for a verified SSL connection";
        return false;
    }
    if (certificate == nullptr || !is_for_host(certificate, expected_.host)) {
        error_ = "server certificate for \"" +
                 (certificate == nullptr ? std::string{} : name_of(certificate)) +
                 "\" does not match host name \"" + expected_.host + '"';
        return false;
    }
    return true;
}

std::string engine::take_output() { return std::exchange(wire_.overflow, {}); }

engine::plain engine::decrypt(std::string_view received, std::span<char> into) {
    if (condition_ != condition::open) {
        return {0, condition_};
    }
    const bool of_tail = !tail_.empty();
    if (of_tail) {
        tail_ += received;
    }
    wire_.in = of_tail ? std::string_view{tail_} : received;
    wire_.messages_left = most_messages;
    plain p;
    ERR_clear_error();
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
            error_ = take_error();
            condition_ = condition::failed;
        }
        wire_.in = {};
        break;
    }
    if (std::exchange(wire_.messages_left, wire::unlimited) == 0 && condition_ == condition::open) {
        error_ = "too many TLS messages without data";
        condition_ = condition::failed;
        wire_.in = {};
    }
    keep_rest(of_tail);
    pending_ = condition_ == condition::open && (!tail_.empty() || SSL_pending(ssl_) > 0);
    p.then = condition_;
    return p;
}

std::optional<std::size_t> engine::encrypt(std::string_view bytes, std::span<char> out) {
    wire_.room = out;
    wire_.used = 0;
    std::size_t written = 0;
    ERR_clear_error();
    const bool ok = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &written) == 1;
    wire_.room = {};
    const auto used = std::exchange(wire_.used, 0);
    if (!ok) {
        error_ = take_error();
        return std::nullopt;
    }
    return used;
}

void engine::close() noexcept {
    if (condition_ != condition::failed && SSL_is_init_finished(ssl_) == 1 &&
        (SSL_get_shutdown(ssl_) & SSL_SENT_SHUTDOWN) == 0) {
        ERR_clear_error();
        SSL_shutdown(ssl_);
        ERR_clear_error();
    }
}

}  // namespace pgweir::tls
