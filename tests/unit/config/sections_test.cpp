// Each section of the file reaches its part of the snapshot.
#include "config/loading.hpp"

namespace pgweir::config::testing {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

TEST(Sections, ListenIsRead) {
    const auto s = loaded(enough + R"(
[listen]
addresses = ["::1", "*"]
port = 7000
unix_socket_dir = "/tmp"
unix_socket_mode = "0750"
backlog = 128
)");
    EXPECT_THAT(s->listen.addresses, ElementsAre("::1", "*"));
    EXPECT_EQ(s->listen.port, 7000);
    EXPECT_EQ(s->listen.unix_socket_dir, "/tmp");
    EXPECT_EQ(s->listen.unix_socket_mode, 0750U);
    EXPECT_EQ(s->listen.backlog, 128);
}

TEST(Sections, LogIsRead) {
    const auto s = loaded(enough + R"(
[log]
level = "warn"
format = "json"
file = "/var/log/pgweir.log"
connections = true
)");
    EXPECT_EQ(s->log.level, "warn");
    EXPECT_EQ(s->log.format, log_format::json);
    EXPECT_EQ(s->log.file, "/var/log/pgweir.log");
    EXPECT_TRUE(s->log.connections);
}

TEST(Sections, WorkersAreRead) {
    EXPECT_EQ(loaded(enough + "[workers]\ncount = 3\n")->workers.count, 3U);
}

TEST(Sections, AuthIsRead) {
    EXPECT_EQ(loaded("[auth]\nmethod = \"password\"\n[database.a]\n[user.a]\npassword = \"x\"\n")
                  ->auth.method,
              login_method::password);
}

TEST(Sections, LimitsAreRead) {
    const auto s = loaded(enough +
                          "[limits]\nmax_clients = 5\nmax_login_clients = 6\n"
                          "max_login_clients_per_address = 7\nlogin_rate_per_address = 8\n");
    EXPECT_EQ(s->limits.max_clients, 5U);
    EXPECT_EQ(s->limits.max_login_clients, 6U);
    EXPECT_EQ(s->limits.max_login_clients_per_address, 7U);
    EXPECT_EQ(s->limits.login_rate_per_address, 8U);
}

TEST(Sections, TcpIsRead) {
    const auto s = loaded(enough + R"(
[tcp]
keepalive = false
keepalive_idle = "2m"
keepalive_interval = "3s"
keepalive_count = 4
user_timeout = "500ms"
)");
    EXPECT_FALSE(s->tcp.keepalive);
    EXPECT_EQ(s->tcp.keepalive_idle, 120s);
    EXPECT_EQ(s->tcp.keepalive_interval, 3s);
    EXPECT_EQ(s->tcp.keepalive_count, 4);
    EXPECT_EQ(s->tcp.user_timeout, 500ms);
}

TEST(Sections, TimeoutsAreRead) {
    const auto s = loaded(enough + R"(
[timeouts]
client_login = "1s"
client_idle = "2s"
query = "3s"
query_wait = "4s"
idle_in_transaction = "5s"
transaction = "6s"
client_stall = "8s"
shutdown = "7s"
)");
    EXPECT_EQ(s->timeouts.client_login, 1s);
    EXPECT_EQ(s->timeouts.client_idle, 2s);
    EXPECT_EQ(s->timeouts.query, 3s);
    EXPECT_EQ(s->timeouts.query_wait, 4s);
    EXPECT_EQ(s->timeouts.idle_in_transaction, 5s);
    EXPECT_EQ(s->timeouts.transaction, 6s);
    EXPECT_EQ(s->timeouts.client_stall, 8s);
    EXPECT_EQ(s->timeouts.shutdown, 7s);
}

TEST(Sections, PoolIsRead) {
    const auto s = loaded(enough + R"(
[pool]
mode = "session"
size = 7
min_size = 2
reserve_size = 3
reserve_after = "1s"
max_parallel_connects = 5
server_connect_timeout = "2s"
server_lifetime = "2h"
server_idle_timeout = "3m"
server_check_delay = 0
server_close_timeout = "4s"
clean = "always"
max_prepared_statements = 0
)");
    EXPECT_EQ(s->pool.mode, pool_mode::session);
    EXPECT_EQ(s->pool.size, 7U);
    EXPECT_EQ(s->pool.min_size, 2U);
    EXPECT_EQ(s->pool.reserve_size, 3U);
    EXPECT_EQ(s->pool.reserve_after, 1s);
    EXPECT_EQ(s->pool.max_parallel_connects, 5U);
    EXPECT_EQ(s->pool.server_connect_timeout, 2s);
    EXPECT_EQ(s->pool.server_lifetime, 2h);
    EXPECT_EQ(s->pool.server_idle_timeout, 3min);
    EXPECT_EQ(s->pool.server_check_delay, 0ms);
    EXPECT_EQ(s->pool.server_close_timeout, 4s);
    EXPECT_EQ(s->pool.clean, cleaning::always);
    EXPECT_EQ(s->pool.max_prepared_statements, 0U);
}

TEST(Sections, DatabaseIsRead) {
    const auto s = loaded(R"(
auth.method = "trust"
[database."my.db"]
host = "/run/postgresql"
port = 5433
dbname = "other"
protocol = "3.0"
user = "app"
password = "secret"
max_server_connections = 30
max_client_connections = 40
)");
    const auto& d = s->databases.at("my.db");
    EXPECT_EQ(d.name, "my.db");
    EXPECT_EQ(d.host, "/run/postgresql");
    EXPECT_EQ(d.port, 5433);
    EXPECT_EQ(d.dbname, "other");
    EXPECT_EQ(d.protocol, server_protocol::v3_0);
    EXPECT_EQ(d.user, "app");
    EXPECT_EQ(d.password.reveal(), "secret");
    EXPECT_EQ(d.max_server_connections, 30U);
    EXPECT_EQ(d.max_client_connections, 40U);
}

TEST(Sections, UserIsRead) {
    const auto s = loaded(enough + R"(
[user.ann]
password = "one"
server_password = "two"
console = "admin"
max_server_connections = 3
max_client_connections = 4
)");
    const auto& u = s->users.at("ann");
    EXPECT_EQ(u.name, "ann");
    EXPECT_EQ(u.password.reveal(), "one");
    EXPECT_EQ(u.server_password.reveal(), "two");
    EXPECT_EQ(u.console, console_role::admin);
    EXPECT_EQ(u.max_server_connections, 3U);
    EXPECT_EQ(u.max_client_connections, 4U);
}

TEST(Sections, DatabaseLaysItsPoolOverTheGlobalOneWhereverThatStands) {
    const auto s = loaded(enough + "pool.mode = \"session\"\n[pool]\nsize = 9\n");
    EXPECT_EQ(s->databases.at("shop").pool.size, 9U);
    EXPECT_EQ(s->databases.at("shop").pool.mode, pool_mode::session);
    EXPECT_EQ(s->pool.mode, pool_mode::transaction);
}

TEST(Sections, DatabaseLaysItsTimeoutsOverTheGlobalOnes) {
    const auto s = loaded(enough + "timeouts.query = \"1s\"\n[timeouts]\nquery_wait = \"9s\"\n");
    EXPECT_EQ(s->databases.at("shop").timeouts.query, 1s);
    EXPECT_EQ(s->databases.at("shop").timeouts.query_wait, 9s);
    EXPECT_EQ(s->timeouts.query, 0s);
}

TEST(Sections, StarStandsForEveryDatabaseWithoutASection) {
    const auto s = loaded(enough + "[database.\"*\"]\nport = 1\n");
    EXPECT_EQ(s->find_database("shop")->port, 5432);
    EXPECT_EQ(s->find_database("other")->port, 1);
}

TEST(Sections, DatabaseWithoutASectionIsNotFoundWhenThereIsNoStar) {
    EXPECT_EQ(loaded(enough)->find_database("other"), nullptr);
}

TEST(Sections, UserWithoutASectionIsNotFound) {
    EXPECT_EQ(loaded(enough)->find_user("ann"), nullptr);
}

TEST(Sections, PoolOfAUserIsLaidOverTheDatabases) {
    const auto s = loaded(enough + R"(
pool.reserve_size = 2
[user.ann.pool]
mode = "statement"
size = 3
min_size = 1
)");
    const auto pool = effective_pool(s->databases.at("shop"), s->find_user("ann"));
    EXPECT_EQ(pool.mode, pool_mode::statement);
    EXPECT_EQ(pool.size, 3U);
    EXPECT_EQ(pool.min_size, 1U);
    EXPECT_EQ(pool.reserve_size, 2U);
}

TEST(Sections, TimeoutsOfAUserAreLaidOverTheDatabases) {
    const auto s = loaded(enough + R"(
timeouts.query = "1s"
timeouts.transaction = "2s"
[user.ann.timeouts]
query = 0
client_idle = "3s"
query_wait = "4s"
idle_in_transaction = "5s"
client_stall = "6s"
)");
    const auto timeouts = effective_timeouts(s->databases.at("shop"), s->find_user("ann"));
    EXPECT_EQ(timeouts.query, 0s);
    EXPECT_EQ(timeouts.transaction, 2s);
    EXPECT_EQ(timeouts.client_idle, 3s);
    EXPECT_EQ(timeouts.query_wait, 4s);
    EXPECT_EQ(timeouts.idle_in_transaction, 5s);
    EXPECT_EQ(timeouts.client_stall, 6s);
}

TEST(Sections, UnknownUserGetsWhatTheDatabaseSays) {
    const auto s = loaded(enough + "pool.size = 3\n");
    EXPECT_EQ(effective_pool(s->databases.at("shop"), nullptr).size, 3U);
}

}  // namespace pgweir::config::testing
