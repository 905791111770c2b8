// Keys of SCRAM-SHA-256 and PostgreSQL's text form of a verifier.
#include "pgweir/auth/scram_keys.hpp"

#include "auth/base64.hpp"
#include "auth/crypto.hpp"
#include "auth/saslprep.hpp"
#include "pgweir/base/secret.hpp"

#include <algorithm>
#include <charconv>

namespace pgweir::auth {
namespace {

constexpr std::string_view scheme = "SCRAM-SHA-256$";

// Splits off what comes before `separator`; nullopt when it does not occur.
std::optional<std::string_view> take_until(std::string_view& rest, char separator) {
    const std::size_t at = rest.find(separator);
    if (at == std::string_view::npos) {
        return std::nullopt;
    }
    const std::string_view field = rest.substr(0, at);
    rest.remove_prefix(at + 1);
    return field;
}

std::optional<digest> decode_digest(std::string_view text) {
    const std::optional<std::string> raw = base64::decode(text);
    digest out{};
    if (!raw || raw->size() != out.size()) {
        return std::nullopt;
    }
    std::copy(raw->begin(), raw->end(), out.begin());
    return out;
}

std::optional<int> parse_iterations(std::string_view text) {
    int value = 0;
    const char* end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{} || stopped != end || value < 1) {
        return std::nullopt;
    }
    return value;
}

}  // namespace

std::optional<scram_verifier> scram_verifier::parse(std::string_view text) {
    if (text.substr(0, scheme.size()) != scheme) {
        return std::nullopt;
    }
    text.remove_prefix(scheme.size());
    const auto iterations_text = take_until(text, ':');
    const auto salt_text = take_until(text, '$');
    const auto stored_text = take_until(text, ':');
    if (!iterations_text || !salt_text || !stored_text) {
        return std::nullopt;
    }
    const auto iterations = parse_iterations(*iterations_text);
    auto salt = base64::decode(*salt_text);
    const auto stored = decode_digest(*stored_text);
    const auto server = decode_digest(text);
    if (!iterations || !salt || salt->empty() || !stored || !server) {
        return std::nullopt;
    }
    return scram_verifier{*iterations, std::move(*salt), *stored, *server};
}

std::string scram_verifier::to_string() const {
    return std::string{scheme} + std::to_string(iterations) + ':' + base64::encode(salt) + '$' +
           base64::encode(crypto::as_text(stored_key)) + ':' +
           base64::encode(crypto::as_text(server_key));
}

scram_keys::~scram_keys() {
    base::wipe(client_key.data(), client_key.size());
    base::wipe(server_key.data(), server_key.size());
}

scram_keys derive_scram_keys(std::string_view password, std::string_view salt, int iterations) {
    const base::secret prepared{saslprep(password)};
    digest salted = crypto::pbkdf2_sha256(prepared.reveal(), salt, iterations);
    const scram_keys keys{crypto::hmac_sha256(crypto::as_text(salted), "Client Key"),
                          crypto::hmac_sha256(crypto::as_text(salted), "Server Key")};
    base::wipe(salted.data(), salted.size());
    return keys;
}

scram_verifier make_scram_verifier(std::string_view password,
                                   std::string_view salt,
                                   int iterations) {
    return to_verifier(derive_scram_keys(password, salt, iterations), salt, iterations);
}

scram_verifier to_verifier(const scram_keys& keys, std::string_view salt, int iterations) {
    return {iterations, std::string{salt}, crypto::sha256(crypto::as_text(keys.client_key)),
            keys.server_key};
}

scram_verifier mock_verifier(std::string_view user, const digest& seed, int iterations) {
    const digest salt = crypto::hmac_sha256(crypto::as_text(seed), user);
    return {
        iterations, std::string{crypto::as_text(salt).substr(0, default_scram_salt_size)}, {}, {}};
}

}  // namespace pgweir::auth
