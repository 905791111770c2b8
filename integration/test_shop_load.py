"""What the shop's rehearsal says of the database and of its visitors is so."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "shop"), str(HERE.parent / "bench")]

# pylint: disable=wrong-import-position
from rehearsal import audit, crowd, record
from rehearsal.audit import Order, Quota

TOLD = {"code": "c1", "token": "t1", "quota": 1, "tickets": 2}
KEPT = Order("c1", "t1", 1, True, 2)
WELL = Quota(1, size=10, sold=2, tickets=2, numbers=2)


def test_nothing_is_wrong_where_each_told_order_is_stored_as_it_was_told():
    assert audit.problems([TOLD], [KEPT], [WELL]) == []


def test_an_order_that_nobody_was_told_of_is_in_doubt_and_not_wrong():
    assert audit.problems([], [KEPT], [WELL]) == []


@pytest.mark.parametrize(("orders", "quota", "wrong"), [
    ([], WELL, "acknowledged, and lost"),
    ([KEPT._replace(is_paid=False)], WELL, "not what was acknowledged"),
    ([KEPT._replace(tickets=1)], WELL, "not what was acknowledged"),
    ([KEPT._replace(quota=2)], WELL, "not what was acknowledged"),
    ([KEPT, KEPT._replace(code="c2")], WELL, "form t1: 2 orders"),
    ([KEPT], WELL._replace(numbers=1), "1 tickets sold twice"),
    ([KEPT], WELL._replace(sold=3), "3 sold, but 2 tickets"),
    ([KEPT], WELL._replace(size=1), "2 of 1 tickets sold"),
])
def test_each_kind_of_mistake_is_found(orders, quota, wrong):
    found = audit.problems([TOLD], orders, [quota])
    assert len(found) == 1 and wrong in found[0]


def request(at, ms=100, ok=True, status=200):
    return {"at": at, "ms": ms, "ok": ok, "status": status}


def test_figures_are_of_the_time_that_was_asked_for():
    notes = crowd.Notes(requests=[request(9.9, ok=False), request(10), request(11.9),
                                  request(12, ok=False)],
                        visits=[{"ended": 11, "ok": True}, {"ended": 12, "ok": False}])
    found = crowd.figures(notes, 10, 12)
    assert (found["requests"], found["requests_ok"], found["rate"]) == (2, 100, 1)
    assert (found["visits"], found["visits_ok"]) == (1, 100)


def test_a_refusal_is_not_a_quick_answer():
    notes = crowd.Notes(requests=[request(1, ms=800), request(1, ms=2, ok=False, status=500)])
    found = crowd.figures(notes, 0, 2)
    assert (found["p50"], found["requests_ok"], found["rate_ok"]) == (800, 50, 0.5)


@pytest.mark.parametrize(("part", "value"), [(0.5, 50), (0.95, 95), (0.99, 99), (1, 100)])
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(part, value):
    assert crowd.percentile(range(1, 101), part) == value


def test_each_second_counts_what_ended_in_it():
    notes = crowd.Notes(requests=[request(10.2), request(10.2, ms=1500, ok=False)])
    assert crowd.seconds_of(notes, 10, 12) == [(0, 1, 0, 100), (1, 0, 1, 1500)]


RESULT = {
    "date": "2026-01-01", "changes": "", "nominal": 400, "failover": False, "scale": 0.1, "users": 40,
    "way": "pgweir", "rate_ok": 7, "requests_ok": 100, "visits_ok": None, "p50": 1, "p95": 2, "p99": 3,
    "connections": 4, "full": 5, "acknowledged": 6, "stored": 6, "problems": [], "load": 1,
    "promotions": 0}


def test_a_table_grows_by_a_row_a_phase(tmp_path):
    path = tmp_path / "table.md"
    record.append(path, [RESULT])
    record.append(path, [RESULT, RESULT])
    text = path.read_text(encoding="utf-8")
    assert (text.count(record.HEADER), text.count(record.row(RESULT))) == (1, 3)


def test_a_table_with_other_columns_is_left_as_it_is_and_another_begun(tmp_path):
    path = tmp_path / "table.md"
    path.write_text("# Ours\n\n| date |\n|---|\n| 2025 |\n", encoding="utf-8")
    record.append(path, [RESULT])
    assert path.read_text(encoding="utf-8").endswith(
        f"| 2025 |\n\n{record.HEADER}{record.row(RESULT)}")


def test_one_failure_in_very_many_is_not_rounded_away():
    # pylint: disable=protected-access
    assert record._per_cent(100 * 99_999 / 100_000) == "99.99 %"
    assert record._per_cent(100) == "100 %"
