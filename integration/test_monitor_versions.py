"""What the monitor sees of a primary and its standby, and that it follows a promotion, on every version
of PostgreSQL. repmgr is packaged for one version only, so a person promotes here."""

import shutil
import signal
import subprocess

import pytest

from cluster import ROLES, Cluster, until

pytestmark = pytest.mark.every_version


@pytest.fixture
def pair(cluster, data):
    """(primary, its standby), of the version of `cluster`."""
    numbers = iter(range(1, 3))

    def member():
        return Cluster(cluster.install, data / f"pair{cluster.major}-{next(numbers)}")

    primary, standby = member(), member()
    try:
        primary.create(wal_level="replica", max_wal_senders=5, hot_standby="on")
        with open(primary.data / "pg_hba.conf", "a", encoding="ascii") as hba:
            hba.write("\nhost replication postgres 127.0.0.1/32 trust\n")
        primary.execute("SELECT pg_reload_conf()")
        standby.folder.mkdir()
        if primary._user:
            shutil.chown(standby.folder, primary._user)
        subprocess.run([cluster.install.program("pg_basebackup"), "-D", standby.data, "-R", "-c",
                        "fast", "--no-sync", "-d",
                        f"host=127.0.0.1 port={primary.port} user=postgres application_name=n2"],
                       check=True, **primary._as_user())
        standby.start()
        yield primary, standby
    finally:
        for one in (standby, primary):
            one.destroy()


@pytest.fixture
def watch(pair, pooler, tmp_path):
    weir = pooler(pair[0], {
        "process": {"state_dir": str(tmp_path)},
        "cluster": {"main": {
            "node": [{"name": f"n{i}", "host": one.host, "port": one.port}
                     for i, one in enumerate(pair, 1)],
            "check_interval": "200ms",
            "monitor": {"user": "boss", "password": ROLES["boss"][1], "database": "postgres"}}},
        "database": {"shop": {"cluster": "main", "host": None, "port": None}}})
    until(lambda: weir.show("CLUSTERS")[0]["primary"] == "n1", what="a primary that is served")
    return weir


def nodes(weir):
    return {row["name"]: row for row in weir.show("NODES")}


def test_primary_and_standby_are_seen_for_what_they_are(pair, watch):
    primary, _ = pair
    def seen():
        both = nodes(watch)
        one, two = both["n1"], both["n2"]
        is_caught_up = (two["lag_bytes"], two["lag_ms"]) == (0, 0)
        return both if is_caught_up and one["reads"] == "good" else None
    both = until(seen, what="a standby that is not behind, and a primary that is served")
    one, two = both["n1"], both["n2"]
    assert (one["state"], two["state"]) == ("primary", "standby")
    assert (one["reads"], two["reads"]) == ("good", "good")
    assert (one["followers"], two["upstream"], two["sync_state"]) == (1, "n1", "async")
    assert one["tli"] == two["tli"] == 1
    known = primary.value("SELECT system_identifier FROM pg_control_system()")
    assert one["system_identifier"] == two["system_identifier"] == known
    assert one["error"] is None and two["error"] is None
    assert not [line for line in watch.log().splitlines() if " warn" in line and "node n" in line]


def test_a_promotion_is_followed_and_the_old_primary_gets_nothing(pair, watch):
    primary, standby = pair
    with watch.connect() as client:
        client.execute("CREATE TABLE t AS SELECT 1 AS n")
        end = primary.value("SELECT pg_current_wal_insert_lsn()")
        until(lambda: standby.value(f"SELECT pg_last_wal_replay_lsn() >= '{end}'"), what="replay")
        primary.stop(signal.SIGQUIT)
        assert standby.value("SELECT pg_promote()")
        client.execute("INSERT INTO t VALUES (2)")
        assert standby.execute("SELECT n FROM t ORDER BY n", "shop") == [(1,), (2,)]
        primary.start()
        until(lambda: nodes(watch)["n1"]["state"] == "fenced", what="the old primary fenced")
        client.execute("INSERT INTO t VALUES (3)")
    until(lambda: watch.show("CLUSTERS")[0]["split_brain"] == 1, what="two that say primary")
    (row,) = watch.show("CLUSTERS")
    assert (row["primary"], row["tli"], row["epoch"]) == ("n2", 2, 2)
    assert primary.execute("SELECT n FROM t ORDER BY n", "shop") == [(1,)]
