"""A primary that is away for a while, or a part of it, and that nobody replaces."""

import contextlib
import threading
from types import SimpleNamespace

import pytest

import wire
from cluster import until
from crew import INSERT, WITHOUT_A_WORD, Crew
from failover_scene import LONG, PATIENT, Account, Load, Scene, Told

pytestmark = pytest.mark.failover


@pytest.fixture(scope="module")
def paused(stage):
    """A cluster whose repmgrds look on."""
    nodes = stage.whole()
    nodes.pause()
    yield nodes
    if nodes.primaries():
        nodes.unpause()
    else:  # a story that broke off
        stage.clear()


def served_by(here):
    """The primary and its epoch, and the timelines of all nodes."""
    (row,) = here.weir.show("CLUSTERS")

    def timelines():
        # A standby has none while it looks for a primary that was away.
        found = {told and told[1] for told in here.nodes.status().values()}
        return None not in found and found
    return row["primary"], row["epoch"], until(timelines, LONG, "all standbys streaming")


class Reader(threading.Thread):
    """Reads from standbys for as long as a `with` lasts; what it was told in the end."""

    def __init__(self, here):
        super().__init__(daemon=True)
        self.client = here.weir.connect(database="reads")
        self.done, self.failure = 0, None
        self._quit = threading.Event()

    def run(self):
        try:
            while not self._quit.wait(0.01):
                self.client.execute("SELECT count(*) FROM ledger")
                self.done += 1
        except Exception as error:  # pylint: disable=broad-exception-caught
            self.failure = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._quit.set()
        self.join(LONG)
        self.client.close()

    def flows(self):
        """Waits until it has read something that it began to read from now on."""
        before = self.done + 1
        until(lambda: self.done > before or self.failure, LONG, "a read")


# --- a fast shutdown -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(paused, lasting_pooler, base):
    """The primary is shut down, and started again after clients have lost their patience."""
    here = Scene(paused, lasting_pooler, base, hold_timeout="2s").ready()
    account = Account()
    before = served_by(here)
    with contextlib.ExitStack() as stack:
        inside, waiting = (stack.enter_context(here.wire()) for _ in range(2))
        reader = stack.enter_context(Reader(here))
        lost, held, late = (account.next_id() for _ in range(3))
        inside.values("BEGIN")
        inside.values(INSERT.format(lost))
        waiting.value("select 1")
        paused.stop_node(here.primary)
        inside.send(wire.query("SELECT 1"))
        told_inside = wire.told(inside.outcome())
        account.told.append(Told("inside", "open", (lost,), 0, 0, told_inside[0][0], False))
        waiting.send(wire.query(INSERT.format(held)))
        frames = waiting.outcome()
        told_waiting = wire.told(frames)
        account.judge("waiting", (held,), frames)
        reader.flows()
        restarted = here.position()
        paused.start_node(here.primary)
        here.wait_said(rf"writes go to n{here.primary}", since=restarted)
        frames = waiting.query(INSERT.format(late))
        account.judge("waiting", (late,), frames)
        reader.flows()
        story = SimpleNamespace(
            told_inside=told_inside, told_waiting=told_waiting, told_late=wire.told(frames),
            reader=reader, account=account, before=before, after=served_by(here),
            rows=here.rows(here.primary))
    here.weir.finish()
    return story


def test_a_shutdown_ends_an_open_transaction_with_its_own_words(stopped):
    assert stopped.told_inside == (["57P01"], "E")


def test_who_waits_too_long_for_a_primary_is_told_so_and_stays(stopped):
    assert stopped.told_waiting == (["57P03"], "I")
    assert stopped.told_late == ([], "I")


def test_reads_go_on_while_there_is_no_primary(stopped):
    assert stopped.reader.failure is None


def test_nothing_that_was_refused_in_a_shutdown_is_done(stopped):
    stopped.account.check(stopped.rows)


def test_a_primary_that_is_back_goes_on_under_its_grant(stopped):
    assert stopped.after == stopped.before


# --- a crash, and a restart right after it -------------------------------------------------------


@pytest.fixture(scope="module")
def recovered(paused, lasting_pooler, base):
    """The primary is killed and started again at once."""
    here = Scene(paused, lasting_pooler, base).ready()
    account = Account()
    before = served_by(here)
    crew = Crew(here, account)
    with Load(here, account=account) as load:
        paused.kill_node(here.primary)
        paused.start_node(here.primary)
        crew.hear_out()
        load.flows()
    story = SimpleNamespace(crew=crew, account=account, before=before, after=served_by(here),
                            rows=here.rows(here.primary))
    here.weir.finish()
    return story


@pytest.mark.parametrize("who", sorted(WITHOUT_A_WORD))
def test_clients_of_a_primary_that_crashes_are_told_the_truth(recovered, who):
    assert recovered.crew.answers[who] == WITHOUT_A_WORD[who]


def test_a_crash_means_one_error_at_most(recovered):
    for name, states in recovered.account.errors().items():
        if name.startswith(("writer", "transactor")):
            assert states in (["08007"], ["08006"], ["08006", "25P02"]), name


def test_what_was_acknowledged_before_a_crash_is_there_once(recovered):
    recovered.account.check(recovered.rows)


def test_a_primary_that_recovers_goes_on_under_its_grant(recovered):
    assert recovered.after == recovered.before


# --- a single backend ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def thinned(paused, lasting_pooler, base):
    """Backends of a primary that is well are terminated, one after the other."""
    here = Scene(paused, lasting_pooler, base, **PATIENT).ready()
    account = Account()
    before = served_by(here)
    position = here.position()
    with Load(here, account=account) as load, here.wire() as victim:
        victim.values("BEGIN")
        pid = victim.value("SELECT pg_backend_pid()")
        paused.value(here.primary, f"SELECT pg_terminate_backend({pid})")
        victim.send(wire.query("SELECT 1"))
        told = wire.told(victim.outcome())
        load.flows()
    story = SimpleNamespace(told=told, account=account, before=before, after=served_by(here),
                            rows=here.rows(here.primary), lines=here.lines(position))
    here.weir.finish()
    return story


def test_who_loses_its_backend_is_told_so(thinned):
    assert thinned.told == (["57P01"], "E")


def test_nobody_else_has_an_error_when_a_backend_is_terminated(thinned):
    assert thinned.account.errors() == {}
    thinned.account.check(thinned.rows)


def test_a_backend_that_is_terminated_changes_nothing_of_the_cluster(thinned):
    assert thinned.after == thinned.before
    assert not [line for line in thinned.lines if "writes wait" in line]
