"""Links between pgweir and the nodes of a real cluster, or among the nodes, that fail, come and go,
or lead to somebody else: nobody is written to who might not be the primary, and nobody is given up
who still is."""

import contextlib
import functools
import random
import time
from types import SimpleNamespace

import psycopg
import pytest

import wire
from cluster import until
from failover_scene import LONG, PATIENT, Account, Load, Scene, astray, staged
from relay import Relays
from repmgr_cluster import MONITOR, LoopbackCluster

pytestmark = pytest.mark.failover

INSERT = "INSERT INTO ledger VALUES ({})"
# Is written once nobody else has the lock.
INSERT_LOCKED = "INSERT INTO ledger SELECT {} FROM pg_advisory_xact_lock(7)"
CONNECTIONS = 60


class LinkedCluster(LoopbackCluster):
    """pgweir reaches node n by the link `front[n]`, the other nodes by `back[n]`."""

    def __init__(self, relays, *arguments, **options):
        super().__init__(*arguments, **options)
        self.front = {n: relays.link(super(LinkedCluster, self).address(n)) for n in self.nodes}
        self.back = {n: relays.link(super(LinkedCluster, self).address(n)) for n in self.nodes}
        self.peer_ports = {n: link.port for n, link in self.back.items()}

    def address(self, n):
        return self.front[n].address

    def direct(self, n):
        return super().address(n)


@pytest.fixture(scope="module")
def stage(base):
    with Relays() as relays, staged(base, "linked", functools.partial(LinkedCluster, relays),
                                    fast=True, settings={"max_connections": CONNECTIONS}) as made:
        yield made


@pytest.fixture(scope="module")
def new_scene(stage, lasting_pooler, base):
    def make(**options):
        return Scene(stage.whole(), lasting_pooler, base, **options).ready()
    return make


def grants(here, since):
    return [line for line in here.lines(since) if "is granted" in line]


# --- pgweir alone does not reach the primary -----------------------------------------------------


@pytest.fixture(scope="module")
def black_hole(new_scene):
    here = new_scene(hold_timeout="3s")
    nodes, account, link = here.nodes, Account(), here.nodes.front[here.primary]
    late, inside, waiting = here.wire(), here.wire(), here.wire()
    late.values("SELECT 1")
    ids = {name: account.next_id() for name in ("late", "inside", "waiting")}
    inside.values("BEGIN")
    inside.values(INSERT.format(ids["inside"]))
    position = here.position()
    with nodes.connect(here.primary, "shop") as boss:
        boss.execute("SELECT pg_advisory_lock(7)")
        waiting.send(wire.query(INSERT_LOCKED.format(ids["waiting"])))
        until(lambda: nodes.value(here.primary, "SELECT count(*) FROM pg_locks WHERE"
                                  " locktype = 'advisory' AND NOT granted"), LONG, "a waiter")
        with link.dark():
            here.wait_said(rf"n{here.primary} was primary and is now suspect", since=position)
            suspected = here.position()
            story = SimpleNamespace(here=here, account=account)
            late.send(wire.query(INSERT.format(ids["late"])))
            inside.send(wire.query("SELECT 1"))
            boss.execute("SELECT pg_advisory_unlock(7)")
            story.late, story.inside = [late.outcome()], [inside.outcome()]
            here.wait_said(rf"n{here.primary} was suspect .* and is now down", since=suspected)
        story.waiting = waiting.outcome()
    for name, frames in (("late", story.late[0]), ("inside", story.inside[0]),
                         ("waiting", story.waiting)):
        account.judge(name, (ids[name],), frames)
    here.wait_said(rf"writes go to n{here.primary}", since=suspected)
    story.inside += [inside.query(sql) for sql in ("ROLLBACK", "SELECT 1")]
    number = account.next_id()
    story.late.append(late.query(INSERT.format(number)))
    account.judge("late", (number,), story.late[1])
    story.rows, story.grants = here.rows(here.primary), grants(here, position)
    here.weir.finish()
    return story


def test_a_primary_that_pgweir_alone_does_not_reach_is_not_replaced(black_hole):
    assert black_hole.grants == []


def test_who_comes_meanwhile_is_held_then_refused_then_served(black_hole):
    assert [wire.told(frames) for frames in black_hole.late] == [(["57P03"], "I"), ([], "I")]


def test_an_open_transaction_is_given_up_when_holding_ends(black_hole):
    assert [wire.told(frames) for frames in black_hole.inside] == [
        (["08006"], "E"), ([], "I"), ([], "I")]


def test_an_answer_that_was_on_its_way_arrives_when_the_link_is_back(black_hole):
    assert wire.told(black_hole.waiting) == ([], "I")


def test_what_was_told_during_a_black_hole_is_true(black_hole):
    assert black_hole.account.check(black_hole.rows) == {"ok": 2, "err": 2, "unknown": 0}


# --- pgweir and the primary are alone, the standbys elect another --------------------------------


@pytest.fixture(scope="module")
def cut_off(new_scene):
    here = new_scene(sync=True, follower_silence="3s")
    nodes, account = here.nodes, Account()
    old, position = here.primary, here.position()
    links = [nodes.back[old], *(nodes.front[n] for n in here.standbys)]
    with Load(here, writers=2, transactors=2, account=account) as load, \
            contextlib.ExitStack() as darkness:
        for link in links:
            darkness.enter_context(link.dark())
        winner = nodes.wait_primary(other_than=old)
        here.wait_said(r"writes wait: isolated", since=position)
        # Whoever hears of the old primary's last writes first has a history of its own.
        follower = next(n for n in here.standbys if n != winner)
        until(lambda: nodes.status()[follower] == (True, nodes.status()[winner][1]), LONG,
              f"n{follower} as a standby of n{winner}")
        alone = here.position()
        darkness.close()
        here.wait_said(rf"n{winner} is granted", since=alone)
        granted = time.monotonic()
        load.flows()
    here.wait_said(rf"n{old} was .* is now fenced|n{old} must not be used", since=alone)
    story = SimpleNamespace(here=here, winner=winner, account=account, granted=granted,
                            rows=here.rows(winner), left_behind=here.rows(old),
                            grants=grants(here, position))
    here.weir.finish()
    nodes.replicate_synchronously(False)
    nodes.rejoin(old)
    return story


def test_a_primary_alone_with_pgweir_is_not_written_to_and_is_succeeded_in_the_end(cut_off):
    assert len(cut_off.grants) == 1
    assert f"n{cut_off.winner} is granted" in cut_off.grants[0]


def test_nothing_acknowledged_is_lost_in_a_partition(cut_off):
    assert cut_off.account.check(cut_off.rows)["ok"] > 10


def test_nothing_is_written_to_the_fenced_primary_afterwards(cut_off):
    late = {i for t in cut_off.account.told if t.began > cut_off.granted for i in t.ids}
    assert late and not late & {number for number, _ in cut_off.left_behind}
    assert astray(cut_off) == []


def test_in_a_partition_only_what_was_on_its_way_to_the_primary_is_in_doubt(cut_off):
    for name, states in cut_off.account.errors().items():
        allowed = [["08007"]] if name.startswith("writer") else [
            ["08007"], ["08006"], ["08006", "25P02"]]
        assert states in allowed, name


# --- a link that comes and goes ------------------------------------------------------------------

TIMES = 8


@pytest.fixture(scope="module")
def flapping(new_scene):
    here = new_scene()
    account, link, position = Account(), here.nodes.front[here.primary], here.position()
    dice = random.Random(24)
    with Load(here, account=account) as load:
        before = link.accepted
        link.most = 0
        link.spoil(jitter=0.1, loss=0.5)
        for _ in range(TIMES):
            with link.dark():
                time.sleep(dice.uniform(0.2, 1.0))
            time.sleep(dice.uniform(0.1, 0.5))
        link.spoil()
        load.flows()
    story = SimpleNamespace(here=here, account=account, rows=here.rows(here.primary),
                            grants=grants(here, position), most=link.most,
                            accepted=link.accepted - before)
    here.weir.finish()
    return story


def test_a_flapping_link_changes_no_role(flapping):
    assert flapping.grants == []


def test_a_flapping_link_is_a_pause(flapping):
    assert flapping.account.errors() == {}
    assert flapping.account.check(flapping.rows)["ok"] > 0


def test_a_flapping_link_causes_no_storm_of_connections(flapping):
    of_pools, of_monitor = 20, 2
    assert flapping.most <= of_pools + of_monitor
    assert flapping.accepted <= TIMES * (of_pools + of_monitor)


# --- an address that leads to somebody else ------------------------------------------------------


@pytest.fixture
def foreign(own_cluster):
    """Another database system that would let pgweir in, and take its writes."""
    user, password = MONITOR
    with open(own_cluster.data / "pg_hba.conf", "a", encoding="ascii") as rules:
        rules.write("host all all 127.0.0.1/32 scram-sha-256\n")
    for sql in ("SELECT pg_reload_conf()", f"CREATE ROLE {user} LOGIN PASSWORD '{password}'",
                f"GRANT pg_monitor TO {user}", "CREATE DATABASE repmgr"):
        own_cluster.execute(sql)
    own_cluster.execute("CREATE TABLE ledger (id bigint)", "shop")
    own_cluster.execute("ALTER TABLE ledger OWNER TO app", "shop")
    return own_cluster


def visits(here, target):
    """How many clients of pgweir's a server at this port has, beside the monitor."""
    with psycopg.connect(host=target[0], port=target[1], user="app", password="app-secret",
                         dbname="shop", autocommit=True) as connection:
        return connection.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'"
                                  " AND pid <> pg_backend_pid()").fetchone()[0]


class Misled:
    """The primary's address leads to `target`, for the length of a `with`; a client writes."""

    def __init__(self, here, target):
        self.here, self.target = here, target
        self.link, self.client = here.nodes.front[here.primary], here.wire()
        self.client.values("SELECT 1")
        self.home = self.link.target
        self.position = here.position()

    def __enter__(self):
        self.link.lead_to(self.target)
        self.here.wait_said(rf"n{self.here.primary} must not be used: quarantined",
                            since=self.position)
        self.client.send(wire.query(INSERT.format(1)))
        until(lambda: self.here.weir.show("CLUSTERS")[0]["held_clients"] == 1, LONG,
              "a held client")
        return self

    def __exit__(self, *_):
        self.link.lead_to(self.home)

    def reason(self):
        nodes = {row["name"]: row for row in self.here.weir.show("NODES")}
        return nodes[f"n{self.here.primary}"]["reason"]


def test_an_address_that_leads_to_another_node_is_not_taken_for_either(scene):
    here = scene().ready()
    other = here.standbys[0]
    with Misled(here, here.nodes.direct(other)) as misled:
        until(lambda: misled.reason() in ("another node answers", "the same server as another node"),
              LONG, "a reason")
        with here.wire("reads") as reader:
            assert wire.told(reader.query("SELECT 1")) == ([], "I")
    assert wire.told(misled.client.outcome()) == ([], "I")
    assert here.rows(here.primary) == [(1, here.primary)]
    assert grants(here, misled.position) == []


def test_an_address_that_leads_to_another_system_gets_nothing(scene, foreign):
    here = scene().ready()
    with Misled(here, foreign.address) as misled:
        until(lambda: misled.reason() == "another system identifier", LONG, "a reason")
        assert visits(here, foreign.address) == 0
    assert wire.told(misled.client.outcome()) == ([], "I")
    assert foreign.value("SELECT count(*) FROM ledger", "shop") == 0
    assert here.rows(here.primary) == [(1, here.primary)]
    assert grants(here, misled.position) == []


# --- a primary that lets nobody in any more ------------------------------------------------------


@contextlib.contextmanager
def full(nodes, n):
    """No connection is left on node n, but for superusers."""
    with contextlib.ExitStack() as stack:
        host, port = nodes.direct(n)
        with pytest.raises(psycopg.OperationalError, match="slots"):
            for _ in range(2 * CONNECTIONS):
                stack.enter_context(psycopg.connect(host=host, port=port, user="app",
                                                    password="app-secret", dbname="shop"))
        yield


def test_a_full_primary_goes_on_with_the_connections_that_it_has(scene):
    here = scene(**PATIENT).ready()
    user, _ = MONITOR
    with here.wire() as client, here.nodes.connect(here.primary) as boss:
        client.values("BEGIN")
        client.values("SELECT 1")
        with full(here.nodes, here.primary):
            position = here.position()
            boss.execute(f"ALTER ROLE {user} CONNECTION LIMIT 0")
            try:
                boss.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                             " WHERE application_name = 'pgweir-monitor'")
                here.wait_said(rf"n{here.primary} was primary and is now suspect", since=position)
                here.wait_said(rf"n{here.primary} was suspect .* and is now primary",
                               since=position)
                client.values(INSERT.format(1))
                client.values("COMMIT")
                client.values(INSERT.format(2))
            finally:
                boss.execute(f"ALTER ROLE {user} CONNECTION LIMIT -1")
    assert sorted(here.rows(here.primary)) == [(1, here.primary), (2, here.primary)]
    assert not here.said(r"and is now down", position)
    assert grants(here, position) == []
