"""What the console tells of sharing: counters of statements, settings, cleaning and cancels; SHOW
PREPARED and SHOW MEM."""

import psycopg
import pytest

import wire
from cluster import until
from wire import SYNC


@pytest.fixture
def weir(cluster, pooler, database):
    """A pool of one server."""
    process = pooler(cluster, {"workers": {"count": 1}, "pool": {"size": 1}}, [database])
    process.database = database
    return process


def count(weir, name):
    """One of the totals of the database."""
    row = next(r for r in weir.show("STATS") if r["database"] == weir.database)
    return row[f"total_{name}_count"]


def prepare(client, sql, name="s"):
    client.send(wire.parse(sql, name), SYNC).read_until("Z")


def run(client, name="s"):
    client.send(wire.bind((), name), wire.execute(), SYNC).read_until("Z")


def app(weir, **params):
    return weir.wire("app", weir.database, **params)


# --- counters ------------------------------------------------------------------------------------


def test_a_statement_that_the_server_has_already_is_a_hit(weir):
    with app(weir) as first, app(weir) as second:
        prepare(first, "select 1")
        assert count(weir, "statement_hit") == 0
        prepare(second, "select 1")
        assert count(weir, "statement_hit") == 1


def test_a_hit_is_a_parse_of_the_client_only(weir):
    with app(weir) as first, app(weir) as second:
        prepare(first, "select 1")
        prepare(second, "select 1")
        assert (count(weir, "client_parse"), count(weir, "server_parse")) == (2, 1)


def test_a_statement_used_on_a_server_that_lacks_it_is_a_repair(weir, cluster):
    with app(weir) as client:
        prepare(client, "select 1")
        pid = client.value("select pg_backend_pid()")
        cluster.execute(f"select pg_terminate_backend({pid})")
        until(lambda: weir.permits(weir.database) == 0, what="the end of the server noticed")
        run(client)
        assert count(weir, "statement_repair") == 1


def test_a_client_with_other_settings_is_a_settings_change(weir):
    with app(weir, DateStyle="German") as german, app(weir) as other:
        german.query("select 1")
        before = count(weir, "settings_change")
        other.query("select 1")
        german.query("select 1")
        assert count(weir, "settings_change") == before + 2


def test_a_server_with_session_state_is_a_cleaning(weir):
    with app(weir) as client:
        client.query("select 1")
        assert count(weir, "server_clean") == 0
        client.query("set statement_timeout = 1000")
        client.query("select 1")
        assert count(weir, "server_clean") == 1


def test_a_client_that_leaves_its_transaction_open_is_a_recovery_or_a_cleaning(weir):
    client = app(weir)
    client.query("begin")
    client.close()
    until(lambda: weir.pool(weir.database)["sv_idle"] == 1, what="the server idle again")
    assert count(weir, "server_recovery") + count(weir, "server_clean") == 1


def test_a_client_that_leaves_in_a_query_is_a_recovery(weir):
    client = app(weir)
    client.send(wire.query("select pg_sleep(600)"))
    until(lambda: weir.pool(weir.database)["sv_active"] == 1, what="the query at the server")
    client.reset()
    until(lambda: weir.pool(weir.database)["sv_idle"] == 1, what="the server idle again")
    assert count(weir, "server_recovery") == 1


def test_a_cancel_request_is_counted_when_it_goes_to_postgresql(weir):
    with app(weir) as client:
        client.send(wire.query("select pg_sleep(600)"))
        until(lambda: weir.pool(weir.database)["sv_active"] == 1, what="the query at the server")
        assert count(weir, "cancel") == 0
        client.cancel()
        client.read_until("Z")
        assert count(weir, "cancel") >= 1


def test_totals_have_the_counters_of_all_databases(weir):
    with app(weir) as first, app(weir) as second:
        prepare(first, "select 1")
        prepare(second, "select 1")
        totals = {r["name"]: r["value"] for r in weir.show("TOTALS")}
        assert totals["total_statement_hit_count"] == 1


# --- SHOW PREPARED -------------------------------------------------------------------------------


def statement(weir, query):
    found = [r for r in weir.show("PREPARED") if r["query"] == query]
    assert len(found) == 1, found
    return found[0]


def test_show_prepared_counts_servers_and_binds(weir):
    with app(weir) as client:
        prepare(client, "select 'shared'")
        run(client)
        run(client)
        row = statement(weir, "select 'shared'")
        assert (row["database"], row["user"], row["servers"], row["bind_count"]) == (
            weir.database, "app", 1, 2)


def test_show_prepared_names_what_the_server_has(weir):
    with app(weir) as client:
        prepare(client, "select 'named'")
        name = statement(weir, "select 'named'")["name"]
        assert client.value("select name from pg_prepared_statements"
                            " where statement = 'select ''named'''") == name


def test_show_prepared_has_a_statement_that_no_server_holds_any_more(weir, cluster):
    with app(weir) as client:
        prepare(client, "select 'homeless'")
        pid = client.value("select pg_backend_pid()")
        cluster.execute(f"select pg_terminate_backend({pid})")
        until(lambda: weir.permits(weir.database) == 0, what="the end of the server noticed")
        assert statement(weir, "select 'homeless'")["servers"] == 0


def test_show_prepared_forgets_what_nobody_holds(weir, cluster):
    with app(weir) as client:
        prepare(client, "select 'gone'")
        pid = client.value("select pg_backend_pid()")
    cluster.execute(f"select pg_terminate_backend({pid})")
    until(lambda: weir.show("PREPARED") == [], what="the statement forgotten")


def test_show_prepared_is_not_for_the_stats_role(weir):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        weir.show("PREPARED", user="stats")


def test_clients_and_servers_tell_how_many_statements_they_have(weir):
    with app(weir) as client:
        prepare(client, "select 1", "a")
        prepare(client, "select 1", "b")
        of_client = next(r for r in weir.show("CLIENTS") if r["database"] == weir.database)
        of_server = next(r for r in weir.show("SERVERS") if r["database"] == weir.database)
        assert (of_client["prepared_statements"], of_server["prepared_statements"]) == (2, 1)


# --- SHOW MEM ------------------------------------------------------------------------------------


def memory(weir):
    return {r["name"]: r for r in weir.show("MEM")}


def test_show_mem_counts_clients_and_servers(weir):
    before = memory(weir)
    with app(weir) as client:
        client.query("select 1")
        after = memory(weir)
        assert after["client"]["used"] == before["client"]["used"] + 1
        assert (before.get("server", {"used": 0})["used"], after["server"]["used"]) == (0, 1)


def test_show_mem_tells_what_a_client_that_does_not_read_costs(weir):
    with weir.wire("app", weir.database) as client:
        client.send(wire.query("select repeat('x', 1000) from generate_series(1, 100000)"))
        until(lambda: any(r["used"] for name, r in memory(weir).items()
                          if name.startswith("buffer_")), what="a buffer in use")


def test_show_mem_totals_hold_what_statements_own(weir):
    with app(weir) as client:
        prepare(client, f"select '{'x' * 10_000}'")
        row = memory(weir)["statement"]
        assert row["used"] == 1
        assert row["memtotal"] > row["size"] + 10_000
