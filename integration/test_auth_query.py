"""Users whom the configuration does not name: looked up at PostgreSQL, or in a file."""

import contextlib
import re
import subprocess
import threading
import time
from pathlib import Path

import psycopg
import pytest

import installs
from cluster import ROLES, Cluster, until
from failover_scene import LONG
from scram import md5_secret, verifier
from wire import Wire, fields, message, query, sqlstates, startup

ROLE_SQL = Path(__file__).parent.parent / "conf" / "auth_query.sql"
ASKER = {"auth_user": "boss", "auth_password": "boss-secret"}
NOBODY_NAMED = {role: None for role in ROLES}


@pytest.fixture(scope="module")
def home(base, data):
    """A PostgreSQL that lets any role in over TCP by SCRAM, where its pg_hba.conf says no more."""
    found = installs.find(base)
    if installs.WANTED[0] not in found:
        pytest.skip(f"no PostgreSQL {installs.WANTED[0]} server is installed")
    cluster = Cluster(found[installs.WANTED[0]], data / "lookups").create()
    with open(cluster.data / "pg_hba.conf", "a", encoding="ascii") as hba:
        hba.write("host all all 127.0.0.1/32 scram-sha-256\n")
    cluster.execute("select pg_reload_conf()")
    yield cluster
    cluster.destroy()


@pytest.fixture
def role(home):
    """role("login password 'x'") makes a role and answers its name."""
    made = []

    def create(options, name=None):
        made.append(name or f"r{time.monotonic_ns()}")
        home.execute(f'create role "{made[-1]}" {options}')
        return made[-1]

    yield create
    for name in made:
        home.execute(f'drop role if exists "{name}"')


def looking_up(over=None, **auth):
    """A configuration that names nobody but the console's users."""
    return {"auth": {**ASKER, **auth}, "user": NOBODY_NAMED, **(over or {})}


def said(frame):
    return {k: v for k, v in fields(frame).items() if k not in "FLR"}


def login(weir, user, password, database="shop", **params):
    """The SQLSTATE of the refusal, or None."""
    with Wire(weir.address) as client:
        client.login(user, database, password, **params)
        return client.login_error and client.login_error["C"]


def logged(weir, pattern):
    until(lambda: re.search(pattern, weir.log()), what=f"'{pattern}' in the log")


def lookups(weir):
    (row,) = weir.show("AUTH_QUERY")
    return row


# --- who gets in ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "user"), [
    ("scram-sha-256", "app"), ("scram-sha-256", "trust_user"), ("md5", "md5_user"), ("md5", "app"),
    ("password", "app"), ("password", "md5_user"), ("password", "plain_user"), ("trust", "trust_user")])
def test_a_user_of_postgresql_gets_in_and_works_as_itself(home, pooler, method, user):
    weir = pooler(home, looking_up(method=method))
    with weir.wire() as client:
        client.login(user, "shop", ROLES[user][1])
        assert client.login_error is None
        assert client.value("select current_user") == user


def test_a_wrong_password_is_refused_as_by_postgresql(home, pooler):
    weir = pooler(home, looking_up())
    with weir.wire() as client, Wire(home.address) as direct:
        client.login("app", "shop", "wrong")
        direct.login("app", "shop", "wrong")
        assert said(client.welcome[-1]) == said(direct.welcome[-1])


@pytest.mark.parametrize("options", ["login password 'x' valid until '2001-01-01'",
                                     "login password null", "nologin password 'x'"])
def test_who_may_not_log_in_is_refused_with_28P01(home, pooler, role, options):
    weir = pooler(home, looking_up())
    assert login(weir, role(options), "x") == "28P01"


def test_an_expired_password_is_refused_as_by_postgresql(home, pooler, role):
    weir = pooler(home, looking_up())
    name = role("login password 'x' valid until '2001-01-01'")
    with weir.wire() as client, Wire(home.address) as direct:
        client.login(name, "shop", "x")
        direct.login(name, "shop", "x")
        assert said(client.welcome[-1]) == said(direct.welcome[-1])


def test_the_role_of_conf_auth_query_sql_finds_users_and_no_superuser(home, pooler):
    subprocess.run([home.install.program("psql"), "-X", "-q", "-h", home.socket_dir,
                    "-p", str(home.port), "-U", "postgres", "-d", "postgres",
                    "-v", "password=asker-secret", "-f", ROLE_SQL], check=True)
    weir = pooler(home, looking_up(
        auth_user="pgweir_auth", auth_password="asker-secret",
        auth_query="SELECT name, secret FROM pgweir.lookup_user($1)"))
    assert login(weir, "app", "app-secret") is None
    assert login(weir, "boss", "boss-secret") == "28P01"


def test_a_section_comes_before_postgresql(home, pooler):
    weir = pooler(home, looking_up(over={"user": {**NOBODY_NAMED,
                                                  "trust_user": {"password": "from-section"}}}))
    assert login(weir, "trust_user", "from-section") is None
    assert login(weir, "trust_user", "trust-secret") == "28P01"


def test_a_name_that_is_no_text_is_nobody_s(home, pooler):
    weir = pooler(home, looking_up())
    with Wire(weir.address) as client:
        client.login(b"\xff\xfe", "shop", "x")
        assert client.login_error["C"] == "28P01"


def test_who_is_kept_out_by_a_rule_is_not_looked_up(home, pooler, base):
    rules = base / f"rules{time.monotonic_ns()}.conf"
    rules.write_text("host all app all reject\nhost all all all scram-sha-256\n")
    weir = pooler(home, looking_up(method="hba", hba_file=str(rules)))
    assert login(weir, "app", "app-secret") == "28000"
    assert lookups(weir)["asked"] == 0
    assert login(weir, "other", "other-secret") is None


def test_nobody_of_postgresql_gets_to_the_console(home, pooler):
    weir = pooler(home, looking_up())
    assert login(weir, "app", "app-secret", database="pgweir") == "28P01"


def test_a_database_may_look_users_up_where_others_do_not(home, pooler):
    weir = pooler(home, {"user": NOBODY_NAMED, "database": {
        "open": {"host": home.host, "port": home.port, "dbname": "shop", **ASKER}}})
    assert login(weir, "app", "app-secret", database="open") is None
    assert login(weir, "app", "app-secret", database="shop") == "28P01"


def test_a_reload_ends_look_ups(home, pooler):
    weir = pooler(home, looking_up())
    assert login(weir, "app", "app-secret") is None
    weir.change({"auth": {"auth_user": ""}})
    assert login(weir, "app", "app-secret") == "28P01"


# Says of everybody that the password is "pencil", whatever pg_authid has.
ELSEWHERE = {"auth_query": f"select $1::text, '{verifier('pencil')}'"}


@pytest.mark.parametrize(("password", "outcome"), [("app-secret", "28P01"), ("pencil", None)])
def test_a_reload_in_the_middle_of_a_question_has_it_asked_anew(home, pooler, password, outcome):
    """Nothing has been said to the client by then."""
    slow = f"select $1::text, '{verifier('app-secret')}' from pg_sleep(60)"
    weir = pooler(home, {**looking_up(auth_query=slow, auth_timeout="1m"),
                         "database": {"shop": {"user": "app", "password": "app-secret"}}})
    with weir.wire() as client:
        client.send(startup({"user": "somebody", "database": "shop"}))
        until(lambda: lookups(weir)["asked"] == 1, what="the question")
        weir.change({"auth": ELSEWHERE})
        client.authenticate("somebody", password)
        assert (client.login_error and client.login_error["C"]) == outcome


def test_a_reload_that_changes_the_place_refuses_whom_the_old_one_has_let_in(home, pooler):
    weir = pooler(home, {**looking_up(), "workers": {"count": 1}})
    with weir.wire() as client:
        client.send(startup({"user": "app", "database": "shop"}))
        challenge = client.read()
        weir.change({"auth": ELSEWHERE})
        client.buffer += message(challenge.type, challenge.body)
        client.authenticate("app", "app-secret")
        assert client.login_error["C"] == "57P03"
        assert "configuration was changed" in client.login_error["D"]


# --- nobody can tell who exists ------------------------------------------------------------------


def salt_of(weir, user):
    with weir.wire() as client:
        client.login(user, "shop", "wrong")
        return client.welcome[1].body.split(b",")[1]


@pytest.mark.parametrize("method", ["scram-sha-256", "md5", "password"])
@pytest.mark.parametrize("nobody", ["nobody", "expired", "without"])
def test_an_unknown_user_looks_like_a_wrong_password(home, pooler, role, method, nobody):
    weir = pooler(home, looking_up(method=method))
    role("login password 'x' valid until '2001-01-01'", "expired")
    role("login password null", "without")
    known = weir.conversation("app", "shop", "wrong")
    assert weir.conversation(nobody, "shop", "wrong") == known


def test_an_unknown_user_has_the_iteration_count_of_most(home, pooler, role):
    weir = pooler(home, looking_up())
    name = role(f"login password '{verifier('x', iterations=5000)}'")
    known = weir.conversation(name, "shop", "wrong")
    assert weir.conversation("nobody", "shop", "wrong") == known


def test_a_mock_salt_outlives_a_restart(home, pooler, base):
    state = base / f"seed{time.monotonic_ns()}"
    state.mkdir()
    config = looking_up(over={"process": {"state_dir": str(state)}})
    before = salt_of(pooler(home, config), "nobody")
    assert salt_of(pooler(home, config), "nobody") == before
    assert (state / "mock_seed").stat().st_mode & 0o777 == 0o600


# --- passwords that change -----------------------------------------------------------------------


def test_a_changed_password_is_known_at_the_next_attempt(home, pooler, role):
    weir = pooler(home, looking_up(auth_ttl="1h", auth_refresh=0))
    name = role("login password 'old'")
    assert login(weir, name, "old") is None
    home.execute(f"alter role {name} password 'new'")
    assert login(weir, name, "new") == "28P01"
    assert login(weir, name, "new") is None
    assert login(weir, name, "old") == "28P01"


def test_without_a_ttl_a_changed_password_is_known_at_once(home, pooler, role):
    weir = pooler(home, looking_up(auth_ttl=0))
    name = role("login password 'old'")
    assert login(weir, name, "old") is None
    home.execute(f"alter role {name} password 'new'")
    assert login(weir, name, "new") is None


def test_wrong_passwords_do_not_ask_postgresql_each_time(home, pooler):
    weir = pooler(home, looking_up(auth_ttl="1h", auth_refresh="1h"))
    for _ in range(20):
        assert login(weir, "app", "wrong") == "28P01"
    assert lookups(weir)["asked"] == 1


def test_a_pool_goes_on_when_a_client_knows_the_new_password(home, pooler, role):
    weir = pooler(home, looking_up(auth_ttl=0))
    name = role("login password 'old'")
    with weir.wire() as client:
        client.login(name, "shop", "old")
        assert client.value("select 1") == "1"
        home.execute(f"alter role {name} password 'new'")
        # Its server is still good.
        assert client.value("select 2") == "2"
        with weir.console() as console:
            console.execute("RECONNECT")
        # Now another one would be needed, and nobody has told pgweir the password for it.
        assert sqlstates(client.send(query("select 3")).outcome()) == ["28P01"]
        assert login(weir, name, "new") is None
    with weir.wire() as other:
        other.login(name, "shop", "new")
        assert other.value("select 4") == "4"


@pytest.mark.tsan
def test_a_password_is_changed_under_load_and_nobody_notices(home, pooler, role):
    weir = pooler(home, looking_up(auth_ttl=0, over={"pool": {"size": 3}}))
    name, turn, password = role("login password 'p0'"), threading.Lock(), ["p0"]
    over, problems, done = threading.Event(), [], [0, 0]

    def work():
        try:
            with turn:
                connection = psycopg.connect(**weir.dsn(name, password=password[0]),
                                             autocommit=True)
            with connection:
                while not over.is_set():
                    connection.execute("select pg_sleep(0.001)")
                    done[0] += 1
        except psycopg.Error as error:
            problems.append(error)

    def come_and_go():
        try:
            while not over.is_set():
                # Who reads the password before it is changed must be in by then.
                with turn:
                    connection = psycopg.connect(**weir.dsn(name, password=password[0]))
                with connection:
                    connection.execute("select 1")
                    done[1] += 1
        except psycopg.Error as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    threads += [threading.Thread(target=come_and_go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(1, 6):
        before = done[1]
        until(lambda before=before: done[1] >= before + 5 or problems, LONG, "logins")
        with turn:
            password[0] = f"p{number}"
            home.execute(f"alter role {name} password '{password[0]}'")
    before = list(done)
    until(lambda: problems or all(d >= b + 5 for d, b in zip(done, before, strict=True)), LONG,
          "work with the last password")
    over.set()
    for thread in threads:
        thread.join()
    assert not problems


# --- the connections to ask over -----------------------------------------------------------------


@pytest.mark.tsan
def test_many_logins_of_one_user_are_one_question(home, pooler):
    slow = ("select rolname, rolpassword from pg_catalog.pg_authid, pg_catalog.pg_sleep(2)"
            " where rolname = $1")
    weir = pooler(home, looking_up({"limits": {"max_login_clients_per_address": 0}},
                                   auth_query=slow))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Wire(weir.address)) for _ in range(1000)]
        for client in clients:
            client.send(startup({"user": "app", "database": "shop"}))
        assert {client.read().type for client in clients} == {"R"}
        assert lookups(weir)["asked"] == 1


def test_what_a_client_sends_does_not_reach_the_question(home, pooler):
    # The password is what the question sees of search_path; PostgreSQL trusts the user.
    question = ("select $1::text, 'md5' || pg_catalog.md5("
                "pg_catalog.current_setting('search_path') || $1)")
    weir = pooler(home, looking_up(method="md5", auth_query=question))
    home.execute("create schema if not exists evil", database="postgres")
    assert login(weir, "trust_user", "pg_catalog", search_path="evil",
                 options="-c search_path=evil -c role=boss") != "28P01"
    assert login(weir, "trust_user", "evil") == "28P01"
    with home.connect("postgres") as direct:
        seen = direct.execute("select distinct application_name, usename from pg_stat_activity"
                              " where application_name = 'pgweir-auth'").fetchall()
    assert seen == [("pgweir-auth", "boss")]


def test_a_name_is_a_parameter_and_no_sql(home, pooler):
    weir = pooler(home, looking_up())
    assert login(weir, "x'; alter role app superuser; --", "x") == "28P01"
    assert home.value("select not rolsuper from pg_roles where rolname = 'app'")
    assert login(weir, "app", "app-secret") is None


def test_its_connections_count_against_no_pool(home, pooler, databases):
    weir = pooler(home, looking_up(auth_connections=1, over={"pool": {"size": 1}}))
    assert login(weir, "app", "app-secret") is None
    assert lookups(weir)["connections"] == 1
    assert weir.permits("shop", "boss") == 0


@pytest.mark.parametrize(("question", "reason"), [
    ("select rolname from pg_catalog.pg_authid where rolname = $1", "two columns"),
    ("select $1::text, rolname, 1 from pg_catalog.pg_authid limit 1", "two columns"),
    ("select $1::text, rolname::text from pg_catalog.pg_authid", "one row"),
    ("select rolname, rolpassword from pg_catalog.pg_authid where $1 <> '' limit 1", "first column"),
    ("select usename, passwd from pg_catalog.pg_user where usename = $1", "rolpassword"),
    ("select rolname, rolpassword from nowhere where rolname = $1", "42P01")])
def test_a_question_that_makes_no_sense_lets_nobody_in(home, pooler, question, reason):
    weir = pooler(home, looking_up(auth_query=question))
    assert login(weir, "app", "app-secret") == "57P03"
    logged(weir, f"auth_query .*{reason}")


def test_users_are_not_looked_up_without_the_tls_that_servers_must_have(home, pooler):
    weir = pooler(home, looking_up({"server_tls": {"sslmode": "require"}}))
    assert login(weir, "app", "app-secret") == "57P03"
    logged(weir, "as boss in database postgres: .*server does not support SSL")


def test_an_asker_with_a_wrong_password_is_named_in_the_log(home, pooler):
    weir = pooler(home, looking_up(auth_password="wrong"))
    assert login(weir, "app", "app-secret") == "57P03"
    logged(weir, "as boss in database postgres: .*password authentication failed")


# --- PostgreSQL is away --------------------------------------------------------------------------


def test_without_postgresql_who_is_known_gets_in_and_others_get_57P03(own_cluster, pooler):
    # So small a pool is one worker's. As long as a client is there the pool knows what a first
    # message says, so that another one needs no server to log in.
    weir = pooler(own_cluster, looking_up({"pool": {"size": 1}}, auth_ttl=0, auth_timeout="1s"))
    with Wire(weir.address) as staying:
        staying.login("app", "shop", "app-secret")
        assert staying.login_error is None
        own_cluster.stop()
        assert login(weir, "app", "app-secret") is None
        assert login(weir, "app", "wrong") == "28P01"
        assert login(weir, "other", "other-secret") == "57P03"
    own_cluster.start()
    assert login(weir, "other", "other-secret") is None


def test_without_postgresql_nobody_gets_in_by_what_is_too_old(own_cluster, pooler):
    weir = pooler(own_cluster, looking_up(auth_ttl=0, auth_stale=0, auth_timeout="1s"))
    assert login(weir, "app", "app-secret") is None
    own_cluster.stop()
    assert login(weir, "app", "app-secret") == "57P03"


@pytest.mark.failover
def test_while_a_primary_is_lost_a_standby_is_asked(scene):
    here = scene(over={
        "auth": {"auth_ttl": 0},
        "user": {"app": None},
        "cluster": {"main": {"auth_user": "repmgr", "auth_password": "any"}}}).ready()
    assert login(here.weir, "app", "app-secret") is None
    here.nodes.kill_node(here.primary)
    deadline, outcomes = time.monotonic() + LONG, []
    while not here.said(r"writes go to n(?!%d\b)" % here.primary):
        assert time.monotonic() < deadline, "no failover"
        outcomes.append(login(here.weir, "app", "app-secret"))
    assert outcomes and set(outcomes) == {None}
    with here.wire() as client:
        assert client.value("select pg_is_in_recovery()") == "f"


# --- a file of users -----------------------------------------------------------------------------


def test_users_come_from_a_file(home, pooler, base):
    users = base / f"users{time.monotonic_ns()}.txt"
    users.write_text('; who\n"trust_user" "from-file"\n"app" "%s"\n' % md5_secret("app", "x"))
    users.chmod(0o600)
    weir = pooler(home, {"auth": {"method": "md5", "user_file": str(users)}, "user": NOBODY_NAMED})
    assert login(weir, "trust_user", "from-file") is None
    assert login(weir, "trust_user", "wrong") == "28P01"
    users.write_text('"trust_user" "changed"\n')
    weir.change({})
    assert login(weir, "trust_user", "changed") is None


def test_a_broken_file_of_users_changes_nothing(home, pooler, base):
    users = base / f"users{time.monotonic_ns()}.txt"
    users.write_text('"trust_user" "from-file"\n')
    users.chmod(0o600)
    weir = pooler(home, {"auth": {"user_file": str(users)}, "user": NOBODY_NAMED})
    users.write_text('"trust_user" "from-file"\nnonsense\n')
    with pytest.raises(psycopg.Error, match=r":2:1: line does not begin with a user"):
        weir.change({})
    assert login(weir, "trust_user", "from-file") is None
