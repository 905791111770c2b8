// Loading a context.
#include "pgweir/tls/context.hpp"

#include "tls/certificate.hpp"
#include "tls/greeting.hpp"
#include "tls/key_file.hpp"
#include "tls/openssl.hpp"

#include <openssl/err.h>

#include <new>
#include <string>
#include <string_view>

namespace pgweir::tls {
namespace {

using fault = std::optional<context_fault>;
using s = context_settings;

// PostgreSQL docs 55.2.11, and the registration at IANA; in wire format.
constexpr unsigned char alpn[] = {10, 'p', 'o', 's', 't', 'g', 'r', 'e', 's', 'q', 'l'};

// A client that names protocols must name ours (be-secure-openssl.c does the same).
int select_alpn(SSL*,
                const unsigned char** out,
                unsigned char* out_size,
                const unsigned char* in,
                unsigned in_size,
                void*) {
    unsigned char* chosen = nullptr;
    const int how = SSL_select_next_proto(&chosen, out_size, alpn, sizeof alpn, in, in_size);
    *out = chosen;
    return how == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// Nobody is there to be asked. `asked` is a bool.
int no_passphrase(char*, int, int, void* asked) {
    *static_cast<bool*>(asked) = true;
    return -1;
}

int number_of(version v) noexcept {
    switch (v) {
        case version::any: return 0;
        case version::tls_1_0: return TLS1_VERSION;
        case version::tls_1_1: return TLS1_1_VERSION;
        case version::tls_1_2: return TLS1_2_VERSION;
        case version::tls_1_3: break;
    }
    return TLS1_3_VERSION;
}

std::string quoted(const std::string& file) { return '"' + file + '"'; }

void set_options(SSL_CTX* ctx, role side) {
    // No end of file ever comes through our BIO, so what SSL_OP_IGNORE_UNEXPECTED_EOF is for does
    // not arise.
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (side == role::server) {
        SSL_CTX_set_num_tickets(ctx, 0);
        SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
        SSL_CTX_set_dh_auto(ctx, 1);
        SSL_CTX_set_alpn_select_cb(ctx, select_alpn, nullptr);
        SSL_CTX_set_client_hello_cb(ctx, weigh_greeting, nullptr);
    } else {
        SSL_CTX_set_alpn_protos(ctx, alpn, sizeof alpn);
    }
}

// The suites of TLS 1.3 that the system allows, the cheapest first: browsers, and what Mozilla
// recommends for servers, have the same order. OpenSSL's begins with AES-256, whose handshake
// hashes by SHA-384, which makes it a tenth dearer.
void prefer_cheap_suite(SSL_CTX* ctx) {
    constexpr std::string_view cheapest = TLS1_3_RFC_AES_128_GCM_SHA256;
    const auto* all = SSL_CTX_get_ciphers(ctx);
    bool has_cheapest = false;
    std::string others;
    for (int i = 0; i < sk_SSL_CIPHER_num(all); ++i) {
        const auto* each = sk_SSL_CIPHER_value(all, i);
        const std::string_view name = SSL_CIPHER_get_name(each);
        if (SSL_CIPHER_get_version(each) != std::string_view{"TLSv1.3"}) {
            continue;
        }
        if (name == cheapest) {
            has_cheapest = true;
        } else {
            (others += ':') += name;
        }
    }
    if (has_cheapest) {
        SSL_CTX_set_ciphersuites(ctx, (std::string{cheapest} + others).c_str());
        ERR_clear_error();
    }
}

fault set_versions_and_ciphers(SSL_CTX* ctx, const s& set) {
    if (SSL_CTX_set_min_proto_version(ctx, number_of(set.min_version)) == 0 ||
        SSL_CTX_set_max_proto_version(ctx, number_of(set.max_version)) == 0 ||
        (set.max_version != version::any && set.max_version < set.min_version)) {
        ERR_clear_error();
        return context_fault{nullptr, "could not set SSL protocol version range", {}};
    }
    if (!set.ciphers.empty() && SSL_CTX_set_cipher_list(ctx, set.ciphers.c_str()) == 0) {
        ERR_clear_error();
        return context_fault{&s::ciphers,
                             "could not set the cipher list (no valid ciphers available)",
                             "see openssl-ciphers(1)"};
    }
    if (set.cipher_suites.empty()) {
        if (set.side == role::server) {
            prefer_cheap_suite(ctx);
        }
    } else if (SSL_CTX_set_ciphersuites(ctx, set.cipher_suites.c_str()) == 0) {
        ERR_clear_error();
        return context_fault{&s::cipher_suites,
                             "could not set the TLSv1.3 cipher suites (no valid ciphers available)",
                             "see openssl-ciphers(1)"};
    }
    if (!set.groups.empty() && SSL_CTX_set1_groups_list(ctx, set.groups.c_str()) == 0) {
        return context_fault{&s::groups,
                             "could not set the groups for the key exchange: " + take_error(),
                             R"(names are those of OpenSSL: "X25519:prime256v1")"};
    }
    return std::nullopt;
}

fault load_certificate(SSL_CTX* ctx, const s& set) {
    const std::string whose = set.side == role::server ? "server " : "";
    if (SSL_CTX_use_certificate_chain_file(ctx, set.certificate.c_str()) != 1) {
        return context_fault{&s::certificate,
                             "could not load " + whose + "certificate file " +
                                 quoted(set.certificate) + ": " + take_error(),
                             {}};
    }
    if (auto bad = check_key_file(set.key)) {
        return context_fault{&s::key, std::move(bad->message), std::move(bad->hint)};
    }
    bool is_encrypted = false;
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, &is_encrypted);
    const bool is_loaded = SSL_CTX_use_PrivateKey_file(ctx, set.key.c_str(), SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(ctx, nullptr);
    if (!is_loaded) {
        const auto code = ERR_peek_last_error();
        const bool is_another = ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH;
        const auto why = take_error();
        if (is_encrypted) {
            return context_fault{&s::key,
                                 "private key file " + quoted(set.key) + " requires a passphrase",
                                 "give pgweir a copy of the key without one"};
        }
        if (is_another) {
            return context_fault{&s::key,
                                 "private key file " + quoted(set.key) +
                                     " does not belong to certificate file " +
                                     quoted(set.certificate),
                                 {}};
        }
        return context_fault{
            &s::key, "could not load private key file " + quoted(set.key) + ": " + why, {}};
    }
    if (SSL_CTX_check_private_key(ctx) != 1) {
        return context_fault{&s::key, "check of private key failed: " + take_error(), {}};
    }
    return std::nullopt;
}

fault load_trust(SSL_CTX* ctx, const s& set) {
    if (set.ca == "system") {
        if (SSL_CTX_set_default_verify_paths(ctx) != 1) {
            return context_fault{
                &s::ca, "could not load system root certificate paths: " + take_error(), {}};
        }
    } else if (!set.ca.empty()) {
        if (SSL_CTX_load_verify_file(ctx, set.ca.c_str()) != 1) {
            return context_fault{
                &s::ca,
                "could not load root certificate file " + quoted(set.ca) + ": " + take_error(),
                {}};
        }
        if (set.side == role::server) {
            // Tells clients with several certificates which of them to choose.
            SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(set.ca.c_str()));
            ERR_clear_error();
        }
    }
    if (!set.crl.empty()) {
        auto* store = SSL_CTX_get_cert_store(ctx);
        if (X509_STORE_load_file(store, set.crl.c_str()) != 1) {
            return context_fault{&s::crl,
                                 "could not load SSL certificate revocation list file " +
                                     quoted(set.crl) + ": " + take_error(),
                                 {}};
        }
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    }
    int how = SSL_VERIFY_NONE;
    if (set.peer != verification::none) {
        how = SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE;
    }
    if (set.peer == verification::required) {
        how |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    SSL_CTX_set_verify(ctx, how, nullptr);
    return std::nullopt;
}

// A certificate whose file has no chain gets what `ca` has of one, as OpenSSL would do in each
// handshake; once is enough.
void complete_chain(SSL_CTX* ctx) {
    STACK_OF(X509)* given = nullptr;
    SSL_CTX_get_extra_chain_certs(ctx, &given);
    if (given != nullptr ||
        SSL_CTX_build_cert_chain(
            ctx, SSL_BUILD_CHAIN_FLAG_IGNORE_ERROR | SSL_BUILD_CHAIN_FLAG_CLEAR_ERROR) != 0) {
        SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
    }
    ERR_clear_error();
}

}  // namespace

context::context(role side)
    : side_{side},
      ctx_{SSL_CTX_new(side == role::server ? TLS_server_method() : TLS_client_method())} {
    if (ctx_ == nullptr) {
        throw std::bad_alloc{};
    }
}

context::~context() { SSL_CTX_free(ctx_); }

std::variant<context_ptr, context_fault> context::load(const context_settings& settings) {
    std::shared_ptr<context> made{new context{settings.side}};
    auto* ctx = made->ctx_;
    set_options(ctx, settings.side);
    auto bad = set_versions_and_ciphers(ctx, settings);
    if (!bad && !settings.certificate.empty()) {
        bad = load_certificate(ctx, settings);
    }
    if (!bad) {
        bad = load_trust(ctx, settings);
    }
    if (bad) {
        return std::move(*bad);
    }
    if (auto* own = SSL_CTX_get0_certificate(ctx)) {
        complete_chain(ctx);
        made->not_after_ = not_after_of(own);
        made->end_point_ = end_point_of(own);
        made->signs_quickly_ = is_quick(SSL_CTX_get0_privatekey(ctx));
    }
    return context_ptr{std::move(made)};
}

}  // namespace pgweir::tls
