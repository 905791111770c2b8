"""TLS between clients and pgweir: who gets in by which mode, and that nothing gets lost."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
import time

import asyncpg
import psycopg
import pytest

import wire
from certificates import Authority, replace
from cluster import ROLES, until
from middleman import Middleman

PASSWORD = ROLES["app"][1]
PLAIN, ENCRYPTED = "plain", "encrypted"


@pytest.fixture(scope="module")
def authority(base):
    return Authority(base / "client-tls")


@pytest.fixture(scope="module")
def identity(authority):
    return authority.issue("pgweir", "DNS:localhost,IP:127.0.0.1")


@pytest.fixture(scope="module")
def alice(authority):
    return authority.issue("alice")


@pytest.fixture(scope="module")
def stranger(base):
    return Authority(base / "client-tls-stranger", "Somebody").issue("alice")


def tls(identity, mode="prefer", **more):
    return {"client_tls": {"mode": mode, "certificate": str(identity.certificate),
                           "key": str(identity.key), **{k: str(v) for k, v in more.items()}}}


@pytest.fixture
def weir(pooler, cluster, identity):
    return pooler(cluster, tls(identity))


def kind_of(weir, **options):
    """How a client with these options gets in."""
    with weir.connect(**options) as client:
        assert client.execute("SELECT 1").fetchone() == (1,)
        return ENCRYPTED if client.pgconn.ssl_in_use else PLAIN


def shown(identity):
    return {"sslcert": str(identity.certificate), "sslkey": str(identity.key)}


# --- modes


@pytest.mark.parametrize(("mode", "sslmode", "expected"), [
    ("disable", "disable", PLAIN), ("disable", "prefer", PLAIN),
    ("allow", "disable", PLAIN), ("allow", "prefer", ENCRYPTED), ("allow", "require", ENCRYPTED),
    ("prefer", "disable", PLAIN), ("prefer", "require", ENCRYPTED),
    ("require", "allow", ENCRYPTED), ("require", "prefer", ENCRYPTED),
    ("require", "require", ENCRYPTED)])
def test_a_client_gets_in(pooler, cluster, identity, mode, sslmode, expected):
    weir = pooler(cluster, tls(identity, mode))
    assert kind_of(weir, sslmode=sslmode) == expected


def test_a_client_that_insists_leaves_where_there_is_no_tls(pooler, cluster, identity):
    weir = pooler(cluster, tls(identity, "disable"))
    with pytest.raises(psycopg.OperationalError, match="server does not support SSL"):
        weir.connect(sslmode="require")


def test_a_client_in_plain_text_is_refused_where_tls_is_required(pooler, cluster, identity):
    weir = pooler(cluster, tls(identity, "require"))
    with weir.wire() as client:
        client.send(wire.startup({"user": "app", "database": "shop"}))
        error = wire.fields(client.drain()[-1])
    assert (error["S"], error["C"]) == ("FATAL", "28000")
    assert error["M"] == ('no pg_hba.conf entry for host "127.0.0.1", user "app", database "shop", '
                          "no encryption")


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_a_client_with_a_good_certificate_gets_in(pooler, cluster, authority, identity, alice,
                                                  mode):
    weir = pooler(cluster, tls(identity, mode, ca=authority.file))
    assert kind_of(weir, sslmode="require", **shown(alice)) == ENCRYPTED


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_a_client_without_a_certificate_is_refused(pooler, cluster, authority, identity, mode):
    weir = pooler(cluster, tls(identity, mode, ca=authority.file))
    with pytest.raises(psycopg.OperationalError, match="certificate required"):
        weir.connect(sslmode="require", sslcert="/nowhere")


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca"])
def test_a_certificate_of_somebody_else_is_refused(pooler, cluster, authority, identity, stranger,
                                                   mode):
    weir = pooler(cluster, tls(identity, mode, ca=authority.file))
    with pytest.raises(psycopg.OperationalError, match="alert unknown ca"):
        weir.connect(sslmode="require", **shown(stranger))


def test_a_client_without_a_certificate_gets_in_where_none_is_required(pooler, cluster, authority,
                                                                       identity):
    weir = pooler(cluster, tls(identity, "require", ca=authority.file))
    assert kind_of(weir, sslmode="require", sslcert="/nowhere") == ENCRYPTED


def test_a_client_that_verifies_finds_the_certificate_good(weir, authority):
    assert kind_of(weir, sslmode="verify-full", sslrootcert=str(authority.file)) == ENCRYPTED


def test_a_version_below_the_minimum_is_refused(pooler, cluster, identity):
    weir = pooler(cluster, tls(identity, min_version="TLSv1.3"))
    with pytest.raises(psycopg.OperationalError, match="protocol version"):
        weir.connect(sslmode="require", ssl_max_protocol_version="TLSv1.2")


def test_scram_is_bound_to_the_certificate(weir):
    assert kind_of(weir, sslmode="require", channel_binding="require") == ENCRYPTED


def bound(identity, policy="require", **more):
    return tls(identity, channel_binding=policy, **more)


@pytest.mark.parametrize("wish", ["prefer", "require"])
def test_a_login_that_is_bound_gets_in_where_that_is_required(pooler, cluster, identity, wish):
    weir = pooler(cluster, bound(identity))
    assert kind_of(weir, sslmode="require", channel_binding=wish) == ENCRYPTED


def test_nothing_but_bound_logins_is_offered_where_that_is_required(pooler, cluster, identity,
                                                                   authority):
    weir = pooler(cluster, bound(identity))
    with trusting(authority).wrap_socket(asked(weir), server_hostname="localhost") as sock:
        sock.sendall(wire.startup({"user": "app", "database": "shop"}))
        offer = spoken(sock).read()
    assert offer.body[4:] == b"SCRAM-SHA-256-PLUS\0\0"


UNBOUND = "connection requires channel binding"


def test_a_login_without_tls_is_refused_where_binding_is_required(pooler, cluster, identity):
    weir = pooler(cluster, bound(identity))
    with pytest.raises(psycopg.OperationalError, match=UNBOUND):
        weir.connect(sslmode="disable")


def test_md5_is_refused_where_binding_is_required(pooler, cluster, identity):
    weir = pooler(cluster, {**bound(identity), "auth": {"method": "md5"}})
    with pytest.raises(psycopg.OperationalError, match=UNBOUND):
        weir.connect(sslmode="require")


@pytest.fixture
def by_rules(pooler, cluster, identity, authority, base):
    """A pgweir where binding is required, and whose rules let `app` in by a certificate and `other`
    by nothing."""
    rules = base / "bound_hba.conf"
    rules.write_text("hostssl all app all cert\nhost all other all trust\n", encoding="ascii")
    return pooler(cluster, {**bound(identity, ca=authority.file),
                            "auth": {"method": "hba", "hba_file": str(rules)}})


def test_a_certificate_of_the_user_gets_in_where_binding_is_required(by_rules, authority):
    assert kind_of(by_rules, sslmode="require", **shown(authority.issue("app"))) == ENCRYPTED


def test_nobody_is_trusted_where_binding_is_required(by_rules):
    with pytest.raises(psycopg.OperationalError, match=UNBOUND):
        by_rules.connect("other", sslmode="require", sslcert="/nowhere")


def test_a_unix_socket_needs_no_binding(pooler, cluster, identity, base):
    weir = pooler(cluster, {**bound(identity), "listen": {"unix_socket_dir": str(base)}})
    with wire.Wire(f"{base}/.s.PGSQL.{weir.port}") as client:
        client.login("app", "shop", PASSWORD)
        assert client.login_error is None


def test_binding_is_not_offered_where_it_is_switched_off(pooler, cluster, identity):
    weir = pooler(cluster, bound(identity, "disable"))
    with pytest.raises(psycopg.OperationalError, match="did not offer an authentication method"):
        weir.connect(sslmode="require", channel_binding="require")
    assert kind_of(weir, sslmode="require") == ENCRYPTED


@pytest.mark.parametrize("policy", ["prefer", "require"])
def test_who_sits_between_cannot_pass_a_login_on(pooler, cluster, identity, stranger, policy):
    weir = pooler(cluster, bound(identity, policy))
    middleman = Middleman(weir.address, stranger)
    with pytest.raises(psycopg.OperationalError, match="SCRAM channel binding check failed"):
        psycopg.connect(**{**weir.dsn(), "port": middleman.port}, sslmode="require").close()
    middleman.close()


def test_without_binding_nobody_notices_who_sits_between(pooler, cluster, identity, stranger):
    weir = pooler(cluster, bound(identity, "disable"))
    middleman = Middleman(weir.address, stranger)
    with psycopg.connect(**{**weir.dsn(), "port": middleman.port}, sslmode="require") as client:
        assert client.execute("SELECT 'a secret'").fetchone() == ("a secret",)
    assert b"a secret" in middleman.heard
    middleman.close()


def test_psql_gets_in(weir, authority):
    out = subprocess.run(
        ["psql", f"host=127.0.0.1 port={weir.port} user=app dbname=shop sslmode=verify-full"
         f" sslrootcert={authority.file} password={PASSWORD}", "-Atc", "select 42"],
        check=True, capture_output=True, text=True, timeout=60)
    assert out.stdout == "42\n"


def test_show_clients_tells_version_and_cipher(weir):
    with weir.connect(sslmode="require"):
        mine = [c for c in weir.show("CLIENTS") if c["user"] == "app"]
    assert mine[0]["tls"].startswith("TLSv1.3/TLS_")


def test_show_clients_tells_no_tls_of_plain_text(weir):
    with weir.connect(sslmode="disable"):
        mine = [c for c in weir.show("CLIENTS") if c["user"] == "app"]
    assert mine[0]["tls"] == ""


def test_a_unix_socket_needs_no_tls(pooler, cluster, identity, base):
    folder = base / "tls-socket"
    folder.mkdir(exist_ok=True)
    weir = pooler(cluster, {**tls(identity, "require"),
                            "listen": {"unix_socket_dir": str(folder)}})
    with wire.Wire(f"{folder}/.s.PGSQL.{weir.port}") as client:
        client.send(wire.SSL_REQUEST)
        assert client.read_bytes(1) == b"N"
        client.login("app", "shop", PASSWORD)
        assert client.login_error is None


# --- how a connection begins


def trusting(authority, alpn=("postgresql",)):
    context = ssl.create_default_context(cafile=str(authority.file))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def raw(weir):
    return socket.create_connection(weir.address, timeout=wire.HANG)


def asked(weir):
    """A connection whose SSLRequest was answered."""
    sock = raw(weir)
    sock.sendall(wire.SSL_REQUEST)
    assert sock.recv(1) == b"S"
    return sock


def spoken(sock):
    """A Wire over a socket that is there already."""
    w = wire.Wire.__new__(wire.Wire)
    w.sock, w.buffer, w.parameters, w.key, w.welcome = sock, bytearray(), {}, b"", []
    return w


def test_libpq_may_begin_with_the_handshake_itself(weir):
    assert kind_of(weir, sslmode="require", sslnegotiation="direct") == ENCRYPTED


def test_a_client_may_begin_with_the_handshake_itself(weir, authority):
    with trusting(authority).wrap_socket(raw(weir), server_hostname="localhost") as sock:
        assert sock.selected_alpn_protocol() == "postgresql"
        client = spoken(sock)
        client.login("app", "shop", PASSWORD)
        assert wire.rows(client.send(wire.query("select 7")).read_ready()) == [["7"]]


def test_who_begins_with_the_handshake_must_name_the_protocol(weir, authority):
    with trusting(authority, alpn=()).wrap_socket(raw(weir), server_hostname="localhost") as sock:
        assert sock.recv(1) == b""


def test_another_protocol_is_refused(weir, authority):
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        trusting(authority, alpn=("h2",)).wrap_socket(raw(weir), server_hostname="localhost")


def test_nobody_begins_with_the_handshake_where_there_is_no_tls(pooler, cluster, authority):
    weir = pooler(cluster)
    with pytest.raises((ssl.SSLError, OSError)):
        trusting(authority).wrap_socket(raw(weir), server_hostname="localhost")


def test_plain_text_behind_the_request_is_told_about_over_tls(weir, authority):
    """CVE-2021-3935: what somebody in between slipped in is never taken for the client's."""
    with raw(weir) as sock:
        sock.sendall(wire.SSL_REQUEST + wire.startup({"user": "app", "database": "shop"}))
        assert sock.recv(1) == b"S"
        with trusting(authority).wrap_socket(sock, server_hostname="localhost") as secure:
            error = wire.fields(spoken(secure).drain()[0])
    assert (error["S"], error["C"]) == ("FATAL", "08P01")
    assert error["M"] == "received unencrypted data after SSL request"


def test_plain_text_instead_of_the_handshake_ends_the_connection(weir):
    with asked(weir) as sock:
        sock.sendall(wire.startup({"user": "app", "database": "shop"}))
        client = spoken(sock)
        assert client.raw_until_closed()[:1] in (b"", b"\x15")  # at most an alert


def test_a_second_request_within_tls_is_no_startup_packet(weir, authority):
    with trusting(authority).wrap_socket(asked(weir), server_hostname="localhost") as sock:
        sock.sendall(wire.SSL_REQUEST)
        assert wire.fields(spoken(sock).drain()[0])["C"] == "0A000"


@pytest.fixture
def strict(weir, authority):
    """A client that takes an end of the connection for a mistake unless TLS has told it."""
    with trusting(authority).wrap_socket(asked(weir), server_hostname="localhost",
                                         suppress_ragged_eofs=False) as sock:
        yield spoken(sock)


def test_a_client_that_is_refused_is_told_that_nothing_more_comes(strict):
    strict.login("app", "shop", "wrong")
    assert strict.login_error["C"] == "28P01"
    assert strict.sock.recv(1) == b""


def test_a_client_that_says_terminate_is_told_nothing_more(strict):
    strict.login("app", "shop", PASSWORD)
    strict.send(wire.message("X", b""))
    with pytest.raises(ssl.SSLEOFError):
        strict.sock.recv(1)


class SealedSocket:
    """TLS over a plain socket, where the test decides which records are sent together."""

    def __init__(self, sock, authority):
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trusting(authority).wrap_bio(self._incoming, self._outgoing,
                                                server_hostname="localhost")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def shake_hands(self, send):
        """A handshake whose bytes `send(bytes)` sends; what it has to say last."""
        while True:
            try:
                self.tls.do_handshake()
                return self._outgoing.read()
            except ssl.SSLWantReadError:
                send(self._outgoing.read())
                self._incoming.write(self._sock.recv(65536))

    def sendall(self, data):
        self.tls.write(data)
        self._sock.sendall(self._outgoing.read())

    def recv(self, size):
        while True:
            try:
                return self.tls.read(size)
            except ssl.SSLWantReadError:
                self._incoming.write(self._sock.recv(65536))

    def send_last(self, data):
        """Sends this and the end of TLS at once."""
        self.tls.write(data)
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.unwrap()  # whose answer is not waited for
        self._sock.sendall(self._outgoing.read())


def test_a_client_that_ends_tls_behind_terminate_is_reset_as_by_postgresql(weir, authority):
    with asked(weir) as sock:
        sealed = SealedSocket(sock, authority)
        sock.sendall(sealed.shake_hands(sock.sendall))
        spoken(sealed).login("app", "shop", PASSWORD)
        sealed.send_last(wire.message("X", b""))
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_a_handshake_may_come_byte_by_byte(weir, authority):
    sock = asked(weir)

    def send(data):
        for byte in data:
            sock.sendall(bytes([byte]))

    sealed = SealedSocket(sock, authority)
    sealed.shake_hands(send)
    assert sealed.tls.version() == "TLSv1.3"
    sock.close()


def test_a_client_that_stops_in_the_handshake_is_given_up(pooler, cluster, identity):
    weir = pooler(cluster, {**tls(identity), "timeouts": {"client_login": "300ms"}})
    with asked(weir) as sock:
        sock.sendall(b"\x16\x03\x01")
        assert sock.recv(1) == b""


def test_a_client_that_leaves_in_the_handshake_is_forgotten(weir):
    for _ in range(20):
        asked(weir).close()
    until(lambda: len(weir.show("CLIENTS")) == 1, what="nobody but the console")


def test_garbage_within_tls_ends_that_connection_only(weir, authority):
    sock = asked(weir)
    sock.sendall(SealedSocket(sock, authority).shake_hands(sock.sendall))
    sock.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    assert spoken(sock).raw_until_closed()[:1] in (b"", b"\x17", b"\x15")
    assert kind_of(weir, sslmode="require") == ENCRYPTED


# --- what goes over it


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def client(request, weir):
    with weir.connect(sslmode="require", ssl_min_protocol_version=request.param,
                      ssl_max_protocol_version=request.param) as connection:
        yield connection


def test_rows_of_a_mebibyte_arrive_whole(client):
    rows = client.execute("SELECT i, repeat(chr(97 + i), 1048576) FROM generate_series(0, 19) i")
    assert all(text == chr(97 + i) * 1048576 for i, text in rows)


def test_a_request_of_mebibytes_arrives_whole(client):
    text = "0123456789abcdef" * (4 << 16)
    assert client.execute("SELECT length(%s), md5(%s) = md5(repeat('0123456789abcdef', 262144))",
                          (text, text)).fetchone() == (len(text), True)


def test_many_small_rows_arrive_in_order(client):
    rows = client.execute("SELECT i FROM generate_series(1, 200000) i").fetchall()
    assert rows == [(i,) for i in range(1, 200001)]


def test_copy_goes_both_ways(client):
    client.execute("CREATE TEMP TABLE t (a int, b text); BEGIN")
    with client.cursor() as cursor:
        with cursor.copy("COPY t FROM STDIN") as copy:
            for i in range(20000):
                copy.write_row((i, "x" * (i % 500)))
        with cursor.copy("COPY (SELECT * FROM t ORDER BY a) TO STDOUT") as copy:
            copy.set_types(["int4", "text"])
            assert all(row == (i, "x" * (i % 500)) for i, row in enumerate(copy.rows()))
    client.execute("ROLLBACK")


def test_a_pipeline_is_answered_in_order(client):
    with client.pipeline():
        cursors = [client.execute("SELECT %s::int", (i,)) for i in range(500)]
    assert [c.fetchone()[0] for c in cursors] == list(range(500))


def test_asyncpg_runs_many_connections_at_once(weir, authority):
    async def one(i):
        connection = await asyncpg.connect(host="localhost", port=weir.port, user="app",
                                           password=PASSWORD, database="shop",
                                           ssl=trusting(authority, alpn=()), timeout=60)
        try:
            for k in range(10):
                assert await connection.fetchval("SELECT $1::int + $2::int", i, k) == i + k
        finally:
            await connection.close()

    async def all_of_them():
        await asyncio.gather(*(one(i) for i in range(30)))

    asyncio.run(all_of_them())


@pytest.mark.parametrize("sslmode", ["disable", "require"])
def test_a_cancel_request_ends_the_query(weir, sslmode):
    """libpq 17 and later send it over TLS when the session speaks that."""
    with weir.connect(sslmode=sslmode) as client:
        timer = threading.Timer(0.5, client.cancel_safe)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            client.execute("SELECT pg_sleep(60)")
        timer.join()


def test_a_cancel_request_in_plain_text_ends_the_query_too(weir):
    """As older libraries send it."""
    with weir.connect(sslmode="require") as client:
        timer = threading.Timer(0.5, client.pgconn.get_cancel().cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            client.execute("SELECT pg_sleep(60)")
        timer.join()


# --- certificates that change


@pytest.fixture
def own_identity(authority, tmp_path):
    """One that the test may replace."""
    made = authority.issue("pgweir", "DNS:localhost")
    copy = type(made)(tmp_path / "server.crt", tmp_path / "server.key")
    for to, origin in zip(copy, made, strict=True):
        shutil.copy2(origin, to)
    return copy


def serial(weir, authority):
    """Of the certificate that a new client is shown."""
    with trusting(authority).wrap_socket(asked(weir), server_hostname="localhost") as sock:
        return sock.getpeercert()["serialNumber"]


@pytest.mark.parametrize("told", [True, False], ids=["RELOAD", "by itself"])
def test_a_replaced_certificate_is_shown_to_new_clients(pooler, cluster, authority, own_identity,
                                                        told):
    weir = pooler(cluster, tls(own_identity))
    before = serial(weir, authority)
    replace(own_identity, authority.issue("pgweir", "DNS:localhost"))
    if told:
        with weir.console() as console:
            console.execute("RELOAD")
        assert serial(weir, authority) != before
    else:
        until(lambda: serial(weir, authority) != before, what="the new certificate")


def test_a_certificate_that_cannot_be_used_changes_nothing(pooler, cluster, authority,
                                                           own_identity):
    weir = pooler(cluster, tls(own_identity))
    before = serial(weir, authority)
    own_identity.certificate.write_text("nothing")
    with weir.console() as console, pytest.raises(psycopg.Error, match="client_tls.certificate"):
        console.execute("RELOAD")
    assert serial(weir, authority) == before
    until(lambda: "a changed certificate is not used" in weir.log(), what="word of it in the log")


def test_certificates_change_under_load_without_an_error(pooler, cluster, authority, own_identity):
    weir = pooler(cluster, tls(own_identity, "require"))
    problems, served, stop = [], [0], threading.Event()

    def stay():
        try:
            with weir.connect(sslmode="require") as client:
                while not stop.is_set():
                    client.execute("SELECT 1")
                    served[0] += 1
        except psycopg.Error as error:
            problems.append(error)

    def come_and_go():
        try:
            while not stop.is_set():
                kind_of(weir, sslmode="verify-ca", sslrootcert=str(authority.file))
        except psycopg.Error as error:
            problems.append(error)

    threads = [threading.Thread(target=f) for f in (stay, stay, come_and_go, come_and_go)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        replace(own_identity, authority.issue("pgweir", "DNS:localhost"))
        weir.signal(1)
        before = served[0]
        until(lambda: served[0] > before + 20 or problems, what="queries behind the change")
    time.sleep(0.1)
    stop.set()
    for thread in threads:
        thread.join()
    assert not problems


def test_a_key_that_others_may_read_is_refused_at_start(pooler, cluster, authority, base):
    loose = authority.issue("pgweir")
    loose.key.chmod(0o644)
    weir = pooler(cluster, tls(loose), wait=False)
    weir.expected_status = 1
    assert weir.wait() == 1
    assert "has group or world access" in weir.log()


def test_a_certificate_that_expires_soon_is_warned_of(pooler, cluster, authority):
    weir = pooler(cluster, tls(authority.issue("pgweir", days=10)))
    until(lambda: "expires in" in weir.log(), what="the warning")
