"""Reads of a real cluster: how they are spread over the standbys, which standbys are left out and
when they are back, and what becomes of reads when a node dies or changes its role."""

import contextlib
import time
from collections import Counter
from types import SimpleNamespace

import pytest

import wire
from cluster import until
from failover_scene import LONG, PATIENT, Account, Load, Scene

pytestmark = pytest.mark.failover

WHERE = "SELECT substr(current_setting('cluster_name'), 2)::int"
INSERT = "INSERT INTO ledger VALUES ({})"
LEASE = 2.6  # seconds; a little more than the default
ONE_WORKER = {"workers": {"count": 1}}


def where(client):
    """The number of the node that answers it."""
    return int(client.value(WHERE))


def spread(client, count):
    """{node: how many of so many transactions it served}"""
    return Counter(where(client) for _ in range(count))


def in_transactions(here, stack, count):
    """So many clients, each in a transaction that stays open: {client: node}."""
    held = {}
    for _ in range(count):
        client = stack.enter_context(here.wire("reads"))
        client.values("BEGIN")
        held[client] = where(client)
    return held


# --- how reads are spread ------------------------------------------------------------------------


@pytest.fixture
def reading(scene):
    """reading(...): pgweir that serves reads as told; one worker, as each shares alone."""
    def make(weights=(), **cluster):
        here = scene(over=ONE_WORKER, **PATIENT, **cluster)
        if weights:
            nodes = here.weir.config["cluster"]["main"]["node"]
            shares = dict(zip(here.standbys, weights, strict=True))
            for node in nodes:
                node["weight"] = shares.get(int(node["name"][1:]), 100)
            here.weir.change({})
        return here.ready()
    return make


def test_round_robin_takes_turns(reading):
    here = reading(balance="round-robin")
    with here.wire("reads") as client:
        first = [where(client) for _ in range(8)]
    assert sorted(first[:2]) == here.standbys
    assert first == first[:2] * 4


def test_round_robin_goes_by_weights(reading):
    here = reading(balance="round-robin", weights=(100, 300))
    with here.wire("reads") as client:
        assert spread(client, 20) == dict(zip(here.standbys, (5, 15), strict=True))


def test_a_node_without_weight_is_not_read_from(reading):
    here = reading(balance="round-robin", weights=(100, 0))
    with here.wire("reads") as client:
        assert spread(client, 10) == {here.standbys[0]: 10}


def test_least_connections_fills_up_where_transactions_have_ended(reading):
    here = reading(balance="least-connections")
    with contextlib.ExitStack() as stack:
        held = in_transactions(here, stack, 6)
        assert set(Counter(held.values()).values()) == {3}
        done = here.standbys[0]
        for client in [c for c, node in held.items() if node == done][:2]:
            client.values("COMMIT")
        assert set(in_transactions(here, stack, 2).values()) == {done}


def test_weighted_least_connections_gives_each_node_its_share(reading):
    here = reading(balance="weighted-least-connections", weights=(100, 300))
    with contextlib.ExitStack() as stack:
        held = in_transactions(here, stack, 8)
        assert Counter(held.values()) == dict(zip(here.standbys, (2, 6), strict=True))


class Keyed:
    """Clients that differ in application_name, by which the cluster's reads are spread."""

    def __init__(self, weir, stack, count=24):
        self.clients = {}
        for number in range(count):
            client = weir.wire("app", "reads", application_name=f"key {number}")
            self.clients[number] = stack.enter_context(client)

    def places(self):
        return {key: where(client) for key, client in self.clients.items()}


@pytest.fixture
def hashing(reading):
    return reading(balance="hash", hash_by="application-name")


def test_a_key_stays_at_its_node_on_every_pgweir(hashing, pooler, base):
    state_dir = base / f"{hashing.state_dir.name}-2"
    state_dir.mkdir()
    other = pooler(None, {"process": {"state_dir": str(state_dir)}, "listen": {"port": 0}},
                   config=hashing.weir.config)
    with contextlib.ExitStack() as stack:
        keyed = Keyed(hashing.weir, stack)
        places = keyed.places()
        assert set(places.values()) == set(hashing.standbys)
        assert keyed.places() == places
        assert Keyed(other, stack).places() == places


def fence(weir, n):
    with weir.console() as console:
        console.execute(f"FENCE n{n}")


def unfence(here, n):
    position = here.position()
    with here.weir.console() as console:
        console.execute(f"UNFENCE n{n}")
    here.wait_said(rf"n{n} was fenced .* is now standby", since=position)


def test_only_the_keys_of_a_node_that_leaves_move_and_come_back_with_it(hashing):
    gone, left = hashing.standbys
    with contextlib.ExitStack() as stack:
        keyed = Keyed(hashing.weir, stack)
        before = keyed.places()
        fence(hashing.weir, gone)
        assert set(keyed.places().values()) == {left}
        unfence(hashing, gone)
        assert keyed.places() == before


def after_an_absence(here):
    """(the standby that is back, the one that stayed, a client)"""
    back, stayed = here.standbys
    client = here.wire("reads")
    client.value("SELECT 1")
    fence(here.weir, back)
    assert spread(client, 4) == {stayed: 4}
    unfence(here, back)
    return back, stayed, client


def test_a_node_that_is_back_starts_slowly(reading):
    here = reading(balance="round-robin", slow_start="10m")
    back, stayed, client = after_an_absence(here)
    served = spread(client, 64)
    assert 0 < served[back] < served[stayed] / 4


def test_a_node_that_is_back_has_its_full_share_in_the_end(reading):
    here = reading(balance="round-robin", slow_start="1s")
    back, stayed, client = after_an_absence(here)
    until(lambda: spread(client, 8) == {back: 4, stayed: 4}, LONG, "a full share")


# --- what a client asks for itself ---------------------------------------------------------------


def test_a_connection_may_ask_for_a_standby(scene):
    here = scene(**PATIENT).ready()
    with here.weir.connect(options="-c pgweir.target=standby") as client:
        assert client.execute(WHERE).fetchone()[0] in here.standbys
        assert client.info.parameter_status("in_hot_standby") == "on"
    with here.weir.connect() as client:
        assert client.execute(WHERE).fetchone()[0] == here.primary
        assert client.info.parameter_status("in_hot_standby") == "off"


@pytest.mark.parametrize(("target", "served"), [
    ("primary", {"primary"}), ("standby", {"standby"}), ("prefer-standby", {"standby"}),
    ("any", {"primary", "standby"})])
def test_a_target_is_where_reads_go(scene, target, served):
    here = scene(over=ONE_WORKER, balance="round-robin", **PATIENT).ready()
    with here.weir.wire("app", "shop", options=f"-c pgweir.target={target}") as client:
        found = spread(client, 6)
    assert {"primary" if n == here.primary else "standby" for n in found} == served


def test_prefer_standby_falls_back_to_the_primary(scene):
    here = scene(**PATIENT).ready()
    with here.weir.wire("app", "shop", options="-c pgweir.target=prefer-standby") as client:
        for n in here.standbys:
            fence(here.weir, n)
        assert spread(client, 4) == {here.primary: 4}


# --- standbys that are left out, and back --------------------------------------------------------


@contextlib.contextmanager
def setting(nodes, n, **settings):
    """Settings of node n for a while; they are as they were afterwards."""
    with nodes.connect(n) as boss:
        before = {name: boss.execute(f"SHOW {name}").fetchone()[0] for name in settings}

        def lay(values):
            for name, value in values.items():
                boss.execute(f"ALTER SYSTEM SET {name} = '" + value.replace("'", "''") + "'")
            boss.execute("SELECT pg_reload_conf()")

        lay(settings)
        try:
            yield
        finally:
            lay(before)


@contextlib.contextmanager
def paused_replay(nodes, n):
    with nodes.connect(n) as boss:
        boss.execute("SELECT pg_wal_replay_pause()")
        try:
            yield
        finally:
            boss.execute("SELECT pg_wal_replay_resume()")


def replay_paused(here, n):
    return paused_replay(here.nodes, n)


def receiver_gone(here, n):
    return setting(here.nodes, n, primary_conninfo="")


@contextlib.contextmanager
def far_behind(here, n):
    """It goes on receiving, and replays no commit any more."""
    def is_delayed():
        boss.execute("INSERT INTO probe VALUES (0)")
        return here.nodes.value(n, "SELECT count(*) FROM pg_stat_activity WHERE"
                                   " wait_event = 'RecoveryApplyDelay'")

    with setting(here.nodes, n, recovery_min_apply_delay="1h"), \
            here.nodes.connect(here.primary, "shop") as boss:
        until(is_delayed, LONG, "a replay that waits")
        boss.execute("INSERT INTO probe SELECT 0 FROM generate_series(1, 20000)")
        yield


@pytest.mark.parametrize(("trouble", "limits"), [
    (replay_paused, {}), (receiver_gone, {}),
    (far_behind, {"max_lag_bytes": "64KiB", "max_lag": "0s"}),
    (far_behind, {"max_lag_bytes": 0, "max_lag": "2s"})],
    ids=["replay paused", "receiver gone", "bytes behind", "seconds behind"])
def test_a_standby_that_does_not_keep_up_is_left_out_until_it_does(scene, trouble, limits):
    here = scene(over=ONE_WORKER, balance="round-robin", slow_start="0s", **PATIENT,
                 **limits).ready()
    bad, good = here.standbys
    with here.wire("reads") as client:
        assert set(spread(client, 4)) == {bad, good}
        with trouble(here, bad):
            until(lambda: set(spread(client, 4)) == {good}, LONG, "no reads from it")
        until(lambda: set(spread(client, 4)) == {bad, good}, LONG, "reads from it again")


def test_writes_do_not_mind_a_standby_that_does_not_keep_up(scene):
    here = scene(**PATIENT).ready()
    position = here.position()
    with here.wire() as writer, replay_paused(here, here.standbys[0]):
        here.wait_said(r"replay paused", since=position)
        assert wire.sqlstates(writer.query(INSERT.format(1))) == []
    assert not here.said("writes wait", position)


def test_the_last_standby_is_never_left_out(scene):
    here = scene(slow_start="0s", **PATIENT).ready()
    position = here.position()
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(here.wire("reads"))
        for n in here.standbys:
            stack.enter_context(replay_paused(here, n))
        for n in here.standbys:
            here.wait_said(rf"\bn{n}\b[^;]*replay paused", since=position)
        assert set(spread(client, 8)) <= set(here.standbys)


# --- a standby dies with reads on it -------------------------------------------------------------

# Runs at once, but on a node where somebody else has the lock.
LOCKED = "SELECT substr(current_setting('cluster_name'), 2)::int FROM pg_advisory_xact_lock(7)"
LOCKED_LATER = ("SELECT CASE WHEN g > 1 THEN (SELECT 1 FROM pg_advisory_xact_lock(7)) END"
                " FROM generate_series(1, 2) g")


class Readers:
    """Clients with reads on the standby that is to die, none of which ends while it lives."""

    def __init__(self, here, doomed):
        self.here, self.doomed = here, doomed
        self.lock = here.nodes.connect(doomed, "shop")
        self.lock.execute("SELECT pg_advisory_lock(7)")
        self.unanswered = self._there("SELECT 1")
        self.begun = self._there("SELECT 1")
        self.inside = self._there("BEGIN")
        self.unanswered.send(wire.query(LOCKED))
        self.begun.send(wire.parse(LOCKED_LATER), wire.bind(), wire.execute(rows=1), wire.FLUSH)
        assert wire.rows(self.begun.read_until("s")) == [[None]]
        self.begun.send(wire.execute(rows=0), wire.SYNC)
        until(lambda: here.nodes.value(
            doomed, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        ) == 2, LONG, "two reads that wait")

    def _there(self, sql):
        """A client that the doomed standby serves next; keyed, so that it stays there."""
        for number in range(1000):
            client = self.here.weir.wire("app", "reads", application_name=f"key {number}")
            if where(client) == self.doomed:
                client.sock.settimeout(LONG)
                client.values(sql)
                return client
            client.close()
        raise AssertionError(f"no key of n{self.doomed}")


@pytest.fixture(scope="module")
def bereaved(stage, lasting_pooler, base):
    """What readers and writers noticed of the death of a standby."""
    here = Scene(stage.whole(), lasting_pooler, base, balance="hash",
                 hash_by="application-name", **PATIENT).ready()
    doomed, left = here.standbys
    readers = Readers(here, doomed)
    account = Account()
    position = here.position()
    with Load(here, account=account) as load:
        here.nodes.kill_node(doomed)
        story = SimpleNamespace(
            here=here, left=left, account=account,
            unanswered=readers.unanswered.outcome(),
            begun=[readers.begun.outcome(), readers.begun.query(WHERE)],
            inside=[readers.inside.query(sql)
                    for sql in ("SELECT 1", "SELECT 1", "ROLLBACK", WHERE)])
        load.flows()
    story.rows = here.rows(here.primary)
    story.held = here.said("writes wait", position)
    here.weir.finish()
    here.nodes.start_node(doomed)
    return story


def test_a_read_of_which_nothing_was_seen_is_repeated_elsewhere(bereaved):
    assert wire.told(bereaved.unanswered) == ([], "I")
    assert wire.rows(bereaved.unanswered) == [[str(bereaved.left)]]


def test_a_read_of_which_a_row_was_seen_fails_once(bereaved):
    assert wire.told(bereaved.begun[0]) == (["08006"], "I")
    assert wire.rows(bereaved.begun[1]) == [[str(bereaved.left)]]


def test_a_transaction_on_the_dead_standby_fails_once_and_goes_on_elsewhere(bereaved):
    assert [wire.told(frames) for frames in bereaved.inside] == [
        (["08006"], "E"), (["25P02"], "E"), ([], "I"), ([], "I")]
    assert wire.rows(bereaved.inside[-1]) == [[str(bereaved.left)]]


def test_writers_do_not_notice_the_death_of_a_standby(bereaved):
    assert bereaved.account.errors() == {}
    assert not bereaved.held
    assert bereaved.account.check(bereaved.rows)["ok"] > 0


# --- roles that change under readers and writers -------------------------------------------------


@pytest.fixture(scope="module")
def promoted(stage, lasting_pooler, base):
    """A client had a transaction open on the standby that became the primary."""
    here = Scene(stage.whole(), lasting_pooler, base, balance="round-robin", **PATIENT).ready()
    winner = here.standbys[0]
    client = here.wire("reads")
    client.values("BEGIN")
    while where(client) != winner:
        client.values("COMMIT")
        client.values("BEGIN")
    position = here.position()
    here.nodes.switchover(winner)
    here.wait_said(rf"n{winner} is granted", since=position)
    granted = here.position()
    answers = [client.query(sql) for sql in (INSERT.format(0), "ROLLBACK", WHERE)]
    with here.wire() as writer:
        written = writer.query(INSERT.format(1))
    story = SimpleNamespace(here=here, winner=winner, answers=answers, written=written,
                            doubts=here.said(rf"n{winner} was primary", granted))
    here.weir.finish()
    return story


def test_a_transaction_begun_on_a_standby_stays_read_only_when_it_is_promoted(promoted):
    assert [wire.told(frames) for frames in promoted.answers[:2]] == [(["25006"], "E"), ([], "I")]


def test_the_next_transaction_of_such_a_client_is_served_by_a_standby(promoted):
    assert wire.told(promoted.answers[2]) == ([], "I")
    assert wire.rows(promoted.answers[2]) != [[str(promoted.winner)]]


def test_the_new_primary_is_not_doubted_for_it(promoted):
    assert not promoted.doubts
    assert wire.told(promoted.written) == ([], "I")


@pytest.fixture(scope="module")
def demoted(stage, lasting_pooler, base):
    """The primary became a standby, and was one, before pgweir noticed anything."""
    here = Scene(stage.whole(), lasting_pooler, base).ready()
    winner, account = here.standbys[0], Account()
    idle, writing = here.wire(), here.wire()
    for client in (idle, writing):
        client.values("SELECT 1")
    with here.weir.asleep():
        began = time.monotonic()
        number = account.next_id()
        writing.send(wire.query(INSERT.format(number)))
        here.nodes.switchover(winner)
        here.nodes.wait_standby(here.primary)
        until(lambda: time.monotonic() - began > LEASE, what="the end of the lease")
    account.judge("writing", (number,), writing.outcome())
    number = account.next_id()
    account.judge("idle", (number,), idle.query(INSERT.format(number)))
    story = SimpleNamespace(here=here, winner=winner, account=account, rows=here.rows(winner))
    here.weir.finish()
    return story


def test_who_writes_to_a_primary_that_was_demoted_unnoticed_sees_no_error(demoted):
    assert demoted.account.errors() == {}


def test_what_was_written_then_is_on_the_new_primary_once(demoted):
    assert demoted.account.check(demoted.rows) == {"ok": 2, "err": 0, "unknown": 0}
    assert {node for _, node in demoted.rows} == {demoted.winner}
