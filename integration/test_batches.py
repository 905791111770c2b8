"""Batches of the extended protocol, Flush by Flush, and COPY: frame for frame as in PostgreSQL."""

import pytest

import wire
from statements import comparable, direct
from wire import (
    COPY_DONE, COPY_FAIL, FLUSH, SYNC, bind, close, copy_data, describe, execute, parse, query)

# How many statements a server may hold: none of ours, fewer than are used, and enough.
LIMITS = {"unshared": 0, "few": 2, "shared": 200}

INT4, TEXT = 23, 25
INT4PL, LO_CREATE, LO_OPEN, LO_WRITE, LO_SEEK, LO_READ = 177, 715, 952, 955, 956, 954
SELECT = parse("select $1::int + 1 as n", "s")
RUN = bind([41], "s") + execute()
UNNAMED = parse("select $1::text as v") + bind(["x"]) + execute()


def step(sql):
    """A statement as most drivers send it."""
    return parse(sql) + bind() + describe() + execute() + SYNC


# Turns of a client: what the answers must be, and the messages that it sends at once.
WITHIN_A_BATCH = {
    "one statement": [("1tT2TDCZ", SELECT, describe("S", "s"), bind([1], "s"), describe(),
                       execute(), SYNC)],
    "unnamed statements of different types": [
        ("1tT2DC1tT2DCZ", parse("select pg_typeof($1)", types=[INT4]), describe("S"), bind([1]),
         execute(), parse("select pg_typeof($1)", types=[TEXT]), describe("S"), bind([1]),
         execute(), SYNC)],
    "a second Parse that fails": [
        ("12DCEZ", UNNAMED, parse("selct 1"), bind(), execute(), UNNAMED, SYNC),
        ("12DCZ", UNNAMED, SYNC)],
    "200 statements and one Sync": [
        ("12TDC" * 200 + "Z", *[parse(f"select {n}") + bind() + describe() + execute()
                                for n in range(200)], SYNC)],
    "500 named statements and one Sync": [
        ("12DC3" * 500 + "Z", *[parse(f"select {n}", f"s{n}") + bind(statement=f"s{n}") + execute()
                                + close("S", f"s{n}") for n in range(500)], SYNC)],
    "two portals in turns": [
        ("122" + "D" * 10 + "s" + "D" * 5 + "s" + "D" * 10 + "s" + "D" * 5 + "s" + "D" * 5 + "CZ",
         parse("select generate_series(1, 25)", "s"), bind(statement="s", portal="a"),
         bind(statement="s", portal="b"), execute("a", 10), execute("b", 5), execute("a", 10),
         execute("b", 5), execute("a", 10), SYNC)],
    "a portal closed between two portions": [
        ("12DDs3EZ", parse("select generate_series(1, 5)"), bind(portal="p"), execute("p", 2),
         close("P", "p"), execute("p", 2), SYNC)],
    "a Flush behind each message": [
        ("1", SELECT, FLUSH), ("tT", describe("S", "s"), FLUSH), ("2", bind([1], "s"), FLUSH),
        ("T", describe(), FLUSH), ("DC", execute(), FLUSH), ("3", close("P"), FLUSH),
        ("3", close("S", "s"), FLUSH), ("Z", SYNC)],
    "several Flushes in a batch": [
        ("12DC12DC1", UNNAMED, FLUSH, UNNAMED, FLUSH, FLUSH, SELECT, FLUSH), ("2DCZ", RUN, SYNC)],
    "a Flush behind an error": [
        ("12DCE", UNNAMED, parse("selct 1"), bind(), FLUSH), ("Z", UNNAMED, FLUSH, SYNC),
        ("12DCZ", UNNAMED, SYNC)],
    "described before it is bound": [("1tT", SELECT, describe("S", "s"), FLUSH),
                                     ("2DC", RUN, FLUSH), ("2DCZ", RUN, SYNC)],
    "four prepared before the first is run": [
        *[("1tT", parse(f"select {n}, $1::int", f"s{n}"), describe("S", f"s{n}"), FLUSH)
          for n in range(4)],
        *[("2DC", bind([7], f"s{n}"), execute(), FLUSH) for n in range(4)], ("Z", SYNC)],
    "an empty statement": [("1", parse("", "s"), FLUSH), ("tn2n", describe("S", "s"),
                                                          bind(statement="s"), describe(), FLUSH),
                           ("I", execute(), FLUSH), ("Z", SYNC)],
    "several statements in a query": [("TDCEZ", query("select 1; select 1/0; select 3"))],
    "transactions and a rollback in a pipeline": [
        (("12nCZ" "12TDCZ" "12nCZ") * 4 + "TDCZ",
         *[step("begin") + step(f"select {n}") + step("rollback" if n == 2 else "commit")
           for n in range(4)], query("select 'after'"))],
    "an error behind a savepoint in a pipeline": [
        ("12nCZ12nCZ1EZ12nCZ12TDCZ12nCZ", step("begin"), step("savepoint p"),
         parse("select 1/0") + bind() + describe() + execute() + SYNC, step("rollback to p"),
         step("select 'goes on'"), step("commit"))],
    "a failed transaction rolled back by a batch": [
        ("12nCZ", step("begin")), ("1EZ", step("select 1/0")), ("EZ", step("select 1")),
        ("12nCZ", step("rollback")), ("12TDCZ", step("select 2"))],
    "a failed transaction that is committed": [
        ("CZ", query("begin")), ("EZ", query("select 1/0")), ("CZ", query("commit")),
        ("TDCZ", query("select 1"))],
    "large rows between small ones": [
        ("12DC12DC12DCZ", SELECT, RUN, parse("select repeat('x', 300000)", "large"),
         bind(statement="large"), execute(), UNNAMED, SYNC)],
    "functions called in and out of a transaction": [
        ("VZ", wire.function_call(INT4PL, b"1", b"2")), ("CZ", query("begin")),
        ("VZ", wire.function_call(INT4PL, b"3", b"4")),
        ("VZ", wire.function_call(LO_CREATE, b"4242")),
        ("VZ", wire.function_call(LO_OPEN, b"4242", b"393216")),  # to read and to write
        ("VZ", wire.function_call(LO_WRITE, b"0", rb"\x" + b"61" * 50_000)),
        ("VZ", wire.function_call(LO_SEEK, b"0", b"0", b"0")),
        ("VZ", wire.function_call(LO_READ, b"0", b"100000")),
        ("CZ", query("rollback"))],
}
# Where statements outlive their transaction, which needs sharing.
OVER_BATCHES = {
    "prepared in one batch and run in the next": [
        ("1tTZ", SELECT, describe("S", "s"), SYNC), ("2DCZ", RUN, SYNC),
        ("2DC2DCZ", RUN, RUN, SYNC)],
    "prepared with a Flush and run in the next batch": [
        ("1tT", SELECT, describe("S", "s"), FLUSH), ("Z", SYNC), ("2DCZ", RUN, SYNC)],
    "a name that is taken": [
        ("1Z", SELECT, SYNC), ("EZ", parse("select 'other'", "s"), SYNC), ("2DCZ", RUN, SYNC),
        ("31Z", close("S", "s"), parse("select 'other', $1", "s"), SYNC), ("2DCZ", RUN, SYNC)],
    "closed and prepared again in a batch": [
        ("1Z", SELECT, SYNC), ("2DC312DCZ", RUN, close("S", "s"), SELECT, RUN, SYNC)],
    "a known statement described between new ones": [
        ("1Z", SELECT, SYNC),
        ("1tT1tT2DC2DCZ", parse("select 'a'", "a"), describe("S", "s"), parse("select 'b'", "b"),
         describe("S", "s"), bind(statement="b"), execute(), RUN, SYNC)],
    "portions over several batches": [
        ("CZ", query("begin")), ("1Z", parse("select generate_series(1, 25)", "s"), SYNC),
        ("2" + "D" * 10 + "sZ", bind(statement="s", portal="p"), execute("p", 10), SYNC),
        ("D" * 10 + "sZ", execute("p", 10), SYNC), ("D" * 5 + "CZ", execute("p"), SYNC),
        ("CZ", query("commit"))],
    "an error between known statements": [
        ("11Z", SELECT, parse("select 10 / $1::int", "d"), SYNC),
        ("2DCEZ", RUN, bind([0], "d"), execute(), RUN, bind([5], "d"), execute(), SYNC),
        ("2DC2DCZ", RUN, bind([5], "d"), execute(), SYNC)],
    "a known statement with a large row": [
        ("1Z", parse("select repeat('x', $1::int)", "s"), SYNC),
        ("2DC2DC2DCZ", bind([300_000], "s"), execute(), bind([1], "s"), execute(),
         bind([300_000], "s"), execute(), SYNC)],
    "half of a batch new": [
        ("1" * 10 + "Z", *[parse(f"select {n}, 'known'", f"k{n}") for n in range(10)], SYNC),
        ("12DC2DC" * 10 + "Z", *[
            parse(f"select {n}, 'new'", f"n{n}") + bind(statement=f"n{n}") + execute()
            + bind(statement=f"k{n * 7 % 10}") + execute() for n in range(10)], SYNC)],
}
ROWS = b"1\tone\n2\ttwo\n"
FILLED = ("TDDCZ", query("select * from t order by n"))
EMPTY = ("TCZ", query("select * from t"))
COPIES = {
    "out as text": [("HddcCZ", query("copy (values (1, 'a\tb'), (2, null)) to stdout"))],
    "out as CSV": [
        ("HdddcCZ", query("copy (values (1, 'a,b'), (2, null)) to stdout (format csv, header)"))],
    "out as binary": [
        ("HdddcCZ", query("copy (select generate_series(1, 2)) to stdout (format binary)"))],
    "out of nothing": [("HcCZ", query("copy (select 1 where false) to stdout"))],
    "out by a batch": [("1", parse("copy (values (1), (2)) to stdout"), FLUSH),
                       ("2n", bind(), describe(), FLUSH), ("HddcC", execute(), FLUSH), ("Z", SYNC)],
    "out of what fails halfway": [
        ("HddEZ", query("copy (select 2 / (3 - n) from generate_series(1, 5) n) to stdout"))],
    "in as text": [("GCZ", query("copy t from stdin"), copy_data(ROWS), COPY_DONE), FILLED],
    "in as CSV": [("G", query("copy t from stdin (format csv, header)")),
                  ("CZ", copy_data(b"n,v\n1,"), copy_data(b"one\n2,two\n"), COPY_DONE), FILLED],
    "in of nothing": [("G", query("copy t from stdin")), ("CZ", COPY_DONE), EMPTY],
    "in by a batch": [("12G", parse("copy t from stdin"), bind(), execute(), FLUSH),
                      ("CZ", copy_data(ROWS), COPY_DONE, SYNC), FILLED],
    "in given up": [("G", query("copy t from stdin")), ("EZ", copy_data(ROWS), COPY_FAIL), EMPTY],
    "in with too few columns": [("G", query("copy t from stdin")),
                                ("EZ", copy_data(b"1\n"), copy_data(ROWS), COPY_DONE), EMPTY],
    "in to columns that are not there": [("EZ", query("copy t (n, x) from stdin")), EMPTY],
    "in to a table that is not there": [("EZ", query("copy nowhere from stdin")), EMPTY],
    "in by what is not SQL": [("EZ", query("copy t form stdin")), EMPTY],
    "in rolled back": [("CZ", query("begin")), ("G", query("copy t from stdin")),
                       ("CZ", copy_data(ROWS), COPY_DONE), FILLED, ("CZ", query("rollback")),
                       EMPTY],
    "in and out between queries": [
        ("TDCZ", query("select 'before'")), ("GCZ", query("copy t from stdin"), copy_data(ROWS),
                                             COPY_DONE),
        ("12DCZ", UNNAMED, SYNC), ("HddcCZ", query("copy t to stdout")), FILLED],
    "in and out in one query": [
        ("GCHddcCTDCZ", query("copy t from stdin; copy t to stdout; select 'after'"),
         copy_data(ROWS), COPY_DONE)],
}

COPY_IN = parse("copy t from stdin") + bind() + execute()
# What else than its end and its data may follow a COPY: what is prepared before, and both at once.
BROKEN_COPIES = {
    "a Parse": (close("S", "s"), COPY_IN + SELECT + SYNC),
    "a Parse behind a Sync": (close("S", "s"), COPY_IN + SYNC + SELECT + SYNC),
    "a Parse behind a query": (close("S", "s"), query("copy t from stdin") + SELECT + SYNC),
    "a Parse of a taken name": (b"", COPY_IN + SELECT + SYNC),
    "a Parse behind a named statement": (
        close("S", "s") + parse("copy t from stdin", "c"),
        bind(statement="c") + execute() + SELECT + SYNC),
    "a Close": (b"", COPY_IN + close("S", "s") + SYNC),
    "a Close behind a Sync": (b"", COPY_IN + SYNC + close("S", "s") + SYNC),
    "a Close behind a query": (b"", query("copy t from stdin") + close("S", "s") + SYNC),
    "a Bind": (b"", COPY_IN + RUN + SYNC),
    "a DEALLOCATE": (b"", COPY_IN + parse("deallocate s") + bind() + execute() + SYNC),
}


def play(client, turns):
    """The frames of each turn."""
    frames = []
    for expected, *messages in turns:
        client.send(*messages)
        frames.append([client.read() for _ in expected])
    return frames


def same_for_all(cluster, weir, turns, databases):
    """PostgreSQL itself and every database of the pooler answer alike, the second time as well."""
    with direct(cluster, weir.real) as client:
        expected = play(client, turns)
    assert [wire.types(frames) for frames in expected] == [types for types, *_ in turns]
    for database in databases:
        for time in ("first", "second"):
            with weir.wire("app", database) as client:
                for number, (theirs, ours) in enumerate(zip(expected, play(client, turns),
                                                            strict=True)):
                    assert ours == theirs, f"{database}, {time} time, turn {number}"
                assert client.value("select 'its own'") == "its own"


@pytest.fixture
def weir(cluster, pooler, database):
    """One database under a name for each limit; its pools have one server."""
    cluster.execute("create table t (n int, v text); alter table t owner to app", database)
    server = {"host": cluster.host, "port": cluster.port, "dbname": database}
    process = pooler(cluster, {"pool": {"size": 1}, "database": {
        name: {**server, "pool": {"max_prepared_statements": limit}}
        for name, limit in LIMITS.items()}})
    process.real = database
    return process


@pytest.mark.every_version
@pytest.mark.parametrize("what", WITHIN_A_BATCH)
def test_a_batch_is_answered_as_by_postgresql(cluster, weir, what):
    same_for_all(cluster, weir, WITHIN_A_BATCH[what], LIMITS)


@pytest.mark.every_version
@pytest.mark.parametrize("what", OVER_BATCHES)
def test_batches_with_lasting_statements_are_answered_as_by_postgresql(cluster, weir, what):
    same_for_all(cluster, weir, OVER_BATCHES[what], ["few", "shared"])


@pytest.mark.every_version
@pytest.mark.parametrize("what", COPIES)
def test_a_copy_is_answered_as_by_postgresql(cluster, weir, what):
    same_for_all(cluster, weir, [*COPIES[what], ("CZ", query("truncate t"))], ["shared"])


# PostgreSQL closes the connection when it reads what does not belong into a COPY.
@pytest.mark.parametrize("what", BROKEN_COPIES)
def test_what_breaks_a_copy_is_refused_as_by_postgresql(cluster, weir, what):
    def refused(client):
        with client:
            before, both = BROKEN_COPIES[what]
            client.send(SELECT, before, SYNC).read_until("Z")
            return client.send(both).drain()

    expected = refused(direct(cluster, weir.real))
    assert wire.sqlstates(expected) == ["08P01", "08P01"]
    assert comparable(refused(weir.wire("app", "shared"))) == comparable(expected)


def test_a_copy_of_a_million_rows_is_postgresql_s(cluster, weir):
    def copied(client):
        client.send(query("copy (select generate_series(1, 1000000)) to stdout"))
        while not client.buffer.endswith(b"Z\0\0\0\5I"):
            client._fill()
        return client.buffer

    with direct(cluster, weir.real) as theirs, weir.wire("app", "shared") as ours:
        assert copied(ours) == copied(theirs)
