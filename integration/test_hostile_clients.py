"""Crowds that half log in, trickle, stop anywhere, lie about lengths or storm with handshakes: clients
that behave get all their answers meanwhile, and memory stays bounded."""

import contextlib
import itertools
import resource
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

import wire
from certificates import Authority
from cluster import ROLES, until
from guests import GUESTS, Guests
from scram import ScramClient
from wire import Closed, Wire

# Else AddressSanitizer keeps what was freed, and it counts as in use.
NO_QUARANTINE = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:quarantine_size_mb=1"}
PASSWORD = ROLES["app"][1]
HALF_OPEN = 10_000
SERVERS = GUESTS  # they need no more
MIB = 1024  # KiB


@pytest.fixture(scope="module")
def authority(base):
    return Authority(base / "hostile")


@pytest.fixture(scope="module")
def identity(authority):
    return authority.issue("pgweir", "DNS:localhost")


@pytest.fixture
def start(cluster, pooler, identity):
    """start({...}): a pgweir that also speaks TLS."""
    def started(over=None, shown=identity):
        return pooler(cluster, {"client_tls": {"mode": "prefer", "key": str(shown.key),
                                               "certificate": str(shown.certificate)},
                                "pool": {"size": SERVERS}, **(over or {})},
                      environment=NO_QUARANTINE)

    return started


@pytest.fixture
def guests(cluster, tmp_path):
    """guests(weir): a few clients that behave; see Guests."""
    return lambda weir: Guests(weir, cluster, tmp_path)


def gets_in(weir, source=None):
    with Wire(weir.address, source=source) as client:
        client.login("app", "shop", PASSWORD)
        return client.login_error is None and client.value("select 1") == "1"


class Windows:
    """Spans of time, some of them quiet, of which the guests' waits are compared. What is compared is of
    one run, quiet and busy in turn, and of each kind the median over its windows: a hiccup of the machine
    spoils one of them."""

    def __init__(self):
        self._spans = {}

    def pass_one(self, kind):
        began = time.time()
        time.sleep(1)
        self._spans.setdefault(kind, []).append((began, time.time()))

    def judge(self, at_work):
        """It is the usual wait that is judged. The 99th percentile is printed: on two busy processors,
        and with sanitizers, it tells when PostgreSQL got one, which is not ours to decide."""
        def typical(kind, percent):
            return statistics.median(percentile(at_work.waits(*span), percent)
                                     for span in self._spans[kind])

        for percent in (50, 90, 99):
            print(f"p{percent}: " + ", ".join(
                f"{kind} {typical(kind, percent) * 1000:.2f} ms" for kind in self._spans))
        for kind in self._spans:
            assert typical(kind, 50) < 2 * typical("quiet", 50) + 0.005, kind


def percentile(ordered, percent):
    return ordered[len(ordered) * percent // 100]


def gone(weir, files):
    """Waits until no more is open than there was, and the guests' servers."""
    until(lambda: weir.open_files() <= files + SERVERS, 60, "all sockets closed")


# --- those who never go on -----------------------------------------------------------------------


@pytest.fixture
def sockets():
    """As many as descriptors allow, of those that are wanted; said in the test's output."""
    spare = 1_000  # for pytest, and for all else that pgweir has open
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(HALF_OPEN, limit - spare)
    print(f"{count} of {HALF_OPEN} half-open connections, ulimit -n is {limit}")
    return count


def crowd(weir, count, addresses):
    """So many connections that say nothing, from these addresses in turn."""
    stack = contextlib.ExitStack()
    for source in itertools.islice(itertools.cycle(addresses), count):
        stack.enter_context(Wire(weir.address, source=source))
    return stack


@pytest.mark.alone
def test_thousands_of_half_open_connections_from_many_addresses(start, guests, sockets):
    weir = start({"limits": {"max_clients": sockets + 100, "max_login_clients": sockets + 100}})
    assert gets_in(weir)
    files, before = weir.open_files(), weir.rss_kib()
    windows = Windows()
    with guests(weir) as at_work:
        for _ in range(3):
            windows.pass_one("quiet")
            with crowd(weir, sockets, [f"127.0.1.{n}" for n in range(1, 101)]):
                until(lambda: weir.open_files() >= files + GUESTS + sockets,
                      what="all of them accepted")
                windows.pass_one("half-open")
                assert gets_in(weir, "127.0.2.1")
                assert weir.rss_kib() - before < sockets * 8  # 8 KiB each; sanitizers make them large
            gone(weir, files + GUESTS)
    windows.judge(at_work)
    gone(weir, files)


@pytest.mark.alone
def test_one_address_that_opens_thousands_keeps_room_for_others(start, guests, sockets):
    """With the limits that hold by default."""
    weir = start()
    assert gets_in(weir)
    files, before = weir.open_files(), weir.rss_kib()
    with guests(weir), crowd(weir, sockets, ["127.0.1.1"]):
        until(lambda: weir.open_files() <= files + 1_000 + 10, what="the rest to be refused")
        assert gets_in(weir, "127.0.2.1")
        assert weir.rss_kib() - before < 1_000 * 8
    gone(weir, files)


# --- those who are slow --------------------------------------------------------------------------


def byte_by_byte(clients, messages):
    """Each sends its message, all of them one byte of it, then the next."""
    for column in itertools.zip_longest(*messages):
        for client, byte in zip(clients, column, strict=True):
            if byte is not None:
                client.send(bytes([byte]))


def sasl_first(scram):
    first = scram.first()
    return wire.message("p", wire.cstr("SCRAM-SHA-256") + struct.pack("!i", len(first)) + first)


def test_a_crowd_that_logs_in_byte_by_byte_gets_in(start, guests):
    weir = start()
    with guests(weir), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(weir.wire()) for _ in range(100)]
        for client in clients:
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        byte_by_byte(clients, [wire.startup({"user": "app", "database": "shop"})] * 100)
        for client in clients:
            client.read_until("R")
        scrams = [ScramClient(PASSWORD) for _ in clients]
        byte_by_byte(clients, [sasl_first(scram) for scram in scrams])
        byte_by_byte(clients, [wire.message("p", scram.final(client.read().body[4:]))
                               for client, scram in zip(clients, scrams, strict=True)])
        assert {wire.told(client.read_ready())[1] for client in clients} == {"I"}


def test_a_login_that_trickles_has_no_more_time_than_another(start):
    weir = start({"timeouts": {"client_login": "1s"}})
    endless = wire.startup({"user": "app", "database": "shop", "application_name": "x" * 9_000})
    with weir.wire() as client:
        sent = itertools.count()
        with pytest.raises(Closed):
            for byte in endless:
                client.send(bytes([byte]))
                next(sent)
                if client.closed_within(0.02):
                    raise Closed
        assert next(sent) < len(endless)


# --- those who stop anywhere ---------------------------------------------------------------------


class Tls:
    """A client's part of a handshake, by hand."""

    def __init__(self, authority):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=str(authority.file))
        context.set_alpn_protocols(["postgresql"])
        self.engine = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def flight(self):
        """What it has to say next."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.engine.do_handshake()
        return self.outgoing.read()


def asked(client):
    assert client.send(wire.SSL_REQUEST).read_bytes(1) == b"S"


def before_startup(_client, _authority):
    return wire.startup({"user": "app", "database": "shop"})


def before_ssl_request(_client, _authority):
    return wire.SSL_REQUEST


def before_client_hello(client, authority):
    asked(client)
    return Tls(authority).flight()


def before_direct_client_hello(_client, authority):
    return Tls(authority).flight()


def before_finished(client, authority):
    asked(client)
    tls = Tls(authority)
    client.send(tls.flight())
    while not (flight := tls.flight()):
        client._fill()
        tls.incoming.write(client.read_bytes(len(client.buffer)))
    return flight


def before_sasl(client, _authority):
    client.send(wire.startup({"user": "app", "database": "shop"})).read_until("R")
    return sasl_first(ScramClient(PASSWORD))


def before_proof(client, _authority):
    client.send(wire.startup({"user": "app", "database": "shop"})).read_until("R")
    scram = ScramClient(PASSWORD)
    client.send(sasl_first(scram))
    return wire.message("p", scram.final(client.read().body[4:]))


STAGES = [before_startup, before_ssl_request, before_client_hello, before_direct_client_hello,
          before_finished, before_sasl, before_proof]


@pytest.mark.parametrize("stage", STAGES, ids=lambda f: f.__name__.removeprefix("before_"))
def test_whoever_leaves_at_any_byte_of_it_is_forgotten(start, guests, authority, stage):
    weir = start({"timeouts": {"client_login": "10m"}})  # not by that
    assert gets_in(weir)
    files = weir.open_files()
    with guests(weir):
        for cut in itertools.count():
            with weir.wire() as client:
                message = stage(client, authority)
                client.send(message[:cut])
            if cut >= len(message):
                break
        assert gets_in(weir)
    gone(weir, files)


@pytest.mark.parametrize("stage", STAGES, ids=lambda f: f.__name__.removeprefix("before_"))
def test_whoever_stops_at_any_byte_of_it_is_given_up(start, guests, authority, stage):
    weir = start({"timeouts": {"client_login": "5s"}})
    assert gets_in(weir)
    files = weir.open_files()
    with guests(weir), contextlib.ExitStack() as stack:
        for cut in itertools.count():
            client = stack.enter_context(weir.wire())
            message = stage(client, authority)
            if cut >= len(message):
                break
            client.send(message[:cut])
        assert gets_in(weir)
        gone(weir, files + GUESTS)


# --- those who lie about lengths -----------------------------------------------------------------


def record(kind, body, length=None):
    """A TLS record (RFC 8446, section 5.1)."""
    return bytes([kind, 3, 1]) + struct.pack("!H", len(body) if length is None else length) + body


def hello_of_16_mebibytes(client, _authority):
    asked(client)
    client.send(record(22, b"\x01\xff\xff\xff" + bytes(16_380)), record(22, bytes(16_384)) * 255)


def record_of_64_kibibytes(client, _authority):
    asked(client)
    client.send(record(22, bytes(65_535)), bytes(1 << 20))


def empty_records(client, _authority):
    asked(client)
    client.send(record(22, b"") * 50_000)


def handshakes_bytes_in_records_of_one(client, authority):
    asked(client)
    hello = Tls(authority).flight()[5:]
    client.send(b"".join(record(22, hello[i : i + 1]) for i in range(len(hello))))


def change_of_cipher_without_end(client, _authority):
    asked(client)
    client.send(record(20, b"\x01") * 50_000)


def over_tls(client, authority, message):
    asked(client)
    client.sock = Tls(authority).engine.context.wrap_socket(client.sock,
                                                            server_hostname="localhost")
    client.send(message)


def startup_of_2_gibibytes_over_tls(client, authority):
    over_tls(client, authority, b"\x7f\xff\xff\xff\0\3\0\0user\0" + b"x" * 100_000)


def password_of_1_gibibyte_over_tls(client, authority):
    over_tls(client, authority, wire.startup({"user": "app", "database": "shop"}))
    client.read_until("R")
    client.send(b"p\x40\0\0\0" + b"x" * 100_000)


def startup_behind_an_ssl_request(client, _authority):
    client.send(wire.SSL_REQUEST, wire.startup({"user": "app", "database": "shop"}) * 1_000)


def startup_behind_a_gss_request(client, _authority):
    client.send(wire.GSS_REQUEST, wire.startup({"user": "app", "database": "shop"}) * 1_000)


def requests_without_end(client, _authority):
    client.send((wire.SSL_REQUEST + wire.GSS_REQUEST) * 10_000)


LIES = [hello_of_16_mebibytes, record_of_64_kibibytes, empty_records,
        handshakes_bytes_in_records_of_one, change_of_cipher_without_end,
        startup_of_2_gibibytes_over_tls, password_of_1_gibibyte_over_tls,
        startup_behind_an_ssl_request, startup_behind_a_gss_request, requests_without_end]


@pytest.mark.parametrize("lie", LIES, ids=lambda f: f.__name__)
def test_nobody_is_disturbed_by_a(start, guests, authority, lie):
    weir = start({"timeouts": {"client_login": "5s"}})
    assert gets_in(weir)
    files, before = weir.open_files(), weir.rss_kib()
    with guests(weir), contextlib.ExitStack() as stack:
        for _ in range(50):
            client = stack.enter_context(weir.wire())
            with contextlib.suppress(Closed, ssl.SSLError, OSError):
                lie(client, authority)
        assert weir.rss_kib() - before < 32 * MIB
        assert gets_in(weir)
        gone(weir, files + GUESTS)


# --- those who make us compute -------------------------------------------------------------------


class Storm:
    """Within `with` as many clients as it is told begin handshakes, and none finishes one."""

    def __init__(self, weir, authority, at_a_time):
        # It stands for other machines, so it takes no processor from anybody here.
        self._command = ["nice", "-n", "19", sys.executable,
                         Path(__file__).with_name("hello_storm.py"), weir.host, str(weir.port),
                         str(at_a_time)]
        self._hello = Tls(authority).flight()

    def __enter__(self):
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE)
        self._process.stdin.write(self._hello)
        self._process.stdin.close()
        return self

    def __exit__(self, *_):
        assert self._process.poll() is None, "the storm was over too early"
        self._process.terminate()
        self._process.wait()


@pytest.mark.alone
@pytest.mark.parametrize("key", ["rsa:4096", "ec"])
def test_queries_do_not_wait_for_a_storm_of_handshakes(start, guests, authority, key):
    """A signature with the former is for a thread, one with the latter for the worker itself."""
    weir = start(shown=authority.issue("pgweir", "DNS:localhost", key=key))
    windows = Windows()
    with guests(weir) as at_work:
        before = weir.rss_kib()
        for _ in range(5):
            windows.pass_one("quiet")
            spent = weir.cpu_seconds()
            with Storm(weir, authority, at_a_time=64):
                until(lambda spent=spent: weir.cpu_seconds() > spent + 0.1, what="the storm")
                windows.pass_one("storm")
                assert gets_in(weir)
        assert weir.rss_kib() - before < 32 * MIB
    windows.judge(at_work)
