// pg_hba.conf and pg_ident.conf: what is a rule, what is not, and whom a rule is for.
#include "auth/rule_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgweir::auth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using parsed = std::variant<std::shared_ptr<const access_rules>, std::vector<rule_problem>>;

parsed parse(std::string hba, std::string ident = {}) {
    rule_files files{{"hba", std::move(hba)}, {"ident", std::move(ident)}};
    return access_rules::parse("hba", files.texts["ident"].empty() ? "" : "ident", files);
}

std::vector<std::string> problems(std::string hba, std::string ident = {}) {
    std::vector<std::string> out;
    const auto result = parse(std::move(hba), std::move(ident));
    if (const auto* found = std::get_if<std::vector<rule_problem>>(&result)) {
        for (const auto& p : *found) {
            out.push_back(p.file + ":" + std::to_string(p.line) + ": " + p.message);
        }
    }
    return out;
}

// The only problem of the only line.
std::string problem(const std::string& line) {
    const auto all = problems(line);
    return all.size() == 1 && all[0].starts_with("hba:1: ") ? all[0].substr(7)
                                                            : testing::PrintToString(all);
}

std::shared_ptr<const access_rules> rules(std::string hba, std::string ident = {}) {
    const auto result = parse(std::move(hba), std::move(ident));
    const auto* found = std::get_if<std::shared_ptr<const access_rules>>(&result);
    EXPECT_NE(found, nullptr);
    return found != nullptr ? *found : std::make_shared<const access_rules>();
}

connection_facts from(std::string_view address,
                      std::string_view user = "app",
                      std::string_view database = "shop") {
    return {.peer = ip_address::parse(address), .database = database, .user = user};
}
connection_facts local(std::string_view user = "app", std::string_view database = "shop") {
    return {.database = database, .user = user};
}
connection_facts encrypted(connection_facts f) {
    f.is_encrypted = true;
    return f;
}

bool is_for(const std::string& line, const connection_facts& client) {
    return rules(line)->find(client) != nullptr;
}

// --- what is a rule

TEST(hba_line, holds_what_a_rule_needs) {
    const auto all =
        rules("# first\nhostssl shop,\"all\" app 10.0.0.0/8 cert map=m clientname=DN\n", "m x y");
    ASSERT_EQ(all->rules().size(), 1U);
    const auto& r = all->rules()[0];
    EXPECT_EQ(r.number, 1U);
    EXPECT_EQ(r.file, "hba");
    EXPECT_EQ(r.line, 2U);
    EXPECT_EQ(r.type, connection_type::hostssl);
    ASSERT_EQ(r.databases.size(), 2U);
    EXPECT_EQ(r.databases[1].text(), "all");
    EXPECT_FALSE(r.databases[1].is_keyword("all"));
    EXPECT_EQ(r.network.to_string(), "10.0.0.0");
    EXPECT_EQ(r.mask.to_string(), "255.0.0.0");
    EXPECT_EQ(r.method, hba_method::cert);
    EXPECT_EQ(r.map, "m");
    EXPECT_EQ(r.clientname, certificate_name::distinguished_name);
}

TEST(hba_line, with_cert_asks_for_a_certificate_with_the_name) {
    EXPECT_EQ(rules("hostssl all all all cert")->rules()[0].clientcert,
              certificate_check::verify_full);
}

TEST(hba_line, may_ask_for_a_certificate_beside_a_password) {
    EXPECT_EQ(rules("hostssl all all all md5 clientcert=verify-ca")->rules()[0].clientcert,
              certificate_check::verify_ca);
}

TEST(hba_line, has_every_method_by_its_name) {
    for (const std::string method :
         {"trust", "reject", "password", "md5", "scram-sha-256", "peer"}) {
        EXPECT_EQ(to_string(rules("local all all " + method)->rules()[0].method), method);
    }
}

TEST(hba_line, calls_ident_on_a_unix_socket_peer) {
    EXPECT_EQ(rules("local all all ident")->rules()[0].method, hba_method::peer);
}

TEST(hba_line, for_gssapi_says_that_it_matches_nobody) {
    EXPECT_EQ(rules("hostgssenc all all all trust")->rules()[0].remark,
              "hostgssenc record cannot match because GSSAPI is not supported by this build");
}

// What PostgreSQL says of the same lines; where it has no such rule, what pgweir lacks.
TEST(hba_line, is_refused_with_the_reason) {
    const std::pair<const char*, const char*> cases[] = {
        {"hosts all all all trust", R"(invalid connection type "hosts")"},
        {"local,host all all trust", "multiple values specified for connection type"},
        {"local", "end-of-line before database specification"},
        {"local all", "end-of-line before role specification"},
        {"host all all", "end-of-line before IP address specification"},
        {"host all all 127.0.0.1", "end-of-line before netmask specification"},
        {"local all all", "end-of-line before authentication method"},
        {"host all all all", "end-of-line before authentication method"},
        {"host all all ::1,::2 trust", "multiple values specified for host address"},
        {"host all all 10.0.0.0 1.1.1.1,2.2.2.2 trust", "multiple values specified for netmask"},
        {"local all all md5,trust", "multiple values specified for authentication type"},
        {"host all all 10.0.0.0/33 trust", R"(invalid CIDR mask in address "10.0.0.0/33")"},
        {"host all all 10.0.0.0/ trust", R"(invalid CIDR mask in address "10.0.0.0/")"},
        {"host all all 10.0.0.0/8x trust", R"(invalid CIDR mask in address "10.0.0.0/8x")"},
        {"host all all 10.0.0.0/-1 trust", R"(invalid CIDR mask in address "10.0.0.0/-1")"},
        {"host all all ::1/129 trust", R"(invalid CIDR mask in address "::1/129")"},
        {"host all all db.example/32 trust",
         R"(specifying both host name and CIDR mask is invalid: "db.example/32")"},
        {"host all all 10.0.0.0 ffff:: trust", "IP address and mask do not match"},
        {"host all all 10.0.0.0 mask trust",
         R"(invalid IP mask "mask": Name or service not known)"},
        {"local all all guess", R"(invalid authentication method "guess")"},
        {"local all all ldap",
         R"(invalid authentication method "ldap": not supported by this build)"},
        {"host all all all ident",
         R"(invalid authentication method "ident": not supported by this build)"},
        {"host all all all peer", "peer authentication is only supported on local sockets"},
        {"host all all all cert", "cert authentication is only supported on hostssl connections"},
        {"local all all trust map", "authentication option not in name=value format: map"},
        {"local all all trust x=y", R"(unrecognized authentication option name: "x")"},
        {"local all all trust map=m",
         R"(authentication option "map" is only valid for authentication methods ident, peer, gssapi, sspi, and cert)"},
        {"host all all all md5 clientcert=verify-ca",
         R"(clientcert can only be configured for "hostssl" rows)"},
        {"hostssl all all all md5 clientcert=1", R"(invalid value for clientcert: "1")"},
        {"hostssl all all all cert clientcert=verify-ca",
         R"(clientcert can only be set to "verify-full" when using "cert" authentication)"},
        {"host all all all trust clientname=CN",
         R"(clientname can only be configured for "hostssl" rows)"},
        {"hostssl all all all cert clientname=X", R"(invalid value for clientname: "X")"},
        {"host all all example.org trust",
         R"(host names are not supported by pgweir: "example.org")"},
        {"host all all 127.1 0.0.0.0 trust", R"(host names are not supported by pgweir: "127.1")"},
        {"local samerole all trust", R"(membership of roles is not known to pgweir: "samerole")"},
        {"local samegroup all trust", R"(membership of roles is not known to pgweir: "samegroup")"},
        {"local all +admins trust", R"(membership of roles is not known to pgweir: "+admins")"},
        {"local all all peer map=m", R"(there is no map "m")"},
    };
    for (const auto& [line, reason] : cases) {
        EXPECT_EQ(problem(line), reason) << line;
    }
}

TEST(hba_line, with_an_expression_that_is_none_is_refused) {
    EXPECT_THAT(problem("local /( all trust"), HasSubstr(R"(invalid regular expression "(": )"));
    EXPECT_THAT(problem("local all /[ trust"), HasSubstr(R"(invalid regular expression "[": )"));
}

TEST(hba_line, with_an_expression_that_means_something_else_in_postgresql_is_refused) {
    EXPECT_EQ(problem(R"(local all "/x\b" trust)"),
              R"(invalid regular expression "x\b": \b is not supported by pgweir)");
    EXPECT_TRUE(is_for(R"(local all "/x\\b" trust)", local("x\\b")));
}

TEST(hba_line, with_an_expression_that_could_take_for_ever_is_refused) {
    EXPECT_THAT(problem(R"(local all "/(a*)\1" trust)"), HasSubstr("invalid regular expression"));
    EXPECT_THAT(problem("local all /((a{100}){100}){100} trust"),
                HasSubstr("invalid regular expression"));
    EXPECT_THAT(problem("local all /" + std::string(1001, 'a') + " trust"),
                HasSubstr("longer than 1000 bytes"));
}

TEST(access_rules, name_everything_that_is_wrong_in_both_files) {
    EXPECT_THAT(problems("local\n\nlocal all all trust\nlocal all all x\n", "m a\n"),
                ElementsAre("hba:1: end-of-line before database specification",
                            "hba:4: invalid authentication method \"x\"",
                            "ident:1: missing entry at end of line"));
}

TEST(access_rules, without_any_are_refused) {
    EXPECT_THAT(problems("# nothing\n"),
                ElementsAre("hba:0: configuration file \"hba\" contains no entries"));
}

// --- whom a rule is for

TEST(hba_rule, of_type_local_is_for_unix_sockets_only) {
    EXPECT_TRUE(is_for("local all all trust", local()));
    EXPECT_FALSE(is_for("local all all trust", from("127.0.0.1")));
}

TEST(hba_rule, of_type_host_is_for_tcp_with_and_without_tls) {
    for (const std::string type : {"host", "hostnogssenc"}) {
        EXPECT_TRUE(is_for(type + " all all all trust", from("127.0.0.1")));
        EXPECT_TRUE(is_for(type + " all all all trust", encrypted(from("127.0.0.1"))));
        EXPECT_FALSE(is_for(type + " all all all trust", local()));
    }
}

TEST(hba_rule, of_type_hostssl_is_for_tls_only) {
    EXPECT_TRUE(is_for("hostssl all all all trust", encrypted(from("127.0.0.1"))));
    EXPECT_FALSE(is_for("hostssl all all all trust", from("127.0.0.1")));
}

TEST(hba_rule, of_type_hostnossl_is_for_plain_tcp_only) {
    EXPECT_TRUE(is_for("hostnossl all all all trust", from("127.0.0.1")));
    EXPECT_FALSE(is_for("hostnossl all all all trust", encrypted(from("127.0.0.1"))));
}

TEST(hba_rule, of_type_hostgssenc_is_for_nobody) {
    EXPECT_FALSE(is_for("hostgssenc all all all trust", from("127.0.0.1")));
    EXPECT_FALSE(is_for("hostgssenc all all all trust", encrypted(from("127.0.0.1"))));
}

TEST(hba_rule, is_for_the_databases_it_names) {
    EXPECT_TRUE(is_for("local a,shop all trust", local()));
    EXPECT_FALSE(is_for("local a,b all trust", local()));
}

TEST(hba_rule, is_for_users_it_names_as_they_are_written) {
    EXPECT_TRUE(is_for("local all App trust", local("App")));
    EXPECT_FALSE(is_for("local all App trust", local("app")));
}

TEST(hba_rule, takes_a_quoted_keyword_for_a_name) {
    EXPECT_FALSE(is_for("local \"all\" all trust", local()));
    EXPECT_TRUE(is_for("local \"all\" all trust", local("app", "all")));
    EXPECT_FALSE(is_for("local all \"all\" trust", local()));
    EXPECT_TRUE(is_for("local \"replication\" all trust", local("app", "replication")));
    EXPECT_TRUE(is_for("local all \"+x\" trust", local("+x")));
}

TEST(hba_rule, with_sameuser_is_for_the_database_of_the_same_name) {
    EXPECT_TRUE(is_for("local sameuser all trust", local("app", "app")));
    EXPECT_FALSE(is_for("local sameuser all trust", local("app", "shop")));
}

TEST(hba_rule, is_for_physical_replication_only_by_that_word) {
    auto client = from("127.0.0.1");
    client.is_physical_replication = true;
    EXPECT_TRUE(is_for("host replication all all trust", client));
    EXPECT_FALSE(is_for("host all,shop,/s all all trust", client));
    EXPECT_FALSE(is_for("host \"replication\" all all trust", client));
}

TEST(hba_rule, with_replication_is_for_nobody_else) {
    EXPECT_FALSE(is_for("local replication all trust", local("app", "replication")));
}

TEST(hba_rule, matches_expressions_anywhere_unless_anchored) {
    EXPECT_TRUE(is_for("local /ho all trust", local()));
    EXPECT_FALSE(is_for("local /^ho all trust", local()));
    EXPECT_TRUE(is_for(R"(local all "/^a\w{2}$" trust)", local()));
    EXPECT_FALSE(is_for(R"(local all "/^a\w{2}$" trust)", local("appl")));
}

TEST(hba_rule, matches_expressions_to_bytes_of_any_kind) {
    EXPECT_TRUE(is_for("local all /^.{3}$ trust", local("a\xFF\n")));
    EXPECT_FALSE(is_for("local all /^app$ trust", local("app\n")));
}

TEST(hba_rule, is_for_the_addresses_of_its_range) {
    EXPECT_TRUE(is_for("host all all 10.1.0.0/16 trust", from("10.1.2.3")));
    EXPECT_FALSE(is_for("host all all 10.1.0.0/16 trust", from("10.2.2.3")));
    EXPECT_TRUE(is_for("host all all 10.1.0.0 255.255.0.0 trust", from("10.1.2.3")));
    EXPECT_TRUE(is_for("host all all 2001:db8::/32 trust", from("2001:db8::1")));
    EXPECT_FALSE(is_for("host all all ::/0 trust", from("10.1.2.3")));
    EXPECT_TRUE(is_for("host all all 0.0.0.0/0 trust", from("10.1.2.3")));
}

TEST(hba_rule, with_samehost_is_for_addresses_of_this_machine) {
    const interface_address here{*ip_address::parse("10.1.2.3"), *ip_address::parse("255.0.0.0")};
    auto client = from("10.1.2.3");
    client.interfaces = {&here, 1};
    EXPECT_TRUE(is_for("host all all samehost trust", client));
    client.peer = ip_address::parse("10.1.2.4");
    EXPECT_FALSE(is_for("host all all samehost trust", client));
    EXPECT_TRUE(is_for("host all all samenet trust", client));
    client.peer = ip_address::parse("11.1.2.4");
    EXPECT_FALSE(is_for("host all all samenet trust", client));
}

TEST(access_rules, know_whether_they_ask_for_this_machine_s_addresses) {
    EXPECT_FALSE(rules("host all all all trust")->needs_interfaces());
    EXPECT_TRUE(rules("host all all samenet trust")->needs_interfaces());
}

TEST(access_rules, go_by_the_first_that_matches) {
    const auto all = rules("host all bob all reject\nhost all all all md5\nhost all bob all trust");
    EXPECT_EQ(all->find(from("127.0.0.1", "bob"))->line, 1U);
    EXPECT_EQ(all->find(from("127.0.0.1", "eve"))->line, 2U);
}

TEST(access_rules, that_match_nobody_let_nobody_in) {
    EXPECT_EQ(rules("local all all trust")->find(from("127.0.0.1")), nullptr);
}

TEST(access_rules, are_equal_when_they_say_the_same) {
    const auto one = rules("local all all peer map=m", "m a b");
    const auto other = rules("local all all peer map=m", "m a c");
    EXPECT_EQ(one->rules(), other->rules());
    EXPECT_NE(one->maps(), other->maps());
    EXPECT_NE(rules("local all all peer")->rules(), rules("local \"all\" all peer")->rules());
}

// --- refusals

TEST(access_refusal, says_where_a_client_without_a_rule_is_from) {
    EXPECT_EQ(refuse_without_rule(from("192.0.2.1"), "192.0.2.1").message,
              R"(no pg_hba.conf entry for host "192.0.2.1", user "app", database "shop", )"
              "no encryption");
    EXPECT_EQ(refuse_without_rule(from("192.0.2.1"), "192.0.2.1").sqlstate, "28000");
}

TEST(access_refusal, names_no_database_of_a_replication_connection) {
    auto client = encrypted(from("192.0.2.1"));
    client.is_physical_replication = true;
    EXPECT_EQ(refuse_without_rule(client, "192.0.2.1").message,
              R"(no pg_hba.conf entry for replication connection from host "192.0.2.1", user )"
              R"("app", SSL encryption)");
    EXPECT_EQ(refuse_by_rule(client, "192.0.2.1").message,
              R"(pg_hba.conf rejects replication connection for host "192.0.2.1", user "app", )"
              "SSL encryption");
}

TEST(access_refusal, says_that_a_rule_rejects) {
    EXPECT_EQ(refuse_by_rule(local(), "[local]").message,
              R"(pg_hba.conf rejects connection for host "[local]", user "app", database "shop", )"
              "no encryption");
}

TEST(access_refusal, has_the_code_of_a_wrong_password_only_where_there_is_one) {
    EXPECT_EQ(refuse_failed(hba_method::scram_sha_256, "app").sqlstate, "28P01");
    EXPECT_EQ(refuse_failed(hba_method::peer, "app").sqlstate, "28000");
    EXPECT_EQ(refuse_failed(hba_method::peer, "app").message,
              "Peer authentication failed for user \"app\"");
}

// --- maps

bool may(const std::string& ident, std::string_view identity, std::string_view user) {
    const auto all = rules("local all all peer map=m", ident);
    return all->judge_identity(all->rules()[0], identity, user).is_allowed;
}
std::string why_not(const std::string& ident, std::string_view identity, std::string_view user) {
    const auto all = rules("local all all peer map=m", ident);
    return all->judge_identity(all->rules()[0], identity, user).why;
}

TEST(identity_map, without_one_names_must_be_equal) {
    const auto all = rules("local all all peer");
    EXPECT_TRUE(all->judge_identity(all->rules()[0], "app", "app").is_allowed);
    const auto verdict = all->judge_identity(all->rules()[0], "root", "app");
    EXPECT_FALSE(verdict.is_allowed);
    EXPECT_EQ(verdict.why,
              "provided user name (app) and authenticated user name (root) do not match");
}

TEST(identity_map, lets_in_whom_one_of_its_lines_lets_in) {
    const std::string ident = "m root app\nm root boss\nother root eve\nm www app";
    EXPECT_TRUE(may(ident, "root", "boss"));
    EXPECT_TRUE(may(ident, "www", "app"));
    EXPECT_FALSE(may(ident, "www", "boss"));
}

TEST(identity_map, is_known_by_its_name) {
    EXPECT_EQ(why_not("m root app\nother root eve", "root", "eve"),
              R"(no match in usermap "m" for user "eve" authenticated as "root")");
}

TEST(identity_map, has_no_line_for_names_that_only_begin_alike) {
    EXPECT_FALSE(may("m root app", "roots", "app"));
    EXPECT_FALSE(may("m root app", "root", "apps"));
}

TEST(identity_map, lets_anybody_be_chosen_by_all) {
    EXPECT_TRUE(may("m root all", "root", "anybody"));
    EXPECT_FALSE(may("m root \"all\"", "root", "anybody"));
    EXPECT_FALSE(may("m all app", "root", "app"));
}

TEST(identity_map, puts_what_an_expression_took_in_the_place_of_its_reference) {
    const std::string ident = R"(m /^(.*)@example\.com$ u\1)";
    EXPECT_TRUE(may(ident, "bob@example.com", "ubob"));
    EXPECT_FALSE(may(ident, "bob@example.com", "bob"));
    EXPECT_FALSE(may(ident, "bob@example.org", "ubob"));
}

TEST(identity_map, replaces_the_first_reference_only) {
    EXPECT_TRUE(may(R"(m /^(a)$ \1\1)", "a", R"(a\1)"));
}

TEST(identity_map, takes_what_an_expression_took_for_a_name) {
    EXPECT_FALSE(may(R"(m /^(.*)$ \1)", "all", "root"));
    EXPECT_TRUE(may(R"(m /^(.*)$ \1)", "/a", "/a"));
    EXPECT_FALSE(may(R"(m /^(.*)$ \1)", "/a", "a"));
}

TEST(identity_map, ends_at_a_reference_to_nothing) {
    EXPECT_EQ(
        why_not(R"(m /^x(y)?$ \1)"
                "\nm x app",
                "x", "app"),
        R"(regular expression "^x(y)?$" has no subexpressions as requested by backreference in "\1")");
    EXPECT_FALSE(may(R"(m /^x$ \1)", "x", "x"));
}

TEST(identity_map, has_expressions_for_users_too) {
    EXPECT_TRUE(may("m root /^app_", "root", "app_1"));
    EXPECT_FALSE(may("m root /^app_", "root", "boss"));
}

TEST(identity_map, in_which_a_line_is_wrong_is_refused) {
    EXPECT_THAT(problems("local all all trust", "m a,b c\nm a +x\nm /( c\nm a\nm a b c d"),
                ElementsAre("ident:1: multiple values in ident field",
                            "ident:2: membership of roles is not known to pgweir: \"+x\"",
                            HasSubstr("ident:3: invalid regular expression \"(\""),
                            "ident:4: missing entry at end of line"));
}

}  // namespace
}  // namespace pgweir::auth
