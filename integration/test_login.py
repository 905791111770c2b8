"""Doors and keys: startup packets, authentication of clients, authentication to servers."""

import struct

import pytest

import wire
from cluster import ROLES, until
from scram import md5_secret, verifier
from wire import (GSS_REQUEST, PROTOCOL_3_0, PROTOCOL_3_2, SSL_REQUEST, Closed, Wire, cstr, fields,
                  message)

pytestmark = pytest.mark.every_version

SECRETS = {
    "plain": lambda user, password: password,
    "md5": md5_secret,
    "verifier": lambda user, password: verifier(password),
}
# Which stored secret can answer which challenge; as in PostgreSQL, method md5 asks for SCRAM
# where the stored secret is a SCRAM verifier.
WORKING = [("trust", s) for s in SECRETS] + [("password", s) for s in SECRETS] + [
    ("md5", "plain"), ("md5", "md5"), ("md5", "verifier"),
    ("scram-sha-256", "plain"), ("scram-sha-256", "verifier")]
METHODS = ["trust", "password", "md5", "scram-sha-256"]


def clients_by(method, secret="plain", password="trust-secret"):
    """A client leg of this kind in front of a server that trusts trust_user."""
    return {"auth": {"method": method},
            "user": {"trust_user": {"password": SECRETS[secret]("trust_user", password)}}}


def said(frame):
    """An error without the fields that only tell where PostgreSQL's source raised it."""
    return {k: v for k, v in fields(frame).items() if k not in "FLR"}


# --- the client leg ------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "secret"), WORKING)
def test_a_client_with_the_right_password_gets_in(cluster, pooler, method, secret):
    weir = pooler(cluster, clients_by(method, secret))
    with weir.wire() as client:
        client.login("trust_user", "shop", "trust-secret")
        assert client.login_error is None
        assert client.value("select current_user") == "trust_user"


@pytest.mark.parametrize(("method", "secret"), [w for w in WORKING if w[0] != "trust"])
def test_a_client_with_a_wrong_password_gets_28P01(cluster, pooler, method, secret):
    weir = pooler(cluster, clients_by(method, secret))
    with weir.wire() as client:
        client.login("trust_user", "shop", "wrong")
        assert said(client.welcome[-1]) == {
            "S": "FATAL", "V": "FATAL", "C": "28P01",
            "M": 'password authentication failed for user "trust_user"'}


def _sasl(mechanism, text):
    return message("p", cstr(mechanism) + struct.pack("!i", len(text)) + text)


CONFUSED = {
    "binds without the mechanism": _sasl("SCRAM-SHA-256", b"p=tls-server-end-point,,n=,r=abc"),
    "a mechanism that was not offered": _sasl("SCRAM-SHA-256-PLUS", b"n,,n=,r=abc"),
    "an identity": _sasl("SCRAM-SHA-256", b"n,a=root,n=,r=abc"),
    "an extension": _sasl("SCRAM-SHA-256", b"n,,m=x,n=,r=abc"),
    "a short message": _sasl("SCRAM-SHA-256", b"n"),
    "an unknown flag": _sasl("SCRAM-SHA-256", b"x,,n=,r=abc"),
    "no nonce": _sasl("SCRAM-SHA-256", b"n,,n="),
    "a nonce that cannot be printed": _sasl("SCRAM-SHA-256", b"n,,n=,r=a\tb"),
    "another type": message("Q", cstr("select 1")),
}


@pytest.mark.parametrize("first", CONFUSED)
def test_a_client_confused_about_scram_hears_what_postgresql_says(cluster, pooler, first):
    def answer(address):
        with Wire(address) as client:
            client.send(wire.startup({"user": "app", "database": "shop"})).read_until("R")
            return [said(f) for f in client.send(CONFUSED[first]).drain()]

    mine, theirs = answer(pooler(cluster).address), answer(cluster.address)
    assert [(e["C"], e["M"]) for e in mine] == [(e["C"], e["M"]) for e in theirs]
    assert all("D" not in m or m["D"] == t["D"] for m, t in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("method", [m for m in METHODS if m != "trust"])
def test_an_empty_password_is_refused(cluster, pooler, method):
    weir = pooler(cluster, clients_by(method))
    with weir.wire() as client:
        client.login("trust_user", "shop", "")
        assert client.login_error["C"] == "28P01"


def test_no_parameter_status_precedes_authentication(cluster, pooler):
    weir = pooler(cluster)
    with weir.wire("app") as client:
        kinds = wire.types(client.welcome)
        assert kinds.lstrip("R").endswith("KZ") and set(kinds.lstrip("R")[:-2]) == {"S"}


@pytest.mark.parametrize("method", [m for m in METHODS if m != "trust"])
@pytest.mark.parametrize(("user", "database"), [("nobody", "shop"), ("app", "nowhere"),
                                                ("nobody", "nowhere")])
def test_wrong_names_look_like_a_wrong_password(cluster, pooler, method, user, database):
    weir = pooler(cluster, {"auth": {"method": method}})
    assert weir.conversation(user, database, "wrong") == weir.conversation(
        "app", "shop", "wrong")


def test_the_mock_salt_of_an_unknown_user_stays_the_same(cluster, pooler):
    weir = pooler(cluster)
    salts = set()
    for _ in range(2):
        with weir.wire() as client:
            client.login("nobody", "shop", "wrong")
            salts.add(client.welcome[1].body.split(b",")[1])
    assert len(salts) == 1


def test_an_unknown_database_is_named_after_authentication(cluster, pooler):
    weir = pooler(cluster)
    with weir.wire() as client, Wire(cluster.address) as direct:
        client.login("app", "nowhere", "app-secret")
        direct.login("app", "nowhere", "app-secret")
        assert said(client.welcome[-1]) == said(direct.welcome[-1])


def test_scram_pass_through_needs_no_plain_password_anywhere(cluster, pooler):
    stored = cluster.value("select rolpassword from pg_authid where rolname = 'scram_user'")
    weir = pooler(cluster, {"user": {"scram_user": {"password": stored}}})
    assert "scram-secret" not in weir.path.read_text()
    with weir.wire("scram_user") as client:
        assert client.value("select current_user") == "scram_user"


def test_pass_through_works_for_a_second_client_on_a_new_server(cluster, pooler, database):
    stored = cluster.value("select rolpassword from pg_authid where rolname = 'scram_user'")
    weir = pooler(cluster, {"user": {"scram_user": {"password": stored}}}, databases=[database])
    with weir.wire("scram_user", database) as one, weir.wire("scram_user", database) as two:
        one.query("begin")
        assert two.value("select count(distinct pid) from pg_stat_activity where usename ="
                         " 'scram_user' and datname = current_database()") == "2"


# --- the server leg ------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["trust_user", "plain_user", "md5_user", "scram_user"])
def test_the_server_is_logged_in_to_as_its_hba_wants(cluster, pooler, role):
    weir = pooler(cluster)
    with weir.wire(role) as client:
        assert client.value("select current_user") == role


def test_an_md5_secret_answers_an_md5_server(cluster, pooler):
    secret = md5_secret("md5_user", "md5-secret")
    weir = pooler(cluster, {"auth": {"method": "md5"}, "user": {"md5_user": {"password": secret}}})
    with weir.wire("md5_user") as client:
        assert client.value("select current_user") == "md5_user"


@pytest.mark.parametrize("role", ["plain_user", "md5_user", "scram_user"])
def test_server_password_serves_where_the_secret_is_another(cluster, pooler, role):
    weir = pooler(cluster, {"user": {role: {"password": verifier("for clients"),
                                            "server_password": ROLES[role][1]}}})
    with weir.wire(role, password="for clients") as client:
        assert client.value("select current_user") == role


def test_a_forced_user_meets_the_server_for_everybody(cluster, pooler):
    weir = pooler(cluster, {"database": {"shop": {"user": "scram_user",
                                                  "password": "scram-secret"}}})
    with weir.wire("app") as client:
        assert client.value("select current_user") == "scram_user"


def test_a_unix_socket_reaches_the_server(cluster, pooler):
    weir = pooler(cluster, {"database": {"shop": {"host": cluster.socket_dir}}})
    with weir.wire("app") as client:
        assert client.value("select inet_server_addr() is null") == "t"


def test_dbname_renames_the_database(cluster, pooler, database):
    weir = pooler(cluster, {"database": {"alias": {"host": cluster.host, "port": cluster.port,
                                                   "dbname": database}}})
    with weir.wire("app", "alias") as client:
        assert client.value("select current_database()") == database


def test_names_need_not_be_ascii(cluster, pooler, database):
    weir = pooler(cluster, {
        "database": {"größe": {"host": cluster.host, "port": cluster.port, "dbname": database,
                               "user": "app", "password": "app-secret"}},
        "user": {"zoë": {"password": "geheim"}}})
    with weir.wire("zoë", "größe", "geheim") as client:
        assert client.value("select current_database()") == database
        assert weir.pool("größe")["cl_active"] == 1


def test_the_star_stands_for_databases_not_named(cluster, pooler, database):
    weir = pooler(cluster, databases=["*"])
    with weir.wire("app", database) as client:
        assert client.value("select current_database()") == database


def test_a_server_that_refuses_the_password_is_quoted(cluster, pooler):
    weir = pooler(cluster, {"user": {"app": {"password": "not the server's"}}})
    with weir.wire() as client:
        client.login("app", "shop", "not the server's")
        error = client.login_error
        if error is None:
            frames = client.send(wire.query("select 1")).drain()
            error = fields(next(f for f in frames if f.type == "E"))
        assert (error["C"], error["M"]) == (
            "28P01", 'password authentication failed for user "app"')


def test_a_database_the_server_lacks_is_refused_in_its_words(cluster, pooler):
    weir = pooler(cluster, {"database": {"alias": {"host": cluster.host, "port": cluster.port,
                                                   "dbname": "not_there"}}})
    with weir.wire() as client:
        client.login("app", "alias", "app-secret")
        assert (client.login_error["C"], client.login_error["M"]) == (
            "3D000", 'database "not_there" does not exist')


# --- protocol negotiation ------------------------------------------------------------------------

STARTS = {
    "3.0": (PROTOCOL_3_0, {}),
    "3.0 and an option": (PROTOCOL_3_0, {"_pq_.x": "1"}),
    "3.2": (PROTOCOL_3_2, {}),
    "3.2 and an option": (PROTOCOL_3_2, {"_pq_.x": "1"}),
    "3.9999": (0x3270F, {}),
    "3.9999 and two options": (0x3270F, {"_pq_.x": "1", "_pq_.test_protocol_negotiation": ""}),
}


def _negotiation(address, start):
    protocol, options = STARTS[start]
    with Wire(address) as client:
        client.login("app", "shop", "app-secret", protocol, **options)
        assert client.login_error is None
        return [(at, f) for at, f in enumerate(client.welcome) if f.type == "v"]


@pytest.mark.parametrize("start", STARTS)
def test_versions_and_options_are_negotiated_as_postgresql_does(cluster, clusters, pooler, start):
    weir = pooler(cluster)
    speaks_3_2 = not _negotiation(weir.address, "3.2")
    model = clusters(18 if speaks_3_2 else 15)
    assert _negotiation(weir.address, start) == _negotiation(model.address, start)


@pytest.mark.parametrize("start", STARTS)
def test_a_negotiated_client_can_query_and_cancel(cluster, pooler, start):
    weir = pooler(cluster)
    protocol, options = STARTS[start]
    with weir.wire() as client:
        client.login("app", "shop", "app-secret", protocol, **options)
        client.send(wire.query("select pg_sleep(60)"))
        until(lambda: cluster.value("select count(*) from pg_stat_activity"
                                    " where query = 'select pg_sleep(60)' and state = 'active'"))
        client.cancel()
        assert wire.sqlstates(client.read_until("Z")) == ["57014"]


@pytest.mark.parametrize("major", [4, 1234])
def test_another_major_version_is_refused_as_postgresql_does(cluster, pooler, major):
    def answer(address):
        with Wire(address) as client:
            client.send(wire.startup({"user": "app"}, major << 16))
            return [said(f) for f in client.drain()]

    mine, theirs = answer(pooler(cluster).address), answer(cluster.address)
    assert [e["C"] for e in mine] == [e["C"] for e in theirs]


@pytest.mark.parametrize("requests", [[SSL_REQUEST], [GSS_REQUEST], [SSL_REQUEST, GSS_REQUEST],
                                      [GSS_REQUEST, SSL_REQUEST]],
                         ids=["ssl", "gss", "ssl gss", "gss ssl"])
def test_encryption_requests_are_declined_and_login_goes_on(cluster, pooler, requests):
    weir = pooler(cluster)
    with weir.wire() as client:
        for request in requests:
            client.send(request)
            assert client.read_bytes(1) == b"N"
        client.login("app", "shop", "app-secret")
        assert client.value("select 1") == "1"


@pytest.mark.parametrize(("request_", "version"), [(SSL_REQUEST, "1234.5679"),
                                                   (GSS_REQUEST, "1234.5680")],
                         ids=["ssl", "gss"])
def test_encryption_asked_for_twice_is_no_protocol_version(cluster, pooler, request_, version):
    weir = pooler(cluster)
    with weir.wire() as client:
        assert client.send(request_).read_bytes(1) == b"N"
        error = fields(client.send(request_).read())
        assert error["C"] == "0A000" and f"frontend protocol {version}:" in error["M"]


@pytest.mark.parametrize("request_", [SSL_REQUEST, GSS_REQUEST], ids=["ssl", "gss"])
def test_a_repeated_encryption_request_does_not_go_on_for_ever(cluster, pooler, request_):
    weir = pooler(cluster)
    with weir.wire() as client:
        try:
            for _ in range(100):
                client.send(request_)
            client.sock.shutdown(1)
        except (Closed, OSError):
            pass
        assert len(client.raw_until_closed().replace(b"N", b"", 2)) < 400


# --- malformed startup ---------------------------------------------------------------------------


def _answer_to(address, raw):
    with Wire(address) as client:
        try:
            client.send(raw)
            client.sock.shutdown(1)
        except (Closed, OSError):
            pass
        return [{k: v for k, v in said(f).items() if k in "SC"} for f in client.drain()]


@pytest.mark.parametrize("length", [*range(-1, 13), 10004, 10005, 2**31 - 1])
def test_a_startup_length_is_judged_as_postgresql_judges_it(cluster, pooler, length):
    """Where PostgreSQL hangs up without a word, an error that says why is as good."""
    body = struct.pack("!i", PROTOCOL_3_0) + b"\0" * 10_100
    raw = struct.pack("!i", length) + body[:max(0, min(length, 10_100) - 4)]
    theirs = _answer_to(cluster.address, raw)
    assert _answer_to(pooler(cluster).address, raw) in (
        [theirs] if theirs else [[], [{"S": "FATAL", "C": "08P01"}]])


@pytest.mark.parametrize("body", [b"\0", b"user\0\0\0", b"user\0app", b"database\0shop\0\0",
                                  b"user\0app\0database\0", b"user\0app\0\0trailing\0"],
                         ids=repr)
def test_a_malformed_startup_is_refused_with_postgresql_s_sqlstate(cluster, pooler, body):
    raw = struct.pack("!ii", 8 + len(body), PROTOCOL_3_0) + body
    assert _answer_to(pooler(cluster).address, raw) == _answer_to(cluster.address, raw)


def test_a_startup_cut_off_at_any_byte_leaves_nothing_behind(cluster, pooler):
    weir = pooler(cluster)
    before = weir.open_files()
    raw = wire.startup({"user": "app", "database": "shop"})
    for cut in range(len(raw)):
        with weir.wire() as client:
            client.send(raw[:cut])
            client.sock.shutdown(1)
            assert client.raw_until_closed() == b""
    until(lambda: weir.open_files() <= before, what="all sockets closed")


def test_a_startup_may_arrive_byte_by_byte(cluster, pooler):
    weir = pooler(cluster)
    with weir.wire() as client:
        raw = wire.startup({"user": "app", "database": "shop"})
        for at in range(len(raw)):
            client.send(raw[at : at + 1])
        client.authenticate("app", "app-secret")
        assert client.value("select 1") == "1"


@pytest.mark.parametrize("message", [wire.query("select 1"), wire.SYNC, wire.TERMINATE,
                                     wire.message("p", b"x" * 70_000), b"p\x7f\xff\xff\xff"],
                         ids=["query", "sync", "terminate", "long password", "giant length"])
def test_anything_but_an_answer_to_the_challenge_ends_the_login(cluster, pooler, message):
    weir = pooler(cluster)
    with weir.wire() as client:
        client.send(wire.startup({"user": "app", "database": "shop"}))
        assert client.read().type == "R"
        try:
            client.send(message)
            client.sock.shutdown(1)
        except (Closed, OSError):
            pass
        assert set(wire.types(client.drain())) <= {"E"}


@pytest.mark.parametrize("size", range(65_526, 65_540))
def test_a_password_as_long_as_a_receive_is_answered(cluster, pooler, size):
    weir = pooler(cluster, {"auth": {"method": "password"}})
    with weir.wire() as client:
        client.send(wire.startup({"user": "app", "database": "shop"})).read()
        client.send(wire.message("p", b"x" * (size - 1) + b"\0"))
        assert client.read().type == "E"


def test_replication_switched_off_is_an_ordinary_login(cluster, pooler):
    weir = pooler(cluster)
    with weir.wire() as client:
        client.login("app", "shop", "app-secret", replication="false")
        assert client.login_error is None


# --- a reload while a client logs in -------------------------------------------------------------


@pytest.mark.parametrize(("removed", "sqlstate"), [("database", "3D000"), ("user", "28P01")])
def test_what_a_reload_removes_during_a_login_is_refused(cluster, pooler, removed, sqlstate):
    weir = pooler(cluster, {"workers": {"count": 1}, "database": {"kept": {
        "host": cluster.host, "port": cluster.port, "dbname": "shop"}}})
    with weir.wire() as client:
        client.send(wire.startup({"user": "app", "database": "shop"}))
        challenge = client.read()
        weir.change({removed: {{"database": "shop", "user": "app"}[removed]: None}})
        client.buffer += wire.message(challenge.type, challenge.body)
        client.authenticate("app", "app-secret")
        assert client.login_error["C"] == sqlstate
    with weir.wire("other", "kept") as client:
        assert client.value("select 1") == "1"


# --- bounds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"\0\0", wire.startup({"user": "app", "database": "shop"})],
                         ids=["nothing", "half a length", "no answer to the challenge"])
def test_a_login_that_never_finishes_is_ended(cluster, pooler, sent):
    weir = pooler(cluster, {"timeouts": {"client_login": "500ms"}})
    with weir.wire() as client:
        client.send(sent)
        assert client.closed_within(20)


def test_a_client_above_max_clients_gets_53300(cluster, pooler):
    weir = pooler(cluster, {"limits": {"max_clients": 3}})
    kept = [weir.wire("app") for _ in range(3)]
    with weir.wire() as client:
        client.login("app", "shop", "app-secret")
        assert client.login_error["C"] == "53300"
    assert all(k.value("select 1") == "1" for k in kept)


def test_a_client_that_leaves_makes_room_below_max_clients(cluster, pooler):
    weir = pooler(cluster, {"limits": {"max_clients": 2}})
    kept = [weir.wire("app") for _ in range(2)]
    kept[0].close()

    def gets_in():
        with weir.wire() as client:
            client.login("app", "shop", "app-secret")
            return client.login_error is None

    until(gets_in, what="room for another client")


def test_half_open_logins_do_not_keep_logged_in_clients_from_working(cluster, pooler):
    weir = pooler(cluster, {"limits": {"max_login_clients": 10}})
    with weir.wire("app") as client:
        half_open = [weir.wire() for _ in range(50)]
        assert client.value("select 1") == "1"
        for other in half_open:
            other.close()


def test_clients_whose_server_is_down_leave_room_for_other_logins(own_cluster, pooler):
    own_cluster.stop()
    # One that waits to be read, the console's, and those of before that have just closed.
    weir = pooler(own_cluster, {"limits": {"max_login_clients": 4}, "auth": {"method": "trust"}})
    held = []
    for number in range(10):
        held.append(weir.wire().send(wire.startup({"user": "app", "database": "shop"})))
        until(lambda: (weir.pool() or {}).get("cl_waiting") == number + 1,  # noqa: B023
              what="another waiting client")
    for client in held:
        client.close()
