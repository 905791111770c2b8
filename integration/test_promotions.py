"""Standbys that are promoted by accident, both at once, or after what they never received."""

from types import SimpleNamespace

import pytest

import wire
from cluster import until
from crew import INSERT
from failover_scene import LONG, PATIENT, Account, Load, Scene

pytestmark = pytest.mark.failover


# --- a commit that waits for a standby -----------------------------------------------------------


@pytest.fixture(scope="module")
def unreplicated(stage, lasting_pooler, base):
    """The primary is killed while a commit waits for standbys that are frozen."""
    here = Scene(stage.whole(), lasting_pooler, base, sync=True).ready()
    nodes, old, account = here.nodes, here.primary, Account()
    number = account.next_id()
    with here.wire() as client:
        for n in here.standbys:
            nodes.freeze_node(n)
        client.send(wire.query(INSERT.format(number)))
        until(lambda: nodes.value(old, "SELECT count(*) FROM pg_stat_activity"
                                       " WHERE usename = 'app' AND wait_event = 'SyncRep'") == 1,
              LONG, "a commit that waits for a standby")
        nodes.kill_node(old)
        frames = client.outcome()
        account.judge("client", (number,), frames)
        for n in here.standbys:
            nodes.thaw_node(n)
        winner = nodes.wait_primary(other_than=old)
        after = account.next_id()
        here.wait_said(rf"writes go to n{winner}")
        later = client.query(INSERT.format(after))
        account.judge("client", (after,), later)
    rows = here.rows(winner)
    for n in nodes.nodes:  # or the third one would follow the old primary again
        if n != old:
            until(lambda n=n: n == winner or nodes.status()[n] == (True, nodes.status()[winner][1]),
                  LONG, f"n{n} behind n{winner}")
    nodes.start_node(old)
    on_old = here.rows(old)
    nodes.replicate_synchronously(False)
    story = SimpleNamespace(number=number, account=account, old=old, rows=rows, on_old=on_old,
                            told=wire.told(frames), told_later=wire.told(later))
    here.weir.finish()
    return story


def test_a_commit_that_waited_for_a_standby_is_in_doubt(unreplicated):
    assert unreplicated.told == (["08007"], "I")
    assert unreplicated.told_later == ([], "I")


def test_a_commit_in_doubt_is_not_sent_again(unreplicated):
    unreplicated.account.check(unreplicated.rows)
    assert (unreplicated.number, unreplicated.old) in unreplicated.on_old
    wrote = {node for number, node in unreplicated.rows if number == unreplicated.number}
    assert wrote <= {unreplicated.old}


# --- an accident ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rogue(stage, lasting_pooler, base):
    """A standby is promoted while the primary is well, and the other standby follows that."""
    here = Scene(stage.whole(), lasting_pooler, base, **PATIENT).ready()
    nodes, account = here.nodes, Account()
    stray = here.standbys[0]
    nodes.pause()
    before = here.position()
    with Load(here, account=account) as load:
        nodes.promote(stray)
        here.wait_said(rf"n{stray} must not be used: fenced", since=before)
        load.flows()
    story = SimpleNamespace(
        primary=here.primary, account=account, rows=here.rows(here.primary),
        on_stray=here.written_by(stray), lines=here.lines(before))
    nodes.unpause()
    here.weir.finish()
    stage.clear()
    return story


def test_no_client_notices_a_promotion_by_accident(rogue):
    assert rogue.account.errors() == {}
    rogue.account.check(rogue.rows)


def test_a_node_that_was_promoted_by_accident_gets_no_write(rogue):
    assert rogue.on_stray == []
    assert not [line for line in rogue.lines if "is granted" in line]


# --- two at once ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def twins(stage, lasting_pooler, base):
    """Both standbys are promoted in place of a primary that is gone, before pgweir sees either."""
    # It waits for the second one's answer twice as long as quick_interval.
    here = Scene(stage.whole(), lasting_pooler, base, hold_timeout="60s", conflict_hold="1s",
                 quick_interval="1s").ready()
    nodes, account = here.nodes, Account()
    chosen, other = here.standbys
    nodes.pause()
    with here.wire() as client:
        client.value("select 1")
        nodes.kill_node(here.primary)
        here.wait_said("writes wait: no claimant")
        with here.weir.asleep():
            for n in here.standbys:
                nodes.promote(n)
        here.wait_said("writes wait: ambiguous")
        refused = account.next_id()
        client.send(wire.query(INSERT.format(refused)))
        frames = client.outcome()
        account.judge("client", (refused,), frames)
        told = wire.told(frames)
        on_nodes = [here.rows(n) for n in here.standbys]
        (row,) = here.weir.show("CLUSTERS")
        with here.weir.console() as console:
            console.execute(f"FORCE PRIMARY n{chosen}")
        here.wait_said(rf"writes go to n{chosen}")
        # The client's worker hears of it a moment later.
        until(lambda: wire.told(client.query("SELECT 1")) == ([], "I"), LONG, "the client served")
        done = account.next_id()
        frames = client.query(INSERT.format(done))
        account.judge("client", (done,), frames)
    story = SimpleNamespace(
        chosen=chosen, told=told, told_later=wire.told(frames), on_nodes=on_nodes, account=account,
        split=row["split_brain"], rows=here.rows(chosen), on_other=here.rows(other))
    here.weir.finish()
    stage.clear()
    return story


def test_two_promotions_at_once_let_nobody_write(twins):
    assert twins.told == (["57P03"], "I")
    assert twins.on_nodes == [[], []]


def test_two_promotions_at_once_are_a_split_brain(twins):
    assert twins.split == 1


def test_an_operator_decides_between_two_promotions(twins):
    assert twins.told_later == ([], "I")
    twins.account.check(twins.rows)
    assert [node for _, node in twins.rows] == [twins.chosen]
    assert twins.on_other == []
