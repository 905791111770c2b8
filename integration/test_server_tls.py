"""TLS between pgweir and PostgreSQL: sslmode as libpq means it, and nothing goes unencrypted."""

import contextlib
import shutil
import socket
import struct
import threading

import psycopg
import pytest

from certificates import Authority
from cluster import ROLES, Cluster, until, unprivileged_user
from installs import WANTED, find
from middleman import Middleman

PLAIN, ENCRYPTED = "plain", "encrypted"
CANCEL = struct.pack("!i", 80877102)


@pytest.fixture(scope="module")
def authority(base):
    return Authority(base / "server-tls")


@pytest.fixture(scope="module")
def stranger(base):
    return Authority(base / "server-tls-stranger", "Somebody")


def _rule(line):
    """A line of pg_hba.conf for the roles of `encrypted`."""
    kind, *rest = line.split()
    if kind == "host":
        role = rest[1]
        kind = {"md5_user": "hostssl", "plain_user": "hostnossl", "trust_user": "hostssl"}.get(
            role, kind)
        if role == "trust_user":
            rest[-1] = "cert"
    return " ".join([kind, *rest])


@pytest.fixture(scope="module")
def encrypted(base, data, authority):
    """A PostgreSQL with ssl = on, at "localhost". Of its roles `md5_user` must come over TLS,
    `plain_user` must not, and `trust_user` must show a certificate."""
    install = find(base).get(WANTED[0])
    if not install:
        pytest.skip(f"no PostgreSQL {WANTED[0]} server is installed")
    own = authority.issue("postgres", "DNS:localhost", for_postgres=True)
    cluster = Cluster(install, data / "server-tls")
    try:
        cluster.create(ssl="on", ssl_cert_file=own.certificate, ssl_key_file=own.key,
                       ssl_ca_file=authority.file)
        hba = cluster.data / "pg_hba.conf"
        lines = [_rule(line) + "\n" for line in hba.read_text(encoding="ascii").splitlines()]
        hba.write_text("".join(lines), encoding="ascii")
        if unprivileged_user():
            shutil.chown(hba, unprivileged_user())
        cluster.execute("select pg_reload_conf()")
        yield cluster
    finally:
        cluster.destroy()


def tls(sslmode, host="127.0.0.1", **more):
    return {"database": {"shop": {"host": host, "tls": {
        "sslmode": sslmode, **{k: str(v) for k, v in more.items()}}}}}


def kind_of(weir, user="app"):
    with weir.connect(user) as client:
        (secure,) = client.execute(
            "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
        return ENCRYPTED if secure else PLAIN


def problem_of(weir, user="app"):
    """Why pgweir has no server for a client."""
    with pytest.raises(psycopg.Error) as caught:
        weir.connect(user).close()
    return str(caught.value)


HASTY = {"timeouts": {"client_login": "1500ms", "query_wait": "1s"}}


@pytest.mark.parametrize(("sslmode", "user", "expected"), [
    ("disable", "app", PLAIN), ("disable", "plain_user", PLAIN),
    ("allow", "app", PLAIN), ("allow", "md5_user", ENCRYPTED), ("allow", "plain_user", PLAIN),
    ("prefer", "app", ENCRYPTED), ("prefer", "md5_user", ENCRYPTED),
    ("prefer", "plain_user", PLAIN),
    ("require", "app", ENCRYPTED), ("require", "md5_user", ENCRYPTED)])
def test_servers_are_connected_to(pooler, encrypted, sslmode, user, expected):
    assert kind_of(pooler(encrypted, tls(sslmode)), user) == expected


def test_tls_is_preferred_by_default(pooler, encrypted):
    assert kind_of(pooler(encrypted)) == ENCRYPTED


def test_a_server_without_tls_serves_those_who_only_prefer_it(pooler, cluster):
    assert kind_of(pooler(cluster)) == PLAIN


@pytest.mark.parametrize(("sslmode", "user"), [("disable", "md5_user"), ("require", "plain_user")])
def test_a_server_that_insists_on_the_other_way_refuses(pooler, encrypted, sslmode, user):
    assert "no pg_hba.conf entry" in problem_of(pooler(encrypted, tls(sslmode)), user)


def test_a_server_without_tls_is_not_used_where_tls_is_required(pooler, cluster):
    weir = pooler(cluster, {**tls("require"), **HASTY})
    assert "server does not support SSL, but SSL was required" in problem_of(weir)


def test_a_certificate_of_the_right_authority_is_believed(pooler, encrypted, authority):
    assert kind_of(pooler(encrypted, tls("verify-ca", sslrootcert=authority.file))) == ENCRYPTED


@pytest.mark.parametrize("sslmode", ["require", "verify-ca", "verify-full"])
def test_a_certificate_of_another_authority_is_not(pooler, encrypted, stranger, sslmode):
    weir = pooler(encrypted, {**tls(sslmode, "localhost", sslrootcert=stranger.file), **HASTY})
    assert "certificate verify failed" in problem_of(weir)


def test_a_certificate_for_the_host_is_believed(pooler, encrypted, authority):
    weir = pooler(encrypted, tls("verify-full", "localhost", sslrootcert=authority.file))
    assert kind_of(weir) == ENCRYPTED


def test_a_certificate_for_another_host_is_not(pooler, encrypted, authority):
    weir = pooler(encrypted, {**tls("verify-full", sslrootcert=authority.file), **HASTY})
    assert ('server certificate for "postgres" does not match host name "127.0.0.1"'
            in problem_of(weir))


def test_pgweir_shows_the_certificate_that_the_server_asks_for(pooler, encrypted, authority):
    own = authority.issue("trust_user")
    weir = pooler(encrypted, tls("require", sslcert=own.certificate, sslkey=own.key))
    assert kind_of(weir, "trust_user") == ENCRYPTED


def test_without_that_certificate_the_server_refuses(pooler, encrypted):
    assert "connection requires a valid client certificate" in problem_of(
        pooler(encrypted, {**tls("require"), **HASTY}), "trust_user")


def test_show_servers_tells_version_and_cipher(pooler, encrypted):
    weir = pooler(encrypted, tls("require"))
    kind_of(weir)
    assert [s["tls"].split("/")[0] for s in weir.show("SERVERS")] == ["TLSv1.3"]


def test_a_changed_sslmode_replaces_servers(pooler, encrypted):
    weir = pooler(encrypted, tls("require"))
    assert kind_of(weir) == ENCRYPTED
    weir.change(tls("disable"))
    until(lambda: kind_of(weir) == PLAIN, what="a server without TLS")


def test_what_is_large_arrives_whole(pooler, encrypted):
    weir = pooler(encrypted, tls("require"))
    with weir.connect() as client:
        text = "0123456789abcdef" * (4 << 16)
        got = client.execute("SELECT %s::text, repeat('x', 5000000)", (text,)).fetchone()
    assert got == (text, "x" * 5000000)


def test_copy_goes_both_ways(pooler, encrypted):
    weir = pooler(encrypted, tls("require"))
    with weir.connect() as client, client.cursor() as cursor:
        client.execute("BEGIN; CREATE TEMP TABLE t (a int, b text)")
        with cursor.copy("COPY t FROM STDIN") as copy:
            for i in range(20000):
                copy.write_row((i, "x" * (i % 500)))
        with cursor.copy("COPY (SELECT * FROM t ORDER BY a) TO STDOUT") as copy:
            copy.set_types(["int4", "text"])
            assert all(row == (i, "x" * (i % 500)) for i, row in enumerate(copy.rows()))
        client.execute("ROLLBACK")


def test_many_clients_share_servers_over_tls(pooler, encrypted):
    weir = pooler(encrypted, {**tls("require"), "pool": {"size": 4}})
    problems = []

    def work(i):
        try:
            with weir.connect() as client:
                for k in range(50):
                    assert client.execute("SELECT %s::int", (i * k,)).fetchone() == (i * k,)
        except (psycopg.Error, AssertionError) as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


# --- channel binding


@pytest.mark.parametrize("policy", ["disable", "prefer", "require"])
def test_a_server_that_binds_scram_to_its_certificate_is_logged_in_to(pooler, encrypted, policy):
    assert kind_of(pooler(encrypted, tls("require", channel_binding=policy))) == ENCRYPTED


@pytest.mark.parametrize("sslmode", ["prefer", "require"])  # and not tried again without TLS
def test_a_server_that_asks_for_another_method_is_not_where_binding_is_required(pooler, encrypted,
                                                                                sslmode):
    weir = pooler(encrypted, {**tls(sslmode, channel_binding="require"), **HASTY})
    assert ("channel binding required but not supported by server's authentication request"
            in problem_of(weir, "md5_user"))


def test_a_server_that_asks_for_nothing_is_not_where_binding_is_required(pooler, encrypted,
                                                                        authority):
    own = authority.issue("trust_user")
    weir = pooler(encrypted, {**tls("require", channel_binding="require", sslcert=own.certificate,
                                    sslkey=own.key), **HASTY})
    assert ("channel binding required, but server authenticated client without channel binding"
            in problem_of(weir, "trust_user"))


def test_a_server_without_tls_is_not_where_binding_is_required(pooler, cluster):
    weir = pooler(cluster, {**tls("prefer", channel_binding="require"), **HASTY})
    assert "channel binding required, but SSL not in use" in problem_of(weir)


@pytest.fixture
def middleman(encrypted, stranger):
    made = Middleman(encrypted.address, stranger.issue("postgres"))
    yield made
    made.close()


def through(middleman, policy):
    return {"database": {"shop": {"port": middleman.port, "tls": {
        "sslmode": "require", "channel_binding": policy}}}, **HASTY}


def test_without_binding_nobody_notices_who_sits_between(pooler, encrypted, middleman):
    assert kind_of(pooler(encrypted, through(middleman, "disable"))) == ENCRYPTED


@pytest.mark.parametrize("policy", ["prefer", "require"])
def test_who_sits_between_cannot_pass_a_login_on(pooler, encrypted, middleman, policy):
    weir = pooler(encrypted, through(middleman, policy))
    assert "SCRAM channel binding check failed" in problem_of(weir)


ASKING = {"auth": {"auth_user": "boss", "auth_password": ROLES["boss"][1]}, "user": {"other": None}}


def test_users_are_looked_up_where_binding_is_required(pooler, encrypted):
    weir = pooler(encrypted, {**tls("require", channel_binding="require"), **ASKING})
    assert kind_of(weir, "other") == ENCRYPTED


def test_users_are_not_looked_up_without_the_binding_that_is_required(pooler, cluster):
    weir = pooler(cluster, {**tls("prefer", channel_binding="require"), **ASKING})
    assert "cannot be looked up" in problem_of(weir, "other")
    until(lambda: "channel binding required, but SSL not in use" in weir.log(), what="the reason")


# --- nothing goes unencrypted


class Tap:
    """Passes connections on, and keeps the first bytes of what each client says."""

    def __init__(self, to):
        self.to, self.heads = to, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        head = bytearray()
        self.heads.append(head)
        with contextlib.suppress(OSError), client, socket.create_connection(self.to) as server:
            back = threading.Thread(target=self._pass_on, args=(server, client, None), daemon=True)
            back.start()
            self._pass_on(client, server, head)
            back.join()

    @staticmethod
    def _pass_on(source, sink, head):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if head is not None and len(head) < 4096:
                    head += data
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.close()


@pytest.fixture
def tap(encrypted):
    made = Tap(encrypted.address)
    yield made
    made.close()


def test_cancel_requests_are_as_secret_as_the_session(pooler, encrypted, tap):
    weir = pooler(encrypted, {"database": {"shop": {
        "port": tap.port, "tls": {"sslmode": "require"}}}})
    with weir.connect() as client:
        timer = threading.Timer(0.5, client.cancel_safe)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            client.execute("SELECT pg_sleep(60)")
        timer.join()
    assert len(tap.heads) >= 2
    assert not any(CANCEL in head for head in tap.heads)


class Liar:
    """A server that answers every connection with the same bytes."""

    def __init__(self, answer):
        self.answer, self.heard = answer, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                with contextlib.suppress(OSError), client:
                    self.heard.append(client.recv(1024))
                    client.sendall(self.answer)
                    client.settimeout(5)
                    while data := client.recv(1024):
                        self.heard.append(data)


@pytest.mark.parametrize(("answer", "problem"), [
    (b"SEpwned", "received unencrypted data after SSL response"),
    (b"E\0\0\0\x20SFATAL\0C28000\0Mtrust me\0\0",
     "server sent an error response during SSL exchange"),
    (b"X", "received invalid response to SSL negotiation")])
def test_a_server_that_does_not_keep_to_the_protocol_is_left(pooler, cluster, answer, problem):
    liar = Liar(answer)
    weir = pooler(cluster, {"database": {"shop": {"port": liar.port,
                                                  "tls": {"sslmode": "require"}}}, **HASTY})
    assert problem in problem_of(weir)
    assert not any(b"app" in heard for heard in liar.heard)
    liar.listener.close()
