"""What pgweir makes of a cluster of repmgr, and how soon: read from its log and its state file."""

import contextlib
import itertools
import re
import socket
import subprocess
import threading

import psycopg
import pytest

import repmgr_cluster
import wire
from cluster import free_port, until
from failover_scene import PATIENT
from fake_patroni import FakePatroni
from forwarder import Forwarder
from pooler import Pooler, merged
from repmgr_cluster import MONITOR, LoopbackCluster

USER, PASSWORD = MONITOR
_numbers = itertools.count(1)

pytestmark = pytest.mark.failover


def watched(cluster, state_dir, over=None):
    """A configuration with the cluster's nodes in it."""
    nodes = {f"n{n}": cluster.address(n) for n in cluster.nodes}
    return merged({
        "listen": {"addresses": ["127.0.0.1"], "port": 0},
        "workers": {"count": 1},
        "timeouts": {"shutdown": "1s"},
        "process": {"state_dir": str(state_dir)},
        "cluster": {"main": {
            "discovery": "repmgr",
            "node": [{"name": name, "host": host, "port": port}
                     for name, (host, port) in nodes.items()],
            "monitor": {"user": USER, "password": PASSWORD, "database": "repmgr"},
        }},
        "database": {"shop": {"cluster": "main"}},
        "user": {"app": {"password": "app-secret"},
                 "admin": {"password": "admin-secret", "console": "admin"}},
    }, over or {})


class Watcher(Pooler):
    """pgweir, and what it says of the cluster."""

    def read_on(self):
        """Forgets what was said up to now."""
        self.seen = len(self.log())

    def says(self, pattern, seconds=60):
        """Waits for a line; what follows looks behind it."""
        def found():
            assert self.alive(), self.log()[-4000:]
            return re.compile(pattern).search(self.log(), self.seen)
        match = until(found, seconds, f"{pattern!r} in:\n{self.log()[-8000:]}\n")
        self.seen = match.end()
        return match

    def has_said(self, pattern):
        return re.compile(pattern).search(self.log(), self.seen)

    def state(self):
        text = (self.folder / "state" / "main.cluster").read_text(encoding="ascii")
        return dict(line.split(" ", 1) if " " in line else (line, "")
                    for line in text.splitlines())

    seen = 0


@pytest.fixture(scope="module")
def _no_repmgr(base):
    reason = repmgr_cluster.missing(base)
    if reason:
        pytest.skip(reason)


@pytest.fixture
def repmgr(base, _no_repmgr):
    """repmgr(fast=True, ...) makes a cluster that the test may break."""
    made = []

    def make(**options):
        made.append(LoopbackCluster(repmgr_cluster.install_of(base),
                                    base / f"repmgr{next(_numbers)}", **options))
        return made[-1].start()

    yield make
    for cluster in made:
        cluster.destroy()


@pytest.fixture
def watch(base, request):
    """watch(cluster, {...}) starts pgweir; its tables are laid over those of the cluster."""
    started = []

    def start(cluster, over=None, folder=None, wait=True):
        folder = folder or base / f"watcher{next(_numbers)}"
        (folder / "state").mkdir(parents=True, exist_ok=True)
        started.append(Watcher(folder, watched(cluster, folder / "state", over)))
        return started[-1].start(wait=wait)

    yield start
    problems = []
    for process in started:
        try:
            process.finish()
        except AssertionError as error:
            problems.append(str(error))
        request.node.add_report_section("call", "pgweir.log", process.log()[-30000:])
    assert not problems, "\n".join(problems)


# --- from the start to a failover and back ------------------------------------------------------


def test_a_failover_is_followed_and_the_old_primary_is_fenced_until_it_is_a_standby(repmgr, watch):
    cluster = repmgr(fast=True)
    pgweir = watch(cluster)
    pgweir.says("n1 is granted as primary on timeline 1, epoch 1")
    assert pgweir.state()["granted"] == "n1"

    cluster.kill_node(1)
    pgweir.says("writes wait: ")
    granted = pgweir.says(r"(n[23]) is granted as primary on timeline 2, epoch 2, in place of n1")
    state = pgweir.state()
    assert (state["granted"], state["disowned"]) == (granted[1], "n1 replaced")

    cluster.repmgrd_stop(1)
    cluster.run(*cluster._pg_ctl(1, "start"))  # it comes up as the primary it was
    pgweir.says("n1 was .* and is now fenced")
    assert not pgweir.has_said("writes go to n1")

    pgweir.read_on()
    cluster.rejoin(1)
    pgweir.says("n1 was .* and is now standby")
    assert "disowned" not in pgweir.state()


def test_a_restarted_pgweir_refuses_the_primary_of_before(repmgr, watch):
    cluster = repmgr(fast=True)
    pgweir = watch(cluster)
    pgweir.says("writes go to n1")
    cluster.kill_node(1)
    pgweir.says("epoch 2, in place of n1")
    pgweir.finish()

    for n in (2, 3):
        cluster.kill_node(n)
    cluster.start_node(1)
    again = watch(cluster, folder=pgweir.folder)
    again.read_on()
    again.says("n1 was unknown .* and is now fenced")
    with pytest.raises(AssertionError):
        again.says("writes go to", seconds=4)


def test_a_primary_that_is_frozen_holds_writes_until_it_thaws(repmgr, watch):
    cluster = repmgr(fast=True, repmgr={"failover": "manual"})
    pgweir = watch(cluster)
    pgweir.says("writes go to n1")
    cluster.freeze_node(1)
    pgweir.says(r"n1 was primary and is now suspect \(silent\)")
    pgweir.says(r"n1 was suspect .* and is now down \(silent\)")
    cluster.thaw_node(1)
    pgweir.says("writes go to n1")
    assert pgweir.state()["epoch"] == "1"


def test_a_switchover_is_followed(repmgr, watch):
    cluster = repmgr()
    pgweir = watch(cluster)
    pgweir.says("writes go to n1")
    cluster.switchover(2)
    pgweir.says("n2 is granted as primary on timeline 2, epoch 2, in place of n1")
    pgweir.says("n1 was .* and is now standby")


def test_a_standby_that_is_promoted_by_accident_is_no_primary(repmgr, watch):
    cluster = repmgr()
    pgweir = watch(cluster)
    pgweir.says("writes go to n1")
    cluster.promote(2)
    pgweir.says("n2 must not be used: fenced")
    assert pgweir.state()["granted"] == "n1"
    assert not pgweir.has_said("writes go to n2")


def test_two_clusters_are_watched_apart(repmgr, watch):
    left, right = repmgr(nodes=2), repmgr(nodes=2)
    other = watched(right, "/")["cluster"]["main"]
    pgweir = watch(left, {"cluster": {"main": PATIENT, "other": other},
                          "database": {"dots": {"cluster": "other"}}})
    pgweir.says("cluster main: .*writes go to n1")
    pgweir.seen = 0
    pgweir.says("cluster other: .*writes go to n1")
    right.kill_node(1)
    pgweir.says("cluster other: .*writes wait")
    assert not pgweir.has_said("cluster main: .*writes wait")


# --- one cluster that nobody breaks -------------------------------------------------------------


@pytest.fixture(scope="module")
def calm(base, _no_repmgr):
    cluster = LoopbackCluster(repmgr_cluster.install_of(base), base / f"calm{next(_numbers)}",
                              repmgr={"failover": "manual"})
    cluster.start()
    yield cluster
    cluster.destroy()


def monitors(cluster, n):
    return cluster.value(n, "SELECT count(*) FROM pg_stat_activity"
                            " WHERE application_name = 'pgweir-monitor'")


def test_one_seed_is_enough_and_the_others_are_discovered(calm, watch):
    pgweir = watch(calm, {"cluster": {"main": {"node": [
        {"name": "n3", "host": "127.0.0.1", "port": calm.ports[3]}]}}})
    pgweir.says("n1 is granted as primary")
    until(lambda: [monitors(calm, n) for n in calm.nodes] == [1, 1, 1])


def wait_for_probes(cluster, n, count=3):
    def commits():
        return cluster.value(n, "SELECT xact_commit FROM pg_stat_database"
                                " WHERE datname = 'repmgr'")
    before = commits()
    until(lambda: commits() > before + count, what=f"{count} probes of n{n}")


def test_each_node_has_one_connection_of_the_monitor(calm, watch):
    pgweir = watch(calm, {"cluster": {"main": PATIENT}})
    pgweir.says("writes go to n1")
    wait_for_probes(calm, 1)
    assert [monitors(calm, n) for n in calm.nodes] == [1, 1, 1]


def test_a_monitor_whose_backend_is_terminated_comes_back_without_a_failover(calm, watch):
    pgweir = watch(calm, {"cluster": {"main": PATIENT}})
    pgweir.says("writes go to n1")
    calm.value(1, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                  " WHERE application_name = 'pgweir-monitor'")
    pgweir.says(r"n1 was primary and is now suspect \(reset\)")
    pgweir.says("writes go to n1")
    assert pgweir.state()["epoch"] == "1"


def test_a_monitor_without_privileges_still_knows_the_primary_and_says_what_to_grant(calm, watch):
    with calm.connect(1) as connection:
        connection.execute("DROP ROLE IF EXISTS bare")
        connection.execute("CREATE ROLE bare LOGIN PASSWORD 'bare'")
    pgweir = watch(calm, {"cluster": {"main": {
        "monitor": {"user": "bare", "password": "bare"}}}})
    pgweir.says("writes go to n1")
    wait_for_probes(calm, 1)
    log = pgweir.log()
    advice = re.findall(r'node n1: role "bare" does not see pg_stat_replication; run GRANT'
                        r' pg_monitor TO "bare"', log)
    assert len(advice) == 1  # not at each probe
    assert re.search("node n1: .*run conf/monitor.sql in repmgr's database", log)


def test_a_monitor_that_is_not_let_in_says_why_and_serves_nobody(calm, watch):
    pgweir = watch(calm, {"cluster": {"main": {"monitor": {"password": "wrong"}}}})
    pgweir.says("n1 was .* and is now unknown \\(denied\\)|n1 is unknown \\(denied\\)")
    assert not re.search("writes go to", pgweir.log())


def test_a_database_without_repmgr_is_named_as_the_likely_mistake(calm, watch):
    pgweir = watch(calm, {"cluster": {"main": {"monitor": {"database": "shop"}}}})
    pgweir.says("node n1: .*monitor_database|node n1: .*database = ")


def test_a_full_primary_is_not_down(calm, watch):
    """The monitor's connection ends, and no new one is let in."""
    pgweir = watch(calm, {"cluster": {"main": PATIENT}})
    pgweir.says("writes go to n1")
    with calm.connect(1) as boss:
        boss.execute(f"ALTER ROLE {USER} CONNECTION LIMIT 0")
        try:
            boss.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                         " WHERE application_name = 'pgweir-monitor'")
            pgweir.says(r"n1 was primary and is now suspect \(reset\)")
            assert pgweir.says("n1 was suspect .* and is now (\\w+)")[1] == "primary"
        finally:
            boss.execute(f"ALTER ROLE {USER} CONNECTION LIMIT -1")


def test_an_answer_from_before_a_freeze_is_no_sign_of_life(calm, watch):
    """A client reads late what its server had said before it froze."""
    pgweir = watch(calm, {"database": {"repmgr": {"cluster": "main"}},
                          "user": {USER: {"password": PASSWORD}}})
    pgweir.says("writes go to n1")
    sql = "select repeat('x', 1000) from generate_series(1, 3500)"
    with wire.Wire(pgweir.address, receive_buffer=4096) as client:
        client.login(USER, "repmgr", PASSWORD)
        client.send(wire.query(sql))
        until(lambda: calm.value(1, "select count(*) from pg_stat_activity where state = 'idle'"
                                    f" and query = $${sql}$$") == 1, what="all rows sent")
        calm.freeze_node(1)
        try:
            pgweir.says(r"n1 was .* and is now down \(silent\)")
            assert len(client.read_until("Z")) == 3500 + 3
            with pytest.raises(AssertionError):
                pgweir.says("writes go to n1", seconds=2)
        finally:
            calm.thaw_node(1)
        pgweir.says("writes go to n1")


def test_fencing_by_read_only_is_of_the_server_not_of_the_role(calm, watch):
    with calm.connect(1) as connection:
        connection.execute(f"ALTER ROLE {USER} SET default_transaction_read_only = on")
        try:
            watch(calm).says("writes go to n1")
        finally:
            connection.execute(f"ALTER ROLE {USER} RESET default_transaction_read_only")


def test_a_server_set_to_read_only_is_taken_out_and_back(calm, watch):
    pgweir = watch(calm, {"cluster": {"main": PATIENT}})
    pgweir.says("writes go to n1")
    with calm.connect(1) as connection:
        connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        connection.execute("SELECT pg_reload_conf()")
        try:
            pgweir.says(r"n1 was primary and is now fenced \(read-only\)")
        finally:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            connection.execute("SELECT pg_reload_conf()")
    pgweir.says("writes go to n1")


def test_a_state_file_that_cannot_be_written_grants_nobody(calm, watch, base):
    folder = base / f"watcher{next(_numbers)}"
    (folder / "state" / "main.cluster.new").mkdir(parents=True)  # in the way, for root as well
    pgweir = watch(calm, folder=folder)
    pgweir.says("could not write .*main.cluster")
    pgweir.says("writes wait: unsaved")
    (folder / "state" / "main.cluster.new").rmdir()
    pgweir.says("writes go to n1")


def test_a_damaged_state_file_stops_the_start_and_names_the_way_out(calm, watch, base):
    folder = base / f"watcher{next(_numbers)}"
    (folder / "state").mkdir(parents=True)
    (folder / "state" / "main.cluster").write_text("pgweir-cluster-state 1\nepoch", "ascii")
    pgweir = watch(calm, folder=folder, wait=False)
    pgweir.expected_status = None
    assert pgweir.wait() != 0
    assert re.search("cluster main: state file .*main.cluster: line 2.*remove the file",
                     pgweir.log())


def test_a_name_that_cannot_be_resolved_hurts_nobody_else(calm, watch):
    host, port = calm.address(1)
    pgweir = watch(calm, {"cluster": {"main": {"discovery": "static", "node": [
        {"name": "n1", "host": host, "port": port},
        {"name": "n2", "host": "127.0.0.1", "port": calm.ports[2]},
        {"name": "nowhere", "host": "no-such-host.invalid", "port": 5432}]}}})
    pgweir.says("writes go to n1")


def test_a_server_that_accepts_and_says_nothing_delays_nobody_else(calm, watch):
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        host, port = calm.address(1)
        pgweir = watch(calm, {"cluster": {"main": {"discovery": "static", "node": [
            {"name": "n1", "host": host, "port": port},
            {"name": "n2", "host": "127.0.0.1", "port": calm.ports[2]},
            {"name": "mute", "host": "127.0.0.1", "port": mute.getsockname()[1]}]}}})
        pgweir.says("writes go to n1")
        # It may look around once more: for as long as it takes to ask the mute one again.
        until(lambda: pgweir.log().rfind("writes go to n1") > pgweir.log().rfind("writes wait"),
              what="writes that go on")


def test_a_reload_adds_and_removes_a_cluster(calm, watch):
    pgweir = watch(calm, {"cluster": {"main": PATIENT}})
    pgweir.says("writes go to n1")
    port = free_port()
    with pgweir.console() as console:
        pgweir.write(merged(pgweir.config, {"cluster": {"late": {
            "nodes": [f"127.0.0.1:{port}"]}}}))
        console.execute("RELOAD")
        pgweir.says("cluster late: .*is now down \\(refused\\)")
        pgweir.write(merged(pgweir.config, {"cluster": {"late": None}}))
        console.execute("RELOAD")
    assert pgweir.alive() and not pgweir.has_said("cluster main: .*writes wait")


# --- nodes that move ----------------------------------------------------------------------------


def one_node(host, port, mode="transaction"):
    return {"cluster": {"main": {"discovery": "static", "node": [
        {"name": "n1", "host": host, "port": port}], **PATIENT}},
        "database": {"shop": {"pool": {"mode": mode}}}}


def test_nobody_goes_on_at_the_old_address_of_a_node_that_has_moved(calm, watch):
    pgweir = watch(calm, one_node(*calm.address(1), mode="session"))
    pgweir.says("writes go to n1")
    with Forwarder(calm.address(1)) as other, pgweir.connect() as old:
        old.execute("SELECT 1")
        pgweir.change(one_node(*other.address, mode="session"))
        pgweir.says("epoch 2")
        pgweir.says("writes go to n1")
        seen = other.connections
        with pytest.raises(psycopg.OperationalError):
            old.execute("SELECT 1")
        with pgweir.connect() as new:
            new.execute("SELECT 1")
        assert other.connections > seen


class WithOwnNames(Watcher):
    """pgweir with an /etc/hosts of its own, which may be rewritten while it runs."""

    def set_name(self, name, address):
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost\n{address} {name}\n", "ascii")

    def command(self):
        script = 'mount --bind "$0" /etc/hosts && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, self.folder / "hosts", *super().command()]


def test_clients_are_led_to_the_server_that_was_checked_whatever_its_name_leads_to(calm, base):
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("a file system of one's own needs more privileges")
    _, port = calm.address(1)
    folder = base / f"watcher{next(_numbers)}"
    (folder / "state").mkdir(parents=True)
    pgweir = WithOwnNames(folder, watched(calm, folder / "state", one_node("db.test", port)))
    pgweir.set_name("db.test", "127.0.0.1")
    pgweir.start()
    pgweir.says("writes go to n1")
    with Forwarder(calm.address(2), "127.0.0.2", port) as elsewhere:
        pgweir.set_name("db.test", "127.0.0.2")
        with pgweir.connect() as client:
            assert client.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        assert elsewhere.connections == 0
    pgweir.finish()


# --- Patroni ------------------------------------------------------------------------------------


@pytest.fixture
def patroni(calm):
    api = FakePatroni(calm)
    yield api
    api.close()


def with_patroni(cluster, patroni, numbers):
    host = "127.0.0.1"
    return {"cluster": {"main": {"discovery": "patroni", "node": [
        {"name": f"n{n}", "host": host, "port": cluster.ports[n],
         "patroni_port": patroni.port(n)} for n in numbers]}}}


def test_one_node_of_patroni_is_enough_and_the_others_are_discovered(calm, patroni, watch):
    watch(calm, with_patroni(calm, patroni, [2])).says("n1 is granted as primary")


def test_nobody_leaves_while_patroni_does_not_tell_who_there_is(calm, patroni, watch):
    pgweir = watch(calm, with_patroni(calm, patroni, [1]))
    pgweir.says("n3 was .* and is now standby|n3 is standby")
    patroni.members_status = 500
    asked = patroni.members_asked
    until(lambda: patroni.members_asked > asked + 6)
    assert not re.search("is no longer a node", pgweir.log())


@pytest.mark.parametrize("loss", ["lock", "silence", "everybody's lock"])
def test_a_primary_that_its_patroni_does_not_call_the_leader_is_not_written_to(calm, patroni, watch,
                                                                             loss):
    pgweir = watch(calm, merged(with_patroni(calm, patroni, calm.nodes),
                                {"cluster": {"main": PATIENT}}))
    pgweir.says("writes go to n1")
    if loss == "silence":
        patroni.mute = {1}
    else:
        patroni.leader = 2 if loss == "lock" else None
    pgweir.says(r"n1 was primary and is now fenced \(read-only\)")
    patroni.leader, patroni.mute = 1, set()
    pgweir.says("writes go to n1")


# --- servers that lie ---------------------------------------------------------------------------

LIES = [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I" + b"H\x00\x00\x00\x0b\x00\x00\x00\x00",
    b"R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I" + b"G\x00\x00\x00\x07\x00\x00\x00",
    b"R\x7f\xff\xff\xff" + bytes(4096),
    b"E\x00\x00\x00\x05\x00",
    bytes(65536),
    b"S" + bytes(512),
    b"N" + bytes(512),
]


@pytest.mark.parametrize("lie", LIES, ids=["http", "copy out", "copy in", "huge", "bare error",
                                           "zeros", "no tls", "zeros in clear"])
@pytest.mark.parametrize("mode", ["disable", "prefer"])
def test_a_server_that_talks_nonsense_is_survived(calm, watch, lie, mode):
    def lie_to(client):
        with contextlib.suppress(OSError), client:
            client.sendall(lie)
            while client.recv(4096):
                pass

    with socket.socket() as liar:
        liar.bind(("127.0.0.1", 0))
        liar.listen()

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    client, _ = liar.accept()
                    threading.Thread(target=lie_to, args=(client,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        host, port = calm.address(1)
        pgweir = watch(calm, {"cluster": {"main": {
            "discovery": "static", "monitor": {"sslmode": mode}, "node": [
                {"name": "n1", "host": host, "port": port},
                {"name": "n2", "host": "127.0.0.1", "port": calm.ports[2]},
                {"name": "liar", "host": "127.0.0.1", "port": liar.getsockname()[1]}]}}})
        pgweir.says("writes go to n1")
        pgweir.seen = 0
        pgweir.says("liar was .* and is now|liar is (down|suspect|unknown)")
        assert pgweir.has_said("liar [^;]*primary") is None
        liar.shutdown(socket.SHUT_RDWR)
