// TLS on both legs: what is read, what is laid over what, and what cannot work.
#include "config/loading.hpp"

#include <string>

namespace pgweir::config::testing {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ClientTls, IsRead) {
    const auto s = loaded(enough + R"(
[client_tls]
mode = "verify-ca"
certificate = "/a.crt"
key = "/a.key"
ca = "/ca.crt"
min_version = "TLSv1.3"
groups = "prime256v1")");
    EXPECT_EQ(s->client_tls.mode, tls_mode::verify_ca);
    EXPECT_EQ(s->client_tls.certificate, "/a.crt");
    EXPECT_EQ(s->client_tls.min_version, tls_version::tls_1_3);
    EXPECT_EQ(s->client_tls.groups, "prime256v1");
}

TEST(ClientTls, IsNotOfferedUnlessAskedFor) {
    EXPECT_EQ(loaded(enough)->client_tls.mode, tls_mode::disable);
}

TEST(ClientTls, WithoutACertificateIsRefused) {
    EXPECT_THAT(problems_in(enough + "[client_tls]\nmode = \"allow\"\n"),
                ElementsAre(HasSubstr("x.toml:4:8: client_tls.mode is \"allow\", and there is no "
                                      "certificate")));
}

TEST(ClientTls, CertificateWithoutAKeyIsRefused) {
    EXPECT_THAT(problems_in(enough + "[client_tls]\ncertificate = \"/a.crt\"\n"),
                ElementsAre(HasSubstr("client_tls.certificate and key need each other")));
}

TEST(ClientTls, VerifyingWithoutACaIsRefused) {
    EXPECT_THAT(problems_in(enough + R"(
[client_tls]
mode = "verify-full"
certificate = "/a.crt"
key = "/a.key")"),
                ElementsAre(HasSubstr("there is no ca to verify with")));
}

TEST(ClientTls, RelativeFileIsRefused) {
    EXPECT_THAT(problems_in(enough + "[client_tls]\nca = \"ca.crt\"\n"),
                ElementsAre(HasSubstr("client_tls.ca is not an absolute path")));
}

TEST(ClientTls, IsFoundUnderPgBouncersNames) {
    EXPECT_THAT(problems_in(enough + "[listen]\nclient_tls_sslmode = \"require\"\n"),
                ElementsAre(HasSubstr("did you mean \"mode\" in [client_tls]?")));
}

TEST(ServerTls, IsPreferredUnlessSaidOtherwise) {
    EXPECT_EQ(loaded(enough)->databases.at("shop").tls.sslmode, tls_mode::prefer);
}

TEST(ServerTls, OfADatabaseIsLaidOverTheGlobalOne) {
    const auto s = loaded(enough + R"(
[database.shop.tls]
sslmode = "verify-full"
[server_tls]
sslrootcert = "/ca.crt")");
    EXPECT_EQ(s->databases.at("shop").tls.sslmode, tls_mode::verify_full);
    EXPECT_EQ(s->databases.at("shop").tls.sslrootcert, "/ca.crt");
}

TEST(ServerTls, OfADatabaseIsLaidOverItsClusters) {
    const auto s = loaded(R"(
auth.method = "trust"
[cluster.main]
nodes = ["a"]
[cluster.main.tls]
sslmode = "require"
sslcert = "/a.crt"
sslkey = "/a.key"
[database.shop]
cluster = "main"
[database.shop.tls]
ssl_min_protocol_version = "TLSv1.3")");
    const auto& tls = s->databases.at("shop").tls;
    EXPECT_EQ(tls.sslmode, tls_mode::require);
    EXPECT_EQ(tls.sslkey, "/a.key");
    EXPECT_EQ(tls.ssl_min_protocol_version, tls_version::tls_1_3);
}

TEST(ServerTls, VerifyingWithoutRootCertificatesIsRefusedOnceWhereItIsSaid) {
    EXPECT_THAT(problems_in(enough + "[server_tls]\nsslmode = \"verify-ca\"\n"),
                ElementsAre(HasSubstr("server_tls.sslmode is \"verify-ca\", and there is no "
                                      "sslrootcert to verify with")));
}

TEST(ServerTls, CertificateWithoutAKeyIsRefused) {
    EXPECT_THAT(problems_in(enough + "[database.shop.tls]\nsslcert = \"/a.crt\"\n"),
                ElementsAre(HasSubstr("database.shop.tls.sslcert and sslkey need each other")));
}

TEST(ServerTls, TrustInTheSystemNeedsTheHostsName) {
    EXPECT_THAT(problems_in(enough + "[server_tls]\nsslrootcert = \"system\"\n"),
                ElementsAre(HasSubstr("which is weak for an sslrootcert of \"system\"")));
    EXPECT_THAT(problems_in(enough + "[server_tls]\nsslrootcert = \"system\"\n"
                                     "sslmode = \"verify-full\"\n"),
                IsEmpty());
}

TEST(ServerTls, ChangeOfAClusterNamesItOnce) {
    const std::string cluster =
        "auth.method = \"trust\"\n[cluster.main]\nnodes = [\"a\"]\n[database.shop]\n"
        "cluster = \"main\"\n[cluster.main.tls]\n";
    EXPECT_THAT(diff(*loaded(cluster), *loaded(cluster + "sslmode = \"require\"\n")).changed,
                ElementsAre("cluster.main.tls.sslmode"));
}

}  // namespace pgweir::config::testing
