"""Replication connections: each has a server of its own, and PostgreSQL's tools work through them."""

import os
import signal
import subprocess
import threading

import pytest

import installs
import wire
from cluster import Cluster, until
from conftest import _install
from wire import sqlstates


@pytest.fixture(scope="module")
def primary(base, data):
    """A cluster that senders of WAL may be connected to, and a role that may do so."""
    cluster = Cluster(_install(base, installs.WANTED[0]), data / "replicated")
    cluster.create(wal_level="logical", max_wal_senders="10", max_replication_slots="10")
    cluster.execute("alter role app replication")
    with open(cluster.data / "pg_hba.conf", "a", encoding="utf-8") as hba:
        hba.write("host replication all 127.0.0.1/32 scram-sha-256\n")
    cluster.execute("select pg_reload_conf()")
    yield cluster
    cluster.destroy()


def start(primary, pooler, **over):
    return pooler(primary, {"workers": {"count": 1}, **over}, ["shop", "replication"])


def tool(primary, weir, name, *arguments, **options):
    return subprocess.Popen(
        [primary.install.program(name), "-h", weir.host, "-p", str(weir.port), "-U", "app",
         *arguments], env={**os.environ, "PGPASSWORD": "app-secret"}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, **options)


def replication(weir, value="true", database="replication"):
    client = weir.wire()
    client.login("app", database, "app-secret", replication=value)
    return client


@pytest.mark.parametrize("value", ["true", "database", "1", "on"])
def test_a_replication_client_talks_to_a_walsender(primary, pooler, value):
    weir = start(primary, pooler)
    with replication(weir, value, "shop") as client:
        assert client.login_error is None
        assert len(wire.rows(client.query("IDENTIFY_SYSTEM"))) == 1


def test_a_normal_session_does_not_get_a_walsender(primary, pooler):
    weir = start(primary, pooler)
    with replication(weir, "true", "shop") as sender, weir.wire("app") as client:
        sender.query("IDENTIFY_SYSTEM")
        assert sqlstates(client.query("IDENTIFY_SYSTEM")) == ["42601"]


def test_settings_of_a_replication_client_hold(primary, pooler):
    weir = start(primary, pooler)
    with weir.wire() as client:
        client.login("app", "shop", "app-secret", replication="database",
                     application_name="sender", options="-c datestyle=German")
        assert (client.value("show datestyle"), client.value("show application_name")) == (
            "German, DMY", "sender")


def test_pg_basebackup_copies_the_cluster(primary, pooler, tmp_path):
    weir = start(primary, pooler)
    target = tmp_path / "copy"
    run = tool(primary, weir, "pg_basebackup", "-D", str(target), "-X", "stream", "-c", "fast")
    out, _ = run.communicate(timeout=120)
    assert run.returncode == 0, out
    assert (target / "PG_VERSION").exists() and list((target / "pg_wal").iterdir())


def test_pg_receivewal_streams_wal(primary, pooler, tmp_path):
    weir = start(primary, pooler)
    run = tool(primary, weir, "pg_receivewal", "-D", str(tmp_path), "--no-loop")
    try:
        until(lambda: primary.value("select count(*) from pg_stat_replication") == 1,
              what="the stream to begin")
        primary.execute("create table streamed as select generate_series(1, 1000)")
        primary.execute("select pg_switch_wal()")
        until(lambda: [f for f in tmp_path.iterdir() if not f.name.endswith(".partial")],
              what="a whole WAL file")
    finally:
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=30)


def test_pg_recvlogical_decodes_changes(primary, pooler, tmp_path):
    weir = start(primary, pooler)
    primary.execute("create table if not exists told (n int)", "shop")
    primary.execute("grant all on told to app", "shop")
    made = tool(primary, weir, "pg_recvlogical", "-d", "shop", "--slot", "s", "--create-slot",
                "-P", "test_decoding")
    out, _ = made.communicate(timeout=60)
    assert made.returncode == 0, out
    heard = tmp_path / "heard"
    run = tool(primary, weir, "pg_recvlogical", "-d", "shop", "--slot", "s", "--start", "-f",
               str(heard), "-F", "0", "-s", "1")
    try:
        with weir.wire("app") as client:
            client.query("insert into told values (42)")
        until(lambda: heard.exists() and "n[integer]:42" in heard.read_text(), what="the change")
    finally:
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=30)
        until(lambda: primary.value("select count(*) from pg_replication_slots where active") == 0,
              what="the slot to be free")
        primary.execute("select pg_drop_replication_slot('s')")


def test_the_walsender_ends_with_its_client(primary, pooler):
    weir = start(primary, pooler)
    with replication(weir) as client:
        client.query("IDENTIFY_SYSTEM")
        client.reset()
    until(lambda: primary.value("select count(*) from pg_stat_activity"
                                " where backend_type = 'walsender'") == 0,
          what="the walsender to end")


def test_walsenders_count_in_the_pool(primary, pooler):
    weir = start(primary, pooler, pool={"size": 2}, timeouts={"client_login": "1s"})
    with replication(weir, "true", "shop"), replication(weir, "true", "shop"), \
            replication(weir, "true", "shop") as third:
        assert third.login_error["C"] == "57P03"
        assert weir.permits() == 2


def test_an_idle_server_makes_room_for_a_walsender(primary, pooler):
    weir = start(primary, pooler, pool={"size": 1})
    with weir.wire("app") as client:
        client.value("select 1")
        with replication(weir, "true", "shop") as sender:
            assert len(wire.rows(sender.query("IDENTIFY_SYSTEM"))) == 1


def test_the_server_of_a_replication_client_serves_nobody_else(primary, pooler):
    weir = start(primary, pooler, pool={"size": 1})
    with replication(weir, "database", "shop") as sender:
        pid = sender.value("select pg_backend_pid()")
    with weir.wire("app") as client:
        assert client.value("select pg_backend_pid()") != pid


def test_postgresql_s_refusal_of_replication_reaches_the_client(primary, pooler):
    weir = start(primary, pooler)
    with weir.wire() as client:
        client.login("other", "shop", "other-secret", replication="true")
        assert client.login_error["C"] == "42501"


def test_a_refused_replication_client_does_not_slow_down_the_others(primary, pooler):
    weir = start(primary, pooler)
    with weir.wire() as client:
        client.login("other", "shop", "other-secret", replication="true")
    with weir.wire("other") as client:
        assert client.value("select 1") == "1"


def test_a_replication_client_that_leaves_while_its_server_connects_costs_nothing(
        primary, pooler):
    weir = start(primary, pooler)
    for _ in range(20):
        with weir.wire() as client:
            client.send(wire.startup({"user": "app", "database": "shop", "replication": "true"}))
            client.reset()
    with weir.wire("app") as client:
        assert client.value("select 1") == "1"


# --- beside other clients ------------------------------------------------------------------------


def test_a_refused_replication_client_that_left_harms_nobody(primary, pooler):
    # "other" may not replicate: PostgreSQL's refusal is of that login alone.
    for _ in range(10):
        weir = start(primary, pooler)
        leaver = weir.wire()
        leaver.send(wire.startup({"user": "other", "database": "shop", "replication": "database"}))
        leaver.authenticate("other", "other-secret")
        with weir.wire() as client:
            leaver.reset()
            client.login("other", "shop", "other-secret")
            assert client.login_error is None


def test_one_idle_server_at_a_time_makes_room_for_a_replication_client(primary, pooler):
    weir = start(primary, pooler, pool={"size": 3, "server_close_timeout": "10m"})
    clients = [weir.wire("app") for _ in range(3)]
    pids = []
    for client in clients:
        client.query("begin")
        pids.append(int(client.value("select pg_backend_pid()")))
    for client in clients:
        client.query("commit")
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        sender = threading.Thread(target=lambda: replication(weir, "database", "shop").close())
        sender.start()
        until(lambda: weir.pool("shop")["sv_closing"] != 0, what="an idle server told to end")
        closing = [weir.pool("shop")["sv_closing"] for _ in range(10)]
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    sender.join()
    assert max(closing) == 1


def test_idle_servers_of_another_pool_make_room_for_a_replication_client(primary, pooler):
    weir = start(primary, pooler, database={"shop": {"max_server_connections": 1}})
    with weir.wire("other") as client:
        client.query("select 1")
    with replication(weir, "database", "shop") as sender:
        assert sender.login_error is None
