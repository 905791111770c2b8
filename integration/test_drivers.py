"""Real drivers and PostgreSQL's own programs work through pgweir."""

import asyncio
import os
import subprocess
import threading

import asyncpg
import psycopg
import pytest

MODES = ["session", "transaction"]


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


@pytest.fixture
def weir(cluster, pooler, database, mode):
    cluster.execute("create table t (id serial primary key, v text);"
                    " alter table t owner to app", database)
    process = pooler(cluster, {"pool": {"mode": mode, "size": 5}}, [database])
    process.database = database
    return process


def run(cluster, weir, program, *arguments, text=None):
    environment = {**os.environ, "PGPASSWORD": "app-secret", "PGCONNECT_TIMEOUT": "20"}
    done = subprocess.run(
        [cluster.install.program(program), "-h", weir.host, "-p", str(weir.port), "-U", "app",
         *arguments, weir.database], input=text, text=True, capture_output=True, timeout=120,
        env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- psql and pgbench ----------------------------------------------------------------------------


@pytest.mark.every_version
def test_psql_runs_a_script(cluster, weir):
    script = "begin; insert into t (v) values ('one'); commit;\nselect count(*) from t;"
    out = run(cluster, weir, "psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", text=script)
    assert out.splitlines()[-1] == "1"


def test_psql_copies_in_and_out(cluster, weir):
    script = ("\\copy t (v) from stdin\na\nb\n\\.\n"
              "\\copy (select v from t order by id) to stdout\n")
    out = run(cluster, weir, "psql", "-X", "-At", text=script)
    assert out.splitlines()[-2:] == ["a", "b"]


def test_psql_describes_tables(cluster, weir):
    assert "t_pkey" in run(cluster, weir, "psql", "-X", "-c", "\\d t")


def test_pg_dump_through_a_session(cluster, pooler, database):
    cluster.execute("create table kept (v text); insert into kept values ('row')", database)
    weir = pooler(cluster, {"pool": {"mode": "session"}}, [database])
    weir.database = database
    cluster.execute("alter table kept owner to app", database)
    assert "COPY public.kept" in run(cluster, weir, "pg_dump")


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_pgbench_finishes_without_an_error(cluster, weir, mode, protocol):
    run(cluster, weir, "pgbench", "-i", "-q", "-s", "1")
    clients = 20 if mode == "transaction" else 5
    # A thread of pgbench waits for each Prepare, while its other clients hold their transactions.
    threads = clients if protocol == "prepared" else 2
    out = run(cluster, weir, "pgbench", "-n", "-M", protocol, "-c", str(clients),
              "-j", str(threads), "-t", "50")
    assert f"number of transactions actually processed: {clients * 50}/{clients * 50}" in out


def test_pgbench_leaves_consistent_balances(cluster, weir):
    run(cluster, weir, "pgbench", "-i", "-q", "-s", "1")
    run(cluster, weir, "pgbench", "-n", "-c", "5", "-j", "2", "-t", "100")
    assert cluster.execute(
        "select (select sum(abalance) from pgbench_accounts)"
        " = (select sum(delta) from pgbench_history),"
        " (select sum(bbalance) from pgbench_branches)"
        " = (select sum(delta) from pgbench_history),"
        " (select count(*) from pgbench_history)", weir.database) == [(True, True, 500)]


# --- psycopg -------------------------------------------------------------------------------------


def connect(weir, **options):
    return weir.connect("app", weir.database, prepare_threshold=None, **options)


@pytest.mark.every_version
def test_psycopg_binds_parameters(weir):
    with connect(weir) as connection:
        assert connection.execute("select %s::int + 1, %s", (41, "x")).fetchone() == (42, "x")


def test_psycopg_binary_results(weir):
    with connect(weir) as connection:
        cursor = connection.cursor(binary=True)
        assert cursor.execute("select %s::bytea, 7::int8", (b"\0\xff",)).fetchone() == (
            b"\0\xff", 7)


def test_psycopg_transaction_rolls_back(weir):
    with connect(weir) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero), connection.transaction():
            connection.execute("insert into t (v) values ('undone')")
            connection.execute("select 1/0")
        assert connection.execute("select count(*) from t").fetchone() == (0,)


def test_psycopg_without_autocommit(weir):
    with connect(weir, autocommit=False) as connection:
        connection.execute("insert into t (v) values ('kept')")
        connection.commit()
        assert connection.execute("select v from t").fetchone() == ("kept",)


def test_psycopg_pipeline_mode(weir):
    with connect(weir) as connection, connection.pipeline():
        cursors = [connection.execute("select %s::int", (n,)) for n in range(500)]
        assert [c.fetchone()[0] for c in cursors] == list(range(500))


def test_psycopg_pipeline_mode_recovers_from_an_error(weir):
    with connect(weir) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero), connection.pipeline():
            connection.execute("select 1")
            connection.execute("select 1/0")
            connection.execute("select 2")
        assert connection.execute("select 3").fetchone() == (3,)


def test_psycopg_copy(weir):
    with connect(weir) as connection:
        with connection.cursor().copy("copy t (v) from stdin") as copy:
            for number in range(5000):
                copy.write_row((f"row {number}",))
        with connection.cursor().copy("copy (select v from t order by id) to stdout") as copy:
            assert [row[0] for row in copy.rows()] == [f"row {n}" for n in range(5000)]


def test_psycopg_abandoned_copy_stores_nothing(weir):
    with connect(weir) as connection:
        with pytest.raises(ZeroDivisionError), connection.cursor().copy(
                "copy t (v) from stdin") as copy:
            copy.write_row(("undone",))
            raise ZeroDivisionError
        assert connection.execute("select count(*) from t").fetchone() == (0,)


def test_psycopg_server_cursor_in_a_transaction(weir):
    with connect(weir, autocommit=False) as connection:
        with connection.cursor("big") as cursor:
            cursor.itersize = 100
            cursor.execute("select generate_series(1, 1000)")
            assert sum(row[0] for row in cursor) == 500_500


def test_psycopg_prepared_statements(weir):
    with weir.connect("app", weir.database, prepare_threshold=0) as connection:
        for number in range(20):
            assert connection.execute("select %s::int", (number,)).fetchone() == (number,)


def test_psycopg_cancels(weir):
    with connect(weir) as connection:
        timer = threading.Timer(1, connection.cancel_safe)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("select pg_sleep(68)")
        assert connection.execute("select 1").fetchone() == (1,)


def test_psycopg_sees_notices(weir):
    with connect(weir) as connection:
        seen = []
        connection.add_notice_handler(lambda d: seen.append(d.message_primary))
        connection.execute("do $$ begin raise notice 'hello'; end $$")
        assert seen == ["hello"]


def test_psycopg_listens_in_session_mode(weir, mode):
    if mode == "transaction":
        pytest.skip("LISTEN needs session mode")
    with connect(weir) as listener, connect(weir) as speaker:
        listener.execute("listen news")
        speaker.execute("notify news, 'today'")
        note = next(listener.notifies(timeout=30, stop_after=1))
        assert (note.channel, note.payload) == ("news", "today")


def test_psycopg_async(weir):
    async def work():
        async with await psycopg.AsyncConnection.connect(
                **weir.dsn("app", weir.database), autocommit=True) as connection:
            cursor = await connection.execute("select 1")
            return await cursor.fetchone()

    assert asyncio.run(work()) == (1,)


# --- asyncpg -------------------------------------------------------------------------------------


async def asyncpg_connect(weir):
    dsn = weir.dsn("app", weir.database)
    return await asyncpg.connect(host=dsn["host"], port=dsn["port"], user=dsn["user"],
                                 password=dsn["password"], database=dsn["dbname"], timeout=30,
                                 ssl=False)


def with_asyncpg(weir, work):
    async def whole():
        connection = await asyncpg_connect(weir)
        try:
            return await work(connection)
        finally:
            await connection.close(timeout=20)

    return asyncio.run(asyncio.wait_for(whole(), 60))


@pytest.mark.every_version
def test_asyncpg_fetches(weir):
    async def work(connection):
        return [await connection.fetchval("select $1::int", n) for n in range(50)]

    assert with_asyncpg(weir, work) == list(range(50))


def test_asyncpg_transactions(weir):
    async def work(connection):
        async with connection.transaction():
            await connection.execute("insert into t (v) values ($1)", "kept")
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with connection.transaction():
                await connection.execute("insert into t (v) values ('undone')")
                await connection.fetchval("select 1/0")
        return await connection.fetchval("select count(*) from t")

    assert with_asyncpg(weir, work) == 1


def test_asyncpg_goes_on_behind_a_savepoint(weir):
    async def work(connection):
        async with connection.transaction():
            await connection.execute("insert into t (v) values ($1)", "kept")
            for divisor in (0, 1, 0):
                try:
                    async with connection.transaction():
                        await connection.execute("insert into t (v) values ($1)", f"by {divisor}")
                        await connection.fetchval("select 10 / $1::int", divisor)
                except asyncpg.DivisionByZeroError:
                    pass
        return [row["v"] for row in await connection.fetch("select v from t order by id")]

    assert with_asyncpg(weir, work) == ["kept", "by 1"]


def test_asyncpg_executemany(weir):
    async def work(connection):
        await connection.executemany("insert into t (v) values ($1)",
                                     [(str(n),) for n in range(1000)])
        return await connection.fetchval("select count(*) from t")

    assert with_asyncpg(weir, work) == 1000


def test_asyncpg_cursor_in_a_transaction(weir):
    async def work(connection):
        async with connection.transaction():
            return [r[0] async for r in connection.cursor("select generate_series(1, 300)")]

    assert with_asyncpg(weir, work) == list(range(1, 301))


def test_asyncpg_copy(weir):
    async def work(connection):
        await connection.copy_records_to_table("t", columns=["v"],
                                               records=[(str(n),) for n in range(1000)])
        return await connection.fetchval("select count(*) from t")

    assert with_asyncpg(weir, work) == 1000


def test_asyncpg_timeout_cancels_the_query(weir):
    async def work(connection):
        with pytest.raises(asyncio.TimeoutError):
            await connection.fetchval("select pg_sleep(69)", timeout=1)
        return await connection.fetchval("select 1")

    assert with_asyncpg(weir, work) == 1


# --- many ----------------------------------------------------------------------------------------


@pytest.mark.tsan
def test_50_clients_share_5_servers(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 5}, "auth": {"method": "trust"}}, [database])
    weir.database = database

    async def client(number):
        connection = await asyncpg_connect(weir)
        for turn in range(20):
            async with connection.transaction():
                assert await connection.fetchval("select $1::int", number) == number
                assert await connection.fetchval("select $1::text", f"{turn}") == f"{turn}"
        await connection.close()

    async def all_of_them():
        await asyncio.gather(*(client(n) for n in range(50)))

    asyncio.run(asyncio.wait_for(all_of_them(), 150))
    assert cluster.backends(database) <= 5
