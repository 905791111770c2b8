"""Prepared statements through mishaps: clients that leave, servers that expire, other encodings."""

import pytest

import wire
from cluster import until
from statements import execute, held, prepare, start, value
from wire import FLUSH, SYNC, rows, sqlstates

TEXTS = {f"s{n}": f"select 'shared {n}'" for n in range(5)}
PARSES = [wire.parse(text, name) for name, text in TEXTS.items()]
RUN = wire.bind(statement="s0") + wire.execute()
LEAVING = {
    "parses": lambda client: client.send(*PARSES),
    "answered parses": lambda client: [client.send(*PARSES, FLUSH)] + [
        client.read() for _ in PARSES],
    "a batch": lambda client: client.send(*PARSES, RUN),
    "an answered batch": lambda client: client.send(*PARSES, RUN, FLUSH).read_until("C"),
    "a batch with its Sync": lambda client: client.send(*PARSES, RUN, SYNC),
}


@pytest.mark.parametrize("limit", [2, 200])
@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("left", LEAVING)
def test_what_a_client_that_left_had_prepared_is_there_for_the_next_one(cluster, pooler, database,
                                                                        left, how, limit):
    weir = start(cluster, pooler, database, max_prepared_statements=limit)
    for _ in range(4):
        one = weir.wire("app", database)
        LEAVING[left](one)
        getattr(one, how)()
        with weir.wire("app", database) as two:
            for name, text in TEXTS.items():
                assert not prepare(two, text, name)
                assert f"select '{value(two, name=name)}'" == text
            assert held(two) <= limit


def test_unnamed_statements_of_many_batches_never_evict_a_named_one(cluster, pooler, database):
    weir = start(cluster, pooler, database, max_prepared_statements=5)
    with weir.wire("app", database) as client:
        prepare(client, "select 'kept'")
        for number in range(500):
            client.send(wire.parse(f"select {number}"), wire.bind(), wire.execute(), SYNC)
        assert len(rows(client.read_ready(500))) == 500
        assert held(client, "statement = 'select ''kept'''") == 1
        assert value(client) == "kept"


def test_a_text_is_looked_up_by_the_search_path_of_its_client_or_by_none(cluster, pooler, database):
    cluster.execute("create schema a; create schema b; grant usage on schema a, b to public;"
                    " create table public.place as select 'public' as v;"
                    " create table a.place as select 'a' as v;"
                    " create table b.place as select 'b' as v;"
                    " grant select on public.place, a.place, b.place to public", database)
    weir = start(cluster, pooler, database)
    with weir.wire("app", database, search_path="a") as a, weir.wire("app", database) as c, \
            weir.wire("app", database, options="-c search_path=b") as b:
        for client in (a, b, c):
            assert not prepare(client, "select v from place")
        for _ in range(3):
            assert [value(client) for client in (a, b, c)] == ["a", "b", "public"]


def test_the_bytes_of_a_text_stay_what_they_are_in_every_encoding(cluster, pooler, database):
    cluster.execute("create table t (v text); grant all on t to public", database)
    weir = start(cluster, pooler, database)
    with weir.wire("app", database, client_encoding="LATIN1") as latin, \
            weir.wire("app", database, client_encoding="WIN1251") as cyrillic:
        for client in (latin, cyrillic):
            assert not prepare(client, b"insert into t values ('\xe9') returning ascii(v)")
        for _ in range(2):
            assert (value(latin), value(cyrillic)) == ("233", "1081")
        assert not prepare(latin, "select $1::text", "mirror")
        assert execute(latin, b"\xe9", name="mirror")[1].body.endswith(b"\xe9")
    assert cluster.execute("select v from t", database) == [("é",), ("й",)] * 2


def test_a_statement_outlives_the_lifetime_of_its_server(cluster, pooler, database):
    weir = start(cluster, pooler, database, server_lifetime="500ms")
    with weir.wire("app", database) as client:
        prepare(client, "select pg_backend_pid()")
        first = value(client)
        until(lambda: value(client) != first, what="another server")


def test_each_server_of_a_pool_holds_a_shared_statement_once(cluster, pooler, database):
    weir = start(cluster, pooler, database, size=3)
    clients = [weir.wire("app", database) for _ in range(9)]
    for number, client in enumerate(clients):
        assert not prepare(client, "select $1::int", f"s{number}")
    for turn in range(3):
        three = clients[3 * turn : 3 * turn + 3]
        for client in three:
            client.query("begin")
        for number, client in enumerate(three):
            assert value(client, turn, name=f"s{3 * turn + number}") == str(turn)
            assert held(client, "statement = 'select $1::int'") == 1
        for client in three:
            client.query("commit")


@pytest.mark.parametrize("statement", ["deallocate all", "Deallocate Prepare ALL"])
def test_what_stands_behind_a_deallocate_in_one_query_is_run(cluster, pooler, database, statement):
    cluster.execute("create table t (n int); grant all on t to public", database)
    weir = start(cluster, pooler, database)
    with weir.wire("app", database) as client:
        prepare(client, "select 'old'")
        assert not sqlstates(client.query(f"{statement}; insert into t values (1)"))
        assert client.values("select n from t") == [["1"]]
        assert sqlstates(execute(client)) == ["26000"]
        assert not prepare(client, "select 'new'") and value(client) == "new"
