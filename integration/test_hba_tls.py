"""Rules that depend on TLS and on certificates, beside a PostgreSQL with the same files."""

import re

import psycopg
import pytest

from certificates import Authority
from cluster import Cluster
from installs import WANTED, find
from pooler import default_config, merged

RULES = """
local     all       postgres                 trust
hostnossl all       plain_only  all          trust
hostssl   all       tls_only    all          scram-sha-256
hostssl   refused   alice       all          reject
hostssl   refused   bob         all          reject clientcert=verify-ca
hostssl   all       alice       all          cert
hostssl   all       by_map      all          cert map=names
hostssl   all       by_whole    all          cert map=wholes clientname=DN
hostssl   all       carol       all          cert clientname=CN
hostssl   all       nobody      all          cert map=names
hostssl   all       any_valid   all          scram-sha-256 clientcert=verify-ca
hostssl   all       bob         all          scram-sha-256 clientcert=verify-full
hostssl   all       eve         all          trust clientcert=verify-full
hostssl   replication all       all          reject
"""
MAPS = """
names  alice                by_map
names  /^(nob)\\w+$         \\1ody
wholes "/^O=Example,CN=alice$" by_whole
"""
PASSWORD = "a-secret"
USERS = ("plain_only", "tls_only", "alice", "by_map", "by_whole", "carol", "any_valid", "bob",
         "eve")
DATABASES = ("shop", "refused")

# name: (user, sslmode, whose certificate, password, database)
LOGINS = {
    "hostnossl without TLS": ("plain_only", "disable", None, None, "shop"),
    "hostnossl with TLS": ("plain_only", "require", None, None, "shop"),
    "hostssl with TLS": ("tls_only", "require", None, PASSWORD, "shop"),
    "hostssl with TLS, wrong password": ("tls_only", "require", None, "wrong", "shop"),
    "hostssl without TLS": ("tls_only", "disable", None, PASSWORD, "shop"),
    "reject with TLS": ("alice", "require", "alice", None, "refused"),
    "reject without the certificate that it asks for": ("bob", "require", None, None, "refused"),
    "cert": ("alice", "require", "alice", None, "shop"),
    "cert of somebody else": ("alice", "require", "bob", None, "shop"),
    "cert, none": ("alice", "require", None, None, "shop"),
    "cert without a name": ("alice", "require", "nameless", None, "shop"),
    "cert by a map": ("by_map", "require", "alice", None, "shop"),
    "cert by a map, of somebody else": ("by_map", "require", "bob", None, "shop"),
    "cert by its whole name": ("by_whole", "require", "alice", None, "shop"),
    "cert by its whole name, of somebody else": ("by_whole", "require", "bob", None, "shop"),
    "cert whose name is no whole name": ("carol", "require", "alice", None, "shop"),
    "cert by an expression of who is not there": ("nobody", "require", "nobleman", None, "shop"),
    "cert of somebody else for who is not there": ("nobody", "require", "alice", None, "shop"),
    "password and any certificate": ("any_valid", "require", "alice", PASSWORD, "shop"),
    "password and any certificate, none": ("any_valid", "require", None, PASSWORD, "shop"),
    "password and certificate": ("bob", "require", "bob", PASSWORD, "shop"),
    "password and certificate of somebody else": ("bob", "require", "alice", PASSWORD, "shop"),
    "wrong password and certificate": ("bob", "require", "bob", "wrong", "shop"),
    "trust and certificate": ("eve", "require", "eve", None, "shop"),
    "trust and certificate of somebody else": ("eve", "require", "bob", None, "shop"),
}


@pytest.fixture(scope="module")
def authority(base):
    return Authority(base / "hba-tls")


@pytest.fixture(scope="module")
def certificates(authority):
    names = {"alice": "alice/O=Example", "nameless": "/O=Example", "bob": "bob", "eve": "eve",
             "nobleman": "nobleman"}
    return {name: authority.issue(subject) for name, subject in names.items()}


@pytest.fixture(scope="module")
def model(base, data, authority):
    install = find(base).get(WANTED[0])
    if not install:
        pytest.skip(f"no PostgreSQL {WANTED[0]} server is installed")
    identity = authority.issue("postgres", for_postgres=True)
    cluster = Cluster(install, data / "hba-tls")
    try:
        cluster.create(ssl="on", ssl_cert_file=identity.certificate, ssl_key_file=identity.key,
                       ssl_ca_file=authority.file)
        for user in USERS:
            cluster.execute(f"create role {user} login password '{PASSWORD}'")
        cluster.create_database(name="refused")
        (cluster.data / "pg_hba.conf").write_text(RULES, encoding="utf-8")
        (cluster.data / "pg_ident.conf").write_text(MAPS, encoding="utf-8")
        cluster.stop()
        cluster.start()
        yield cluster
    finally:
        cluster.destroy()


@pytest.fixture(scope="module")
def weir(clusters, base, authority, lasting_pooler):
    folder = base / "hba-tls-rules"
    folder.mkdir()
    (folder / "hba").write_text(RULES, encoding="utf-8")
    (folder / "ident").write_text(MAPS, encoding="utf-8")
    identity = authority.issue("pgweir")
    server = {"user": "app", "password": "app-secret", "dbname": "shop"}
    return lasting_pooler(None, config=merged(default_config(clusters(WANTED[0]), DATABASES), {
        "auth": {"method": "hba", "hba_file": str(folder / "hba"),
                 "ident_file": str(folder / "ident")},
        "client_tls": {"mode": "prefer", "certificate": str(identity.certificate),
                       "key": str(identity.key), "ca": str(authority.file)},
        "database": {name: server for name in DATABASES},
        "user": {user: {"password": PASSWORD} for user in USERS}}))


def ending(server, certificate, user, sslmode, password, database):
    """How a login by libpq ends: None, or what it says."""
    options = {"sslcert": "none", "sslkey": "none"}
    if certificate:
        options = {"sslcert": str(certificate.certificate), "sslkey": str(certificate.key)}
    try:
        psycopg.connect(host="127.0.0.1", port=server.port, user=user, dbname=database,
                        password=password or "", sslmode=sslmode, gssencmode="disable",
                        connect_timeout=30, **options).close()
    except psycopg.OperationalError as error:
        return re.sub(r"(?s).*?failed: |\nHINT:.*", "", str(error)).strip()
    return None


@pytest.mark.parametrize("login", LOGINS)
def test_a_login_ends_as_at_a_postgresql_with_the_same_rules(model, weir, certificates, login):
    user, sslmode, owner, password, database = LOGINS[login]
    certificate = certificates.get(owner)
    said = [ending(server, certificate, user, sslmode, password, database)
            for server in (weir, model)]
    assert said[0] == said[1]
