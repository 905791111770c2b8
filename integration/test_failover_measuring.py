"""What bench/failover reports is what its clients noticed."""

import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))

# pylint: disable=wrong-import-position
from suite import outage, timeline
from suite.client import ServerError
from suite.outage import Event


def actor(*events):
    return SimpleNamespace(events=list(events), kind="writer")


def served(at, port=1):
    return Event(at, at, "write", port, "", False)


def waited(began, ended, port=1):
    return Event(began, ended, "write", port, "", False)


def failed(at, lost=False, what="write"):
    return Event(at, at, what, 0, "08007: in doubt", lost)


def test_the_outage_ends_with_the_first_answer_of_another_node():
    writers = [actor(served(9), waited(9.9, 10.1, port=1), waited(10.2, 13.5, port=2)),
               actor(served(9), waited(10, 13.2, port=2))]
    assert outage.first_success(writers, after=10, but_port=1) == 13.2


def test_the_longest_gap_counts_from_success_to_success():
    one = actor(served(1), served(2), failed(3), failed(4), served(6), served(7))
    assert outage.longest_gap(one, 0, 8) == 4


def test_the_longest_gap_reaches_to_the_end_when_nothing_succeeds_any_more():
    assert outage.longest_gap(actor(served(1), failed(2)), 0, 60) == 59


def test_logging_in_again_ends_no_gap():
    one = actor(served(1), failed(2, lost=True), Event(3, 3, "connect", 0, "", False), served(9))
    assert outage.longest_gap(one, 0, 10) == 8


def test_errors_are_counted_by_text_within_the_time_that_is_asked_about():
    texts, lost = outage.errors_of(
        [actor(failed(1), failed(5), failed(6, lost=True), failed(7, lost=True, what="connect"))],
        4, 8)
    assert texts == {"08007: in doubt": 3}
    assert lost == 1


def test_the_audit_finds_what_was_lost_denied_or_done_twice():
    writer = SimpleNamespace(acknowledged={1, 2, 3}, unknown={4, 5})
    found = outage.audit([["1"], ["3"], ["3"], ["4"], ["7"]], [writer])
    assert found == {"acknowledged": 3, "lost": 1, "unknown": 2, "unknown_in": 1, "denied_in": 1,
                     "twice": 1}


def test_a_client_whose_connection_ends_with_an_error_knows_that_it_is_gone():
    one = outage.Reader(lambda: None)
    one.connection = SimpleNamespace(close=lambda: None)

    def fatal():
        raise ServerError("57P01", "going", is_fatal=True)

    assert not one.note("read", fatal)
    assert one.connection is None
    assert one.events[-1].lost


def test_a_client_whose_statement_fails_keeps_its_connection():
    one = outage.Reader(lambda: None)
    one.connection = SimpleNamespace(close=lambda: None)

    def error():
        raise ServerError("08007", "in doubt")

    assert not one.note("read", error)
    assert one.connection is not None
    assert not one.events[-1].lost


def test_a_lane_shows_service_waits_and_errors_in_their_order():
    one = actor(served(1), waited(3, 5), failed(6, lost=True),
                Event(8, 8, "connect", 0, "", False), served(8))
    assert timeline.lane(one, 0, 10, 10) == "===...xxx="
