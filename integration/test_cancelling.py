"""A cancel request ends the query of its client, whatever that does, and nothing else."""

import socket
import subprocess

import pytest
from psycopg import pq

import wire
from cluster import until
from watching import running
from wire import SYNC, sqlstates


@pytest.mark.every_version
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_running_query_is_cancelled(cluster, pooler, database, mode):
    weir = pooler(cluster, {"pool": {"mode": mode}}, [database])
    with weir.wire("app", database) as client:
        client.send(wire.query("select pg_sleep(61)"))
        running(cluster, "select pg_sleep(61)")
        client.cancel()
        assert sqlstates(client.read_until("Z")) == ["57014"]


BATCH = wire.bind() + wire.execute() + SYNC
RUNNING = {
    "a query": [wire.query("select pg_sleep(71)")],
    "the second of several": [wire.query("select 1; select pg_sleep(71); select 3")],
    "a batch": [wire.parse("select pg_sleep(71)"), BATCH],
    "a prepared statement": [wire.parse("select pg_sleep(71)", "s"),
                             wire.bind(statement="s"), wire.execute(), SYNC],
    "copy out": [wire.query("copy (select pg_sleep(71)) to stdout")],
    "a wait for a lock": [wire.query("select pg_sleep(71) from locked")],
}


@pytest.mark.parametrize("what", RUNNING)
def test_whatever_runs_is_cancelled_and_its_client_goes_on(cluster, pooler, database, what):
    cluster.execute("create table locked as select 1; grant all on locked to public", database)
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    with weir.wire("app", database) as client, cluster.connect(database) as holder:
        with holder.transaction():
            holder.execute("lock table locked")
            client.send(*RUNNING[what])
            until(lambda: cluster.backends(database, "state = 'active'"
                                                     " and query like '%pg_sleep(71)%'"),
                  what="the query to run")
            client.cancel()
            assert sqlstates(client.read_until("Z")) == ["57014"]
        assert client.value("select 'goes on'") == "goes on"


def test_a_cancel_ends_a_copy_whose_rows_are_under_way(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    with weir.wire("app", database) as client:
        client.send(wire.query(
            "copy (select repeat('x', 1000), generate_series(1, 100000000)) to stdout"))
        client.read_until("d")
        client.cancel()
        frames = client.read_until("Z")
        assert sqlstates(frames) == ["57014"] and frames[-1].body == b"I"
        assert client.value("select 'goes on'") == "goes on"


def test_a_cancel_amid_a_large_row_leaves_its_client_in_step(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    with weir.wire("app", database) as client:
        client.send(wire.query("select repeat('x', 20000000) from generate_series(1, 20)"))
        until(lambda: len(client.sock.recv(1 << 16, socket.MSG_PEEK)) == 1 << 16,
              what="the first row")
        client.cancel()
        frames = client.read_until("Z")
        assert sqlstates(frames) == ["57014"]
        assert all(len(f.body) == 20_000_006 for f in frames if f.type == "D")
        assert client.value("select 'goes on'") == "goes on"


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_cancel_in_a_transaction_fails_it_and_no_more(cluster, pooler, database, mode):
    weir = pooler(cluster, {"pool": {"size": 1, "mode": mode}}, [database])
    with weir.wire("app", database) as client:
        client.query("begin")
        pid = client.value("select pg_backend_pid()")
        client.send(wire.query("select pg_sleep(72)"))
        running(cluster, "select pg_sleep(72)")
        client.cancel()
        frames = client.read_until("Z")
        assert (sqlstates(frames), frames[-1].body) == (["57014"], b"E")
        assert client.query("rollback")[-1].body == b"I"
        assert client.value("select pg_backend_pid()") == pid


def test_two_cancels_end_one_query(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    with weir.wire("app", database) as client:
        for _ in range(5):
            client.send(wire.query("select pg_sleep(73)"))
            running(cluster, "select pg_sleep(73)")
            client.cancel()
            client.cancel()
            assert sqlstates(client.read_until("Z")) == ["57014"]
            assert client.values("select pg_sleep(0.05), 'next'") == [["", "next"]]


def test_a_cancel_hits_only_the_query_of_its_client(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 5}}, [database])
    with weir.wire("app", database) as one, weir.wire("app", database) as two:
        one.send(wire.query("select pg_sleep(62)"))
        two.send(wire.query("select pg_sleep(2), 'survived'"))
        running(cluster, "select pg_sleep(62)")
        one.cancel()
        assert sqlstates(one.read_until("Z")) == ["57014"]
        assert wire.rows(two.read_until("Z")) == [["", "survived"]]


def test_a_late_cancel_does_not_hit_the_server_s_next_client(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    with weir.wire("app", database) as one, weir.wire("app", database) as two:
        for turn in range(100):
            one.value("select 1")
            two.send(wire.query(f"select pg_sleep(0.005), {turn}"))
            one.cancel()
            assert wire.rows(two.read_until("Z")) == [["", str(turn)]]


def test_the_key_of_a_client_that_left_does_not_hit_the_server_s_next_client(cluster, pooler,
                                                                             database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    left = []
    for turn in range(4):
        with weir.wire("app", database) as client:
            client.send(wire.query(f"select pg_sleep(0.3), {turn}"))
            running(cluster, f"select pg_sleep(0.3), {turn}")
            for earlier in left:
                earlier.cancel()
            assert wire.rows(client.read_until("Z")) == [["", str(turn)]]
        left.append(client)


def test_a_cancel_that_is_over_does_not_hit_the_next_query(cluster, pooler, database, tmp_path):
    weir = pooler(cluster, {"pool": {"size": 4}, "auth": {"method": "trust"}}, [database])
    script = tmp_path / "script.sql"
    script.write_text("select repeat('x', 1000) from generate_series(1, 50)")
    load = subprocess.Popen(
        [cluster.install.program("pgbench"), "-h", weir.host, "-p", str(weir.port), "-U", "app",
         "-n", "-f", script, "-c", "60", "-j", "2", "-T", "600", database],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: (weir.pool(database) or {}).get("cl_waiting"), what="a queue")
        for _ in range(300):
            with weir.wire("app", database) as client:
                client.query("select 1")
                client.cancel()
                assert not sqlstates(client.query("select 2"))
    finally:
        load.kill()
        load.wait()


FORGED = {
    "another secret": lambda key: key[:-1] + bytes([key[-1] ^ 1]),
    "another process": lambda key: key[:3] + bytes([key[3] ^ 1]) + key[4:],
    "another worker": lambda key: bytes([key[0] ^ 0x40]) + key[1:],
    "no secret": lambda key: key[:4] + b"\0\0\0\0",
    "zeros": lambda key: bytes(8), "ones": lambda key: b"\xff" * 8,
    "half a key": lambda key: key[:4], "a longer key": lambda key: key + b"\0\0\0\0",
}


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_cancel_key_cancels_nothing(cluster, pooler, database, how):
    weir = pooler(cluster, {}, [database])
    with weir.wire("app", database) as client:
        client.send(wire.query("select pg_sleep(0.5), 'survived'"))
        running(cluster, "select pg_sleep(0.5), ''survived''")
        client.key = FORGED[how](client.key)
        client.cancel()
        assert wire.rows(client.read_until("Z")) == [["", "survived"]]


def test_cancel_keys_are_the_pooler_s_own_and_differ(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    clients = [weir.wire("app", database) for _ in range(20)]
    assert len({c.key for c in clients}) == 20


def test_a_client_can_cancel_when_no_more_clients_are_let_in(cluster, pooler, database):
    weir = pooler(cluster, {"limits": {"max_clients": 1}}, [database])
    with weir.wire("app", database) as client, weir.wire() as refused:
        refused.login("app", database, "app-secret")
        assert refused.login_error["C"] == "53300"
        client.send(wire.query("select pg_sleep(74)"))
        running(cluster, "select pg_sleep(74)")
        client.cancel()
        assert sqlstates(client.read_until("Z")) == ["57014"]


def test_libpq_s_cancel_has_nothing_to_complain_of(cluster, pooler, database):
    weir = pooler(cluster, {}, [database])
    dsn = " ".join(f"{k}={v}" for k, v in weir.dsn("app", database).items())
    connection = pq.PGconn.connect(dsn.encode())
    connection.send_query(b"select pg_sleep(75)")
    running(cluster, "select pg_sleep(75)")
    connection.get_cancel().cancel()  # raises what PQcancel says
    assert connection.get_result().error_field(pq.DiagnosticField.SQLSTATE) == b"57014"
    connection.finish()
