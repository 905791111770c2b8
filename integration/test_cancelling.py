"""A cancel request ends the query of its client, whatever that does, and nothing else."""

import subprocess

import pytest

import wire
from cluster import until
from watching import running
from wire import sqlstates


@pytest.mark.every_version
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_running_query_is_cancelled(cluster, pooler, database, mode):
    weir = pooler(cluster, {"pool": {"mode": mode}}, [database])
    with weir.wire("app", database) as client:
        client.send(wire.query("select pg_sleep(61)"))
        running(cluster, "select pg_sleep(61)")
        client.cancel()
        assert sqlstates(client.read_until("Z")) == ["57014"]


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


def test_a_wrong_cancel_key_cancels_nothing(cluster, pooler, database):
    weir = pooler(cluster, {}, [database])
    with weir.wire("app", database) as client:
        client.send(wire.query("select pg_sleep(1), 'survived'"))
        running(cluster, "select pg_sleep(1), ''survived''")
        client.key = client.key[:-1] + bytes([client.key[-1] ^ 1])
        client.cancel()
        assert wire.rows(client.read_until("Z")) == [["", "survived"]]


def test_cancel_keys_are_the_pooler_s_own_and_differ(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    clients = [weir.wire("app", database) for _ in range(20)]
    assert len({c.key for c in clients}) == 20
