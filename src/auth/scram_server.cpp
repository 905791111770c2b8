// The server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS.
#include "pgweir/auth/scram_server.hpp"

#include "auth/base64.hpp"
#include "auth/crypto.hpp"
#include "auth/scram_attribute.hpp"
#include "pgweir/base/secret.hpp"

#include <utility>

namespace pgweir::auth {
namespace {

struct gs2_header {
    std::string_view text;
    std::string_view rest;  // client-first-message-bare
};

// RFC 5802 section 7, gs2-header: "n,,", "y,," or "p=tls-server-end-point,,". Checks what the
// client says of channel binding against `is_plus`, what it chose, and `is_offered`.
std::variant<gs2_header, scram_error> read_gs2_header(std::string_view message,
                                                      bool is_plus,
                                                      bool is_offered) {
    auto size = std::size_t{1};
    if (message.substr(0, 2) == "p=") {
        if (!is_plus) {
            return scram_error::unwanted_binding;
        }
        size = message.find(',');
        if (size == std::string_view::npos) {
            return scram_error::malformed;
        }
        if (message.substr(2, size - 2) != end_point_binding) {
            return scram_error::unknown_binding;
        }
    } else if (message.empty() || (message[0] != 'n' && message[0] != 'y')) {
        return scram_error::malformed;
    } else if (is_plus) {
        return scram_error::missing_binding;
    } else if (message[0] == 'y' && is_offered) {
        return scram_error::binding_downgraded;
    }
    const auto behind = message.substr(size);
    if (behind.size() < 2 || behind[0] != ',') {
        return scram_error::malformed;
    }
    if (behind[1] == 'a') {
        return scram_error::authzid_unsupported;
    }
    if (behind[1] != ',') {
        return scram_error::malformed;
    }
    return gs2_header{message.substr(0, size + 2), behind.substr(2)};
}

}  // namespace

scram_server::scram_server(scram_verifier verifier,
                           std::string server_nonce,
                           bool mock,
                           std::string end_point)
    : mock_{mock},
      end_point_{std::move(end_point)},
      verifier_{std::move(verifier)},
      nonce_{std::move(server_nonce)} {}

scram_server::~scram_server() { base::wipe(client_key_.data(), client_key_.size()); }

scram_error scram_server::fail(scram_error error) {
    state_ = state::done;
    return error;
}

void scram_server::use_keys(const scram_keys& keys) {
    verifier_ = to_verifier(keys, verifier_.salt, verifier_.iterations);
}

std::variant<std::string, scram_error> scram_server::on_client_first(std::string_view message,
                                                                     bool is_plus) {
    if (state_ != state::expect_first) {
        return fail(scram_error::malformed);
    }
    const auto header = read_gs2_header(message, is_plus, !end_point_.empty());
    if (const auto* error = std::get_if<scram_error>(&header)) {
        return fail(*error);
    }
    const auto [header_text, bare] = std::get<gs2_header>(header);
    scram_attributes attributes{bare};
    if (attributes.next_is('m')) {
        return fail(scram_error::extension_unsupported);
    }
    const auto user = attributes.take('n');
    const auto client_nonce = attributes.take('r');
    if (!user || !client_nonce || client_nonce->empty()) {
        return fail(scram_error::malformed);
    }
    if (!is_printable_nonce(*client_nonce)) {
        return fail(scram_error::unprintable_nonce);
    }
    if (!attributes.only_extensions_left()) {
        return fail(scram_error::malformed);
    }
    is_plus_ = is_plus;
    channel_input_ = header_text;
    if (is_plus) {
        channel_input_ += end_point_;
    }
    client_first_bare_ = bare;
    nonce_.insert(0, *client_nonce);
    server_first_ = "r=" + nonce_ + ",s=" + base64::encode(verifier_.salt) +
                    ",i=" + std::to_string(verifier_.iterations);
    state_ = state::expect_final;
    return server_first_;
}

std::variant<std::string, scram_error> scram_server::on_client_final(std::string_view message) {
    if (state_ != state::expect_final) {
        return fail(scram_error::malformed);
    }
    state_ = state::done;
    scram_attributes attributes{message};
    const auto channel = attributes.take('c');
    const auto nonce = attributes.take('r');
    if (!channel || !nonce) {
        return scram_error::malformed;
    }
    while (!attributes.next_is('p')) {
        const std::string_view rest = attributes.rest();
        if (rest.empty() || !attributes.take(rest.front())) {
            return scram_error::malformed;
        }
    }
    const std::string_view proof_attribute = attributes.rest();
    const auto proof_text = attributes.take('p');
    const auto proof = proof_text ? base64::decode(*proof_text) : std::nullopt;
    if (!proof || proof->size() != client_key_.size() ||
        proof_text->size() + 2 != proof_attribute.size()) {
        return scram_error::malformed;
    }
    if (*channel != base64::encode(channel_input_)) {
        return is_plus_ ? scram_error::wrong_end_point : scram_error::channel_binding_mismatch;
    }
    if (*nonce != nonce_) {
        return scram_error::nonce_mismatch;
    }
    const std::string_view without_proof =
        message.substr(0, message.size() - proof_attribute.size() - 1);
    const std::string auth_message =
        client_first_bare_ + ',' + server_first_ + ',' + std::string{without_proof};
    if (!proves(*proof, auth_message)) {
        return scram_error::authentication_failed;
    }
    return "v=" + base64::encode(crypto::as_text(
                      crypto::hmac_sha256(crypto::as_text(verifier_.server_key), auth_message)));
}

// RFC 5802 section 3: ClientKey = ClientProof XOR ClientSignature, and its hash is StoredKey.
bool scram_server::proves(std::string_view proof, std::string_view auth_message) {
    const digest signature =
        crypto::hmac_sha256(crypto::as_text(verifier_.stored_key), auth_message);
    digest key{};
    for (std::size_t i = 0; i < key.size(); ++i) {
        key[i] = static_cast<unsigned char>(static_cast<unsigned char>(proof[i]) ^ signature[i]);
    }
    const bool same = crypto::equal(crypto::as_text(crypto::sha256(crypto::as_text(key))),
                                    crypto::as_text(verifier_.stored_key));
    // After the comparison, so that a made-up verifier costs the same time.
    if (!same || mock_) {
        return false;
    }
    client_key_ = key;
    base::wipe(key.data(), key.size());
    return true;
}

}  // namespace pgweir::auth
