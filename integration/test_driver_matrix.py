"""Drivers as they come, with their prepared statements: 50 clients on 5 servers."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import asyncpg
import psycopg
import pytest
import sqlalchemy
from psycopg import pq
from sqlalchemy.ext.asyncio import create_async_engine

import jdbc_programs
from threads import in_threads

HERE = Path(__file__).parent
CLIENTS, SERVERS, TURNS = 50, 5, 12


@pytest.fixture
def weir(cluster, pooler, database):
    cluster.execute("create table t (id serial primary key, client int, v text);"
                    " alter table t owner to app", database)
    process = pooler(cluster, {"pool": {"size": SERVERS}, "auth": {"method": "trust"}},
                     [database])
    process.database = database
    yield process
    assert cluster.backends(database) <= SERVERS


def in_tasks(work):
    async def everything():
        await asyncio.gather(*(work(n) for n in range(CLIENTS)))

    asyncio.run(asyncio.wait_for(everything(), 150))


# --- psycopg -------------------------------------------------------------------------------------


@pytest.mark.parametrize("autocommit", [True, False])
def test_psycopg_prepares_by_itself(weir, autocommit):
    def work(number):
        with weir.connect("app", weir.database, autocommit=autocommit) as connection:
            for turn in range(TURNS):
                assert connection.execute("select %s::int, %s::text", (number, f"{turn}")
                                          ).fetchone() == (number, f"{turn}")
                with pytest.raises(psycopg.errors.DivisionByZero), connection.transaction():
                    connection.execute("select 10 / %s::int", (0,))
                if not autocommit:
                    connection.commit()

    in_threads(CLIENTS, work)


def test_psycopg_executes_many(weir):
    def work(number):
        with weir.connect("app", weir.database) as connection:
            for turn in range(TURNS):
                connection.cursor().executemany("insert into t (client, v) values (%s, %s)",
                                                [(number, f"{turn}.{n}") for n in range(20)])
            assert connection.execute("select count(*) from t where client = %s",
                                      (number,)).fetchone() == (20 * TURNS,)

    in_threads(CLIENTS, work)


def test_psycopg_pipelines(weir):
    def work(number):
        with weir.connect("app", weir.database) as connection:
            for turn in range(TURNS):
                with connection.pipeline():
                    cursors = [connection.execute("select %s::int, %s::text", (number, f"{n}"))
                               for n in range(30)]
                    assert [c.fetchone() for c in cursors] == [(number, f"{n}")
                                                               for n in range(30)]
                with pytest.raises(psycopg.errors.DivisionByZero), connection.pipeline():
                    connection.execute("select %s::int, %s::text", (number, f"{turn}"))
                    connection.execute("select 10 / %s::int", (0,))
                    connection.execute("select %s::int", (1,))

    in_threads(CLIENTS, work)


def test_psycopg_reads_through_server_side_cursors(weir):
    def work(number):
        with weir.connect("app", weir.database, autocommit=False) as connection:
            for _ in range(TURNS):
                with connection.cursor("portions") as cursor:
                    cursor.itersize = 7
                    cursor.execute("select %s::int from generate_series(1, 40)", (number,))
                    assert [row[0] for row in cursor] == [number] * 40
                connection.commit()

    in_threads(CLIENTS, work)


def test_psycopg_s_async_connections(weir):
    async def work(number):
        async with await psycopg.AsyncConnection.connect(
                **weir.dsn("app", weir.database), autocommit=True) as connection:
            for turn in range(TURNS):
                cursor = await connection.execute("select %s::int, %s::text", (number, f"{turn}"))
                assert await cursor.fetchone() == (number, f"{turn}")

    in_tasks(work)


# --- libpq ---------------------------------------------------------------------------------------


def libpq(weir):
    dsn = weir.dsn("app", weir.database)
    connection = pq.PGconn.connect(" ".join(f"{k}={v}" for k, v in dsn.items()).encode())
    assert connection.status == pq.ConnStatus.OK, connection.error_message
    return connection


def libpq_results(connection, syncs):
    """The values of a pipeline's results, None where there are none, up to so many syncs."""
    found = []
    while syncs:
        result = connection.get_result()
        if result is None:
            continue
        if result.status == pq.ExecStatus.PIPELINE_SYNC:
            syncs -= 1
        elif result.status == pq.ExecStatus.TUPLES_OK:
            found.append(result.get_value(0, 0).decode())
        elif result.status != pq.ExecStatus.COMMAND_OK:
            found.append(result.status)
    return found


def test_libpq_s_pipeline_mode_prepares_and_executes(weir):
    def work(number):
        connection = libpq(weir)
        connection.enter_pipeline_mode()
        connection.send_prepare(b"mine", b"select $1::text")
        connection.pipeline_sync()
        assert libpq_results(connection, 1) == []
        for turn in range(TURNS):
            sent = [f"{number}.{turn}.{n}" for n in range(30)]
            for value in sent:
                connection.send_query_prepared(b"mine", [value.encode()])
            connection.pipeline_sync()
            assert libpq_results(connection, 1) == sent
        connection.finish()

    in_threads(CLIENTS, work)


def test_libpq_s_pipeline_mode_skips_after_an_error_up_to_its_sync(weir):
    failed, skipped = pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_ABORTED

    def work(number):
        connection = libpq(weir)
        connection.enter_pipeline_mode()
        connection.send_prepare(b"mine", b"select 10 / $1::int")
        connection.pipeline_sync()
        for _ in range(TURNS):
            for value in (b"1", b"0", b"2"):
                connection.send_query_prepared(b"mine", [value])
            connection.pipeline_sync()
            connection.send_query_prepared(b"mine", [b"5"])
            connection.send_query_params(b"select $1::text", [f"{number}".encode()])
            connection.pipeline_sync()
        assert libpq_results(connection, 1 + 2 * TURNS) == [
            "10", failed, skipped, "2", f"{number}"] * TURNS
        connection.finish()

    in_threads(CLIENTS, work)


# --- asyncpg -------------------------------------------------------------------------------------


async def asyncpg_connection(weir):
    dsn = weir.dsn("app", weir.database)
    return await asyncpg.connect(host=dsn["host"], port=dsn["port"], user=dsn["user"],
                                 password=dsn["password"], database=dsn["dbname"], timeout=60,
                                 ssl=False)


def test_asyncpg_caches_statements(weir):
    async def work(number):
        connection = await asyncpg_connection(weir)
        for turn in range(TURNS):
            assert await connection.fetchval("select $1::int", number) == number
            assert await connection.fetchval("select $1::text", f"{turn}") == f"{turn}"
            with pytest.raises(asyncpg.DivisionByZeroError):
                await connection.fetchval("select 10 / $1::int", 0)
        await connection.close()

    in_tasks(work)


def test_asyncpg_executes_many_in_transactions(weir):
    async def work(number):
        connection = await asyncpg_connection(weir)
        for turn in range(TURNS):
            async with connection.transaction():
                await connection.executemany("insert into t (client, v) values ($1, $2)",
                                             [(number, f"{turn}.{n}") for n in range(20)])
        assert await connection.fetchval("select count(*) from t where client = $1",
                                         number) == 20 * TURNS
        await connection.close()

    in_tasks(work)


def test_asyncpg_reads_through_cursors(weir):
    async def work(number):
        connection = await asyncpg_connection(weir)
        for _ in range(TURNS):
            async with connection.transaction():
                rows = connection.cursor("select $1::int from generate_series(1, 40)", number,
                                         prefetch=7)
                assert [row[0] async for row in rows] == [number] * 40
        await connection.close()

    in_tasks(work)


def test_asyncpg_keeps_prepared_statements(weir):
    async def work(number):
        connection = await asyncpg_connection(weir)
        mine = await connection.prepare("select $1::int, $2::text")
        for turn in range(TURNS):
            assert tuple(await mine.fetchrow(number, f"{turn}")) == (number, f"{turn}")
        await connection.close()

    in_tasks(work)


def test_asyncpg_s_pool_resets_its_connections(weir):
    async def everything():
        dsn = weir.dsn("app", weir.database)
        async with asyncpg.create_pool(host=dsn["host"], port=dsn["port"], user=dsn["user"],
                                       password=dsn["password"], database=dsn["dbname"],
                                       ssl=False, min_size=10, max_size=10) as pool:
            async def work(number):
                for turn in range(TURNS):
                    async with pool.acquire() as connection:
                        assert await connection.fetchval("select $1::int", number) == number
                        assert await connection.fetchval("select $1::text", f"{turn}") == f"{turn}"

            await asyncio.gather(*(work(n) for n in range(CLIENTS)))

    asyncio.run(asyncio.wait_for(everything(), 150))


# --- SQLAlchemy ----------------------------------------------------------------------------------


def sqlalchemy_url(weir, driver):
    dsn = weir.dsn("app", weir.database)
    return sqlalchemy.URL.create(f"postgresql+{driver}", dsn["user"], dsn["password"],
                                 dsn["host"], dsn["port"], dsn["dbname"])


T = sqlalchemy.table("t", sqlalchemy.column("client", sqlalchemy.Integer),
                     sqlalchemy.column("v", sqlalchemy.Text))


def test_sqlalchemy_with_psycopg(weir):
    engine = sqlalchemy.create_engine(sqlalchemy_url(weir, "psycopg"), pool_size=CLIENTS,
                                      max_overflow=0, pool_timeout=120)

    def work(number):
        for turn in range(TURNS):
            with engine.begin() as connection:
                connection.execute(sqlalchemy.insert(T), [
                    {"client": number, "v": f"{turn}.{n}"} for n in range(5)])
                found = connection.execute(sqlalchemy.select(sqlalchemy.func.count()).where(
                    T.c.client == number)).scalar_one()
                assert found == 5 * (turn + 1)

    in_threads(CLIENTS, work)
    engine.dispose()


def test_sqlalchemy_with_asyncpg(weir):
    async def everything():
        engine = create_async_engine(sqlalchemy_url(weir, "asyncpg"), pool_size=CLIENTS,
                                     max_overflow=0, pool_timeout=120,
                                     connect_args={"ssl": False})

        async def work(number):
            for turn in range(TURNS):
                async with engine.begin() as connection:
                    await connection.execute(sqlalchemy.insert(T), [
                        {"client": number, "v": f"{turn}.{n}"} for n in range(5)])
                    found = (await connection.execute(
                        sqlalchemy.select(sqlalchemy.func.count()).where(
                            T.c.client == number))).scalar_one()
                    assert found == 5 * (turn + 1)

        await asyncio.gather(*(work(n) for n in range(CLIENTS)))
        await engine.dispose()

    asyncio.run(asyncio.wait_for(everything(), 150))


# --- JDBC and tokio-postgres ---------------------------------------------------------------------


def prepared(weir):
    """How many statements a server of the pool holds."""
    with weir.connect("app", weir.database, prepare_threshold=None) as connection:
        return connection.execute("select count(*) from pg_prepared_statements").fetchone()[0]


def finished(command, **options):
    done = subprocess.run(command, text=True, capture_output=True, timeout=170, check=False,
                          **options)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def test_jdbc_prepares_after_five_executions(weir, tmp_path):
    out = finished([*jdbc_programs.compiled("Drive", tmp_path),
                    f"jdbc:postgresql://{weir.host}:{weir.port}/{weir.database}?sslmode=disable",
                    "app", "app-secret", str(CLIENTS), str(TURNS)])
    assert f"all {CLIENTS} clients are done" in out
    assert prepared(weir)


@pytest.fixture(scope="session")
def tokio():
    """The program under tokio/, built; what cargo makes stays in build/tokio."""
    if not shutil.which("cargo"):
        pytest.skip("no cargo")
    target = HERE.parent / "build" / "tokio"
    command = ["cargo", "build", "--quiet", "--locked", "--manifest-path",
               HERE / "tokio" / "Cargo.toml", "--target-dir", target]
    fetched = subprocess.run(["cargo", "fetch", "--quiet", "--locked", "--manifest-path",
                              HERE / "tokio" / "Cargo.toml"], text=True, capture_output=True,
                             timeout=120, check=False)
    if fetched.returncode:
        pytest.skip(f"no crates for tokio-postgres: {fetched.stderr[-300:]}")
    finished(command)
    return target / "debug" / "drive"


@pytest.mark.timeout(400)
def test_tokio_postgres_prepares_everything(tokio, weir):
    dsn = weir.dsn("app", weir.database)
    out = finished([tokio, " ".join(f"{k}={v}" for k, v in dsn.items()), str(CLIENTS),
                    str(TURNS)])
    assert f"all {CLIENTS} clients are done" in out
    assert prepared(weir)
