"""The console: its columns are a contract, its commands obey roles, RELOAD is all or nothing."""

import time

import psycopg
import pytest

import wire
from cluster import until
from pooler import merged, toml

TEXT, INT4, INT8, NUMERIC = 25, 23, 20, 1700
LETTERS = {"s": TEXT, "i": INT4, "q": INT8, "N": NUMERIC}


def columns(text):
    return [(name, LETTERS[letter]) for name, letter in (c.split(":") for c in text.split())]


SOCKETS = columns(
    "type:s user:s database:s replication:s state:s addr:s port:i local_addr:s local_port:i"
    " connect_time:s request_time:s wait:i wait_us:i close_needed:i ptr:s link:s remote_pid:i"
    " tls:s application_name:s prepared_statements:i id:i")
CONTRACT = {
    "VERSION": columns("version:s"),
    "DATABASES": columns(
        "name:s host:s port:i database:s force_user:s pool_size:i min_pool_size:i"
        " reserve_pool_size:i server_lifetime:i pool_mode:s load_balance_hosts:s"
        " max_connections:i current_connections:i max_client_connections:i"
        " current_client_connections:i paused:i disabled:i"),
    "POOLS": columns(
        "database:s user:s cl_active:i cl_waiting:i cl_active_cancel_req:i"
        " cl_waiting_cancel_req:i sv_active:i sv_active_cancel:i sv_being_canceled:i sv_idle:i"
        " sv_used:i sv_tested:i sv_login:i maxwait:i maxwait_us:i pool_mode:s"
        " load_balance_hosts:s"),
    "CLIENTS": SOCKETS,
    "SERVERS": SOCKETS,
    "STATS": columns("database:s " + " ".join(f"{name}:N" for name in (
        "total_server_assignment_count total_xact_count total_query_count total_received"
        " total_sent total_xact_time total_query_time total_wait_time total_client_parse_count"
        " total_server_parse_count total_bind_count total_client_login_count"
        " avg_server_assignment_count avg_xact_count avg_query_count avg_recv avg_sent"
        " avg_xact_time avg_query_time avg_wait_time avg_client_parse_count"
        " avg_server_parse_count avg_bind_count avg_client_login_count").split())),
    "LISTS": columns("list:s items:i"),
    "CONFIG": columns("key:s value:s default:s changeable:s"),
}


@pytest.fixture
def weir(cluster, pooler, database):
    process = pooler(cluster, {"pool": {"size": 7}}, [database])
    process.database = database
    return process


@pytest.fixture
def console(weir):
    with weir.console() as connection:
        yield connection


# --- SHOW ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", CONTRACT)
def test_show_has_the_columns_exporters_read(console, what):
    cursor = console.execute(f"SHOW {what}")
    assert [(c.name, c.type_code) for c in cursor.description][: len(CONTRACT[what])] == (
        CONTRACT[what])


@pytest.mark.parametrize("what", CONTRACT)
def test_show_looks_the_same_in_the_extended_protocol(weir, what):
    with weir.wire("admin", "pgweir", "admin-secret") as client:
        simple = client.query(f"SHOW {what}")
        extended = client.send(wire.parse(f"SHOW {what}"), wire.bind(), wire.describe(),
                               wire.execute(), wire.SYNC).read_until("Z")
        assert [f for f in simple if f.type == "T"] == [f for f in extended if f.type == "T"]
        assert wire.types(extended).strip("D").replace("D", "").startswith("12T")


def test_show_in_mixed_case_and_with_a_semicolon(console):
    assert console.execute("show  Version ;").fetchone()


def test_an_empty_query_is_answered_as_one(weir):
    with weir.wire("admin", "pgweir", "admin-secret") as client:
        assert wire.types(client.query("")) == "IZ"


def test_the_console_is_also_called_pgbouncer(weir):
    with weir.connect("admin", "pgbouncer") as console:
        assert console.execute("SHOW VERSION").fetchone()


def test_show_help_is_a_notice(console):
    notices = []
    console.add_notice_handler(lambda d: notices.append((d.message_primary, d.message_detail)))
    console.execute("SHOW HELP")
    assert "SHOW" in str(notices)


def test_show_databases_tells_what_is_configured(weir, cluster):
    row = next(r for r in weir.show("DATABASES") if r["name"] == weir.database)
    assert (row["host"], row["port"], row["pool_size"]) == (cluster.host, cluster.port, 7)


def test_show_pools_counts_clients_and_servers(weir):
    with weir.wire("app", weir.database) as one, weir.wire("app", weir.database):
        one.query("begin")
        row = weir.pool(weir.database)
        assert (row["sv_active"], row["pool_mode"]) == (1, "transaction")


def test_show_pools_counts_a_waiting_client_and_its_wait(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    with weir.wire("app", database) as one, weir.wire("app", database) as two:
        one.query("begin")
        two.send(wire.query("select 1"))
        until(lambda: weir.pool(database)["cl_waiting"] == 1)
        until(lambda: weir.pool(database)["maxwait"] >= 1, what="a wait of a second")


def test_show_clients_names_a_client(weir):
    with weir.wire("app", weir.database, application_name="till 7"):
        row = next(r for r in weir.show("CLIENTS") if r["database"] == weir.database)
        assert (row["type"], row["user"], row["application_name"]) == ("C", "app", "till 7")


def test_show_servers_names_the_backend(weir):
    with weir.wire("app", weir.database) as client:
        client.query("begin")
        pid = client.value("select pg_backend_pid()")
        row = next(r for r in weir.show("SERVERS") if r["database"] == weir.database)
        assert (row["type"], row["state"], str(row["remote_pid"])) == ("S", "active", pid)


def test_show_stats_counts_queries_and_transactions(weir):
    with weir.wire("app", weir.database) as client:
        for statement in ("begin", "select 1", "commit", "select 2"):
            client.query(statement)
    row = next(r for r in weir.show("STATS") if r["database"] == weir.database)
    assert (row["total_query_count"], row["total_xact_count"]) == (4, 2)


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_show_stats_tells_time_in_queries_from_time_in_transactions(cluster, pooler, database,
                                                                    mode):
    weir = pooler(cluster, {"pool": {"mode": mode}}, [database])
    began = time.monotonic()
    with weir.wire("app", database) as client:
        for statement in ("select pg_sleep(0.2)", "begin", "select pg_sleep(0.2)"):
            client.query(statement)
        time.sleep(0.5)  # in the transaction, but in no query
        client.query("commit")
        time.sleep(0.5)  # in neither
        client.query("select 1")
    took = (time.monotonic() - began) * 1_000_000
    row = next(r for r in weir.show("STATS") if r["database"] == database)
    assert 400_000 <= row["total_query_time"] <= took - 1_000_000
    assert row["total_query_time"] + 500_000 <= row["total_xact_time"] <= took - 500_000


def test_show_stats_tells_how_long_clients_waited(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    with weir.wire("app", database) as one, weir.wire("app", database) as two:
        one.query("begin")
        began = time.monotonic()
        two.send(wire.query("select 1"))
        until(lambda: weir.pool(database)["maxwait_us"] >= 300_000, what="a wait")
        one.query("commit")
        two.read_until("Z")
        took = (time.monotonic() - began) * 1_000_000
    row = next(r for r in weir.show("STATS") if r["database"] == database)
    assert 300_000 <= row["total_wait_time"] <= took


def test_show_lists_counts_the_databases(weir):
    lists = {r["list"]: r["items"] for r in weir.show("LISTS")}
    assert {"databases", "users", "pools", "free_clients", "used_clients", "login_clients",
            "free_servers", "used_servers"} <= set(lists)


def test_show_config_tells_a_value_and_its_default(weir):
    row = next(r for r in weir.show("CONFIG") if r["key"] == "pool.size")
    assert (row["value"], row["default"]) == ("7", "20")


def test_no_secret_is_shown(weir):
    with weir.wire("app", weir.database) as client:
        client.query("begin")
        shown = str([weir.show(what) for what in CONTRACT])
        assert "secret" not in shown


# --- errors and roles ----------------------------------------------------------------------------


def test_an_unknown_command_is_an_error_and_the_console_goes_on(console):
    with pytest.raises(psycopg.Error):
        console.execute("FROBNICATE")
    assert console.execute("SHOW VERSION").fetchone()


def test_an_unknown_command_says_where_help_is(console):
    with pytest.raises(psycopg.Error, match="SHOW HELP"):
        console.execute("FROBNICATE")


def test_a_user_without_a_console_role_does_not_get_in(weir):
    with weir.wire() as client:
        client.login("app", "pgweir", "app-secret")
        assert client.login_error is not None


def test_a_console_user_needs_its_password(weir):
    with weir.wire() as client:
        client.login("admin", "pgweir", "wrong")
        assert client.login_error["C"] == "28P01"


def test_stats_may_look(weir):
    assert weir.show("POOLS", "stats") is not None


@pytest.mark.parametrize("command", ["RELOAD", "SHUTDOWN", "PAUSE", "RESUME", "SUSPEND",
                                     "KILL shop", "RECONNECT"])
def test_stats_may_not_change_anything(weir, command):
    with weir.console("stats") as console:
        with pytest.raises(psycopg.Error):
            console.execute(command)
    assert weir.alive()


def test_stats_is_told_that_it_lacks_the_right_to_reload(weir):
    with weir.console("stats") as console, pytest.raises(psycopg.errors.InsufficientPrivilege):
        console.execute("RELOAD")


@pytest.mark.parametrize("raw", [b"Q\0\0\0\x03", wire.message("?"), wire.message("P"),
                                 b"Q\x7f\xff\xff\xff" + b"x" * 100, b"\0" * 100],
                         ids=["length 3", "unknown type", "empty Parse", "giant", "zeros"])
def test_hostile_bytes_end_only_their_own_console(weir, raw):
    with weir.wire("admin", "pgweir", "admin-secret") as hostile:
        try:
            hostile.send(raw, wire.SYNC)
            hostile.closed_within(0.2)
        except wire.Closed:
            pass
        assert weir.show("VERSION")


# --- RELOAD --------------------------------------------------------------------------------------


def test_reload_adds_a_database(weir, cluster):
    weir.change({"database": {"added": {"host": cluster.host, "port": cluster.port,
                                        "dbname": weir.database}}})
    with weir.wire("app", "added") as client:
        assert client.value("select current_database()") == weir.database


def test_reload_adds_a_user(weir):
    weir.change({"user": {"app": {"password": "app-secret"},
                          "late": {"password": "late-secret", "console": "stats"}}})
    with weir.wire("late", "pgweir", "late-secret") as client:
        assert not wire.sqlstates(client.query("SHOW VERSION"))


def test_reload_removes_a_database_for_new_clients(weir):
    weir.change({"database": {weir.database: None,
                              "kept": {"host": "127.0.0.1", "port": 1}}})
    with weir.wire() as client:
        client.login("app", weir.database, "app-secret")
        assert client.login_error["C"] == "3D000"


def test_reload_makes_a_pool_larger(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    with weir.wire("app", database) as one, weir.wire("app", database) as two:
        one.query("begin")
        two.send(wire.query("select 2"))
        assert two.silent_for(0.5)
        weir.change({"pool": {"size": 2}})
        assert wire.rows(two.read_until("Z")) == [["2"]]


def test_reload_makes_a_pool_smaller(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 3}}, [database])
    clients = [weir.wire("app", database) for _ in range(3)]
    for statement in ("begin", "commit"):
        for client in clients:
            client.query(statement)
    assert cluster.backends(database) == 3
    weir.change({"pool": {"size": 1}})

    def one_left():
        for client in clients:
            client.query("select 1")
        return cluster.backends(database) == 1

    until(one_left, what="one server")


def test_connected_clients_obey_a_new_timeout(weir):
    with weir.wire("app", weir.database) as client:
        client.query("select 1")
        weir.change({"timeouts": {"client_idle": "500ms"}})
        assert client.closed_within(20)


def test_connected_clients_go_where_a_reload_sends_their_database(weir, cluster, databases):
    other = databases(cluster)
    with weir.wire("app", weir.database) as idle, weir.wire("app", weir.database) as busy:
        idle.query("select 1")
        busy.query("begin")
        weir.change({"database": {weir.database: {"dbname": other}}})
        until(lambda: idle.value("select current_database()") == other, what="the new database")
        assert busy.value("select current_database()") == weir.database
        busy.query("commit")
        assert busy.value("select current_database()") == other
    until(lambda: cluster.backends(weir.database) == 0, what="the old servers gone")


def test_connected_clients_obey_a_new_mode(weir):
    with weir.wire("app", weir.database) as client:
        def keeps():
            client.query("select 1")
            return weir.pool(weir.database)["sv_active"] == 1

        weir.change({"pool": {"mode": "session"}})
        until(keeps, what="session mode")
        weir.change({"pool": {"mode": "transaction"}})
        until(lambda: not keeps(), what="transaction mode")


def test_connected_clients_are_not_disturbed_by_a_reload(weir):
    with weir.wire("app", weir.database) as client:
        client.query("begin")
        weir.change({"pool": {"size": 9}})
        assert client.query("select 1")[-1].body == b"T"


BAD = {"an unknown key": {"pool": {"sizee": 3}}, "a bad value": {"pool": {"size": "many"}},
       "an unknown section": {"poool": {"size": 3}},
       "one bad key among good ones": {"pool": {"size": 3, "mode": "sometimes"}}}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_configuration_is_refused_and_the_old_one_kept(weir, what):
    weir.path.write_text(toml(merged(weir.config, BAD[what])))
    with weir.console() as console, pytest.raises(psycopg.Error):
        console.execute("RELOAD")
    row = next(r for r in weir.show("CONFIG") if r["key"] == "pool.size")
    assert row["value"] == "7"


def test_a_missing_file_is_refused_and_the_old_configuration_kept(weir):
    weir.path.unlink()
    with weir.console() as console, pytest.raises(psycopg.Error):
        console.execute("RELOAD")
    with weir.wire("app", weir.database) as client:
        assert client.value("select 1") == "1"


def test_reload_names_what_needs_a_restart(weir):
    weir.write(merged(weir.config, {"workers": {"count": 3}}))
    notices = []
    with weir.console() as console:
        console.add_notice_handler(lambda d: notices.append(
            f"{d.message_primary} {d.message_detail} {d.message_hint}"))
        console.execute("RELOAD")
    assert "workers.count" in str(notices)
