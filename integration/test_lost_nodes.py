"""What a client is told of its work when its node is lost in an awkward moment: nothing that is not
so. Nodes without repmgr: a primary, and where reads matter a standby."""

import contextlib
import os
import signal
import subprocess
import time

import pytest

import installs
import wire
from cluster import ROLES, Cluster, until
from repmgr_cluster import Process

LONG = 90  # seconds within which anything happens, also on a busy machine


class Node(Cluster):
    """A PostgreSQL that replicates, and may be lost and come back."""

    def create(self, **settings):
        super().create(wal_level="replica", max_wal_senders="4", synchronous_commit="on",
                       **settings)
        with open(self.data / "pg_hba.conf", "a", encoding="utf-8") as hba:
            hba.write("local replication all trust\n")
        self.execute("alter role boss replication")
        self.execute("select pg_reload_conf()")
        self.execute("create table ledger (id int); grant all on ledger to public", "shop")
        return self

    def clone_of(self, primary):
        """Makes this one a standby."""
        self.folder.mkdir(parents=True)
        if self._user:
            os.chown(self.folder, *self._ids())
        subprocess.run(
            [self.install.program("pg_basebackup"), "-D", self.data, "-R", "-c", "fast", "-d",
             f"host={primary.socket_dir} port={primary.port} user=postgres application_name=n2"],
            check=True, stdout=subprocess.DEVNULL, **self._as_user())
        self.start()
        return self

    def _ids(self):
        account = self._as_user()
        return [int(subprocess.run(["id", kind, account["user"]], check=True, capture_output=True,
                                   text=True).stdout) for kind in ("-u", "-g")]

    def processes(self):
        server = Process.of(self.process.pid)
        return [server, *server.children()]

    @contextlib.contextmanager
    def frozen(self):
        stopped = self.processes()
        for p in stopped:
            p.send(signal.SIGSTOP)
        yield
        for p in stopped:
            p.send(signal.SIGCONT)

    def kill(self):
        """All of it at once, as when its machine dies."""
        stopped = self.processes()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for p in stopped:
                p.send(number)
        self.process.wait(LONG)

    def commits_hang(self):
        self.execute("alter system set synchronous_standby_names = 'nobody'")
        self.execute("select pg_reload_conf()")
        until(lambda: self.value("show synchronous_standby_names") == "nobody")

    def commits(self):
        self.execute("alter system reset synchronous_standby_names")
        self.execute("select pg_reload_conf()")

    def waits(self, event, count=1):
        """Waits until so many clients of pgweir's wait for this; the pid of one."""
        found = until(lambda: [r for r in [self.execute(
            "select pid from pg_stat_activity where usename = 'app' and backend_type ="
            f" 'client backend' and wait_event = '{event}'")] if len(r) == count], LONG, event)
        return found[0][0][0]


@pytest.fixture(scope="module")
def first(base, data):
    node = Node(installs.find(base)[installs.WANTED[0]], data / "lost1").create()
    yield node
    node.destroy()


@pytest.fixture
def primary(first):
    """Up, whatever the last test has done to it."""
    if first.process.poll() is not None:
        first.start()
    first.commits()
    first.execute("truncate ledger", "shop")
    return first


@pytest.fixture
def standby(primary, data):
    node = Node(primary.install, data / f"lost{primary.port}-standby").clone_of(primary)
    yield node
    node.destroy()


@pytest.fixture
def weir(pooler, base, request):
    """weir(nodes, key=value...) is a pgweir with one worker, so that it serves in order; the keys
    are the cluster's."""
    def start(*nodes, **cluster):
        folder = base / f"lost-{request.node.name}"
        folder.mkdir()
        started = pooler(None, config={
            "listen": {"addresses": ["127.0.0.1"], "port": 0},
            "workers": {"count": 1},
            "timeouts": {"shutdown": "5s"},
            "process": {"state_dir": str(folder)},
            "cluster": {"main": {
                "discovery": "static", "hold_timeout": f"{LONG}s",
                "node": [{"name": f"n{i + 1}", "host": n.host, "port": n.port}
                         for i, n in enumerate(nodes)],
                "monitor": {"user": "boss", "password": ROLES["boss"][1], "database": "postgres"},
                **cluster}},
            "database": {"shop": {"cluster": "main"},
                         "reads": {"cluster": "main", "dbname": "shop", "target": "standby"}},
            "user": {"app": {"password": "app-secret"},
                     "admin": {"password": "admin-secret", "console": "admin"}},
        })
        states = ["primary", "standby"][:len(nodes)]
        until(lambda: node_states(started) == states, LONG, "nodes in their roles")
        return started
    return start


def node_states(pgweir):
    return [row["state"] for row in pgweir.show("NODES")]


def ledger(node):
    return [number for (number,) in node.execute("select id from ledger", "shop")]


# --- commits that nobody answered ----------------------------------------------------------------


@pytest.mark.parametrize("behind", [wire.close("P"), wire.parse("select 1"), b""],
                         ids=["close", "parse", "nothing"])
def test_what_was_answered_before_its_sync_is_in_doubt(primary, weir, behind):
    with weir(primary).wire("app") as client:
        primary.commits_hang()
        client.send(wire.parse("insert into ledger values (1)"), wire.bind(), wire.execute(),
                    wire.FLUSH)
        assert wire.types([client.read() for _ in range(3)]) == "12C"
        client.send(behind, wire.SYNC)
        primary.waits("SyncRep")
        primary.kill()
        assert wire.told(client.read_until("Z")) == (["08007"], "I")
    primary.start()
    assert ledger(primary) == [1]


@pytest.mark.parametrize("how", ["batch", "string", "two strings"])
def test_a_commit_behind_what_revives_a_failed_transaction_is_in_doubt(primary, weir, how):
    with weir(primary).wire("app") as client:
        for sql in ("begin", "insert into ledger values (1)", "savepoint s", "select 1/0"):
            client.query(sql)
        primary.commits_hang()
        revive, commit = "rollback to s", "commit"
        client.send(*{
            "batch": (wire.parse(revive), wire.bind(), wire.execute(),
                      wire.parse(commit), wire.bind(), wire.execute(), wire.SYNC),
            "string": (wire.query(f"{revive}; {commit}"),),
            "two strings": (wire.query(revive), wire.query(commit)),
        }[how])
        primary.waits("SyncRep")
        primary.kill()
        assert "08007" in wire.sqlstates(client.read_ready(2 if how == "two strings" else 1))
    primary.start()
    assert ledger(primary) == [1]


# --- requests that are refused -------------------------------------------------------------------


def test_a_long_pipeline_is_refused_request_by_request(primary, weir):
    pgweir = weir(primary, hold_max_clients=0)
    with pgweir.wire("app") as client, pgweir.console() as console:
        client.value("select 1")
        console.execute("FENCE n1")
        until(lambda: wire.sqlstates(client.query("")) == ["53300"])
        count = 11_000
        client.send(wire.query("") * count)
        assert wire.sqlstates(client.read_ready(count)) == ["53300"] * count
        console.execute("UNFENCE n1")
        until(lambda: wire.sqlstates(client.query("")) == [])


# --- reads ---------------------------------------------------------------------------------------


# PostgreSQL sends nothing before it is over.
DAWDLE = "do 'begin perform pg_sleep({}); end'"


def test_a_read_that_loses_its_server_is_repeated_once(primary, standby, weir):
    with weir(primary, standby).wire("app", "reads") as client:
        client.send(wire.query(DAWDLE.format(600)))
        for _ in range(2):
            standby.execute(f"select pg_terminate_backend({standby.waits('PgSleep')}, 60000)")
        assert wire.told(client.read_until("Z")) == (["57P01"], "I")
        assert client.value("select 1") == "1"


def test_the_next_read_is_repeated_as_well(primary, standby, weir):
    with weir(primary, standby).wire("app", "reads") as client:
        for _ in range(2):
            client.send(wire.query(DAWDLE.format(2)))
            standby.execute(f"select pg_terminate_backend({standby.waits('PgSleep')}, 60000)")
            assert wire.told(client.read_until("Z")) == ([], "I")


def test_what_runs_on_a_standby_that_becomes_a_primary_is_in_doubt(primary, standby, weir):
    pgweir = weir(primary, standby)
    with pgweir.wire("app", "reads") as client:
        client.send(wire.query("select pg_sleep(600)"))
        pid = standby.waits("PgSleep")
        standby.execute("select pg_promote()")
        until(lambda: node_states(pgweir)[1] != "standby", LONG, "the promotion noticed")
        standby.execute(f"select pg_terminate_backend({pid})")
        assert wire.told(client.read_until("Z")) == (["08007"], "I")


# --- a server that says goodbye ------------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, 60])
def test_what_came_with_the_last_words_of_a_server_is_passed_on_whole(primary, weir, rows):
    with weir(primary).wire("app") as client:
        client.send(wire.query(f"select i, pg_sleep(case when i = {rows} then 600 else 0 end)"
                               f" from generate_series(0, {rows}) i"))
        primary.execute(f"select pg_terminate_backend({primary.waits('PgSleep')})")
        frames = client.read_until("Z")
        assert wire.types(frames) == "T" + rows * "D" + "EZ"
        assert [int(values[0]) for values in wire.rows(frames)] == list(range(rows))
        assert wire.told(frames) == (["08007"], "I")
        assert client.value("select 1") == "1"


# --- a node that is in doubt for a moment --------------------------------------------------------


def test_who_was_held_back_has_all_the_time_for_its_next_request(primary, weir):
    pgweir = weir(primary, hold_timeout="5s")
    with pgweir.wire("app") as client, pgweir.console() as console:
        client.send(wire.query("select 'first' from pg_sleep(1)"))
        sent = time.monotonic()
        primary.waits("PgSleep")
        with primary.frozen():
            # The first is over as soon as its backend may go on: before pgweir hears of that.
            until(lambda: time.monotonic() > sent + 1)
            until(lambda: node_states(pgweir) != ["primary"], LONG, "the silence noticed")
            client.send(wire.query("select 'second' from pg_sleep(7)"))
            console.execute("SHOW VERSION")  # answered behind what came before
        answers = client.read_ready(2)
        assert wire.sqlstates(answers) == []
        assert wire.rows(answers) == [["first"], ["second"]]
