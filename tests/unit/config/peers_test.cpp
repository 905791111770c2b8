// [peers] and [peer.ID].
#include "config/loading.hpp"

#include <cstdlib>

namespace pgweir::config::testing {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class peers : public ::testing::Test {
protected:
    ~peers() override { ::unsetenv("PGWEIR_TEST_PEER"); }
};

TEST_F(peers, are_none_unless_said_otherwise) {
    EXPECT_EQ(loaded(enough)->peer_id, 0U);
    EXPECT_THAT(loaded(enough)->peers, IsEmpty());
}

TEST_F(peers, are_known_by_their_numbers) {
    const auto s = loaded(enough + R"(
[peers]
id = 2
[peer.1]
host = "pgweir-1"
[peer.2]
host = "pgweir-2"
port = 7000)");
    EXPECT_EQ(s->peer_id, 2U);
    EXPECT_EQ(s->peers.at(1), (peer_settings{.host = "pgweir-1", .port = 6432, .tls = {}}));
    EXPECT_EQ(s->peers.at(2).port, 7000);
}

TEST_F(peers, are_told_apart_by_the_environment) {
    ::setenv("PGWEIR_TEST_PEER", "31", 1);
    EXPECT_EQ(loaded(enough + "[peers]\nid = { env = \"PGWEIR_TEST_PEER\" }\n")->peer_id, 31U);
}

TEST_F(peers, need_a_number_in_the_environment) {
    const auto text = enough + "[peers]\nid = { env = \"PGWEIR_TEST_PEER\" }\n";
    EXPECT_THAT(problems_in(text), ElementsAre(HasSubstr("PGWEIR_TEST_PEER, which is not set")));
    for (const auto* wrong : {"0", "32", "-1", "one", "1x", "", " 1", "4294967297"}) {
        ::setenv("PGWEIR_TEST_PEER", wrong, 1);
        EXPECT_THAT(problems_in(text), ElementsAre(HasSubstr("is not a number from 1 to 31")))
            << wrong;
    }
}

TEST_F(peers, have_tls_of_their_own_over_that_of_servers) {
    const auto s = loaded(enough + R"(
[peers]
id = 1
[peer.2]
host = "b"
[peer.2.tls]
sslmode = "require"
[server_tls]
ssl_min_protocol_version = "TLSv1.3")");
    EXPECT_EQ(s->peers.at(2).tls.sslmode, tls_mode::require);
    EXPECT_EQ(s->peers.at(2).tls.ssl_min_protocol_version, tls_version::tls_1_3);
}

TEST_F(peers, are_of_no_use_to_one_without_a_number) {
    EXPECT_THAT(problems_in(enough + "[peer.2]\nhost = \"b\"\n"),
                ElementsAre(HasSubstr("peers.id is missing, and there are peers")));
}

TEST_F(peers, must_be_called_by_a_number) {
    for (const auto* wrong : {"one", "0", "32", "01", "\"-1\"", "\"\""}) {
        EXPECT_THAT(problems_in(enough + "[peers]\nid = 1\n[peer." + wrong + "]\nhost = \"b\"\n"),
                    ElementsAre(HasSubstr("is not called by a number from 1 to 31")))
            << wrong;
    }
}

TEST_F(peers, must_be_somewhere) {
    EXPECT_THAT(problems_in(enough + "[peers]\nid = 1\n[peer.2]\n"),
                ElementsAre(HasSubstr("peer.2.host is missing")));
}

TEST_F(peers, that_move_are_found_by_a_reload_but_who_one_is_stays) {
    const auto before = loaded(enough + "[peers]\nid = 1\n[peer.2]\nhost = \"b\"\n");
    const auto after = loaded(enough + "[peers]\nid = 3\n[peer.2]\nhost = \"c\"\n");
    const auto d = diff(*before, *after);
    EXPECT_THAT(d.changed, ElementsAre("peer.2.host"));
    EXPECT_THAT(d.needs_restart, ElementsAre("peers.id"));
}

}  // namespace pgweir::config::testing
