"""Passwords and certificates change while clients work, and nobody has an error.

Certificates shown to clients are in test_client_tls, passwords of users that are looked up in
test_auth_query."""

import threading

import psycopg
import pytest

from certificates import Authority, Identity, replace
from cluster import ROLES, Cluster, until
from failover_scene import LONG
from installs import WANTED, find
from scram import verifier

ROTATIONS = 5


class Traffic:
    """Within `with`, clients that stay and clients that come and go. connect() makes one; none does while
    somebody holds `turn`, so that who has read a secret is in before it changes."""

    def __init__(self, connect, staying=6, coming=2):
        self._connect = connect
        self.turn = threading.Lock()
        self._over, self._problems, self._answers = threading.Event(), [], [0, 0]
        self._threads = [threading.Thread(target=self._guarded, args=(f,)) for f in
                         [self._stay] * staying + [self._come_and_go] * coming]

    def _enter(self):
        with self.turn:
            return self._connect()

    def _guarded(self, work):
        try:
            work()
        except psycopg.Error as error:
            self._problems.append(error)

    def _stay(self):
        with self._enter() as client:
            while not self._over.is_set():
                client.execute("select pg_sleep(0.001)")
                self._answers[0] += 1

    def _come_and_go(self):
        while not self._over.is_set():
            with self._enter() as client:
                client.execute("select 1")
                self._answers[1] += 1

    def go_on(self, count=5):
        """Waits until both kinds have done some work more."""
        before = list(self._answers)
        until(lambda: self._problems or all(
            now >= then + count for now, then in zip(self._answers, before, strict=True)), LONG,
            "work of both kinds")
        assert not self._problems, self._problems

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()
        assert not self._problems, self._problems


# --- passwords -----------------------------------------------------------------------------------

# What of pgweir's configuration holds a password that changes, by what it is called in PostgreSQL.
PLACES = {
    "a plain password": lambda role, password: {"user": {role: {"password": password}}},
    "a verifier": lambda role, password: {"user": {role: {"password": verifier(password)}}},
    "the server's": lambda role, password: {
        "user": {role: {"password": "for clients", "server_password": password}}},
    "a database's": lambda role, password: {
        "database": {"shop": {"user": role, "password": password}},
        "user": {role: {"password": "for clients"}}},
}


@pytest.fixture
def role(cluster):
    """One that has its password back afterwards."""
    name = "other"
    yield name
    cluster.execute(f"alter role {name} password '{ROLES[name][1]}'")


@pytest.mark.tsan
@pytest.mark.parametrize("place", PLACES)
def test_a_password_of_the_configuration_changes(cluster, pooler, role, place):
    current = ["p0"]

    def change(password):
        """Changes it in PostgreSQL; what pgweir is to be told."""
        told = PLACES[place](role, password)
        stored = told["user"][role]["password"]
        # A verifier is the same on both sides, or it lets nobody in.
        secret = stored if place == "a verifier" else password
        cluster.execute(f"alter role {role} password '{secret}'")
        return told

    def connect():
        password = current[0] if place in ("a plain password", "a verifier") else "for clients"
        return weir.connect(role, password=password)

    weir = pooler(cluster, {"pool": {"size": 3}, **change("p0")})

    with Traffic(connect) as traffic:
        for number in range(1, ROTATIONS + 1):
            traffic.go_on()
            with traffic.turn:
                current[0] = f"p{number}"
                weir.change(change(current[0]))
        traffic.go_on()


# --- certificates --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(base):
    return Authority(base / "rotation")


@pytest.fixture(scope="module")
def encrypted(base, data, authority):
    """A PostgreSQL that is reached by TLS only, and asks for a certificate."""
    install = find(base).get(WANTED[0])
    if not install:
        pytest.skip(f"no PostgreSQL {WANTED[0]} server is installed")
    cluster = Cluster(install, data / "rotation")
    try:
        own = authority.issue("postgres", "DNS:localhost", for_postgres=True)
        cluster.create(ssl="on", ssl_cert_file=own.certificate, ssl_key_file=own.key,
                       ssl_ca_file=authority.file)
        (cluster.data / "pg_hba.conf").write_text(
            "local all all trust\nhostssl all all all scram-sha-256 clientcert=verify-ca\n",
            encoding="ascii")
        cluster.execute("select pg_reload_conf()")
        yield cluster
    finally:
        cluster.destroy()


@pytest.fixture
def shown(authority, tmp_path):
    """What pgweir shows to PostgreSQL; a test may replace it."""
    made = authority.issue("pgweir")
    copy = Identity(tmp_path / "pgweir.crt", tmp_path / "pgweir.key")
    replace(copy, made)
    return copy


def of_postgresql(cluster, authority, _shown):
    new = authority.issue("postgres", "DNS:localhost", for_postgres=True)
    cluster.execute(f"alter system set ssl_cert_file = '{new.certificate}'")
    cluster.execute(f"alter system set ssl_key_file = '{new.key}'")
    before = cluster.value("select pg_conf_load_time()")
    cluster.execute("select pg_reload_conf()")
    until(lambda: cluster.value("select pg_conf_load_time()") > before, what="the new certificate")


def of_pgweir(_cluster, authority, shown):
    replace(shown, authority.issue("pgweir"))


@pytest.mark.tsan
@pytest.mark.parametrize("change", [of_postgresql, of_pgweir], ids=lambda f: f.__name__)
def test_a_certificate_between_pgweir_and_postgresql_changes(encrypted, pooler, authority, shown,
                                                             change):
    """Servers live so short that most of the work is done by new ones."""
    weir = pooler(encrypted, {
        "pool": {"size": 3, "server_lifetime": "50ms"},
        "database": {"shop": {"host": "localhost", "tls": {
            "sslmode": "verify-full", "sslrootcert": str(authority.file),
            "sslcert": str(shown.certificate), "sslkey": str(shown.key)}}}})

    def servers():
        return encrypted.value("select sessions from pg_stat_database where datname = 'shop'")

    with Traffic(lambda: weir.connect("app", password=ROLES["app"][1])) as traffic:
        for _ in range(ROTATIONS):
            before = servers()
            traffic.go_on()
            change(encrypted, authority, shown)
            weir.signal(1)
            until(lambda before=before: servers() > before + 3, what="new servers")
        traffic.go_on()
