// Reading certificates.
#include "tls/certificate.hpp"

#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <array>
#include <ctime>
#include <netinet/in.h>

namespace pgweir::tls {
namespace {

using names_ptr = std::unique_ptr<GENERAL_NAMES, freed_by<GENERAL_NAMES_free>>;

std::string text_of(BIO* b) {
    char* data = nullptr;
    const auto size = BIO_get_mem_data(b, &data);
    return size > 0 ? std::string{data, static_cast<std::size_t>(size)} : std::string{};
}

std::string common_name_of(X509* certificate) {
    auto* name = X509_get_subject_name(certificate);
    const int size = X509_NAME_get_text_by_NID(name, NID_commonName, nullptr, 0);
    if (size < 0) {
        return {};
    }
    std::string text(static_cast<std::size_t>(size) + 1, '\0');
    const int got = X509_NAME_get_text_by_NID(name, NID_commonName, text.data(), size + 1);
    text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return text;
}

bool has_alternative(X509* certificate, int kind) {
    const names_ptr names{static_cast<GENERAL_NAMES*>(
        X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr))};
    for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
        if (sk_GENERAL_NAME_value(names.get(), i)->type == kind) {
            return true;
        }
    }
    return false;
}

}  // namespace

std::optional<subject> subject_of(X509* certificate, std::string& error) {
    subject s{common_name_of(certificate), {}};
    if (s.common_name.find('\0') != std::string::npos) {
        error = "SSL certificate's common name contains embedded null";
        return std::nullopt;
    }
    const bio_ptr b{BIO_new(BIO_s_mem())};
    if (!b ||
        X509_NAME_print_ex(b.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) < 0) {
        error = "could not read the subject of the peer's certificate";
        return std::nullopt;
    }
    s.distinguished_name = text_of(b.get());
    if (s.distinguished_name.find('\0') != std::string::npos) {
        error = "SSL certificate's distinguished name contains embedded null";
        return std::nullopt;
    }
    return s;
}

std::string end_point_of(X509* certificate) {
    int hash = NID_undef;
    if (X509_get_signature_info(certificate, &hash, nullptr, nullptr, nullptr) == 0 ||
        hash == NID_undef) {
        return {};
    }
    const bool is_broken = hash == NID_md5 || hash == NID_sha1;
    const auto* digest = is_broken ? EVP_sha256() : EVP_get_digestbynid(hash);
    std::array<unsigned char, EVP_MAX_MD_SIZE> out;
    unsigned size = 0;
    if (digest == nullptr || X509_digest(certificate, digest, out.data(), &size) == 0) {
        return {};
    }
    return {reinterpret_cast<const char*>(out.data()), size};
}

std::optional<std::chrono::system_clock::time_point> not_after_of(const X509* certificate) {
    std::tm when{};
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &when) == 0) {
        return std::nullopt;
    }
    return std::chrono::system_clock::from_time_t(::timegm(&when));
}

bool is_address(const std::string& host) noexcept {
    in6_addr ignored;
    return ::inet_pton(AF_INET, host.c_str(), &ignored) == 1 ||
           ::inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

bool is_for_host(X509* certificate, const std::string& host) {
    constexpr unsigned whole_label = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
    if (!is_address(host)) {
        return X509_check_host(certificate, host.data(), host.size(), whole_label, nullptr) == 1;
    }
    if (X509_check_ip_asc(certificate, host.c_str(), 0) == 1) {
        return true;
    }
    // OpenSSL looks for addresses among the alternative names only.
    return !has_alternative(certificate, GEN_IPADD) && !has_alternative(certificate, GEN_DNS) &&
           common_name_of(certificate) == host;
}

std::string name_of(X509* certificate) { return common_name_of(certificate); }

}  // namespace pgweir::tls
