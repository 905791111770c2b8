"""The bounds of a pool under pressure: every server stays usable, none is one too many."""

import collections
import socket

import pytest

import wire
from cluster import until
from threads import HeldLogin, in_threads
from watching import pids, serves_at_once, settled, waiting
from wire import rows, sqlstates

TRUST = {"auth": {"method": "trust"}}


def start(cluster, pooler, name, **over):
    weir = pooler(cluster, {**TRUST, **over}, [name])
    weir.database = name
    return weir


def idle_servers(weir, user, count):
    """Leaves this pool with so many idle servers."""
    assert serves_at_once(weir, count, user)
    until(lambda: weir.pool(weir.database, user)["sv_idle"] == count, what="idle servers")


# --- crowds --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "size"), [(1, 10), (2, 10), (2, 40)])
def test_a_crowd_wears_out_no_server_and_loses_none(cluster, pooler, database, workers, size):
    weir = start(cluster, pooler, database, pool={"size": size}, workers={"count": workers})
    seen = collections.Counter()

    def client(_):
        with weir.wire("app", database) as me:
            for _ in range(10):
                ((pid, _),) = me.values("select pg_backend_pid(), pg_sleep(0.002)")
                seen[pid] += 1

    in_threads(120, client)
    assert sum(seen.values()) == 1200 and len(seen) <= size
    assert serves_at_once(weir, size)
    with weir.wire("app", database) as client:
        assert int(client.value("select pg_backend_pid()")) in pids(cluster, database)
    assert weir.permits(database) == len(pids(cluster, database)) <= size


@pytest.mark.parametrize("workers", [1, 2])
def test_clients_that_give_up_as_their_turn_comes_lose_nobody_a_server(cluster, pooler, database,
                                                                       workers):
    weir = start(cluster, pooler, database, workers={"count": workers},
                 pool={"size": 3, "reserve_size": 1, "reserve_after": "10ms"},
                 timeouts={"query_wait": "20ms"})
    ends = collections.Counter()

    def client(number):
        with weir.wire("app", database) as me:
            for turn in range(25):
                frames = me.query(f"select pg_sleep(0.02), '{number}.{turn}'")
                ends["".join(sqlstates(frames))] += 1
                assert rows(frames) in ([], [["", f"{number}.{turn}"]])

    in_threads(24, client)
    assert set(ends) == {"", "53300"}, ends
    settled(weir, cluster)
    assert weir.permits(database) <= 4
    weir.change({"timeouts": {"query_wait": "60s"}})
    assert serves_at_once(weir, 4)


def test_clients_that_waited_in_vain_are_passed_over(cluster, pooler, database):
    cluster.execute("create table t (n int); grant all on t to public", database)
    weir = start(cluster, pooler, database, pool={"size": 1}, timeouts={"query_wait": "500ms"})
    with weir.wire("app", database) as holder:
        holder.query("begin")
        clients = [weir.wire("app", database) for _ in range(20)]
        for client in clients:
            client.send(wire.query("insert into t values (1)"))
        assert [sqlstates(client.read_until("Z")) for client in clients] == [["53300"]] * 20
        holder.query("commit")
        assert clients[0].value("select count(*) from t") == "0"
    assert weir.permits(database) == 1


def test_no_more_logins_are_under_way_than_may_be(cluster, pooler):
    with socket.create_server(("127.0.0.1", 0), backlog=128) as silent:
        weir = pooler(cluster, {**TRUST, "database": {"shop": {"port": silent.getsockname()[1]}},
                                "pool": {"size": 40, "max_parallel_connects": 3}})
        clients = [HeldLogin(weir) for _ in range(30)]
        until(lambda: (weir.pool() or {}).get("cl_waiting") == 30, what="30 waiting clients")
        silent.settimeout(1)
        accepted = []
        with pytest.raises(TimeoutError):
            while True:
                accepted.append(silent.accept()[0])
        assert len(accepted) == weir.permits() == weir.pool()["sv_login"] == 3
        weir.change({"database": {"shop": {"port": cluster.port}}})
        for client in clients:
            client.join(30)
        assert {client.error for client in clients} == {""}


@pytest.mark.parametrize("cap", ["limits", "database", "user"])
def test_of_many_clients_at_once_as_many_get_in_as_may(cluster, pooler, cap):
    weir = pooler(cluster, {**TRUST, **{
        "limits": {"limits": {"max_clients": 50}},
        "database": {"database": {"shop": {"max_client_connections": 50}}},
        "user": {"user": {"app": {"max_client_connections": 50}}}}[cap]})

    def crowd():
        clients = [weir.wire() for _ in range(200)]
        in_threads(200, lambda n: clients[n].login("app", "shop"))
        ends = collections.Counter((c.login_error or {}).get("C", "") for c in clients)
        assert all(c.value("select 1") == "1" for c in clients if c.login_error is None)
        for client in clients:
            client.close()
        return ends

    assert crowd() == {"": 50, "53300": 150}
    until(lambda: not [r for r in weir.show("CLIENTS") if r["database"] == "shop"],
          what="room for other clients")
    assert crowd() == {"": 50, "53300": 150}


# --- caps over several pools ---------------------------------------------------------------------


def test_a_server_given_back_makes_room_for_who_waits_under_the_same_cap(cluster, pooler, database):
    weir = start(cluster, pooler, database,
                 database={database: {"max_server_connections": 1}})
    with weir.wire("app", database) as one, weir.wire("other", database) as two:
        for turn in range(3):
            one.query("begin")
            two.send(wire.query(f"select {turn}"))
            waiting(weir, database, user="other")
            one.query("commit")
            assert rows(two.read_until("Z")) == [[str(turn)]]


def test_one_idle_server_is_closed_for_a_newcomer(cluster, pooler, database):
    weir = start(cluster, pooler, database,
                 database={database: {"max_server_connections": 4}})
    idle_servers(weir, "app", 4)
    before = pids(cluster, database)
    with weir.wire("other", database) as newcomer:
        assert newcomer.value("select 1") == "1"
        assert len(before & pids(cluster, database)) == 3


def test_the_pool_with_most_idle_servers_makes_room(cluster, pooler, database):
    # Several workers may connect for a client that another's idle server reaches first, and then
    # the pools are fuller than this wants.
    weir = start(cluster, pooler, database, workers={"count": 1},
                 database={database: {"max_server_connections": 5}})
    idle_servers(weir, "scram_user", 2)
    idle_servers(weir, "app", 3)
    with weir.wire("other", database) as newcomer:
        assert newcomer.value("select 1") == "1"
        assert [len(pids(cluster, database, user)) for user in ("app", "scram_user")] == [2, 2]


def test_a_pool_at_its_minimum_makes_no_room(cluster, pooler, database):
    weir = start(cluster, pooler, database, timeouts={"client_login": "1s"},
                 user={"app": {"pool": {"min_size": 2}}},
                 database={database: {"max_server_connections": 2}})
    with weir.wire("app", database) as app:
        idle_servers(weir, "app", 2)
        before = pids(cluster, database)
        with weir.wire() as newcomer:
            newcomer.login("other", database)
            assert newcomer.login_error["C"] == "57P03"
        assert pids(cluster, database) == before and app.value("select 1") == "1"


@pytest.mark.parametrize("where", ["database", "user"])
def test_a_reload_that_raises_a_cap_helps_who_waits(cluster, pooler, database, where):
    name = {"database": database, "user": "app"}[where]
    weir = start(cluster, pooler, database, **{where: {name: {"max_server_connections": 1}}})
    with weir.wire("app", database) as one, weir.wire("app", database) as two:
        one.query("begin")
        two.send(wire.query("select 'served'"))
        waiting(weir, database)
        weir.change({where: {name: {"max_server_connections": 2}}})
        assert rows(two.read_until("Z")) == [["served"]]


@pytest.mark.parametrize("where", ["database", "user"])
def test_a_wait_that_a_cap_made_too_long_names_it(cluster, pooler, database, where):
    name = {"database": database, "user": "app"}[where]
    weir = start(cluster, pooler, database, timeouts={"query_wait": "300ms"},
                 **{where: {name: {"max_server_connections": 1}}})
    with weir.wire("app", database) as one, weir.wire("app", database) as two:
        one.query("begin")
        (error,) = [wire.fields(f) for f in two.query("select 1") if f.type == "E"]
        assert error["C"] == "53300" and "max_server_connections" in str(error)
