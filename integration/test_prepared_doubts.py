"""Prepared statements of sessions that change under way, and requests that pgweir answers itself."""

import pytest

import wire
from statements import held, same_as_postgresql
from wire import FLUSH, SYNC, rows, sqlstates

# Parsed as 2 January or as 1 February: how many days into the year.
DAYS = "select '01/02/2003'::date - '2003-01-01'::date"


@pytest.fixture
def weir(cluster, pooler, database):
    """A pool of one server in transaction mode."""
    process = pooler(cluster, {"workers": {"count": 1}, "pool": {"size": 1}}, [database])
    process.database = database
    return process


def app(weir):
    return weir.wire("app", weir.database)


def prepared(client, sql, name="s"):
    frames = client.send(wire.parse(sql, name), SYNC).read_until("Z")
    assert not sqlstates(frames), frames


def value(client, name="s"):
    return rows(client.send(wire.bind((), name), wire.execute(), SYNC).read_until("Z"))[0][0]


def test_a_query_that_cannot_be_read_does_not_uncover_another_s_unnamed_statement(weir):
    # PostgreSQL refuses it before it drops the unnamed statement.
    with app(weir) as first, app(weir) as second:
        first.send(wire.parse("select 'secret'"), wire.bind(), wire.execute(), SYNC).read_until("Z")
        frames = second.send(wire.message("Q", b"select '\xff'\0")).read_until("Z")
        assert sqlstates(frames) == ["22021"]
        frames = second.send(wire.bind(), wire.execute(), SYNC).read_until("Z")
        assert sqlstates(frames) == ["26000"]


UNREAD = {
    "a query": ("UTF8", wire.message("Q", b"select '\xff'\0")),
    "a malformed query": ("UTF8", wire.message("Q", b"select 1")),
    "a query without an equal": ("WIN1252", wire.message("Q", b"select '\x81'\0")),
    "a Parse": ("UTF8", wire.message("P", b"\0select '\xff'\0\0\0") + SYNC),
    "a malformed Parse": ("UTF8", wire.message("P", b"\0select 1") + SYNC),
}


@pytest.mark.parametrize("what", UNREAD)
def test_the_unnamed_statement_outlives_what_cannot_be_read_as_in_postgresql(cluster, weir, what):
    encoding, unread = UNREAD[what]
    run = wire.bind() + wire.execute() + SYNC
    frames = same_as_postgresql(cluster, weir, wire.parse("select 'kept'") + run, unread, run,
                                client_encoding=encoding)
    assert rows(frames) == [["kept"]]


def test_what_is_prepared_behind_a_portal_that_changes_the_session_is_not_shared(weir):
    with app(weir) as first, app(weir) as second:
        frames = first.send(
            wire.parse("set datestyle = 'ISO, DMY'"), wire.bind((), "", "p1"),
            wire.parse("select 1", "x"), wire.execute("p1"), wire.parse(DAYS, "y"),
            SYNC).read_until("Z")
        assert not sqlstates(frames), frames
        prepared(second, DAYS)
        assert value(second) == "1"


def test_a_text_prepared_twice_means_what_the_settings_said_each_time(weir):
    with app(weir) as client:
        client.query("begin")
        client.query("set local datestyle = 'ISO, DMY'")
        prepared(client, DAYS, "a")
        client.query("set local datestyle = 'ISO, MDY'")
        prepared(client, DAYS, "b")
        assert (value(client, "a"), value(client, "b")) == ("31", "1")


def test_any_number_of_requests_that_pgweir_answers_is_answered(weir):
    count = 20_000
    with app(weir) as first, app(weir) as client:
        prepared(first, "select 'known'")
        client.send((wire.parse("select 'known'", "s") + wire.close("S", "s")) * count, FLUSH)
        assert [client.read().type for _ in range(2 * count)] == ["1", "3"] * count
        assert client.value("select 1") == "1"


def test_a_batch_that_only_pgweir_has_answered_is_idle(weir):
    weir.change({"timeouts": {"idle_in_transaction": "300ms"}})
    with app(weir) as first, app(weir) as client:
        prepared(first, "select 'known'")
        client.send(wire.parse("select 'known'", "s"), FLUSH)
        assert client.read().type == "1"
        assert sqlstates([client.read()]) == ["25P03"]


def test_what_a_changed_session_had_parsed_for_it_means_the_same_to_others(cluster, pooler,
                                                                           database):
    weir = pooler(cluster, {"workers": {"count": 1}, "pool": {"size": 2}}, [database])
    weir.database = database
    with app(weir) as one, app(weir) as two:
        prepared(one, DAYS)
        two.query("begin")  # takes the server that has the statement
        one.query("begin")
        one.query("set local datestyle = 'ISO, DMY'")
        value(one)
        one.query("commit")
        two.query("commit")
        for client in (one, two):
            client.query("begin")
            prepared(client, DAYS, "t")
            assert value(client, "t") == "1"


def test_a_setting_for_one_transaction_costs_the_others_no_statement(cluster, pooler, database):
    weir = pooler(cluster, {"workers": {"count": 1}, "pool": {"size": 2}}, [database])
    weir.database = database
    with app(weir) as one, app(weir) as two:
        prepared(one, DAYS)
        two.query("begin")  # takes the server that has the statement
        prepared(one, "select 'shared'", "t")
        for _ in range(2):
            one.query("begin")
            one.query("set local datestyle = 'ISO, DMY'")
            assert value(one) in ("1", "31")
            one.query("commit")
        assert held(one, "statement like '%shared%' and name like '\\_\\_pgweir%'") == 1
        assert value(one) == "1"
