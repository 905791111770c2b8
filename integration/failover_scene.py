"""What tests of failover share: a real cluster that is whole when a test begins, pgweir in front of
it, clients that keep account of what they were told, and what the nodes hold in the end."""

import contextlib
import itertools
import re
import threading
import time
from collections import Counter
from typing import NamedTuple

import psycopg
import pytest

import repmgr_cluster
import wire
from cluster import until
from repmgr_cluster import MONITOR, LoopbackCluster

# A row says which node wrote it. A transaction with a row in `slow` commits for minutes.
TABLES = """
SET client_min_messages = warning;
DROP TABLE IF EXISTS ledger, probe, slow;
CREATE TABLE ledger (id bigint, node text DEFAULT
    coalesce(current_setting('weir.node', true), current_setting('cluster_name')));
CREATE TABLE probe (LIKE ledger INCLUDING DEFAULTS);
CREATE TABLE slow (LIKE ledger INCLUDING DEFAULTS);
CREATE OR REPLACE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN PERFORM pg_sleep(600); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER linger AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION linger();
ALTER TABLE ledger OWNER TO app;
ALTER TABLE probe OWNER TO app;
ALTER TABLE slow OWNER TO app;
"""
# Its commit waits for no standby, whatever the cluster is set to.
LOCAL_COMMIT = {"options": "-c synchronous_commit=local"}
NARROW = 3  # servers of the database "narrow"
LONG = 90  # seconds within which anything happens, also on a busy machine
# For stories in which no node is silent: none is taken for it because the machine had no time. A
# node that dies is noticed as soon as ever, as it resets and refuses connections.
PATIENT = {"probe_timeout": "30s", "connect_timeout": "30s", "lease": "60s"}


def config_of(nodes, state_dir, order=None, **cluster):
    """What pgweir is told of a cluster; `order`: of its nodes in the file."""
    user, password = MONITOR
    return {
        "listen": {"addresses": ["127.0.0.1"], "port": 0},
        "workers": {"count": 2},
        "timeouts": {"shutdown": "5s"},
        "process": {"state_dir": str(state_dir)},
        "cluster": {"main": {
            "node": [{"name": f"n{n}", "host": nodes.address(n)[0], "port": nodes.address(n)[1]}
                     for n in order or nodes.nodes],
            "discovery": "repmgr",
            "monitor": {"user": user, "password": password, "database": "repmgr"},
            # Also where this machine has no time for anybody for half a minute.
            "hold_timeout": "120s",
            **cluster}},
        "database": {"shop": {"cluster": "main"},
                     "narrow": {"cluster": "main", "dbname": "shop",
                                "pool": {"size": NARROW}},
                     "reads": {"cluster": "main", "dbname": "shop", "target": "standby"}},
        "user": {"app": {"password": "app-secret"},
                 "admin": {"password": "admin-secret", "console": "admin"}},
    }


# --- a cluster that is whole ---------------------------------------------------------------------


def roles(nodes):
    """{n: "primary", "standby" (that streams) or None}, if all agree on one primary, also by the
    primary's metadata; else None."""
    status = nodes.status()
    primaries = [n for n, told in status.items() if told and not told[0]]
    if len(primaries) != 1 or not all(status.values()):
        return None
    (primary,) = primaries
    if any(told[1] != status[primary][1] for told in status.values()):
        return None
    with nodes.connect(primary, "repmgr") as connection:
        known = dict(connection.execute(
            "SELECT node_id, CASE WHEN NOT active THEN 'inactive' WHEN type = 'primary' THEN type"
            " WHEN upstream_node_id = %s THEN type END FROM repmgr.nodes", (primary,)).fetchall())
    wanted = {n: "primary" if n == primary else "standby" for n in nodes.nodes}
    return wanted if known == wanted else None


def mend(nodes):
    """Makes the nodes that do not follow the one primary do so. Raises where that needs more."""
    with contextlib.suppress(AssertionError):
        until(lambda: roles(nodes), 3)
        return
    primaries = nodes.primaries()
    assert len(primaries) == 1, f"primaries: {primaries}"
    timeline = nodes.status()[primaries[0]][1]
    for n, told in nodes.status().items():
        if n not in primaries and (told is None or told[1] != timeline):
            nodes.rejoin(n)
    until(lambda: roles(nodes), LONG, "one primary that all others follow")


class Stage:
    """A cluster for all, made anew when a test leaves more behind than can be mended."""

    def __init__(self, make):
        self._make = make
        self._nodes = None

    def whole(self):
        if self._nodes:
            try:
                mend(self._nodes)
            except Exception:  # pylint: disable=broad-exception-caught
                self.clear()
        if not self._nodes:
            self._nodes = self._make()
        return self._nodes

    def clear(self):
        if self._nodes:
            self._nodes.destroy()
            self._nodes = None


@contextlib.contextmanager
def staged(base, name, make=LoopbackCluster, **options):
    """A stage for clusters of this kind, each in a folder `name` with a number. Skips the test
    where there is no repmgr."""
    why_not = repmgr_cluster.missing(base)
    if why_not:
        pytest.skip(why_not)
    numbers = itertools.count(1)
    stage_ = Stage(lambda: make(repmgr_cluster.install_of(base), base / f"{name}{next(numbers)}",
                                **options).start())
    try:
        yield stage_
    finally:
        stage_.clear()


@pytest.fixture(scope="session")
def stage(base):
    """Three nodes whose repmgrds fail over as fast as they can."""
    with staged(base, "ha", fast=True) as made:
        yield made


@pytest.fixture
def scene(stage, pooler, base):  # pylint: disable=redefined-outer-name
    """scene(...) puts pgweir in front of a cluster that is whole."""
    made = []

    def make(sync=False, **options):
        made.append(Scene(stage.whole(), pooler, base, sync, **options))
        return made[-1]

    yield make
    for one in made:
        one.nodes.replicate_synchronously(False)


# --- pgweir in front of it -----------------------------------------------------------------------


class Scene:
    """`primary` and `standbys` are numbers of nodes as they are at the beginning. With `sync` a
    commit waits for a standby. `over` is laid over pgweir's configuration, `cluster` over its
    cluster's section."""

    def __init__(self, nodes, pooler, base, sync=False, order=None, over=None, **cluster):
        self.nodes = nodes
        self.primary = nodes.wait_primary()
        self.standbys = [n for n in nodes.nodes if n != self.primary]
        self._pooler, self._base, self._started = pooler, base, 0
        self._order, self._over, self._cluster = order, over, cluster
        with nodes.connect(self.primary, "shop") as connection:
            connection.execute(TABLES)
        for n in self.standbys:
            self.replayed(n)
        nodes.replicate_synchronously(sync)
        self.state_dir = base / f"state{time.monotonic_ns()}"
        self.state_dir.mkdir()
        self.weir = self.start()

    def start(self):
        """One more pgweir, with the same state."""
        config = config_of(self.nodes, self.state_dir, self._order, **self._cluster)
        self.weir = self._pooler(None, self._over, config=config)
        return self.weir

    def ready(self):
        """Waits until pgweir serves the primary and knows the others as standbys."""
        self.wait_said(rf"writes go to n{self.primary}")
        for n in self.standbys:
            self.wait_said(rf"\bn{n}\b[^;]* is (now )?standby(?! \()")
        return self

    def wire(self, database="shop"):
        """A raw client that waits long for answers."""
        client = self.weir.wire("app", database)
        client.sock.settimeout(LONG)
        return client

    # What pgweir says of the cluster, in the order in which it said so.

    def position(self):
        """The end of the log now, for `since`."""
        return len(self.weir.log())

    def lines(self, since=0):
        """Without the evidence, which repeats what nodes said of themselves."""
        return [line.split("; evidence ")[0] for line in self.weir.log()[since:].splitlines()]

    def said(self, pattern, since=0):
        return any(re.search(pattern, line) for line in self.lines(since))

    def wait_said(self, pattern, seconds=LONG, since=0):
        until(lambda: self.said(pattern, since), seconds, f"'{pattern}' in pgweir's log")

    # What the nodes hold.

    def replayed(self, n, primary=None):
        """Waits until node n holds what the primary does."""
        end = self.nodes.value(primary or self.primary, "SELECT pg_current_wal_insert_lsn()")
        until(lambda: self.nodes.value(
            n, f"SELECT pg_last_wal_replay_lsn() >= '{end}'"), LONG, f"n{n} as far as {end}")

    def sleeping(self, n, count):
        """Waits until so many clients of pgweir's sleep in a statement on node n."""
        until(lambda: self.nodes.value(
            n, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'"
               " AND wait_event = 'PgSleep'") == count, LONG, f"{count} sleeping statements")

    def rows(self, n, table="ledger"):
        """[(id, number of the node that wrote it)], as node n has them."""
        with self.nodes.connect(n, "shop") as connection:
            found = connection.execute(f"SELECT id, node FROM {table}").fetchall()
        return [(number, int(node[1:])) for number, node in found]

    def written_by(self, n, since=0):
        """Ids from `since` on that were written while node n was the primary, as it has them."""
        return sorted(number for number, by in self.rows(n) if by == n and number >= since)


# --- clients that keep account -------------------------------------------------------------------


class Told(NamedTuple):
    """What a client was told of one of its statements. Times are of time.monotonic()."""

    client: str
    what: str       # "write", "commit", ...
    ids: tuple      # what is in the ledger if it was done
    began: float
    ended: float
    sqlstate: str   # "": it was done; "?": the connection ended without a word
    lost: bool      # the connection is gone

    @property
    def outcome(self):
        """"ok", "err" (it was not done, that is certain) or "unknown"."""
        if not self.sqlstate:
            return "ok"
        return "unknown" if self.lost or self.sqlstate == "08007" else "err"


class Account:
    """All that the clients of a scene were told. Any thread; ids are never given twice."""

    def __init__(self):
        self.told = []
        self._numbers = itertools.count(1)

    def next_id(self):
        return next(self._numbers)

    def note(self, client, connection, what, ids, sql, values=(), decides=True):
        """Runs a statement and notes how that went. `decides`: with it `ids` are in the ledger;
        otherwise they are not yet."""
        began, sqlstate = time.monotonic(), ""
        try:
            connection.execute(sql, values)
        except psycopg.Error as error:
            sqlstate = error.sqlstate or "?"
        told = Told(client, what, ids if decides or sqlstate else (), began, time.monotonic(),
                    sqlstate, connection.closed)
        self.told.append(told)
        return told

    def judge(self, client, ids, frames):
        """Notes what a raw client was answered to what put `ids` into the ledger."""
        told = wire.sqlstates(frames)
        lost = not frames or frames[-1].type != "Z"
        now = time.monotonic()
        self.told.append(Told(client, "raw", ids, now, now, told[0] if told else "", lost))
        return told

    def write(self, client, connection, sql="INSERT INTO ledger VALUES (%s)"):
        """One row in autocommit; what is told of it."""
        number = self.next_id()
        return self.note(client, connection, "write", (number,), sql, (number,))

    def errors(self, since=0.0):
        """{client: [SQLSTATE, ...]} of those that were told of any that ended after `since`."""
        found = {}
        for t in list(self.told):
            if t.sqlstate and t.ended > since:
                found.setdefault(t.client, []).append(t.sqlstate)
        return found

    def lost(self):
        return [t for t in list(self.told) if t.lost]

    def check(self, rows):
        """Holds what clients were told against [(id, node)], the rows of the final primary."""
        found = Counter(number for number, _ in rows)
        ids = {outcome: {i for t in self.told if t.outcome == outcome for i in t.ids}
               for outcome in ("ok", "err", "unknown")}
        problems = {
            "acknowledged and lost": ids["ok"] - set(found),
            "refused and done": ids["err"] & set(found),
            "done, and nobody was told": set(found) - ids["ok"] - ids["unknown"] - ids["err"],
            "done twice": {number for number, times in found.items() if times > 1},
        }
        problems = {what: sorted(which) for what, which in problems.items() if which}
        assert not problems, problems
        return {outcome: len(which) for outcome, which in ids.items()}


def astray(story):
    """Ids of what began after the grant and was not written by the granted node: story has
    `account`, `rows`, `granted` (a time) and `winner`."""
    late = {i for t in story.account.told if t.began > story.granted for i in t.ids}
    return sorted(number for number, node in story.rows if number in late and node != story.winner)


class Client(threading.Thread):
    """Does step() again and again until stop(), with a rest in between."""

    rest = 0.01

    def __init__(self, name, connection, account):
        super().__init__(daemon=True, name=name)
        self.connection, self.account = connection, account
        self._quit = threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self._quit.is_set() and not self.connection.closed:
                self.step()
                self._quit.wait(self.rest)
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            self.failure = error

    def step(self):
        raise NotImplementedError

    def stop(self):
        self._quit.set()


class Writer(Client):
    """Autocommit INSERTs."""

    def step(self):
        self.account.write(self.name, self.connection)


class Transactor(Client):
    """Transactions of two INSERTs. When one fails, nothing else is done in it until ROLLBACK."""

    def step(self):
        ids = self.account.next_id(), self.account.next_id()
        steps = [("begin", "BEGIN", ()),
                 *(("insert", "INSERT INTO ledger VALUES (%s)", (number,)) for number in ids),
                 ("commit", "COMMIT", ())]
        for what, sql, values in steps:
            told = self.account.note(self.name, self.connection, what, ids, sql, values,
                                     decides=what == "commit")
            if told.sqlstate:
                if what != "commit" and not told.lost:
                    self.account.note(self.name, self.connection, "after", (), "SELECT 1")
                    self.account.note(self.name, self.connection, "rollback", (), "ROLLBACK")
                return


class Load:
    """Writers and transactors at work from `with` to its end."""

    def __init__(self, scene, writers=4, transactors=4,  # pylint: disable=redefined-outer-name
                 account=None, more=()):
        self.account = account or Account()
        self.clients = [*more] + [kind(f"{kind.__name__.lower()} {i}", scene.weir.connect(), self.account)
                        for kind, count in ((Writer, writers), (Transactor, transactors))
                        for i in range(count)]

    def __enter__(self):
        for client in self.clients:
            client.start()
        self.flows()
        return self

    def __exit__(self, kind, *_):
        for client in self.clients:
            client.stop()
        for client in self.clients:
            client.join(LONG)
            if kind is None:
                assert not client.is_alive(), f"{client.name} hangs"
                assert client.failure is None, client.failure
        for client in self.clients:
            client.connection.close()

    def flows(self):
        """Waits until every client has begun something and had it done, from now on."""
        since = time.monotonic()

        def served():
            done = {t.client for t in list(self.account.told)
                    if t.ids and not t.sqlstate and t.began > since}
            return all(c.name in done or c.connection.closed for c in self.clients)

        until(served, LONG, "a write by every client")
        return time.monotonic()


class Racer(threading.Thread):
    """Writes one row after the other where `connect()` leads, as often as that lets it, and knows
    when it could. Holds a `with`."""

    def __init__(self, connect, rest=0.004):
        super().__init__(daemon=True)
        self._connect, self._rest = connect, rest
        self._quit = threading.Event()
        # (when, by the clock of the machine and not by that of a thread that has to wait for the
        # others, as time.monotonic() tells it; the node that did it)
        self.done = []

    def run(self):
        connection = None
        for number in itertools.count(1):
            if self._quit.is_set():
                break
            try:
                connection = connection or self._connect()
                node, at = connection.execute(
                    "INSERT INTO probe VALUES (%s) RETURNING node,"
                    " extract(epoch FROM clock_timestamp())::float8", (number,)).fetchone()
                self.done.append((at - time.time() + time.monotonic(), int(node[1:])))
            except psycopg.Error:
                if connection and connection.closed:
                    connection = None
            self._quit.wait(self._rest)
        if connection:
            connection.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._quit.set()
        self.join(LONG)

    def first_on(self, n):
        """None: it has written nothing there."""
        return next((at for at, node in list(self.done) if node == n), None)


def prober(scene, n):  # pylint: disable=redefined-outer-name
    """A racer that writes to node n, without pgweir."""
    return Racer(lambda: scene.nodes.connect(n, "shop", **LOCAL_COMMIT))
