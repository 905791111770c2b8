"""A server whose client vanished is brought back, not thrown away, and nothing of the client stays."""

import pytest

import wire
from cluster import until
from wire import COPY_FAIL, SYNC, sqlstates

ONE = {"workers": {"count": 1}, "pool": {"size": 1}}


def pid_of(client):
    return client.value("select pg_backend_pid()")


def vanish(client, how):
    if how == "reset":
        client.reset()
    else:
        client.close()


def runs(cluster, text):
    until(lambda: cluster.value("select count(*) from pg_stat_activity where state = 'active'"
                                f" and query like '%{text}%' and pid <> pg_backend_pid()") == 1,
          what="the query to run")


def _in_a_query(client, cluster):
    client.send(wire.query("select pg_sleep(600), 'unfinished business'"))
    runs(cluster, "unfinished business")


def _in_rows(client, cluster):
    client.send(wire.query("select repeat('x', 1000) from generate_series(1, 1000000)"))
    client.read_until("D")


def _in_a_transaction(client, _):
    client.query("begin")
    client.query("insert into marks values ('unfinished')")


def _in_a_failed_transaction(client, _):
    client.query("begin")
    client.query("select 1/0")


def _in_a_batch(client, _):
    client.send(wire.parse("insert into marks values ('unfinished')"), wire.bind(), wire.execute(),
                wire.FLUSH).read_until("C")


def _behind_an_error(client, _):
    client.send(wire.parse("select 1/0"), wire.bind(), wire.execute(), wire.FLUSH).read_until("E")


def _in_copy_in(client, _):
    client.send(wire.query("copy marks from stdin")).read_until("G")
    client.send(wire.copy_data(b"unfinished\n"))


def _in_extended_copy_in(client, _):
    client.send(wire.parse("copy marks from stdin"), wire.bind(), wire.execute(),
                wire.FLUSH).read_until("G")
    client.send(wire.copy_data(b"unfinished\n"))


def _in_copy_out(client, _):
    client.send(wire.query("copy (select repeat('x', 1000) from generate_series(1, 1000000))"
                           " to stdout")).read_until("d")


def _in_a_pipeline(client, cluster):
    one = wire.parse("select pg_sleep(600), 'unfinished business'") + wire.bind() + wire.execute()
    client.send(one + SYNC + one + SYNC + wire.query("insert into marks values ('unfinished')"))
    runs(cluster, "unfinished business")


PLACES = [_in_a_query, _in_rows, _in_a_transaction, _in_a_failed_transaction, _in_a_batch,
          _behind_an_error, _in_copy_in, _in_extended_copy_in, _in_copy_out]


@pytest.fixture
def marked(cluster, database):
    cluster.execute("create table marks (t text); grant all on marks to public", database)
    return database


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("place", PLACES, ids=lambda p: p.__name__.strip("_"))
def test_the_server_of_a_client_that_vanished_serves_the_next(cluster, pooler, marked, place, how,
                                                              mode):
    weir = pooler(cluster, {**ONE, "pool": {"size": 1, "mode": mode}}, [marked])
    with weir.wire("app", marked) as first:
        before = pid_of(first)
        place(first, cluster)
        vanish(first, how)
    with weir.wire("app", marked) as second:
        assert (pid_of(second), second.value("select count(*) from marks")) == (before, "0")


def test_what_a_vanished_client_had_pipelined_does_not_hold_its_server(cluster, pooler, marked):
    weir = pooler(cluster, {**ONE, "pool": {"size": 1, "server_close_timeout": "2s"}}, [marked])
    with weir.wire("app", marked) as first:
        _in_a_pipeline(first, cluster)
        vanish(first, "reset")
    with weir.wire("app", marked) as second:
        assert second.value("select 1") == "1"


def test_settings_of_a_vanished_client_are_gone(cluster, pooler, marked):
    weir = pooler(cluster, ONE, [marked])
    with weir.wire("app", marked) as first:
        first.query("begin")
        first.query("set datestyle = 'German'")
        _in_a_query(first, cluster)
        vanish(first, "reset")
    with weir.wire("app", marked) as second:
        assert second.value("show datestyle") == "ISO, MDY"


def test_a_statement_that_a_vanished_client_was_preparing_can_be_prepared_again(
        cluster, pooler, marked):
    weir = pooler(cluster, ONE, [marked])
    text = "select 'prepared', pg_sleep($1::int)"
    with weir.wire("app", marked) as first:
        first.send(wire.query("select pg_sleep(600), 'unfinished business'"),
                   wire.parse(text, "s"), wire.bind(["0"], "s"), wire.execute(), SYNC)
        runs(cluster, "unfinished business")
        vanish(first, "reset")
    with weir.wire("app", marked) as second:
        frames = second.send(wire.parse(text, "s"), wire.bind(["0"], "s"), wire.execute(),
                             SYNC).read_until("Z")
        assert wire.rows(frames) == [["prepared", ""]]


def test_a_server_that_does_not_come_back_in_time_is_closed(cluster, pooler, marked):
    weir = pooler(cluster, {**ONE, "pool": {"size": 1, "server_close_timeout": "300ms"}}, [marked])
    with weir.wire("app", marked) as first:
        before = pid_of(first)
        # Each statement is cancelled in its turn, but there are too many of them.
        first.send(wire.query("select pg_sleep(600), 'unfinished business'") * 200)
        runs(cluster, "unfinished business")
        vanish(first, "reset")
    with weir.wire("app", marked) as second:
        assert pid_of(second) != before


def test_copy_that_begins_after_its_client_has_left_is_ended(cluster, pooler, marked):
    weir = pooler(cluster, ONE, [marked])
    with weir.wire("app", marked) as first, cluster.connect(marked) as locker:
        before = pid_of(first)
        locker.autocommit = False
        locker.execute("lock table marks")
        first.send(wire.query("copy marks from stdin"))
        until(lambda: cluster.value("select count(*) from pg_locks where not granted") == 1,
              what="the COPY to wait")
        vanish(first, "reset")
        locker.rollback()
    with weir.wire("app", marked) as second:
        assert second.value("select count(*) from marks") == "0"
        second.send(COPY_FAIL)
    assert before


@pytest.mark.parametrize("statement", [
    "prepare mine as select 'secret'",
    "do $$ begin execute 'prepare mine as select ''secret'''; end $$",
])
def test_a_statement_that_sql_of_a_vanished_client_prepared_is_gone(cluster, pooler, marked,
                                                                    statement):
    weir = pooler(cluster, ONE, [marked])
    with weir.wire("app", marked) as first:
        first.send(wire.query("select pg_sleep(600), 'unfinished business'"),
                   wire.query(statement))
        runs(cluster, "unfinished business")
        vanish(first, "reset")
    with weir.wire("app", marked) as second:
        assert sqlstates(second.query("execute mine")) == ["26000"]


def test_a_library_that_a_vanished_client_loaded_does_not_stay(cluster, pooler, marked):
    weir = pooler(cluster, ONE, [marked])
    with weir.wire("boss", marked) as first:
        before = pid_of(first)
        first.send(wire.query("select pg_sleep(600), 'unfinished business'"),
                   wire.query("load 'auto_explain'"))
        runs(cluster, "unfinished business")
        vanish(first, "reset")
    with weir.wire("boss", marked) as second:
        assert pid_of(second) != before


def test_a_server_that_may_owe_one_reply_more_is_not_used_again(cluster, pooler, marked):
    # Whether PostgreSQL has read this Sync before or after its COPY failed cannot be known.
    weir = pooler(cluster, ONE, [marked])
    with weir.wire("app", marked) as first:
        before = pid_of(first)
        first.send(wire.parse("copy marks from stdin"), wire.bind(), wire.execute(),
                   SYNC).read_until("G")
        vanish(first, "reset")
    with weir.wire("app", marked) as second:
        assert pid_of(second) != before


def test_half_a_message_of_a_vanished_client_is_not_completed(cluster, pooler, marked):
    # What pgweir says to end the connection would be the rest of it.
    weir = pooler(cluster, ONE, [marked])
    whole = wire.query(f"insert into marks values ('unfinished') --{'-' * 100_000}")
    with weir.wire("app", marked) as first:
        first.query("select 1")
        first.send(whole[:-2])
        until(lambda: weir.pool(marked)["sv_active"] == 1, what="the message at a server")
        first.close()
    with weir.wire("app", marked) as second:
        assert second.value("select count(*) from marks") == "0"


def test_a_server_refused_to_its_client_for_a_transaction_serves_the_next(cluster, pooler, marked):
    weir = pooler(cluster, {**ONE, "pool": {"size": 1, "mode": "statement",
                                            "server_close_timeout": "10m"}}, [marked])
    with weir.wire("app", marked) as first:
        before = pid_of(first)
        first.send(wire.query("begin"), wire.query("select 1"), wire.query("commit"))
        first.raw_until_closed()
    with weir.wire("app", marked) as second:
        assert pid_of(second) == before


def test_nobody_can_foresee_the_random_numbers_of_the_next(cluster, pooler, marked):
    weir = pooler(cluster, ONE, [marked])
    seen = set()
    for _ in range(2):
        with weir.wire("app", marked) as first:
            first.query("select setseed(0.5)")
        with weir.wire("app", marked) as second:
            seen.add(second.value("select random()"))
    assert len(seen) == 2
