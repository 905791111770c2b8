"""A primary that was replaced comes back and takes itself for the primary: nothing reaches it."""

import contextlib
import re
import time
from types import SimpleNamespace

import pytest

import wire
from cluster import until
from crew import WITHOUT_A_WORD, Crew
from failover_scene import LONG, Account, Load, Scene, config_of

pytestmark = pytest.mark.failover


def write_lands_on(weir):
    """The node that a new client's row is written by."""
    with weir.connect() as client:
        return client.execute("INSERT INTO probe VALUES (0) RETURNING node").fetchone()[0]


def fenced(n):
    """What pgweir says of a node that takes itself for the primary."""
    return rf"\bn{n} (was [^;]* and is now|must not be used:) fenced"


def served(here):
    """The primaries that pgweir has sent writes to since it was started, and their epochs."""
    (row,) = here.weir.show("CLUSTERS")
    found = {int(n) for line in here.lines() for n in re.findall(r"writes go to n(\d)", line)}
    return found, row["epoch"]


def is_split(here):
    (row,) = here.weir.show("CLUSTERS")
    return row["split_brain"] == 1


def reads_from(here, n):
    """Waits until a client that reads is sent to node n."""
    with here.weir.connect(database="reads") as client:
        until(lambda: client.execute("SHOW cluster_name").fetchone()[0] == f"n{n}", LONG,
              f"reads from n{n}")


def comes_back_as_standby(here, n):
    """Rejoins node n; whether it is taken back and read from."""
    since = here.position()
    here.nodes.rejoin(n)
    here.wait_said(rf"\bn{n} was [^;]* and is now standby", since=since)
    reads_from(here, n)


# --- a primary that hangs, is replaced, and goes on ----------------------------------------------


@pytest.fixture(scope="module")
def thawed(stage, lasting_pooler, base):
    """The primary is frozen until repmgrd has replaced it, and then goes on where it was."""
    here = Scene(stage.whole(), lasting_pooler, base, sync=True).ready()
    nodes, old, account = here.nodes, here.primary, Account()
    before = here.position()
    crew = Crew(here, account)
    with Load(here, account=account) as load:
        nodes.freeze_node(old)
        crew.hear_out()
        load.flows()
        winner = nodes.wait_primary(other_than=old)
        decided, first_of_new = here.position(), account.next_id()
        nodes.thaw_node(old)
        here.wait_said(fenced(old), since=decided)
        split = is_split(here)
        load.flows()
        # What was on its way to it is done now, or never, and shows when it waits for no standby.
        nodes.replicate_synchronously(False)
        until(lambda: nodes.value(old, "SELECT count(*) FROM pg_stat_activity"
                                       " WHERE usename = 'app' AND state = 'active'"
                                       " AND wait_event IS DISTINCT FROM 'PgSleep'") == 0,
              LONG, f"n{old} at rest")
        on_old = here.rows(old)
        comes_back_as_standby(here, old)
        load.flows()
    story = SimpleNamespace(
        crew=crew, account=account, old=old, winner=winner, rows=here.rows(winner), split=split,
        on_old=[number for number, _ in on_old if number >= first_of_new],
        lines=here.lines(before))
    here.weir.finish()
    return story


def test_a_primary_that_hangs_is_suspect_before_another_is_granted(thawed):
    said = "\n".join(thawed.lines)
    assert said.index(f"n{thawed.old} was primary and is now suspect (silent)") < said.index(
        f"n{thawed.winner} is granted")


@pytest.mark.parametrize("who", sorted(WITHOUT_A_WORD))
def test_clients_of_a_primary_that_hangs_are_told_when_another_is_granted(thawed, who):
    assert thawed.crew.answers[who] == WITHOUT_A_WORD[who]


def test_nobody_is_told_anything_else_by_a_primary_that_hangs(thawed):
    told = thawed.crew.sqlstates() | {t.sqlstate for t in thawed.account.told if t.sqlstate}
    assert told == {"08006", "08007", "25P02"}


def test_nothing_acknowledged_is_lost_with_a_primary_that_hangs(thawed):
    thawed.account.check(thawed.rows)


def test_a_thawed_primary_gets_nothing_that_began_after_its_successor_s_grant(thawed):
    assert thawed.on_old == []


def test_a_thawed_primary_is_reported_as_a_split_brain(thawed):
    assert thawed.split


def test_a_thawed_primary_is_never_granted_again(thawed):
    grants = [line for line in thawed.lines if "is granted" in line]
    assert len(grants) == 1, grants


# --- a primary that is restarted without being told ----------------------------------------------


@pytest.fixture(scope="module")
def restarted(stage, lasting_pooler, base):
    """A killed primary is started again as it was, and goes on to write more than its successor."""
    here = Scene(stage.whole(), lasting_pooler, base).ready()
    nodes, old, account = here.nodes, here.primary, Account()
    with Load(here, account=account) as load:
        nodes.kill_node(old)
        load.flows()
        winner = nodes.wait_primary(other_than=old)
        for n in nodes.nodes:  # or the third one would follow the old primary again
            if n not in (old, winner):
                nodes.wait_standby(n)
        decided, first_of_new = here.position(), account.next_id()
        nodes.start_node(old)
        here.wait_said(fenced(old), since=decided)
        split = is_split(here)
        load.flows()
        get_ahead(nodes, old, winner)
        load.flows()
        newcomers = {}
        for name, order in (("first", [old, winner]), ("last", [winner, old])):
            order = [*order[:1], *(n for n in nodes.nodes if n not in order), *order[1:]]
            newcomers[name] = newcomer(here, lasting_pooler, base, order)
    forgetful = restart_out_of_sight_of(here, winner, lasting_pooler, base)
    comes_back_as_standby(here, old)
    story = SimpleNamespace(
        account=account, old=old, winner=winner, rows=here.rows(winner), split=split,
        newcomers=newcomers, forgetful=forgetful,
        first_of_new=first_of_new, lines=here.lines(decided))
    here.weir.finish()
    return story


def get_ahead(nodes, n, other):
    """Lets node n write until its WAL is longer than the other's."""
    end = nodes.value(other, "SELECT pg_current_wal_insert_lsn()")

    def is_ahead():
        nodes.value(n, "SELECT pg_switch_wal()")
        nodes.value(n, "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000))")
        return nodes.value(n, f"SELECT pg_current_wal_insert_lsn() > '{end}'::pg_lsn + 33554432")

    until(is_ahead, LONG, f"n{n} ahead of n{other}")


def newcomer(here, pooler, base, order):
    """Where a pgweir that knows nothing of the past sends writes, with its nodes in this order."""
    state_dir = base / f"state{time.monotonic_ns()}"
    state_dir.mkdir()
    weir = pooler(None, config=config_of(here.nodes, state_dir, order))
    lands = write_lands_on(weir)
    weir.finish()
    return lands


def restart_out_of_sight_of(here, winner, pooler, base):
    """What a restarted pgweir does that sees the stale primary, and the rightful one not."""
    here.nodes.pause()
    here.weir.finish()
    here.nodes.freeze_node(winner)
    with contextlib.ExitStack() as stack:
        stack.callback(here.nodes.thaw_node, winner)
        # It has not met any server that could tell a client's welcome: who logs in waits for one.
        here.weir = pooler(None, {"timeouts": {"client_login": "10s"}},
                           config=config_of(here.nodes, here.state_dir))
        here.wait_said(fenced(here.primary))
        with here.weir.wire() as client:
            client.sock.settimeout(LONG)
            refused = client.login("app", "shop", "app-secret").login_error
    here.wait_said(rf"writes go to n{winner}")
    lands = write_lands_on(here.weir)
    here.nodes.unpause()
    return SimpleNamespace(
        sqlstate=refused["C"], lands=lands,
        served=served(here),
        on_old={number for number, _ in here.rows(here.primary)},
        probes=here.rows(here.primary, "probe"))


def test_a_restarted_primary_is_a_split_brain_and_fenced(restarted):
    assert restarted.split
    assert not [line for line in restarted.lines if f"n{restarted.old} is granted" in line]


def test_nothing_reaches_a_restarted_primary(restarted):
    assert [i for i in restarted.forgetful.on_old if i >= restarted.first_of_new] == []
    assert restarted.forgetful.probes == []


def test_writers_have_no_error_from_a_primary_that_is_restarted(restarted):
    told = {t.sqlstate for t in restarted.account.told if t.sqlstate}
    assert told <= {"08006", "08007", "25P02"}
    errors = restarted.account.errors()
    assert all(len(set(states)) <= 2 and states.count(states[0]) == 1
               for states in errors.values()), errors


@pytest.mark.parametrize("place", ["first", "last"])
def test_the_newer_timeline_wins_wherever_the_longer_wal_is(restarted, place):
    assert restarted.newcomers[place] == f"n{restarted.winner}"


def test_a_restarted_pgweir_does_not_take_the_stale_primary_for_want_of_another(restarted):
    assert restarted.forgetful.sqlstate == "57P03"


def test_a_restarted_pgweir_goes_on_under_the_same_grant(restarted):
    assert restarted.forgetful.served == ({restarted.winner}, 2)
    assert restarted.forgetful.lands == f"n{restarted.winner}"


# --- pgweir is gone while the cluster fails over -------------------------------------------------


@pytest.fixture(scope="module")
def crashed(stage, lasting_pooler, base):
    """pgweir is killed while it holds clients. When it is back, the primary of before is so, too,
    beside a new one."""
    here = Scene(stage.whole(), lasting_pooler, base).ready()
    nodes, old, account = here.nodes, here.primary, Account()
    successor = here.standbys[0]
    nodes.pause()
    held = here.wire()
    held.value("select 1")
    nodes.kill_node(old)
    here.wait_said("writes wait: no claimant")
    held.send(wire.query(f"INSERT INTO ledger VALUES ({account.next_id()})"))
    until(lambda: here.weir.show("CLUSTERS")[0]["held_clients"] == 1, LONG, "a held client")
    here.weir.expected_status = None
    here.weir.process.kill()
    farewell = held.raw_until_closed()
    nodes.take_over(successor)
    nodes.start_node(old)
    here.start()
    here.wait_said(rf"n{successor} is granted .* epoch 2")
    here.wait_said(fenced(old))
    lands = write_lands_on(here.weir)
    story = SimpleNamespace(farewell=farewell, lands=lands, successor=successor,
                            served=served(here),
                            rows=[nodes.value(n, "SELECT count(*) FROM ledger", "shop")
                                  for n in (old, successor)],
                            probes=here.rows(old, "probe"))
    here.weir.finish()
    nodes.unpause()
    return story


def test_a_held_client_of_a_crashed_pgweir_sees_its_connection_end(crashed):
    assert crashed.farewell == b""


def test_what_a_crashed_pgweir_held_is_done_nowhere(crashed):
    assert crashed.rows == [0, 0]


def test_after_a_crash_the_new_primary_is_granted_and_not_the_one_of_before(crashed):
    assert crashed.served == ({crashed.successor}, 2)
    assert crashed.lands == f"n{crashed.successor}"
    assert crashed.probes == []
