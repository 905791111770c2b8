// The client's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS.
#include "pgweir/auth/scram_client.hpp"

#include "auth/base64.hpp"
#include "auth/crypto.hpp"
#include "auth/scram_attribute.hpp"

#include <charconv>
#include <utility>

namespace pgweir::auth {
namespace {

// PostgreSQL's own messages have some 100 bytes; what is far longer is not worth hashing.
constexpr std::size_t max_message = 8192;

// Its nonce must be ours with something added, or an old exchange could be replayed to us.
bool extends(std::string_view nonce, std::string_view ours) {
    return nonce.size() > ours.size() && nonce.substr(0, ours.size()) == ours &&
           is_printable_nonce(nonce);
}

}  // namespace

scram_client::scram_client(std::string client_nonce)
    : nonce_{std::move(client_nonce)}, client_first_bare_{"n=,r=" + nonce_} {}

void scram_client::bind(binding how, std::string end_point) {
    switch (how) {
        case binding::none: gs2_header_ = "n,,"; break;
        case binding::unoffered: gs2_header_ = "y,,"; break;
        case binding::end_point:
            gs2_header_ = "p=" + std::string{end_point_binding} + ",,";
            end_point_ = std::move(end_point);
            break;
    }
}

std::string scram_client::first_message() const { return gs2_header_ + client_first_bare_; }

std::optional<scram_error> scram_client::on_server_first(std::string_view message) {
    if (!server_first_.empty() || message.size() > max_message) {
        return scram_error::malformed;
    }
    scram_attributes attributes{message};
    if (attributes.next_is('m')) {
        return scram_error::extension_unsupported;
    }
    const auto nonce = attributes.take('r');
    const auto salt_text = attributes.take('s');
    const auto iterations_text = attributes.take('i');
    if (!nonce || !salt_text || !iterations_text || !attributes.only_extensions_left()) {
        return scram_error::malformed;
    }
    if (!extends(*nonce, nonce_)) {
        return scram_error::nonce_mismatch;
    }
    auto salt = base64::decode(*salt_text);
    if (!salt || salt->empty()) {
        return scram_error::malformed;
    }
    int iterations = 0;
    const char* end = iterations_text->data() + iterations_text->size();
    const auto [stopped, error] = std::from_chars(iterations_text->data(), end, iterations);
    if (stopped != end || error == std::errc::invalid_argument) {
        return scram_error::malformed;
    }
    if (error != std::errc{} || iterations < 1 || iterations > max_iterations) {
        return scram_error::iterations_refused;
    }
    nonce_ = *nonce;
    salt_ = std::move(*salt);
    iterations_ = iterations;
    server_first_ = message;
    return std::nullopt;
}

std::string scram_client::final_message(const scram_keys& keys) {
    const std::string without_proof =
        "c=" + base64::encode(gs2_header_ + end_point_) + ",r=" + nonce_;
    const std::string auth_message = client_first_bare_ + ',' + server_first_ + ',' + without_proof;
    const digest stored = crypto::sha256(crypto::as_text(keys.client_key));
    digest proof = crypto::hmac_sha256(crypto::as_text(stored), auth_message);
    for (std::size_t i = 0; i < proof.size(); ++i) {
        proof[i] = static_cast<unsigned char>(proof[i] ^ keys.client_key[i]);
    }
    expected_signature_ = crypto::hmac_sha256(crypto::as_text(keys.server_key), auth_message);
    return without_proof + ",p=" + base64::encode(crypto::as_text(proof));
}

bool scram_client::verify_server_final(std::string_view message) const {
    if (!expected_signature_ || message.size() > max_message) {
        return false;
    }
    scram_attributes attributes{message};
    const auto signature_text = attributes.take('v');
    if (!signature_text || !attributes.only_extensions_left()) {
        return false;
    }
    const auto signature = base64::decode(*signature_text);
    return signature && crypto::equal(*signature, crypto::as_text(*expected_signature_));
}

}  // namespace pgweir::auth
