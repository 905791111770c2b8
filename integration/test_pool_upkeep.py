"""What a pool does by itself: servers that expire, minimums that are kept, pools that wait."""

import signal
import time

import pytest

from cluster import until
from threads import HeldLogin, in_threads
from watching import pids, serves_at_once

LIMITS = ["server_idle_timeout", "server_lifetime"]


@pytest.mark.parametrize("everywhere", ["300ms", 0])
@pytest.mark.parametrize("key", LIMITS)
def test_each_database_closes_its_servers_by_its_own_limit(cluster, pooler, database, key,
                                                           everywhere):
    own = {"follows": {}, "soon": {key: "300ms"}, "late": {key: "1h"}, "never": {key: 0}}
    server = {"host": cluster.host, "port": cluster.port, "dbname": database}
    weir = pooler(cluster, {"pool": {key: everywhere},
                            "database": {n: {**server, "pool": p} for n, p in own.items()}})
    servers = {}
    for name in own:
        with weir.wire("app", name) as client:
            servers[name] = int(client.value("select pg_backend_pid()"))
    stay = {"late", "never"} | ({"follows"} if everywhere == 0 else set())
    ends = {pid for name, pid in servers.items() if name not in stay}
    until(lambda: not ends & pids(cluster, database), what="the end of the others")
    time.sleep(1.2)  # another round of what is done once a second
    assert pids(cluster, database) == {servers[name] for name in stay}


def test_servers_that_came_together_do_not_go_together(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 20, "server_lifetime": "6s"},
                            "auth": {"method": "trust"}}, [database])
    weir.database = database
    assert serves_at_once(weir, 20)
    seen = set()

    def none_left():
        seen.add(len(pids(cluster, database)))
        return 0 in seen

    until(none_left, what="the end of all servers")
    assert seen - {0, 20}


def test_servers_are_replaced_no_more_often_than_their_lifetime_says(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 4, "server_lifetime": "1s"},
                            "auth": {"method": "trust"}}, [database])
    seen, began = set(), time.monotonic()

    def client(_):
        with weir.wire("app", database) as me:
            while time.monotonic() - began < 3:
                ((pid, _),) = me.values("select pg_backend_pid(), pg_sleep(0.002)")
                seen.add(pid)

    in_threads(30, client)
    generations = (time.monotonic() - began) / 0.7  # of a lifetime, when the first may go
    assert 4 < len(seen) <= 4 * (1 + generations)


@pytest.mark.parametrize("key", ["server_idle_timeout", "server_lifetime"])
def test_a_reload_of_a_limit_holds_for_servers_that_are_there(cluster, pooler, database, key):
    weir = pooler(cluster, {"pool": {key: "1h"}}, [database])
    with weir.wire("app", database) as client:
        client.query("select 1")
        weir.change({"pool": {key: "300ms"}})
        until(lambda: not pids(cluster, database), 3, "the end of the server")


# --- the minimum ---------------------------------------------------------------------------------


def test_the_minimum_is_kept_when_servers_expire(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"min_size": 2, "server_lifetime": "500ms"}}, [database])
    with weir.wire("app", database) as client:
        client.query("select 1")
        first = until(lambda: len(pids(cluster, database)) == 2 and pids(cluster, database))
        until(lambda: len(pids(cluster, database) - first) == 2, what="two other servers")


def test_the_minimum_comes_back_after_the_server_was_down(own_cluster, pooler):
    weir = pooler(own_cluster, {"pool": {"min_size": 2}})
    with weir.wire("app") as client:
        client.query("select 1")
        until(lambda: len(pids(own_cluster, "shop", "app")) == 2, what="the minimum")
        own_cluster.stop()
        until(lambda: "no connection to" in weir.log(), what="a failed attempt")
        own_cluster.start()
        until(lambda: len(pids(own_cluster, "shop", "app")) == 2, what="the minimum")


def test_a_minimum_that_cannot_be_reached_is_tried_for_now_and_then(own_cluster, pooler):
    weir = pooler(own_cluster, {"pool": {"min_size": 2}})
    with weir.wire("app") as client:
        client.query("select 1")
        own_cluster.stop()
        until(lambda: weir.log().count("no connection to") >= 4, what="the longest back-off")
        before, began = weir.log().count("no connection to"), time.monotonic()
        time.sleep(2)
        tried = weir.log().count("no connection to") - before
        assert tried <= 2 * (2 * (time.monotonic() - began) + 1)  # both, at most twice a second


def test_the_minimum_of_a_forced_user_is_there_before_the_first_client(cluster, pooler, database):
    pooler(cluster, {"database": {database: {"user": "app", "password": "app-secret"}},
                     "pool": {"min_size": 2}}, [database])
    until(lambda: len(pids(cluster, database)) == 2, 5, "the minimum")


# --- pools that nobody named ---------------------------------------------------------------------


def test_a_pool_that_only_the_star_names_outlives_a_slow_first_login(own_cluster, pooler):
    weir = pooler(own_cluster, {"auth": {"method": "trust"}}, databases=["*"])
    own_cluster.process.send_signal(signal.SIGSTOP)
    try:
        clients = [HeldLogin(weir) for _ in range(2)]
        until(lambda: weir.pool() and weir.pool()["sv_login"], what="a login that hangs")
        time.sleep(2.5)  # past two rounds of forgetting what nobody uses
        assert weir.pool() is not None
    finally:
        own_cluster.process.send_signal(signal.SIGCONT)
    for client in clients:
        client.join(30)
    assert [client.error for client in clients] == ["", ""]
    with weir.wire("app") as late:
        assert late.value("select 1") == "1"
