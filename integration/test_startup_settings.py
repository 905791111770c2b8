"""What a client asks for at startup is what its session begins with, and what RESET returns to."""

import pytest

import wire
from cluster import until
from wire import SYNC

ONE = {"workers": {"count": 1}, "pool": {"size": 1}}


@pytest.fixture
def session(cluster, pooler, database):
    """A pool in session mode."""
    process = pooler(cluster, {"pool": {"mode": "session"}}, [database])
    process.database = database
    return process


@pytest.fixture
def weir(cluster, pooler, database):
    """A pool of one server in transaction mode."""
    process = pooler(cluster, ONE, [database])
    process.database = database
    return process


def told(frames, name):
    """The values that ParameterStatus messages give for a name, in their order."""
    return [value for key, value in (f.body[:-1].decode().split("\0") for f in frames
                                     if f.type == "S") if key == name]


# --- RESET in session mode -----------------------------------------------------------------------


@pytest.mark.parametrize("statement", ["reset timezone", "reset all", "discard all",
                                       "select 1; reset timezone"])
def test_reset_returns_to_what_the_client_asked_for(session, statement):
    with session.wire("app", session.database, TimeZone="Asia/Tokyo") as client:
        client.query("set timezone = 'Europe/Paris'")
        client.query(statement)
        assert client.value("show timezone") == "Asia/Tokyo"


def test_reset_in_the_extended_protocol_returns_to_it_too(session):
    with session.wire("app", session.database, TimeZone="Asia/Tokyo") as client:
        client.send(wire.parse("discard all"), wire.bind(), wire.execute(), SYNC).read_until("Z")
        assert client.value("show timezone") == "Asia/Tokyo"


def test_reset_in_a_transaction_holds_from_its_end(session):
    with session.wire("app", session.database, TimeZone="Asia/Tokyo") as client:
        client.query("begin")
        client.query("reset timezone")
        client.query("commit")
        assert client.value("show timezone") == "Asia/Tokyo"


def test_reset_of_one_setting_leaves_another_as_it_was_set(session):
    with session.wire("app", session.database, TimeZone="Asia/Tokyo",
                      DateStyle="German") as client:
        client.query("set datestyle = 'SQL, MDY'")
        client.query("reset timezone")
        assert (client.value("show timezone"), client.value("show datestyle")) == (
            "Asia/Tokyo", "SQL, MDY")


def test_reset_returns_to_the_role_of_the_startup(session, cluster):
    cluster.execute("grant other to app")
    with session.wire("app", session.database, options="-c role=other") as client:
        client.query("reset role")
        assert client.value("select current_user") == "other"


def test_reset_tells_the_client_what_holds_now(session):
    with session.wire("app", session.database, TimeZone="Asia/Tokyo") as client:
        frames = client.query("reset timezone") + client.query("select 1")
        assert told(frames, "TimeZone")[-1] == "Asia/Tokyo"


def test_what_is_pipelined_behind_a_reset_is_answered(session):
    with session.wire("app", session.database, TimeZone="Asia/Tokyo") as client:
        client.send(wire.query("reset timezone"), wire.query("select 1"), wire.query("select 2"))
        assert [wire.rows(client.read_until("Z")) for _ in range(3)] == [[], [["1"]], [["2"]]]
        assert client.value("show timezone") == "Asia/Tokyo"


# --- ParameterStatus in transaction mode ---------------------------------------------------------


def test_a_setting_that_ends_with_its_transaction_is_told_to_be_over(weir):
    with weir.wire("app", weir.database) as client:
        frames = client.query("set client_encoding = 'LATIN1'")
        assert told(frames, "client_encoding") == ["LATIN1", "UTF8"]
        assert client.value("show client_encoding") == "UTF8"


def test_a_setting_of_an_open_transaction_is_told_to_be_over_at_its_end(weir):
    with weir.wire("app", weir.database, TimeZone="Asia/Tokyo") as client:
        client.query("begin")
        frames = client.query("set timezone = 'Europe/Paris'")
        assert told(frames, "TimeZone") == ["Europe/Paris"]
        assert told(client.query("commit"), "TimeZone") == ["Asia/Tokyo"]
        assert client.value("show timezone") == "Asia/Tokyo"


def test_a_setting_for_the_transaction_is_told_as_postgresql_does(weir):
    with weir.wire("app", weir.database) as client:
        client.query("begin")
        client.query("set local timezone = 'Europe/Paris'")
        assert told(client.query("commit"), "TimeZone") == ["Etc/UTC"]


def test_psycopg_encodes_with_what_holds(weir):
    with weir.connect(database=weir.database) as connection:
        connection.execute("set client_encoding = 'LATIN1'")
        assert connection.execute("select 'gr\u00fcn \u20ac'").fetchone() == ("gr\u00fcn \u20ac",)


# --- applying them -------------------------------------------------------------------------------


def test_a_quote_in_a_setting_is_no_matter_of_the_previous_clients_encoding(weir):
    with weir.wire("app", weir.database, client_encoding="SJIS") as first, \
            weir.wire("app", weir.database, application_name="it's") as second:
        first.query("select 1")
        assert second.value("show application_name") == "it's"
        first.query("select 1")
        assert second.value("show application_name") == "it's"


def test_role_and_session_authorization_hold_both(weir, cluster):
    cluster.execute("grant scram_user to other")
    with weir.wire("boss", weir.database,
                   options="-c session_authorization=other -c role=scram_user") as client:
        assert wire.rows(client.query("select session_user, current_user")) == [
            ["other", "scram_user"]]


def test_a_used_server_s_refusal_is_not_taken_for_the_last_word(weir):
    # PostgreSQL does not change temp_buffers in a session that has had temporary tables.
    with weir.wire("app", weir.database) as first:
        first.query("create temporary table t (a int); insert into t values (1)")
    with weir.wire("app", weir.database, options="-c temp_buffers=4096") as second:
        assert second.value("show temp_buffers") == "32MB"


def test_a_setting_that_postgresql_refuses_is_refused_with_its_words(weir):
    for _ in range(3):
        client = weir.wire()
        client.login("app", weir.database, "app-secret", options="-c temp_buffers=nonsense")
        assert client.login_error["C"] == "22023"


def test_a_pool_survives_clients_with_settings_that_postgresql_refuses(weir):
    with weir.wire("app", weir.database) as client:
        client.query("select 1")
        for _ in range(3):
            with weir.wire() as bad:
                bad.login("app", weir.database, "app-secret", options="-c temp_buffers=nonsense")
        assert client.value("select 1") == "1"


# --- the welcome ---------------------------------------------------------------------------------


def test_a_new_default_of_the_database_is_in_the_next_welcome(weir, cluster):
    with weir.wire("app", weir.database) as client:
        pid = client.value("select pg_backend_pid()")
        cluster.execute(f"alter database {weir.database} set timezone = 'Asia/Tokyo'")
        cluster.execute(f"select pg_terminate_backend({pid})")
        until(lambda: weir.permits(weir.database) == 0, what="the end of the server noticed")
        assert client.value("show timezone") == "Asia/Tokyo"
    with weir.connect(database=weir.database) as second:
        assert second.info.parameter_status("TimeZone") == "Asia/Tokyo"
