// Certificates and keys for tests, made on the spot.
#pragma once

#include "tls/openssl.hpp"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <sys/stat.h>
#include <utility>

namespace pgweir::tls {

// A folder that is gone with its owner.
class scratch_folder {
public:
    scratch_folder() {
        std::string name = std::filesystem::temp_directory_path() / "pgweir-tls-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) {
            throw std::runtime_error{"mkdtemp"};
        }
        path_ = name;
    }
    scratch_folder(const scratch_folder&) = delete;
    scratch_folder& operator=(const scratch_folder&) = delete;
    ~scratch_folder() { std::filesystem::remove_all(path_); }
    [[nodiscard]] std::string operator/(const std::string& name) const {
        return (path_ / name).string();
    }

private:
    std::filesystem::path path_;
};

enum class key_kind { p256, p384, ed25519, rsa };

// Files of a certificate and its key.
struct identity {
    std::string certificate;
    std::string key;
};

// What a certificate says.
struct claim {
    std::string common_name;
    std::string alternative_names{};  // "DNS:db.example.com,IP:10.0.0.1"; empty: none
    std::string organization{};
    long seconds = 24 * 60 * 60;  // from now on
    key_kind key = key_kind::p256;
    bool may_sign = false;
};

// Signs what it is asked to, and itself.
class authority {
public:
    explicit authority(const std::string& name, key_kind kind = key_kind::p256)
        : key_{make_key(kind)} {
        certificate_ =
            make({.common_name = name, .key = kind, .may_sign = true}, key_.get(), nullptr);
        write_certificate(file(), certificate_.get());
    }
    // One that `parent` vouches for, who must live as long.
    authority(const std::string& name, authority& parent)
        : key_{make_key(key_kind::p256)},
          certificate_{parent.make(
              {.common_name = name, .may_sign = true}, key_.get(), parent.certificate_.get())} {
        write_certificate(file(), certificate_.get());
    }
    [[nodiscard]] std::string file() const { return folder_ / "ca.crt"; }

    [[nodiscard]] identity issue(const claim& c) {
        const auto base = std::to_string(++issued_);
        const identity made{folder_ / (base + ".crt"), folder_ / (base + ".key")};
        const auto key = make_key(c.key);
        write_certificate(made.certificate, make(c, key.get(), certificate_.get()).get());
        write_key(made.key, key.get());
        return made;
    }
    // A file in the folder of the certificates.
    [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }

    static key_ptr make_key(key_kind kind) {
        switch (kind) {
            case key_kind::p256: return key_ptr{EVP_EC_gen("P-256")};
            case key_kind::p384: return key_ptr{EVP_EC_gen("P-384")};
            case key_kind::rsa: return key_ptr{EVP_RSA_gen(2048)};
            case key_kind::ed25519: break;
        }
        return key_ptr{EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")};
    }
    static void write_key(const std::string& path, EVP_PKEY* key) {
        with_file(path, [&](std::FILE* f) {
            return PEM_write_PrivateKey(f, key, nullptr, nullptr, 0, nullptr, nullptr);
        });
        ::chmod(path.c_str(), 0600);
    }
    // One that asks for `passphrase`.
    static void write_locked_key(const std::string& path, EVP_PKEY* key, std::string passphrase) {
        with_file(path, [&](std::FILE* f) {
            return PEM_write_PrivateKey(f, key, EVP_aes_128_cbc(), nullptr, 0, nullptr,
                                        passphrase.data());
        });
        ::chmod(path.c_str(), 0600);
    }

private:
    template <class Function>
    static void with_file(const std::string& path, Function write) {
        std::FILE* f = std::fopen(path.c_str(), "w");
        const bool ok = f != nullptr && write(f) == 1;
        if (f == nullptr || std::fclose(f) != 0 || !ok) {
            throw std::runtime_error{"cannot write " + path};
        }
    }
    static void write_certificate(const std::string& path, X509* certificate) {
        with_file(path, [&](std::FILE* f) { return PEM_write_X509(f, certificate); });
    }
    static void add_extension(X509* to, X509* issuer, int what, const std::string& value) {
        X509V3_CTX context;
        X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
        X509_EXTENSION* e = X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str());
        X509_add_ext(to, e, -1);
        X509_EXTENSION_free(e);
    }
    static void add_name(X509* to, const char* field, const std::string& value) {
        if (!value.empty()) {
            X509_NAME_add_entry_by_txt(X509_get_subject_name(to), field, MBSTRING_UTF8,
                                       reinterpret_cast<const unsigned char*>(value.data()),
                                       static_cast<int>(value.size()), -1, 0);
        }
    }

    x509_ptr make(const claim& c, EVP_PKEY* key, X509* issuer) {
        x509_ptr made{X509_new()};
        auto* x = made.get();
        X509_set_version(x, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial_);
        X509_gmtime_adj(X509_getm_notBefore(x), -60 * 60);
        X509_gmtime_adj(X509_getm_notAfter(x), c.seconds);
        X509_set_pubkey(x, key);
        add_name(x, "O", c.organization);
        add_name(x, "CN", c.common_name);
        auto* signer = issuer == nullptr ? x : issuer;
        X509_set_issuer_name(x, X509_get_subject_name(signer));
        if (c.may_sign) {
            add_extension(x, signer, NID_basic_constraints, "critical,CA:TRUE");
        }
        if (!c.alternative_names.empty()) {
            add_extension(x, signer, NID_subject_alt_name, c.alternative_names);
        }
        const bool is_ed25519 = EVP_PKEY_is_a(key_.get(), "ED25519") == 1;
        if (X509_sign(x, key_.get(), is_ed25519 ? nullptr : EVP_sha256()) == 0) {
            throw std::runtime_error{"cannot sign " + c.common_name};
        }
        return made;
    }

    scratch_folder folder_;
    key_ptr key_;
    x509_ptr certificate_;
    int issued_ = 0;
    long serial_ = 0;
};

}  // namespace pgweir::tls
