"""PostgreSQL hangs, restarts, or ends a backend: its client is told, and the pool goes on."""

import os
import signal
import threading

import pytest

import wire
from cluster import until
from threads import Sender, in_threads
from watching import pids, serves_at_once
from wire import FLUSH, SYNC, Closed, rows, sqlstates


@pytest.mark.parametrize(("how", "sqlstate"), [("terminated", "57P01"), ("idle", "25P03")])
def test_a_server_that_ends_a_silent_transaction_makes_room_at_once(cluster, pooler, database, how,
                                                                    sqlstate):
    if how == "idle":
        cluster.execute(f"alter database {database} set idle_in_transaction_session_timeout = 300")
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    for _ in range(2):
        with weir.wire("app", database) as silent, weir.wire("app", database) as waiter:
            silent.query("begin")
            pid = silent.value("select pg_backend_pid()")
            waiter.send(wire.query("select 'served'"))
            if how == "terminated":
                cluster.execute(f"select pg_terminate_backend({pid})")
            assert rows(waiter.read_until("Z")) == [["served"]]
            assert sqlstates(silent.drain()) == [sqlstate]


def test_a_server_lost_in_a_batch_without_sync_is_reported_once(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    with weir.wire("app", database) as client:
        frames = client.send(wire.parse("select pg_backend_pid()"), wire.bind(), wire.execute(),
                             FLUSH).read_until("C")
        cluster.execute(f"select pg_terminate_backend({rows(frames)[0][0]})")
        assert sqlstates(client.drain()) == ["57P01"]
    with weir.wire("app", database) as client:
        assert client.value("select 1") == "1"


def test_a_server_lost_amid_a_message_of_its_client_is_reported(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    with weir.wire("app", database) as client:
        client.send(wire.query(f"select length('{'x' * 1_000_000}')")[:500_000])
        (pid,) = until(lambda: weir.pool(database)["sv_active"] and pids(cluster, database),
                       what="half of the query sent")
        cluster.execute(f"select pg_terminate_backend({pid})")
        assert sqlstates(client.drain()) == ["57P01"]
    with weir.wire("app", database) as client:
        assert client.value("select 1") == "1"


# More than all sockets on the way take, so that pgweir has to hold its client back.
MUCH = {
    "a query": [wire.query(f"select length('{'x' * 16_000_000}')")],
    "statements": [wire.parse(f"select length('{'x' * 40_000}')") + wire.bind() + wire.execute()]
    * 400 + [SYNC],
}


@pytest.mark.parametrize("what", MUCH)
def test_the_client_of_a_server_that_hangs_is_told(cluster, pooler, database, what):
    weir = pooler(cluster, {"pool": {"size": 1}, "timeouts": {"query": "500ms"}}, [database])
    with weir.wire("app", database) as client:
        pid = int(client.value("select pg_backend_pid()"))
        os.kill(pid, signal.SIGSTOP)
        try:
            Sender(client, b"".join(MUCH[what])).start()
            assert sqlstates(client.drain()) == ["57014"]
        finally:
            os.kill(pid, signal.SIGCONT)
    with weir.wire("app", database) as client:
        assert client.value("select 1") == "1"


def test_clients_of_a_server_that_hangs_do_not_hold_up_those_of_another(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 2}, "workers": {"count": 1}}, [database])
    with weir.wire("app", database) as one, weir.wire("app", database) as two:
        one.query("begin")
        pid = int(one.value("select pg_backend_pid()"))
        os.kill(pid, signal.SIGSTOP)
        try:
            Sender(one, b"".join(MUCH["a query"])).start()
            assert [two.value(f"select {n}") for n in range(50)] == [str(n) for n in range(50)]
        finally:
            os.kill(pid, signal.SIGCONT)
        assert rows(one.read_until("Z")) == [["16000000"]]


def test_60_clients_come_back_after_a_restart_a_few_logins_at_a_time(own_cluster, pooler):
    weir = pooler(own_cluster, {"pool": {"size": 12, "max_parallel_connects": 3},
                                "auth": {"method": "trust"}})
    weir.database = "shop"
    restarted, done, logins = threading.Event(), threading.Event(), []

    def restart():
        until(lambda: len(pids(own_cluster, "shop", "app")) == 12, what="a busy pool")
        own_cluster.stop()
        own_cluster.start()
        restarted.set()

    def client():
        me, served = weir.wire("app"), 0
        while served < 3:
            after = restarted.is_set()
            try:
                lost = sqlstates(me.send(wire.query("select pg_sleep(0.01)")).outcome())
            except Closed:
                lost = True
            if lost:
                me.close()
                me = weir.wire("app")
            served += after and not lost
        me.close()

    def watch():
        while not done.is_set():
            logins.append((weir.pool() or {}).get("sv_login", 0))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    in_threads(61, lambda number: client() if number else restart())
    done.set()
    watcher.join()
    assert max(logins) <= 3
    assert serves_at_once(weir, 12)
