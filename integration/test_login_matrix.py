"""Every method of clients, by every sslmode, to every method of servers: each login ends as it ends at
a PostgreSQL with the same rules."""

import asyncio
import functools
import os
import pwd
import re
import ssl
import subprocess
from itertools import product
from typing import NamedTuple
from urllib.parse import quote, unquote_plus, urlencode

import asyncpg
import psycopg
import pytest

import jdbc_programs
from certificates import Authority, key_as_der
from cluster import ROLES, Cluster, until
from pooler import default_config, merged
from scram import md5_secret, verifier

pytestmark = pytest.mark.every_version

ME = pwd.getpwuid(os.geteuid()).pw_name
PASSWORD = "right"
PLAIN_RULES = """
local     all  postgres  trust
local     all  by_peer   peer map=people
local     all  not_me    peer
host      all  by_trust  all  trust
host      all  by_word   all  password
host      all  by_md5    all  md5
host      all  by_scram  all  scram-sha-256
hostnossl all  in_plain  all  scram-sha-256
"""
TLS_RULES = """
hostssl   all  over_tls  all  scram-sha-256
hostssl   all  by_cert   all  cert
hostssl   all  by_both   all  scram-sha-256 clientcert=verify-full
"""
MAPS = f"people {ME} by_peer\n"
# Those that differ, by whether there is TLS.
SSLMODES = {True: ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
            False: ("disable", "prefer", "require")}

# What a client may get wrong.
WRONG_PASSWORD, NO_CERTIFICATE, OTHER_CERTIFICATE, STRANGER, OTHER_USER, OTHER_ROOT, OTHER_HOST = (
    "wrong password", "no certificate", "a certificate of somebody else",
    "a certificate of a strange authority", "a name of somebody else", "another root",
    "another host")
RIGHT = "right"


class Method(NamedTuple):
    user: str
    wrong: tuple = ()
    needs: str = ""  # "certificate", or "binding" of the channel
    others: tuple = ("asyncpg", "jdbc")  # the drivers that can do it, besides libpq


METHODS = {
    "trust": Method("by_trust"),
    "password": Method("by_word", (WRONG_PASSWORD,)),
    "md5": Method("by_md5", (WRONG_PASSWORD,)),
    "scram": Method("by_scram", (WRONG_PASSWORD, OTHER_ROOT, OTHER_HOST)),
    # asyncpg binds no channel, nor does JDBC before its version 42.7.4 (Debian 12 has 42.5).
    "scram plus": Method("by_scram", (WRONG_PASSWORD,), "binding", others=()),
    "scram over TLS": Method("over_tls", (WRONG_PASSWORD,)),
    "scram in plain text": Method("in_plain", (WRONG_PASSWORD,)),
    "cert": Method("by_cert", (NO_CERTIFICATE, OTHER_CERTIFICATE, STRANGER), "certificate"),
    "scram and cert": Method("by_both", (WRONG_PASSWORD, NO_CERTIFICATE, OTHER_CERTIFICATE),
                             "certificate"),
    # Java has no unix sockets that JDBC could use.
    "peer": Method("by_peer", (OTHER_USER,), others=("asyncpg",)),
}
# Which role logs in there by which method.
SERVERS = {"trust": "trust_user", "password": "plain_user", "md5": "md5_user",
           "scram": "scram_user"}


class Login(NamedTuple):
    with_tls: bool
    driver: str
    method: str
    sslmode: str
    attempt: str
    server: str

    @property
    def database(self):
        return f"to_{self.server}"

    def __str__(self):
        return ", ".join(["TLS" if self.with_tls else "no TLS", *self[1:]])


def means_something(login):
    """Does this sslmode make a difference to what is right or wrong?"""
    if login.attempt == OTHER_ROOT:
        return login.sslmode in ("verify-ca", "verify-full")
    if login.attempt == OTHER_HOST:  # asyncpg cannot be told a name beside an address
        return login.sslmode == "verify-full" and login.driver != "asyncpg"
    return login.method != "peer" or login.sslmode in ("disable", "require")


def logins():
    """Who gets in is tried with every server, who does not with one. What libpq does not show, the
    SQLSTATE, asyncpg and JDBC do."""
    for tls in (True, False):
        for (name, method), sslmode in product(METHODS.items(), SSLMODES[tls]):
            for server in SERVERS:
                yield Login(tls, "libpq", name, sslmode, RIGHT, server)
            for wrong in method.wrong:
                yield Login(tls, "libpq", name, sslmode, wrong, "scram")
            for driver, attempt in product(method.others, (RIGHT, *method.wrong)):
                yield Login(tls, driver, name, sslmode, attempt, "scram")


LOGINS = [login for login in logins() if means_something(login)]


class Papers(NamedTuple):
    """Certificates of all kinds: `owned` by user."""

    authority: Authority
    owned: dict
    stranger: Authority
    strange: tuple


@pytest.fixture(scope="module")
def papers(base):
    authority = Authority(base / "matrix")
    stranger = Authority(base / "matrix-stranger", "Somebody")
    owned = {user: authority.issue(user) for user in ("by_cert", "by_both", "somebody")}
    return Papers(authority, owned, stranger, stranger.issue("by_cert"))


@pytest.fixture(scope="module")
def reference(cluster, data, papers):
    """A PostgreSQL of the same version as the one behind pgweir."""
    own = papers.authority.issue("server", "DNS:localhost,IP:127.0.0.1", for_postgres=True)
    made = Cluster(cluster.install, data / f"matrix{cluster.major}")
    try:
        made.create()
        for user in {m.user for m in METHODS.values()} | {"not_me"}:
            secret = md5_secret(user, PASSWORD) if user == "by_md5" else verifier(PASSWORD)
            made.execute(f"create role {user} login password '{secret}'")
        for server in SERVERS:
            made.create_database(name=f"to_{server}")
        made.identity = own
        made.has_tls = made.value("select setting from pg_settings where name = 'ssl_library'")
        yield made
    finally:
        made.destroy()


def speak(cluster, tls, rules, authority):
    """Puts `rules` in force, with TLS or without."""
    (cluster.data / "pg_hba.conf").write_text(rules, encoding="ascii")
    (cluster.data / "pg_ident.conf").write_text(MAPS, encoding="ascii")
    settings = {"ssl": "on" if tls else "off"}
    if tls:
        settings |= {"ssl_cert_file": cluster.identity.certificate,
                     "ssl_key_file": cluster.identity.key, "ssl_ca_file": authority.file}
    for name, value in settings.items():
        cluster.execute(f"alter system set {name} = '{value}'")
    before = cluster.value("select pg_conf_load_time()")
    cluster.execute("select pg_reload_conf()")
    until(lambda: cluster.value("select pg_conf_load_time()") > before, what="the rules in force")


@pytest.fixture(scope="module")
def sides(request, cluster, reference, papers, base, lasting_pooler):
    """pgweir, and a PostgreSQL that goes by the same rules. Its parameter: with TLS?"""
    tls = request.param
    if tls and not reference.has_tls:
        pytest.skip(f"this PostgreSQL {reference.major} was built without TLS")
    rules = PLAIN_RULES + (TLS_RULES if tls else "")
    speak(reference, tls, rules, papers.authority)
    folder = base / f"matrix{reference.major}{tls}"
    folder.mkdir(exist_ok=True)  # pytest may set a fixture up again
    (folder / "hba").write_text(rules, encoding="ascii")
    (folder / "ident").write_text(MAPS, encoding="ascii")
    over = {
        # How long a refusal takes is not compared, and a quarter of a second for each adds up.
        "auth": {"method": "hba", "failure_delay": "1ms", "hba_file": str(folder / "hba"),
                 "ident_file": str(folder / "ident")},
        "listen": {"unix_socket_dir": str(folder)},
        "database": {f"to_{server}": {"dbname": "shop", "user": role, "password": ROLES[role][1]}
                     for server, role in SERVERS.items()},
        "user": {user: {"password": secret} for user, secret in reference.execute(
            "select rolname, rolpassword from pg_authid where rolpassword is not null")},
    }
    if tls:
        own = papers.authority.issue("server", "DNS:localhost,IP:127.0.0.1")
        over["client_tls"] = {"mode": "prefer", "certificate": str(own.certificate),
                              "key": str(own.key), "ca": str(papers.authority.file)}
    names = [f"to_{server}" for server in SERVERS]
    weir = lasting_pooler(None, config=merged(default_config(cluster, names), over))
    weir.socket_dir = str(folder)
    return weir, reference


# --- what a client does --------------------------------------------------------------------------


def options(login, papers):
    """Its user, password and files."""
    method, attempt = METHODS[login.method], login.attempt
    chosen = {"user": "not_me" if attempt == OTHER_USER else method.user,
              "password": "wrong" if attempt == WRONG_PASSWORD else PASSWORD,
              "sslmode": login.sslmode}
    if login.sslmode.startswith("verify"):
        root = papers.stranger if attempt == OTHER_ROOT else papers.authority
        chosen["sslrootcert"] = str(root.file)
    shown = {NO_CERTIFICATE: None, OTHER_CERTIFICATE: papers.owned["somebody"],
             STRANGER: papers.strange}.get(attempt, papers.owned.get(method.user))
    if method.needs == "certificate" and shown:
        chosen |= {"sslcert": str(shown[0]), "sslkey": str(shown[1])}
    return chosen


def without_places(text):
    """Without the address, and what only pgweir says: where to look for its rules."""
    text = re.sub(r"\nHINT: .*", "", str(text))
    text = re.sub(r'socket "[^"]*"', "socket", text)
    return re.sub(r"(port |127\.0\.0\.1[:', ]+)\d+", r"\1", text).strip()


def by_libpq(server, login, chosen):
    """(who it is there, whether over TLS), or what went wrong."""
    where = {"host": server.socket_dir} if login.method == "peer" else {
        "host": "elsewhere.example" if login.attempt == OTHER_HOST else "localhost",
        "hostaddr": "127.0.0.1"}
    binding = "require" if METHODS[login.method].needs == "binding" else "prefer"
    try:
        with psycopg.connect(**{"sslcert": "none", "sslkey": "none", **where, **chosen},
                             port=server.port, dbname=login.database, gssencmode="disable",
                             channel_binding=binding, connect_timeout=30) as client:
            (user,) = client.execute("select current_user").fetchone()
            return user, bool(client.pgconn.ssl_in_use)
    except psycopg.OperationalError as error:
        return without_places(error)


def by_asyncpg(server, login, chosen):
    """As by_libpq(); of what a server says, the SQLSTATE as well."""
    host = server.socket_dir if login.method == "peer" else "127.0.0.1"
    query = urlencode({**chosen, "host": host, "port": server.port})

    async def attempt():
        client = await asyncpg.connect(f"postgresql:///{login.database}?{query}", timeout=30)
        try:
            user = await client.fetchval("select current_user")
            return user, client._transport.get_extra_info("ssl_object") is not None
        finally:
            await client.close()

    try:
        return asyncio.run(attempt())
    except asyncpg.PostgresError as error:
        return error.sqlstate, error.args[0]
    except ssl.SSLError as error:
        return error.reason
    except (OSError, asyncpg.InterfaceError) as error:
        return type(error).__name__, without_places(error)


@pytest.fixture(scope="module")
def java(tmp_path_factory):
    """jdbc/Logins.java, which waits to be asked. All it knows of names is where ours are."""
    folder = tmp_path_factory.mktemp("logins")
    (folder / "hosts").write_text("127.0.0.1 localhost elsewhere.example\n", encoding="ascii")
    command = jdbc_programs.compiled("Logins", folder, f"-Djdk.net.hosts.file={folder / 'hosts'}")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        yield process
        process.kill()


def by_jdbc(java, server, login, chosen):
    """As by_asyncpg(). An empty name is no certificate; without one the driver would look at home.
    It shows none but of an authority that the server names."""
    host = "elsewhere.example" if login.attempt == OTHER_HOST else "localhost"
    query = {"sslcert": "", "sslkey": "", **chosen, "gssEncMode": "disable", "connectTimeout": 30,
             "socketTimeout": 30}
    user, password = query.pop("user"), query.pop("password")
    if query["sslkey"]:
        query["sslkey"] = key_as_der(query["sslkey"])
    url = f"jdbc:postgresql://{host}:{server.port}/{login.database}?{urlencode(query)}"
    print(*(quote(word, safe="") for word in (url, user, password)), file=java.stdin, flush=True)
    end, *words = map(unquote_plus, java.stdout.readline().split())
    return (words[0], words[1] == "true") if end == "in" else (words[0], without_places(words[1]))


@pytest.mark.parametrize(("sides", "login"), [(login.with_tls, login) for login in LOGINS],
                         indirect=["sides"], scope="module", ids=[str(login) for login in LOGINS])
def test_a_login_ends_as_at_postgresql(request, sides, papers, login):
    if login.driver == "jdbc":  # the others do without Java
        enter = functools.partial(by_jdbc, request.getfixturevalue("java"))
    else:
        enter = {"libpq": by_libpq, "asyncpg": by_asyncpg}[login.driver]
    chosen = options(login, papers)
    mine, theirs = (enter(server, login, chosen) for server in sides)
    if isinstance(theirs, tuple) and theirs[0] == METHODS[login.method].user:  # it is in
        theirs = (SERVERS[login.server], theirs[1])
    assert mine == theirs
