"""The role of the primary moves as planned: what clients notice with PAUSE and RESUME, with
SWITCHOVER, and without a word to pgweir; and how an operator takes either back."""

import contextlib
import threading
import time
from types import SimpleNamespace

import psycopg
import pytest

import wire
from cluster import until
from failover_scene import (LOCAL_COMMIT, LONG, PATIENT, Account, Load, Racer, Scene, astray,
                            prober)

pytestmark = pytest.mark.failover

INSERT = "INSERT INTO ledger VALUES ({})"


class Order(threading.Thread):
    """A command of an operator, who waits for its answer."""

    def __init__(self, weir, sql):
        super().__init__(daemon=True)
        self.console, self.sql, self.error, self.notices = weir.console(), sql, None, []
        self.console.add_notice_handler(lambda d: self.notices.append(d.message_primary))
        self.start()

    def run(self):
        try:
            self.console.execute(self.sql)
        except psycopg.Error as error:
            self.error = error

    def answer(self):
        """Its SQLSTATE; "": it was done."""
        self.join(LONG)
        assert not self.is_alive(), f"{self.sql} is not answered"
        return self.error.sqlstate if self.error else ""


def order(weir, sql):
    return Order(weir, sql).answer()


# --- the whole story, three times ----------------------------------------------------------------


def move(here, before=lambda: None, after=lambda: None, more=lambda: None):
    """The role moves to the first standby while clients are at work."""
    nodes, account, winner = here.nodes, Account(), here.standbys[0]
    idle = here.wire()
    idle.value("select 1")
    others = more()
    with contextlib.ExitStack() as stack:
        direct = stack.enter_context(prober(here, winner))
        racer = stack.enter_context(Racer(lambda: here.weir.connect(**LOCAL_COMMIT)))
        load = stack.enter_context(Load(here, account=account))
        position = here.position()
        before()
        moment = time.monotonic()
        nodes.switchover(winner)
        after()
        here.wait_said(rf"n{winner} is granted", since=position)
        granted = time.monotonic()
        load.flows()
    number = account.next_id()
    account.judge("idle", (number,), idle.query(INSERT.format(number)))
    return SimpleNamespace(
        here=here, account=account, winner=winner, rows=here.rows(winner), moment=moment,
        granted=granted, others=others, direct=direct.first_on(winner),
        through=racer.first_on(winner),
        grants=[line for line in here.lines(position) if "is granted" in line])


@pytest.fixture(scope="module")
def new_scene(stage, lasting_pooler, base):
    def make(**cluster):
        return Scene(stage.whole(), lasting_pooler, base, **cluster).ready()
    return make


@pytest.fixture(scope="module")
def with_pause(new_scene):
    here = new_scene()

    def pause():
        assert order(here.weir, "PAUSE shop") == ""

    def resume():
        assert order(here.weir, "RESUME shop") == ""

    story = move(here, pause, resume)
    here.weir.finish()
    return story


@pytest.fixture(scope="module")
def with_switchover(new_scene):
    here = new_scene(**PATIENT)  # SWITCHOVER is refused while the primary is suspected

    def announce():
        assert order(here.weir, "SWITCHOVER shop TIMEOUT 120s") == ""

    story = move(here, announce)
    here.weir.finish()
    return story


@pytest.fixture(scope="module", params=["with_pause", "with_switchover"])
def planned(request):
    return request.getfixturevalue(request.param)


def test_no_client_sees_an_error(planned):
    assert planned.account.errors() == {}


def test_all_that_was_acknowledged_is_there_once(planned):
    assert planned.account.check(planned.rows)["ok"] > 50


def test_nothing_goes_to_the_old_primary_after_the_grant(planned):
    assert astray(planned) == []


def test_the_epoch_rises_once(planned):
    assert len(planned.grants) == 1
    assert f"n{planned.winner} is granted" in planned.grants[0]


def test_a_switchover_s_clients_go_on_soon_after_the_new_primary_takes_writes(with_switchover):
    outage = with_switchover.direct - with_switchover.moment
    assert with_switchover.through - with_switchover.direct < outage


# --- nobody told pgweir --------------------------------------------------------------------------


class Caught:
    """Clients that have a transaction open when the primary is shut down."""

    def __init__(self, here):
        self.here = here
        self.quiet, self.asking = here.wire(), here.wire()
        for client in (self.quiet, self.asking):
            client.values("BEGIN")
            client.values(INSERT.format(0))
        self.asking.send(wire.query("SELECT pg_sleep(600)"))
        here.sleeping(here.primary, 1)

    def hear_out(self):
        """{who: [(SQLSTATEs, the status that ReadyForQuery tells), ...]}"""
        heard = {}
        for who, client in (("quiet", self.quiet), ("asking", self.asking)):
            if who == "quiet":
                client.send(wire.query("SELECT 1"))
            answers = [client.outcome()]
            answers += [client.query(sql) for sql in ("SELECT 1", "ROLLBACK", "SELECT 1")]
            heard[who] = [(wire.sqlstates(a), a[-1].body.decode()) for a in answers]
        return heard


# What may have been done when the server ended the connection is in doubt, whatever that said.
@pytest.fixture(scope="module")
def unannounced(new_scene):
    here = new_scene()
    story = move(here, more=lambda: Caught(here))
    story.heard = story.others.hear_out()
    here.weir.finish()
    return story


@pytest.mark.parametrize("who", ["quiet", "asking"])
def test_an_open_transaction_ends_with_the_server_s_own_error(unannounced, who):
    assert unannounced.heard[who] == [(["57P01"], "E"), (["25P02"], "E"), ([], "I"), ([], "I")]


def test_a_busy_client_has_at_most_one_error_and_only_for_what_was_under_way(unannounced):
    for name, told in unannounced.account.errors().items():
        allowed = [["08007"]] if name.startswith("writer") else [
            ["08007"], ["57P01"], ["57P01", "25P02"]]
        assert told in allowed, name


def test_nobody_loses_its_connection(unannounced):
    assert not unannounced.account.lost()


def test_who_was_idle_just_goes_on(unannounced):
    assert "idle" not in unannounced.account.errors()


def test_what_was_told_is_true(unannounced):
    assert unannounced.account.check(unannounced.rows)["ok"] > 50


def test_nothing_goes_to_the_old_primary_afterwards(unannounced):
    assert astray(unannounced) == []


# --- what an operator takes back -----------------------------------------------------------------


@pytest.fixture(scope="module")
def calm(new_scene):
    """Nobody moves any role here."""
    here = new_scene(**PATIENT)
    yield here
    here.weir.finish()


@pytest.fixture(autouse=True)
def _resumed(request):
    """No test leaves a pause to the next."""
    yield
    if "calm" in request.fixturenames:
        order(request.getfixturevalue("calm").weir, "RESUME")


@pytest.fixture
def other(calm):
    """A client that is logged in, and not in a transaction."""
    with calm.wire() as client:
        client.value("SELECT 1")
        yield client


@pytest.fixture
def busy(calm):
    """A client with a transaction open, which nothing can be drained around."""
    client = calm.wire()
    client.values("BEGIN")
    client.values("SELECT 1")
    yield client
    client.close()


def hold(weir, client):
    """Waits until new transactions are held, and has the client begin one."""
    def is_holding():
        return (any(row["paused"] for row in weir.show("DATABASES") if row["name"] == "shop")
                or weir.show("CLUSTERS")[0]["cause"] == "switchover")
    until(is_holding, LONG, "PAUSE or SWITCHOVER in force")
    client.send(wire.query("SELECT 1"))
    until(lambda: weir.pool("shop")["cl_waiting"] == 1, LONG, "a client that waits")


def goes_on(client):
    return wire.sqlstates(client.read_until("Z")) == []


@pytest.mark.parametrize("sql", ["PAUSE shop", "SWITCHOVER shop TIMEOUT 120s"])
def test_what_is_under_way_is_waited_for(calm, busy, other, sql):
    command = Order(calm.weir, sql)
    hold(calm.weir, other)
    assert command.is_alive()
    busy.values("SELECT 1")
    busy.values("COMMIT")
    assert command.answer() == ""
    assert order(calm.weir, "RESUME shop") == ""
    assert goes_on(other)


@pytest.mark.parametrize("resume", ["RESUME", "RESUME shop", "RESUME narrow"])
def test_resume_ends_a_switchover_on_the_old_primary(calm, other, resume):
    position = calm.position()
    assert order(calm.weir, "SWITCHOVER shop TIMEOUT 120s") == ""
    hold(calm.weir, other)
    assert order(calm.weir, resume) == ""
    assert goes_on(other)
    assert not calm.said("is granted", position)


def test_resume_without_anything_to_end_says_so(calm):
    assert order(calm.weir, "RESUME") == "55000"
    assert order(calm.weir, "RESUME shop") == "55000"


@pytest.mark.parametrize("sql", ["PAUSE", "PAUSE shop", "SWITCHOVER shop TIMEOUT 120s"])
def test_cancelling_a_command_that_waits_takes_it_back(calm, busy, other, sql):
    command = Order(calm.weir, sql)
    hold(calm.weir, other)
    command.console.cancel()
    assert command.answer() == "57014"
    assert goes_on(other)
    assert order(calm.weir, "RESUME") == "55000"
    busy.values("COMMIT")


def test_cancelling_a_pause_leaves_that_of_another_database(calm, busy, other):
    assert order(calm.weir, "PAUSE reads") == ""
    command = Order(calm.weir, "PAUSE shop")
    hold(calm.weir, other)
    command.console.cancel()
    assert command.answer() == "57014"
    assert goes_on(other)
    assert order(calm.weir, "RESUME reads") == ""
    busy.values("COMMIT")


def test_a_console_that_leaves_while_it_waits_leaves_the_pause(calm, busy, other):
    with calm.weir.wire("admin", "pgweir", "admin-secret") as console:
        console.send(wire.query("PAUSE shop"))
        hold(calm.weir, other)
    busy.values("COMMIT")
    assert other.silent_for(0.5)
    assert order(calm.weir, "RESUME shop") == ""
    assert goes_on(other)
