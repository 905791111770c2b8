// Clusters: their nodes and keys reach the snapshot, and what cannot work is refused.
#include "config/loading.hpp"

#include <algorithm>

namespace pgweir::config::testing {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string three = "[cluster.main]\nnodes = [\"pg-1\", \"pg-2\", \"pg-3\"]\n";

cluster_settings cluster_of(const std::string& toml) {
    const auto s = loaded(enough + toml);
    EXPECT_THAT(s->clusters, SizeIs(1));
    return s->clusters.empty() ? cluster_settings{} : s->clusters.begin()->second;
}
std::vector<std::string> problems_with_nodes(const std::string& list) {
    return problems_in(enough + "[cluster.main]\nnodes = " + list + "\n");
}

TEST(Clusters, NodesInShortAreCalledByTheirHosts) {
    const auto nodes = cluster_of("[cluster.main]\nnodes = [\"10.0.0.1\", \"pg-2:5433\"]\n").nodes;
    ASSERT_THAT(nodes, SizeIs(2));
    EXPECT_EQ(nodes[0].name, "10.0.0.1");
    EXPECT_EQ(nodes[0].host, "10.0.0.1");
    EXPECT_EQ(nodes[0].port, 5432);
    EXPECT_EQ(nodes[1].name, "pg-2");
    EXPECT_EQ(nodes[1].host, "pg-2");
    EXPECT_EQ(nodes[1].port, 5433);
}

TEST(Clusters, Ipv6AddressNeedsBracketsOnlyForAPort) {
    const auto nodes =
        cluster_of("[cluster.main]\nnodes = [\"::1\", \"[::2]\", \"[::3]:7\"]\n").nodes;
    ASSERT_THAT(nodes, SizeIs(3));
    EXPECT_EQ(nodes[0].host, "::1");
    EXPECT_EQ(nodes[1].host, "::2");
    EXPECT_EQ(nodes[1].port, 5432);
    EXPECT_EQ(nodes[2].host, "::3");
    EXPECT_EQ(nodes[2].port, 7);
}

TEST(Clusters, NodesWithSectionsComeAfterThoseInShort) {
    const auto nodes = cluster_of(R"(
[cluster.main]
nodes = ["pg-1"]
[[cluster.main.node]]
name = "two"
host = "10.0.0.2"
port = 5433
weight = 50
repmgr_id = 2
patroni_port = 8009
[[cluster.main.node]]
host = "10.0.0.3"
)")
                           .nodes;
    ASSERT_THAT(nodes, SizeIs(3));
    EXPECT_EQ(nodes[0].name, "pg-1");
    EXPECT_EQ(nodes[0].repmgr_id, std::nullopt);
    EXPECT_EQ(nodes[1].name, "two");
    EXPECT_EQ(nodes[1].host, "10.0.0.2");
    EXPECT_EQ(nodes[1].port, 5433);
    EXPECT_EQ(nodes[1].weight, 50U);
    EXPECT_EQ(nodes[1].repmgr_id, 2);
    EXPECT_EQ(nodes[1].patroni_port, 8009);
    EXPECT_EQ(nodes[2].name, "10.0.0.3");
}

TEST(Clusters, KeysAreRead) {
    const auto c = cluster_of(three + R"(
discovery = "repmgr"
check_interval = "2s"
quick_interval = "20ms"
probe_timeout = "300ms"
connect_timeout = "400ms"
lease = "3s"
isolation_guard = "reject"
cold_start = "self"
system_identifier = 7234567890123456789
state_file = "/var/lib/shop.state"
conflict_hold = "1s"
partition_grace = "2s"
rogue_after = "3s"
follower_silence = "4s"
hold_timeout = "5s"
hold_max_clients = 6
hold_max_bytes = "7MiB"
switchover_timeout = "8s"
balance = "hash"
hash_by = "client-address"
max_lag_bytes = "9KiB"
max_lag = "10s"
slow_start = "11s"
min_standby_servers = 12
[cluster.main.monitor]
user = "mon"
password = "secret"
database = "repmgr"
sslmode = "verify-full"
sslrootcert = "/etc/pgweir/root.crt"
channel_binding = "require"
)");
    EXPECT_EQ(c.name, "main");
    EXPECT_EQ(c.how, discovery::repmgr);
    EXPECT_EQ(c.check_interval, 2s);
    EXPECT_EQ(c.quick_interval, 20ms);
    EXPECT_EQ(c.probe_timeout, 300ms);
    EXPECT_EQ(c.connect_timeout, 400ms);
    EXPECT_EQ(c.lease, 3s);
    EXPECT_EQ(c.guard, isolation_guard::reject);
    EXPECT_EQ(c.start, cold_start::self);
    EXPECT_EQ(c.system_identifier, 7234567890123456789U);
    EXPECT_EQ(c.state_file, "/var/lib/shop.state");
    EXPECT_EQ(c.conflict_hold, 1s);
    EXPECT_EQ(c.partition_grace, 2s);
    EXPECT_EQ(c.rogue_after, 3s);
    EXPECT_EQ(c.follower_silence, 4s);
    EXPECT_EQ(c.hold_timeout, 5s);
    EXPECT_EQ(c.hold_max_clients, 6U);
    EXPECT_EQ(c.hold_max_bytes, 7U << 20);
    EXPECT_EQ(c.switchover_timeout, 8s);
    EXPECT_EQ(c.balance, balancing::hash);
    EXPECT_EQ(c.hash_by, hash_key::client_address);
    EXPECT_EQ(c.max_lag_bytes, 9U << 10);
    EXPECT_EQ(c.max_lag, 10s);
    EXPECT_EQ(c.slow_start, 11s);
    EXPECT_EQ(c.min_standby_servers, 12U);
    EXPECT_EQ(c.monitor_user, "mon");
    EXPECT_EQ(c.monitor_password.reveal(), "secret");
    EXPECT_EQ(c.monitor_database, "repmgr");
    EXPECT_EQ(c.monitor_sslmode, "verify-full");
    EXPECT_EQ(c.monitor_sslrootcert, "/etc/pgweir/root.crt");
    EXPECT_EQ(c.monitor_channel_binding, auth::binding_policy::require);
}

TEST(Clusters, DatabaseNamesItsClusterAndTarget) {
    const auto s = loaded(enough + "cluster = \"main\"\ntarget = \"prefer-standby\"\n" + three);
    EXPECT_EQ(s->databases.at("shop").cluster, "main");
    EXPECT_EQ(s->databases.at("shop").target, access_target::prefer_standby);
}

TEST(Clusters, StateIsKeptInStateDirUnlessAFileIsNamed) {
    const auto s = loaded(enough + three + "[process]\nstate_dir = \"/srv/weir\"\n" +
                          "[cluster.other]\nnodes = [\"a\"]\nstate_file = \"/srv/b\"\n");
    EXPECT_EQ(state_path(*s, s->clusters.at("main")), "/srv/weir/main.cluster");
    EXPECT_EQ(state_path(*s, s->clusters.at("other")), "/srv/b");
}

TEST(Clusters, SystemIdentifierMayBeTextBeyondTomlsNumbers) {
    EXPECT_EQ(
        cluster_of(three + "system_identifier = \"18446744073709551615\"\n").system_identifier,
        18446744073709551615U);
}

TEST(Clusters, SystemIdentifierThatIsNoneIsRefused) {
    for (const auto* value :
         {"-1", "\"-1\"", "\"\"", "\"18446744073709551616\"", "\"7x\"", "true"}) {
        EXPECT_THAT(problems_in(enough + three + "system_identifier = " + value + "\n"),
                    ElementsAre(HasSubstr("pg_control_system()")))
            << value;
    }
}

TEST(Clusters, RepmgrIdOfZeroIsNone) {
    const auto nodes = cluster_of("[[cluster.main.node]]\nhost = \"a\"\nrepmgr_id = 0\n").nodes;
    EXPECT_EQ(nodes.at(0).repmgr_id, std::nullopt);
}

TEST(Clusters, PartsThatAreNotNodesAreRefused) {
    EXPECT_THAT(
        problems_with_nodes("\"pg-1\""),
        ElementsAre(HasSubstr("cluster.main.nodes must be a list of strings, not a string")));
    EXPECT_THAT(problems_with_nodes("[{ host = \"a\" }]"),
                ElementsAre(HasSubstr("must hold strings, not a table")));
    EXPECT_THAT(problems_with_nodes("[\"/run/postgresql\"]"),
                ElementsAre(HasSubstr("a directory")));
    EXPECT_THAT(problems_with_nodes("[\"a,b\"]"), ElementsAre(HasSubstr("not a host")));
    EXPECT_THAT(problems_with_nodes("[\":5432\"]"), ElementsAre(HasSubstr("whose host is empty")));
    EXPECT_THAT(problems_with_nodes("[\"a:\"]"), ElementsAre(HasSubstr("whose port is outside")));
    EXPECT_THAT(problems_with_nodes("[\"a:0\"]"), ElementsAre(HasSubstr("whose port is outside")));
    EXPECT_THAT(problems_with_nodes("[\"a:65536\"]"),
                ElementsAre(HasSubstr("whose port is outside")));
    EXPECT_THAT(problems_with_nodes("[\"[::1\"]"), ElementsAre(HasSubstr("which is not a node")));
    EXPECT_THAT(problems_with_nodes("[\"[::1]x\"]"), ElementsAre(HasSubstr("which is not a node")));
}

TEST(Clusters, WithoutANodeIsRefused) {
    for (const auto* keys : {"", "nodes = []\n", "node = []\n"}) {
        EXPECT_THAT(problems_in(enough + "[cluster.main]\n" + keys),
                    ElementsAre(HasSubstr("cluster.main.nodes names no node (write nodes = ")))
            << keys;
    }
}

TEST(Clusters, NodeWithoutAHostIsRefusedWhereItStands) {
    EXPECT_THAT(
        problems_in(enough + "[[cluster.main.node]]\nname = \"a\"\n"),
        ElementsAre(AllOf(HasSubstr("x.toml:3:"), HasSubstr("cluster.main.node.host is missing"))));
}

TEST(Clusters, NodeInSingleBracketsIsRefused) {
    EXPECT_THAT(problems_in(enough + "[cluster.main.node]\nhost = \"a\"\n"),
                ElementsAre(HasSubstr("cluster.main.node must be a list of sections, not a table "
                                      "(write [[cluster.main.node]])")));
}

TEST(Clusters, NodeThatIsNoSectionIsRefused) {
    EXPECT_THAT(problems_in(enough + "[cluster.main]\nnode = [\"a\"]\n"),
                ElementsAre(HasSubstr("cluster.main.node must hold sections, not a string")));
}

TEST(Clusters, TwoNodesOfOneNameAreRefusedAtTheSecond) {
    EXPECT_THAT(
        problems_with_nodes("[\"a:1\", \"a:2\"]"),
        ElementsAre("x.toml:4:17: cluster.main has two nodes called \"a\" (give each a name "
                    "of its own in a [[cluster.main.node]])"));
}

TEST(Clusters, TwoNodesAtOneAddressAreRefusedAtTheSecond) {
    EXPECT_THAT(
        problems_in(enough + R"([cluster.main]
nodes = ["pg-1.example"]
[[cluster.main.node]]
name = "other"
host = "PG-1.example"
)"),
        ElementsAre(AllOf(HasSubstr("x.toml:5:"), HasSubstr("has the node at \"PG-1.example\", "
                                                            "port 5432, twice"))));
}

TEST(Clusters, OneServerInTwoClustersIsAllowed) {
    EXPECT_THAT(
        problems_in(enough + "[cluster.a]\nnodes = [\"x\"]\n[cluster.b]\nnodes = [\"x\"]\n"),
        IsEmpty());
}

std::string list_of(int nodes) {
    std::string list = "[";
    for (int i = 0; i < nodes; ++i) {
        list += "\"n" + std::to_string(i) + "\", ";
    }
    return list + "]";
}

TEST(Clusters, ThirtyTwoNodesAreTheMost) {
    EXPECT_THAT(problems_with_nodes(list_of(32)), IsEmpty());
    EXPECT_THAT(problems_with_nodes(list_of(33)),
                ElementsAre(HasSubstr("cluster.main has 33 nodes, more than 32")));
}

TEST(Clusters, LeaseMustOutlastAProbe) {
    EXPECT_THAT(
        problems_in(enough + three + "lease = \"1500ms\"\n"),
        ElementsAre(AllOf(HasSubstr("x.toml:5:9: cluster.main.lease is \"1500ms\", not longer "
                                    "than check_interval and probe_timeout together"),
                          HasSubstr("which are \"1500ms\""))));
    EXPECT_THAT(problems_in(enough + three + "lease = \"1501ms\"\n"), IsEmpty());
}

TEST(Clusters, ProbesWithoutAPauseAreRefused) {
    EXPECT_THAT(problems_in(enough + three + "quick_interval = 0\n"),
                ElementsAre(HasSubstr("cluster.main.quick_interval is 0, which is outside")));
}

TEST(Clusters, HoldWithoutAnEndIsRefused) {
    EXPECT_THAT(problems_in(enough + three + "hold_timeout = 0\n"),
                ElementsAre(HasSubstr("cluster.main.hold_timeout is 0, which is outside")));
}

TEST(Clusters, NameMustBeGoodForAFile) {
    EXPECT_THAT(problems_in(enough + "[cluster.\"a/b\"]\nnodes = [\"a\"]\n"),
                ElementsAre(HasSubstr("contains a slash")));
    EXPECT_THAT(problems_in(enough + "[cluster.\"\"]\nnodes = [\"a\"]\n"),
                ElementsAre(HasSubstr("is empty")));
}

TEST(Clusters, MonitorsVerifierCannotLogIn) {
    EXPECT_THAT(problems_in(enough + three +
                            "[cluster.main.monitor]\npassword = "
                            "\"md50123456789abcdef0123456789abcdef\"\n"),
                ElementsAre(HasSubstr("cluster.main.monitor.password is an md5 hash")));
}

TEST(Clusters, MonitorThatVerifiesNeedsSomethingToVerifyWith) {
    EXPECT_THAT(problems_in(enough + three + "[cluster.main.monitor]\nsslmode = \"verify-ca\"\n"),
                ElementsAre(HasSubstr("there is no sslrootcert to verify with")));
    EXPECT_THAT(problems_in(enough + three +
                            "[cluster.main.monitor]\nsslmode = \"disable\"\n"
                            "channel_binding = \"require\"\n"),
                ElementsAre(HasSubstr("cluster.main.monitor.channel_binding is \"require\"")));
    EXPECT_THAT(problems_in(enough + three + "[cluster.main.monitor]\nsslmode = \"require\"\n"),
                IsEmpty());
}

TEST(Clusters, StateFileOfTwoClustersIsRefused) {
    EXPECT_THAT(
        problems_in(enough + three +
                    "[cluster.other]\nnodes = [\"a\"]\nstate_file = "
                    "\"/var/lib/pgweir/x/../main.cluster\"\n"),
        ElementsAre(HasSubstr("x.toml:7:14: cluster.other.state_file is the file of cluster "
                              "\"main\" as well")));
}

TEST(Clusters, StateFileOfALaterClusterIsRefusedWhereItIsNamed) {
    EXPECT_THAT(problems_in(enough +
                            "[cluster.a]\nnodes = [\"a\"]\nstate_file = "
                            "\"/var/lib/pgweir/main.cluster\"\n" +
                            three),
                ElementsAre(HasSubstr("x.toml:5:14: cluster.a.state_file is the file of cluster "
                                      "\"main\" as well")));
}

TEST(Clusters, RelativeStateFileIsRefused) {
    EXPECT_THAT(problems_in(enough + three + "state_file = \"here\"\n"),
                ElementsAre(HasSubstr("is not an absolute path")));
    EXPECT_THAT(problems_in(enough + "[process]\nstate_dir = \"here\"\n"),
                ElementsAre(HasSubstr("process.state_dir is not an absolute path")));
    EXPECT_THAT(problems_in(enough + "[process]\nstate_dir = \"\"\n"),
                ElementsAre(HasSubstr("process.state_dir is empty")));
}

TEST(Clusters, HostOrPortBesideAClusterIsRefused) {
    EXPECT_THAT(
        problems_in(enough + "cluster = \"main\"\nhost = \"a\"\nport = 1\n" + three),
        ElementsAre("x.toml:4:8: database.shop.host is set beside a cluster, whose nodes have "
                    "theirs (remove it, or remove cluster)",
                    HasSubstr("x.toml:5:8: database.shop.port is set beside a cluster")));
}

TEST(Clusters, UnknownClusterOfADatabaseGetsTheNearestName) {
    EXPECT_THAT(problems_in(enough + "cluster = \"mein\"\n" + three),
                ElementsAre("x.toml:3:11: database.shop.cluster is \"mein\", and there is no "
                            "[cluster.mein] (did you mean \"main\"?)"));
}

TEST(Clusters, UnknownClusterWithoutANearNameGetsTheOnesThereAre) {
    EXPECT_THAT(problems_in(enough + "cluster = \"shop\"\n" + three),
                ElementsAre(HasSubstr("(clusters are \"main\")")));
    EXPECT_THAT(problems_in(enough + "cluster = \"shop\"\n"),
                ElementsAre(HasSubstr("(there is none)")));
}

TEST(Clusters, ClusterThatWasRefusedIsNotUnknownAsWell) {
    EXPECT_THAT(problems_in(enough + "cluster = \"main\"\n[cluster]\nmain = 3\n"),
                ElementsAre(HasSubstr("cluster.main must be a section")));
}

TEST(Clusters, TargetWithoutAClusterIsRefused) {
    EXPECT_THAT(
        problems_in(enough + "target = \"standby\"\n"),
        ElementsAre(HasSubstr("x.toml:3:10: database.shop.target is \"standby\", and there is "
                              "no cluster to choose a node of")));
}

TEST(Clusters, MistypedKeysAreSentToTheirSections) {
    EXPECT_THAT(problems_in(enough + three + "host = \"a\"\n"),
                ElementsAre(HasSubstr("did you mean \"host\" in [[cluster.main.node]]?")));
    EXPECT_THAT(problems_in(enough + three + "password = \"a\"\n"),
                ElementsAre(HasSubstr("did you mean \"password\" in [cluster.main.monitor]?")));
    EXPECT_THAT(problems_in(enough + three + "leese = \"a\"\n"),
                ElementsAre(HasSubstr("did you mean \"lease\"?")));
    EXPECT_THAT(problems_in(enough + "[clusters.main]\n"),
                ElementsAre(HasSubstr("each cluster has a section of its own: [cluster.NAME]")));
}

TEST(Clusters, KeysOutsideAnySectionAreNotSentToAPartOfACluster) {
    EXPECT_THAT(problems_in("host = \"a\"\n" + enough),
                ElementsAre(HasSubstr("did you mean \"host\" in [database.NAME]?")));
}

TEST(Http, IsRead) {
    const auto s = loaded(enough + "[http]\naddresses = [\"*\"]\nport = 9000\n");
    EXPECT_THAT(s->http.addresses, ElementsAre("*"));
    EXPECT_EQ(s->http.port, 9000);
}

TEST(Http, IsNotOfferedUnlessAskedFor) { EXPECT_THAT(loaded(enough)->http.addresses, IsEmpty()); }

TEST(Http, WherePostgresqlsClientsConnectIsRefused) {
    EXPECT_THAT(problems_in(enough + "[http]\naddresses = [\"*\"]\nport = 6432\n"),
                ElementsAre(HasSubstr("x.toml:5:8: http.port is 6432, which is where")));
    EXPECT_THAT(problems_in(enough + "[http]\naddresses = [\"127.0.0.2\"]\nport = 6432\n"),
                IsEmpty());
}

TEST(Process, StateDirIsReadAndShown) {
    const auto s = loaded(enough + "[process]\nstate_dir = \"/srv/weir\"\n");
    EXPECT_EQ(s->process.state_dir, "/srv/weir");
    const auto shown = std::ranges::find(s->keys, "process.state_dir", &effective_key::key);
    ASSERT_NE(shown, s->keys.end());
    EXPECT_EQ(shown->value, "\"/srv/weir\"");
    EXPECT_EQ(shown->initial, "\"/var/lib/pgweir\"");
    EXPECT_FALSE(shown->reloadable);
}

TEST(ConsoleRoles, HintIsRead) {
    EXPECT_EQ(loaded(enough + "[user.hook]\nconsole = \"hint\"\n")->users.at("hook").console,
              console_role::hint);
}

}  // namespace pgweir::config::testing
