"""Nothing of one client reaches another, and what a client set for itself holds for it."""

import pytest

import wire
from cluster import until
from wire import COPY_FAIL, SYNC, Closed, Wire, sqlstates

pytestmark = pytest.mark.every_version


@pytest.fixture(params=["transaction", "session"])
def weir(request, cluster, pooler, database):
    """A pool of one server: the second client gets what the first one had."""
    process = pooler(cluster, {"pool": {"size": 1, "mode": request.param}}, [database])
    process.database, process.mode = database, request.param
    return process


def after(weir, *statements, user="app"):
    """A client that comes after another one did `statements` on the same server and left."""
    with weir.wire(user, weir.database) as first:
        pid = first.value("select pg_backend_pid()")
        for statement in statements:
            frames = first.query(statement)
            assert not sqlstates(frames), (statement, frames)
        first.send(wire.TERMINATE)
        first.raw_until_closed()
    second = weir.wire(user, weir.database)
    weir.same_server = second.value("select pg_backend_pid()") == pid
    return second


SETTINGS = {
    "set": ["set work_mem = '1234kB'"],
    "set in a multi-statement query": ["select 1; set work_mem = '1234kB'; select 2"],
    "set_config": ["select set_config('work_mem', '1234kB', false)"],
    "set_config in a CTE": ["with x as (select set_config('work_mem', '1234kB', false)) table x"],
    "a committed transaction": ["begin", "set work_mem = '1234kB'", "commit"],
    "beside another that is reset": ["begin", "set work_mem = '1234kB'", "set geqo = off",
                                     "reset geqo", "commit"],
    "beside another that is reset, in a query": [
        "set work_mem = '1234kB'; set geqo = off; reset geqo"],
    "a DO block": ["do $$ begin set work_mem = '1234kB'; end $$"],
    "a DO block with execute": ["do $$ begin execute 'se' || 't work_mem = ''1234kB'''; end $$"],
    "an update of pg_settings": ["update pg_settings set setting = '1234' where name = 'work_mem'"],
}


@pytest.mark.parametrize("how", SETTINGS)
def test_a_setting_does_not_reach_the_next_client(weir, how):
    assert after(weir, *SETTINGS[how]).value("show work_mem") == "4MB"


def test_always_cleaning_removes_what_a_function_set(cluster, pooler, database):
    # Neither the text nor the tag of such a query shows what it does; clean = "always" is for this.
    weir = pooler(cluster, {"pool": {"size": 1, "clean": "always"}}, [database])
    cluster.execute("create function sneak() returns void language plpgsql as"
                    " $$ begin perform set_config('work_mem', '1234kB', false); end $$",
                    database)
    weir.database = database
    assert after(weir, "select sneak()").value("show work_mem") == "4MB"


@pytest.mark.parametrize(("statement", "name", "default"), [
    ("set timezone = 'Asia/Tokyo'", "TimeZone", "Etc/UTC"),
    ("set datestyle = 'German'", "DateStyle", "ISO, MDY"),
    ("set search_path = pg_catalog", "search_path", '"$user", public'),
    ("set client_encoding = 'latin1'", "client_encoding", "UTF8"),
    ("set application_name = 'mine'", "application_name", ""),
    ("set my.own = 'secret'", "my.own", None),
    ("set session characteristics as transaction isolation level serializable",
     "default_transaction_isolation", "read committed"),
    ("set default_transaction_read_only = on", "default_transaction_read_only", "off"),
    ("set statement_timeout = '1h'", "statement_timeout", "0"),
    ("set row_security = off", "row_security", "on")])
def test_no_kind_of_setting_reaches_the_next_client(weir, statement, name, default):
    second = after(weir, statement)
    assert second.value(f"select current_setting('{name}', true)") in (
        {default} if default else {None, ""})


def test_set_role_does_not_reach_the_next_client(weir):
    assert after(weir, "set role app_group").value("select current_user") == "app"


def test_set_session_authorization_does_not_reach_the_next_client(weir):
    second = after(weir, "set session authorization other", user="boss")
    assert second.values("select current_user, session_user") == [["boss", "boss"]]


def test_a_notification_does_not_reach_the_next_client(weir, cluster):
    second = after(weir, "listen secrets")
    second.value("select 1")
    cluster.execute("notify secrets, 'payload'", weir.database)
    assert "A" not in wire.types(second.query("select 1") + second.query("select 2"))


def test_a_notification_between_two_clients_reaches_neither(weir, cluster):
    with weir.wire("app", weir.database) as first:
        first.query("listen secrets")
    cluster.execute("notify secrets, 'payload'", weir.database)
    with weir.wire("app", weir.database) as second:
        assert "A" not in wire.types(second.welcome + second.query("select 1"))


@pytest.mark.parametrize("statement", [
    "create temp table mine (n int)", "create temporary view mine as select 1 as n",
    "create temp sequence mine", "select 1 as n into temp mine",
    "do $$ begin create temp table mine (n int); end $$"])
def test_a_temporary_relation_does_not_reach_the_next_client(weir, statement):
    second = after(weir, statement)
    assert second.value("select count(*) from pg_class where relname = 'mine'") == "0"


@pytest.mark.parametrize("statement", ["select pg_advisory_lock(42)",
                                       "select pg_try_advisory_lock(42)",
                                       "select pg_advisory_lock_shared(42)",
                                       "do $$ begin perform pg_advisory_lock(42); end $$"])
def test_an_advisory_lock_does_not_stay_with_the_server(weir, cluster, statement):
    after(weir, statement)
    assert cluster.value("select count(*) from pg_locks where locktype = 'advisory'",
                         weir.database) == 0


def test_a_prepared_statement_does_not_reach_the_next_client(weir):
    second = after(weir, "prepare mine as select 'secret'")
    assert sqlstates(second.query("execute mine")) == ["26000"]


def test_the_name_of_a_prepared_statement_is_free_for_the_next_client(weir):
    second = after(weir, "prepare mine as select 'first'")
    assert not sqlstates(second.query("prepare mine as select 'second'"))


def test_a_protocol_level_statement_does_not_reach_the_next_client(weir):
    with weir.wire("app", weir.database) as first:
        first.send(wire.parse("select 'secret'", "mine"), SYNC).read_until("Z")
    with weir.wire("app", weir.database) as second:
        frames = second.send(wire.bind(statement="mine"), wire.execute(), SYNC).read_until("Z")
        assert sqlstates(frames) == ["26000"]


def test_the_unnamed_statement_does_not_reach_the_next_client(weir):
    with weir.wire("app", weir.database) as first:
        first.send(wire.parse("select 'secret'"), SYNC).read_until("Z")
    with weir.wire("app", weir.database) as second:
        frames = second.send(wire.bind(), wire.execute(), SYNC).read_until("Z")
        assert sqlstates(frames) == ["26000"]


def test_the_unnamed_statement_does_not_reach_a_client_that_was_there_before(cluster, pooler,
                                                                             database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    with weir.wire("app", database) as first, weir.wire("app", database) as second:
        first.send(wire.parse("select 'secret'"), SYNC).read_until("Z")
        frames = second.send(wire.bind(), wire.execute(), SYNC).read_until("Z")
        assert sqlstates(frames) == ["26000"]


def test_a_held_cursor_does_not_reach_the_next_client(weir):
    second = after(weir, "begin", "declare mine cursor with hold for select 'secret'", "commit")
    assert sqlstates(second.query("fetch mine")) == ["34000"]


def test_a_sequence_s_current_value_does_not_reach_the_next_client(weir, cluster):
    cluster.execute("create sequence numbers; grant all on numbers to public", weir.database)
    second = after(weir, "select nextval('numbers')")
    assert sqlstates(second.query("select lastval()")) == ["55000"]


def test_state_set_between_two_transactions_is_not_seen_by_a_client_in_between(cluster, pooler,
                                                                               database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    with weir.wire("app", database) as one, weir.wire("app", database) as two:
        one.query("set work_mem = '1234kB'")
        assert two.value("show work_mem") == "4MB"


def test_a_rolled_back_setting_leaves_no_trace(weir):
    with weir.wire("app", weir.database) as client:
        for statement in ("begin", "set work_mem = '1234kB'", "rollback"):
            client.query(statement)
        assert client.value("show work_mem") == "4MB"


# --- startup parameters --------------------------------------------------------------------------

STARTUP = {
    "application_name": ({"application_name": "till 7"}, "application_name", "till 7"),
    "TimeZone": ({"TimeZone": "Asia/Tokyo"}, "TimeZone", "Asia/Tokyo"),
    "timezone in another case": ({"timezone": "Asia/Tokyo"}, "TimeZone", "Asia/Tokyo"),
    "DateStyle": ({"DateStyle": "German, DMY"}, "DateStyle", "German, DMY"),
    "search_path": ({"search_path": "pg_catalog, public"}, "search_path", "pg_catalog, public"),
    "client_encoding": ({"client_encoding": "LATIN1"}, "client_encoding", "LATIN1"),
    "extra_float_digits": ({"extra_float_digits": "2"}, "extra_float_digits", "2"),
    "statement_timeout": ({"statement_timeout": "12345ms"}, "statement_timeout", "12345ms"),
    "role": ({"role": "app_group"}, "role", "app_group"),
    "role in options": ({"options": "-c role=app_group"}, "role", "app_group"),
    "isolation": ({"default_transaction_isolation": "serializable"},
                  "transaction_isolation", "serializable"),
    "isolation in options": ({"options": "-c default_transaction_isolation=serializable"},
                             "transaction_isolation", "serializable"),
    "options -c": ({"options": "-c work_mem=1234kB"}, "work_mem", "1234kB"),
    "options --": ({"options": "--work_mem=1234kB"}, "work_mem", "1234kB"),
    "options with two": ({"options": "-c work_mem=1234kB -cgeqo=off"}, "geqo", "off"),
    "options with an escaped space": ({"options": r"-c application_name=a\ b"},
                                      "application_name", "a b"),
    "an own setting in options": ({"options": "-c my.own=x"}, "my.own", "x"),
    "a quote in the value": ({"application_name": "it's \\ \"x\""}, "application_name",
                             "it's \\ \"x\""),
    "an empty value": ({"application_name": ""}, "application_name", ""),
}


@pytest.mark.parametrize("which", STARTUP)
def test_a_startup_parameter_holds_for_its_client(weir, which):
    params, name, value = STARTUP[which]
    with weir.wire("app", weir.database, **params) as client:
        assert [client.value(f"show {name}") for _ in range(3)] == [value] * 3


@pytest.mark.parametrize("which", STARTUP)
def test_a_startup_parameter_holds_for_no_other_client(weir, cluster, which):
    params, name, _ = STARTUP[which]
    with Wire(cluster.address) as direct:
        direct.login("app", weir.database, "app-secret")
        usual = direct.value(f"select current_setting('{name}', true)")
    with weir.wire("app", weir.database, **params) as first:
        first.query("select 1")
    with weir.wire("app", weir.database) as second:
        assert second.value(f"select current_setting('{name}', true)") in (
            {usual} if usual is not None else {None, ""})


def test_two_clients_with_different_parameters_share_a_server(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    with weir.wire("app", database, TimeZone="Asia/Tokyo", application_name="one") as one, \
            weir.wire("app", database, TimeZone="America/Lima", application_name="two") as two:
        for _ in range(5):
            for client, zone, name in ((one, "Asia/Tokyo", "one"), (two, "America/Lima", "two")):
                assert client.values("select current_setting('TimeZone'),"
                                     " current_setting('application_name')") == [[zone, name]]


@pytest.mark.parametrize("params", [
    {"TimeZone": "Nowhere/Atlantis"}, {"no_such_setting": "1"}, {"work_mem": "lots"},
    {"options": "-c work_mem=lots"}, {"options": "-c no_such=1"}, {"options": "-X"},
    {"client_encoding": "klingon"}, {"shared_buffers": "1GB"}, {"DateStyle": "stardate"}],
    ids=str)
def test_an_invalid_startup_parameter_gets_postgresql_s_own_words(weir, cluster, params):
    def answer(address):
        with Wire(address) as client:
            client.login("app", weir.database, "app-secret", **params)
            error = client.login_error
            return error and {k: error[k] for k in "SCM"}

    assert answer(weir.address) == answer(cluster.address)


def test_the_pool_survives_an_invalid_startup_parameter(weir):
    with weir.wire() as client:
        client.login("app", weir.database, "app-secret", TimeZone="Nowhere/Atlantis")
    with weir.wire("app", weir.database) as client:
        assert client.value("show timezone") == "Etc/UTC"


@pytest.mark.parametrize("params", [{}, {"TimeZone": "Asia/Tokyo"},
                                    {"DateStyle": "German", "application_name": "x"},
                                    {"options": "-c intervalstyle=iso_8601"},
                                    {"client_encoding": "latin1"}], ids=str)
def test_the_welcome_tells_the_truth(weir, params):
    with weir.wire("app", weir.database, **params) as client:
        told = {k: v for k, v in client.parameters.items() if k != "is_superuser"}
        shown = {name: client.value(f"show {name}") for name in told
                 if name != "session_authorization"}
        assert {k: v for k, v in told.items() if k in shown} == shown


def test_the_welcome_names_what_postgresql_names(weir, cluster):
    with Wire(cluster.address) as direct, weir.wire("app", weir.database) as client:
        direct.login("app", weir.database, "app-secret")
        assert client.parameters == direct.parameters


def test_a_client_is_told_of_its_own_changes(weir):
    with weir.wire("app", weir.database) as client:
        frames = client.query("set timezone = 'Asia/Tokyo'")
        told = [f.body for f in frames if f.type == "S"]
        # In transaction mode also that it ends with the transaction, so that the client goes on by
        # what holds.
        ended = [b"TimeZone\0Etc/UTC\0"] if weir.mode == "transaction" else []
        assert told == [b"TimeZone\0Asia/Tokyo\0", *ended]


# --- clients that leave in the middle ------------------------------------------------------------


def test_a_transaction_of_a_client_that_left_is_rolled_back(weir, cluster):
    cluster.execute("create table t (n int); grant all on t to public", weir.database)
    with weir.wire("app", weir.database) as client:
        client.query("begin")
        client.query("insert into t values (1)")
        client.query("lock table t")
    until(lambda: cluster.value("select count(*) from pg_locks where relation = 't'::regclass",
                                weir.database) == 0, what="the lock gone")
    assert cluster.execute("select n from t", weir.database) == []


def test_the_next_client_is_not_in_the_transaction_of_one_that_left(weir):
    with weir.wire("app", weir.database) as client:
        client.query("begin")
    with weir.wire("app", weir.database) as second:
        assert second.query("select 1")[-1].body == b"I"


def test_a_failed_transaction_of_a_client_that_left_is_ended(weir):
    with weir.wire("app", weir.database) as client:
        client.query("begin")
        client.query("select 1/0")
    with weir.wire("app", weir.database) as second:
        assert second.value("select 1") == "1"


def test_a_query_of_a_client_that_left_does_not_run_on(weir, cluster):
    with weir.wire("app", weir.database) as client:
        client.send(wire.query("select pg_sleep(66)"))
        until(lambda: cluster.backends(weir.database, "state = 'active'"
                                                      " and query = 'select pg_sleep(66)'"))
    until(lambda: cluster.backends(weir.database, "state = 'active'") == 0)


def test_a_client_that_left_mid_query_is_followed_by_one_that_gets_only_its_own(weir, cluster):
    with weir.wire("app", weir.database) as client:
        client.send(wire.query("select pg_sleep(0.3), 'old'"))
    with weir.wire("app", weir.database) as second:
        assert second.values("select 'new'") == [["new"]]


def test_the_bound_holds_after_clients_left_mid_query(weir, cluster):
    for _ in range(10):
        with weir.wire("app", weir.database) as client:
            client.send(wire.query("select pg_sleep(67)"))
    with weir.wire("app", weir.database) as client:
        assert client.value("select 1") == "1"
        assert cluster.backends(weir.database) <= 1


def test_a_copy_in_of_a_client_that_left_stores_nothing(weir, cluster):
    cluster.execute("create table t (n int); grant all on t to public", weir.database)
    with weir.wire("app", weir.database) as client:
        client.send(wire.query("copy t from stdin")).read_until("G")
        client.send(wire.copy_data(b"1\n"))
    with weir.wire("app", weir.database) as second:
        assert second.value("select count(*) from t") == "0"


def test_an_unfinished_pipeline_of_a_client_that_left_is_not_the_next_one_s(weir):
    with weir.wire("app", weir.database) as client:
        client.send(wire.parse("select 'old'"), wire.bind(), wire.execute(), wire.FLUSH)
        client.read_until("C")
    with weir.wire("app", weir.database) as second:
        frames = second.send(SYNC).read_until("Z")
        assert wire.types(frames) == "Z"
        assert second.values("select 'new'") == [["new"]]


def test_a_copy_fail_out_of_place_reaches_nobody(weir):
    with weir.wire("app", weir.database) as client:
        try:
            client.send(COPY_FAIL, wire.query("select 1"))
            frames = client.read_until("Z")
        except Closed:
            frames = []
        assert wire.rows(frames) in ([["1"]], [])
