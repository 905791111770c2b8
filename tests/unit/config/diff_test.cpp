// What RELOAD says has changed.
#include "config/loading.hpp"

namespace pgweir::config::testing {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

difference between(const std::string& before, const std::string& after) {
    return diff(*loaded(enough + before), *loaded(enough + after));
}

TEST(Diff, SameFileTwiceDiffersInNothing) {
    const auto d = between("pool.size = 3\n", "pool.size = 3\n");
    EXPECT_THAT(d.changed, IsEmpty());
    EXPECT_THAT(d.needs_restart, IsEmpty());
}

TEST(Diff, GlobalKeysAreNamed) {
    EXPECT_THAT(between("", "[timeouts]\nquery = \"1s\"\n[limits]\nmax_clients = 3\n").changed,
                ElementsAre("limits.max_clients", "timeouts.query"));
}

TEST(Diff, KeysThatAreReadAtStartNeedARestart) {
    const auto d = between("", R"(
[listen]
addresses = ["::1"]
port = 1
unix_socket_dir = "/tmp"
unix_socket_mode = "0700"
backlog = 1
[log]
file = "/tmp/log"
format = "json"
[workers]
count = 2
[http]
addresses = ["::1"]
port = 2
[process]
state_dir = "/srv"
user = "weir"
group = "weir"
core_dumps = true
)");
    EXPECT_THAT(d.changed, IsEmpty());
    EXPECT_THAT(d.needs_restart,
                ElementsAre("listen.addresses", "listen.port", "listen.unix_socket_dir",
                            "listen.unix_socket_mode", "listen.backlog", "log.format", "log.file",
                            "workers.count", "http.addresses", "http.port", "process.state_dir",
                            "process.user", "process.group", "process.core_dumps"));
}

TEST(Diff, LogLevelAndConnectionsAreReloaded) {
    EXPECT_THAT(between("", "[log]\nlevel = \"debug\"\nconnections = true\n").changed,
                ElementsAre("log.level", "log.connections"));
}

TEST(Diff, KeyOfADatabaseIsNamedInFull) {
    EXPECT_THAT(between("", "port = 1\npool.size = 3\ntimeouts.query = \"1s\"\n").changed,
                ElementsAre("database.shop.port", "database.shop.pool.size",
                            "database.shop.timeouts.query"));
}

TEST(Diff, GlobalKeyThatADatabaseFollowsIsNamedOnce) {
    EXPECT_THAT(between("", "[pool]\nsize = 3\n").changed, ElementsAre("pool.size"));
}

TEST(Diff, GlobalKeyThatADatabaseOverridesDoesNotNameTheDatabase) {
    EXPECT_THAT(between("pool.size = 5\n", "pool.size = 5\n[pool]\nsize = 3\n").changed,
                ElementsAre("pool.size"));
}

TEST(Diff, OverrideThatDisappearsIsNamed) {
    EXPECT_THAT(between("pool.size = 5\n", "").changed, ElementsAre("database.shop.pool.size"));
}

TEST(Diff, DatabaseThatComesOrGoesIsNamed) {
    EXPECT_THAT(between("[database.old]\n", "[database.\"new.one\"]\n").changed,
                ElementsAre("database.old", "database.\"new.one\""));
}

TEST(Diff, ClusterThatComesOrGoesIsNamed) {
    EXPECT_THAT(
        between("[cluster.old]\nnodes = [\"a\"]\n", "[cluster.new]\nnodes = [\"a\"]\n").changed,
        ElementsAre("cluster.old", "cluster.new"));
}

TEST(Diff, KeysOfAClusterAreNamed) {
    EXPECT_THAT(between("[cluster.main]\nnodes = [\"a\"]\n",
                        "[cluster.main]\nnodes = [\"a\"]\nlease = \"5s\"\nmonitor.user = \"m\"\n")
                    .changed,
                ElementsAre("cluster.main.lease", "cluster.main.monitor.user"));
}

TEST(Diff, StateFileOfAClusterNeedsARestart) {
    EXPECT_THAT(between("[cluster.main]\nnodes = [\"a\"]\n",
                        "[cluster.main]\nnodes = [\"a\"]\nstate_file = \"/srv/a\"\n")
                    .needs_restart,
                ElementsAre("cluster.main.state_file"));
}

TEST(Diff, NodeThatComesOrGoesChangesTheNodes) {
    EXPECT_THAT(between("[cluster.main]\nnodes = [\"a\", \"b\"]\n",
                        "[cluster.main]\nnodes = [\"a\", \"c\"]\n")
                    .changed,
                ElementsAre("cluster.main.nodes"));
}

TEST(Diff, KeyOfANodeIsNamedWithTheNode) {
    EXPECT_THAT(between("[cluster.main]\nnodes = [\"a\", \"b.c\"]\n",
                        "[cluster.main]\nnodes = [\"a\", \"b.c:5433\"]\n")
                    .changed,
                ElementsAre("cluster.main.node.\"b.c\".port"));
}

TEST(Diff, UserThatComesOrGoesIsNamed) {
    EXPECT_THAT(between("[user.old]\n", "[user.new]\n").changed,
                ElementsAre("user.old", "user.new"));
}

TEST(Diff, KeysOfAUserAreNamed) {
    EXPECT_THAT(between("[user.ann]\nconsole = \"stats\"\n",
                        "[user.ann]\npool.size = 3\ntimeouts.query = 0\n")
                    .changed,
                ElementsAre("user.ann.console", "user.ann.pool.size", "user.ann.timeouts.query"));
}

TEST(Diff, ChangedPasswordIsNamedButNotShown) {
    EXPECT_THAT(between("[user.ann]\npassword = \"a\"\n", "[user.ann]\npassword = \"b\"\n").changed,
                ElementsAre("user.ann.password"));
}

}  // namespace pgweir::config::testing
