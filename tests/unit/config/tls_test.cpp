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

TEST(ClientTls, BindsWhereItCanUnlessSaidOtherwise) {
    EXPECT_EQ(loaded(enough)->client_tls.channel_binding, auth::binding_policy::prefer);
}

const std::string secured =
    "[database.shop]\n[user.app]\npassword = \"a\"\n[client_tls]\nmode = \"require\"\n"
    "certificate = \"/a.crt\"\nkey = \"/a.key\"\nchannel_binding = \"require\"\n";

TEST(ClientTls, MayRequireThatLoginsAreBoundToIt) {
    EXPECT_EQ(loaded(secured)->client_tls.channel_binding, auth::binding_policy::require);
}

TEST(ClientTls, BindingWithoutTlsIsRefusedWhereClientsComeByTcp) {
    const std::string wanted =
        "[database.shop]\n[user.app]\npassword = \"a\"\n"
        "[client_tls]\nchannel_binding = \"require\"\n";
    EXPECT_THAT(problems_in(wanted), ElementsAre(HasSubstr("nobody could log in by TCP")));
    EXPECT_THAT(problems_in(wanted + "[listen]\naddresses = []\nunix_socket_dir = \"/run/x\"\n"),
                IsEmpty());
}

class MethodWithoutBinding : public ::testing::TestWithParam<std::string> {};

TEST_P(MethodWithoutBinding, IsRefusedWhereBindingIsRequired) {
    EXPECT_THAT(problems_in(secured + "[auth]\nmethod = \"" + GetParam() + "\"\n"),
                ElementsAre(HasSubstr("client_tls.channel_binding is \"require\", and auth.method "
                                      "is \"" +
                                      GetParam() + "\", which binds to nothing")));
}

INSTANTIATE_TEST_SUITE_P(Each, MethodWithoutBinding, ::testing::Values("trust", "password"));

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

TEST(ServerTls, BindingOfADatabaseIsLaidOverTheGlobalOne) {
    const auto s = loaded(enough +
                          "[server_tls]\nchannel_binding = \"disable\"\n"
                          "[database.shop.tls]\nchannel_binding = \"require\"\n");
    EXPECT_EQ(s->server_tls.channel_binding, auth::binding_policy::disable);
    EXPECT_EQ(s->databases.at("shop").tls.channel_binding, auth::binding_policy::require);
}

TEST(ServerTls, BindingWithoutTlsIsRefused) {
    EXPECT_THAT(problems_in(enough + "[database.shop.tls]\nsslmode = \"disable\"\n"
                                     "channel_binding = \"require\"\n"),
                ElementsAre(HasSubstr("database.shop.tls.channel_binding is \"require\", and "
                                      "sslmode is \"disable\"")));
}

TEST(ServerTls, BindingOverAUnixSocketIsRefused) {
    EXPECT_THAT(problems_in("auth.method = \"trust\"\n[database.shop]\nhost = \"/run/postgresql\"\n"
                            "[server_tls]\nsslmode = \"require\"\nchannel_binding = \"require\"\n"),
                ElementsAre(HasSubstr("host is a unix socket, which has no TLS")));
}

TEST(ServerTls, ChangeOfAClusterNamesItOnce) {
    const std::string cluster =
        "auth.method = \"trust\"\n[cluster.main]\nnodes = [\"a\"]\n[database.shop]\n"
        "cluster = \"main\"\n[cluster.main.tls]\n";
    EXPECT_THAT(diff(*loaded(cluster), *loaded(cluster + "sslmode = \"require\"\n")).changed,
                ElementsAre("cluster.main.tls.sslmode"));
}

}  // namespace pgweir::config::testing
