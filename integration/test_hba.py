"""Logins by rules: pg_hba.conf and pg_ident.conf, each beside a PostgreSQL with the same files."""

import os
import pwd
import re
import signal
import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from cluster import Cluster, until
from installs import WANTED, find
from pooler import BINARY, default_config, merged, toml
from wire import Wire

ME = pwd.getpwuid(os.geteuid()).pw_name  # what peer finds us to be

# Users of both sides. None: without a password. The last is in neither.
USERS = {
    "by_trust": "t-secret", "by_password": "p-secret", "by_md5": "m-secret", "by_scram": "s-secret",
    "by_peer": "x-secret", "mapped": "x-secret", "mapped_by_expression": "x-secret",
    "mapped_to_all": "x-secret", "rejected": "x-secret", "without": None, "app_1": "a-secret",
    "from_file": "f-secret", ME: "x-secret", "wanderer": "w-secret",
}
RULES = f"""
local   all           postgres              trust
local   all           by_peer               peer
local   all           {ME}                  ident
local   all           mapped,nobody_mapped  peer map=people
local   all           "mapped_by_expression" peer map=pattern
local   all           nobody                trust
local   pgweir        by_trust              trust
local   all           by_scram              scram-sha-256
host    shop          rejected   127.0.0.1/32             reject
hostnogssenc all      by_trust   127.0.0.0 255.0.0.0      trust
host    all           nobody     127.0.0.1/32             trust
host    "all"         wanderer   127.0.0.1/32             trust
host    replication   wanderer   127.0.0.1/32             reject
host    sameuser      wanderer   samehost                 trust
host    all           by_password,no_password 127.0.0.1/32 password
hostnossl all         by_md5,no_md5 samenet               md5
host    shop,elsewhere by_scram,no_scram,without \\
                                 127.0.0.1/32             scram-sha-256
hostssl all           wanderer   all                      trust
host    all           @users     all                      scram-sha-256
host    all           all        ::1/128                  trust
"""
NEWER_RULES = """
local   all           mapped_to_all         peer map=everybody
host    /^sh.p$       /^app_\\d$ 127.0.0.1/32             scram-sha-256
include_if_exists absent.conf
include more.conf
"""
MAPS = f"""
# map       system-user     user
people      nobody_at_all   mapped
people      "{ME}"          mapped
people      {ME}            nobody_mapped
pattern     /^(.){ME[1:]}$  mapped_by_expression
pattern     /^{ME[0]}(.*)$  \\1_unheard_of
"""
NEWER_MAPS = f"everybody {ME} all\n"
FILES = {"users": "from_file, # and nobody else\nnobody_from_file\n",
         "more.conf": "host all without 127.0.0.1/32 reject\n"}

# name: (where, user, database, password); `where` is a unix socket or 127.0.0.1.
LOGINS = {
    "no rule at all": ("tcp", "stranger", "shop", "x"),
    "no rule for a known user": ("tcp", "by_peer", "shop", "x-secret"),
    "no rule for the socket": ("socket", "by_trust", "shop", "t-secret"),
    "no rule for the database": ("tcp", "wanderer", "shop", "w-secret"),
    "a quoted keyword is a name": ("tcp", "wanderer", "all", "w-secret"),
    "sameuser": ("tcp", "wanderer", "wanderer", "w-secret"),
    "reject": ("tcp", "rejected", "shop", "x-secret"),
    "no rule behind a reject": ("tcp", "rejected", "elsewhere", "x-secret"),
    "trust": ("tcp", "by_trust", "shop", None),
    "trust to who is not there": ("tcp", "nobody", "shop", None),
    "trust to a database that is not there": ("tcp", "by_trust", "elsewhere", None),
    "trust on the socket to who is not there": ("socket", "nobody", "shop", None),
    "password": ("tcp", "by_password", "shop", "p-secret"),
    "password, wrong": ("tcp", "by_password", "shop", "wrong"),
    "password, empty": ("tcp", "by_password", "shop", ""),
    "password of who is not there": ("tcp", "no_password", "shop", "x"),
    "md5": ("tcp", "by_md5", "shop", "m-secret"),
    "md5, wrong": ("tcp", "by_md5", "shop", "wrong"),
    "md5 of who is not there": ("tcp", "no_md5", "shop", "x"),
    "scram": ("tcp", "by_scram", "shop", "s-secret"),
    "scram, wrong": ("tcp", "by_scram", "shop", "wrong"),
    "scram on the socket": ("socket", "by_scram", "shop", "s-secret"),
    "scram of who is not there": ("tcp", "no_scram", "shop", "x"),
    "scram without a password": ("tcp", "without", "shop", "x"),
    "scram to a database that is not there": ("tcp", "by_scram", "elsewhere", "s-secret"),
    "a user named in a file": ("tcp", "from_file", "shop", "f-secret"),
    "a user named in a file who is not there": ("tcp", "nobody_from_file", "shop", "x"),
    "peer, somebody else": ("socket", "by_peer", "shop", None),
    "peer, by the older name": ("socket", ME, "shop", None),
    "peer by a map": ("socket", "mapped", "shop", None),
    "peer by a map to who is not there": ("socket", "nobody_mapped", "shop", None),
    "peer by an expression": ("socket", "mapped_by_expression", "shop", None),
}
NEWER_LOGINS = {
    "peer by a map to all": ("socket", "mapped_to_all", "shop", None),
    "expressions": ("tcp", "app_1", "shop", "a-secret"),
    "an expression that does not match": ("tcp", "app_10", "shop", "a-secret"),
    "a rule of an included file": ("tcp", "without", "wanderer", "x"),
}
NEWER = 16  # regular expressions, include and "all" in maps came with PostgreSQL 16


def rules_of(major):
    newer = major >= NEWER
    return RULES + (NEWER_RULES if newer else ""), MAPS + (NEWER_MAPS if newer else "")


def write(folder, hba, ident):
    for name, text in {**FILES, "pg_hba.conf": hba, "pg_ident.conf": ident}.items():
        (folder / name).write_text(text, encoding="utf-8")


class Model(Cluster):
    """A PostgreSQL that goes by our rules."""

    def go_by(self, hba, ident):
        write(self.data, hba, ident)
        before = self.value("select pg_conf_load_time()")
        self.execute("select pg_reload_conf()")
        until(lambda: self.value("select pg_conf_load_time()") > before, what="the rules in force")


@pytest.fixture(scope="module", params=WANTED, ids=[f"pg{v}" for v in WANTED])
def model(request, base, data):
    install = find(base).get(request.param)
    if not install:
        pytest.skip(f"no PostgreSQL {request.param} server is installed")
    cluster = Model(install, data / f"hba{request.param}")
    try:
        cluster.create(max_wal_senders=2, wal_level="replica")
        for user, password in USERS.items():
            if user == "by_md5":
                cluster.execute("set password_encryption = 'md5';"
                                f" create role by_md5 login password '{password}'")
            else:
                secret = f"password '{password}'" if password else ""
                cluster.execute(f'create role "{user}" login {secret}')
        cluster.create_database(name="wanderer")
        cluster.go_by(*rules_of(cluster.major))
        yield cluster
    finally:
        cluster.destroy()


def configuration(cluster, folder):
    """Clients by rules; whoever they are, `app` works for them at the server."""
    server = {"user": "app", "password": "app-secret", "dbname": "shop"}
    names = ("shop", "wanderer")
    return merged(default_config(cluster, names), {
        "auth": {"method": "hba", "hba_file": "pg_hba.conf", "ident_file": "pg_ident.conf"},
        "listen": {"unix_socket_dir": str(folder)},
        "database": {name: server for name in names},
        "user": {user: {"password": password} if password else {}
                 for user, password in USERS.items()} | {
                     "by_trust": {"password": USERS["by_trust"], "console": "stats"}}})


@pytest.fixture(scope="module")
def weir(model, clusters, base, lasting_pooler):
    folder = base / f"hba{model.major}"
    folder.mkdir()
    write(folder, *rules_of(model.major))
    config = configuration(clusters(WANTED[0]), folder)
    for key, name in (("hba_file", "pg_hba.conf"), ("ident_file", "pg_ident.conf")):
        config["auth"][key] = str(folder / name)
    return lasting_pooler(None, config=config)


def socket_of(server):
    folder = server.socket_dir if isinstance(server, Cluster) else (
        server.config["listen"]["unix_socket_dir"])
    return f"{folder}/.s.PGSQL.{server.port}"


def answer(server, where, user, database, password, **params):
    """What a login ends in: None, or the error without its place in PostgreSQL's source, and without
    the hint that says whose rules they are."""
    with Wire(server.address if where == "tcp" else socket_of(server)) as client:
        client.login(user, database, password, **params)
        error = client.login_error
        return error and {k: v for k, v in error.items() if k not in "FHLR"}


@pytest.mark.parametrize("login", [*LOGINS, *NEWER_LOGINS])
def test_a_login_ends_as_at_a_postgresql_with_the_same_rules(model, weir, login):
    if login in NEWER_LOGINS and model.major < NEWER:
        pytest.skip(f"PostgreSQL {model.major} has no such rules")
    asked = {**LOGINS, **NEWER_LOGINS}[login]
    assert answer(weir, *asked) == answer(model, *asked)


@pytest.mark.parametrize("user", ["wanderer", "by_trust"])
def test_physical_replication_needs_a_rule_of_its_own(model, weir, user):
    asked = ("tcp", user, "shop", USERS[user])
    error = answer(weir, *asked, replication="true")
    assert error["C"] == "28000" and "replication" in error["M"]
    assert error == answer(model, *asked, replication="true")


def test_the_socket_is_no_way_around_a_map(model, weir):
    """Somebody else on this machine is not who we are."""
    other = pwd.getpwnam("nobody")
    script = ("import sys; sys.path.insert(0, sys.argv[1]); from wire import Wire;"
              "c = Wire(sys.argv[2]); c.login('mapped', 'shop'); print(c.login_error)")
    said = [subprocess.run(
        ["python3", "-c", script, os.path.dirname(__file__), socket_of(server)],
        user=other.pw_uid, group=other.pw_gid, extra_groups=[], capture_output=True, text=True,
        check=True).stdout for server in (weir, model)]
    assert all('Peer authentication failed for user "mapped"' in s for s in said), said


# --- what is in the files ------------------------------------------------------------------------

WRONG = """hosts all all all trust
local,host all all trust
local
local all
host all all
host all all 127.0.0.1
local all all
host all all ::1,::2 trust
host all all 10.0.0.0 1.1.1.1,2.2.2.2 trust
local all all md5,trust
host all all 10.0.0.0/33 trust
host all all 10.0.0.0/8x trust
host all all ::1/129 trust
host all all db.example/32 trust
host all all 10.0.0.0 ffff:: trust
host all all 10.0.0.0 mask trust
local all all guess
host all all all peer
host all all all cert
local all all trust map
local all all trust x=y
local all all trust map=m
host all all all md5 clientcert=verify-ca
hostssl all all all cert clientcert=verify-ca
host all all all trust clientname=CN
local all @gone trust
"""


def checked(path):
    """What `pgweir check` says of the files of rules: {line: message}."""
    done = subprocess.run([BINARY, "check", "-c", path], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 2
    found = re.findall(r"^.*/pg_hba\.conf:(\d+): (.*?)(?: \([^()]*\))?$", done.stderr, re.M)
    return {int(line): message for line, message in found}


def test_what_is_wrong_with_a_line_is_said_in_postgresql_s_words(model, clusters, tmp_path):
    without = ["map=m"] if model.major >= NEWER else ["@gone"]  # what versions word differently
    if not model.value("select setting from pg_settings where name = 'ssl_library'"):
        without += ["hostssl", "cert"]  # such a build does not look at the rest of these lines
    wrong = "".join(line for line in WRONG.splitlines(keepends=True)
                    if not any(word in line for word in without))
    write(tmp_path, wrong, "")
    config = configuration(clusters(WANTED[0]), tmp_path)
    (tmp_path / "pgweir.toml").write_text(toml(config), encoding="utf-8")
    mine = checked(tmp_path / "pgweir.toml")
    write(model.data, wrong, "")
    try:
        theirs = dict(model.execute("select line_number, error from pg_hba_file_rules"))
    finally:
        write(model.data, *rules_of(model.major))
    folder = re.compile(r'"/[^"]*/')
    assert {n: folder.sub('"', m) for n, m in mine.items()} == {
        n: folder.sub('"', m) for n, m in theirs.items()}


def test_show_hba_is_what_postgresql_s_view_of_the_file_is(model, weir):
    columns = ("line_number, type, database::text, user_name::text, address, netmask, auth_method,"
               " options::text")
    theirs = model.execute(f"select {columns} from pg_hba_file_rules")
    with psycopg.connect(host=weir.config["listen"]["unix_socket_dir"], port=weir.port,
                         user="by_trust", dbname="pgweir", autocommit=True) as console:
        mine = console.execute("show hba").fetchall()
    assert [row[0] for row in mine] == list(range(1, len(mine) + 1))
    assert [row[2:10] for row in mine] == theirs


# --- reload --------------------------------------------------------------------------------------


@pytest.fixture
def changing(cluster, base, pooler):
    """A pgweir whose rules a test changes: change(text) answers what RELOAD said."""
    folder = base / f"changing{time.monotonic_ns()}"
    folder.mkdir()
    hba = folder / "pg_hba.conf"
    keep = "host pgweir admin all trust\n"
    hba.write_text(keep + "host all app all scram-sha-256\n", encoding="utf-8")
    process = pooler(cluster, {"auth": {"method": "hba", "hba_file": str(hba)}})

    def change(text):
        hba.write_text(keep + text, encoding="utf-8")
        with process.console() as console:
            try:
                console.execute("RELOAD")
            except psycopg.Error as error:
                return str(error)
        return ""

    process.change_rules = change
    return process


def test_a_reload_puts_new_rules_in_force_for_new_logins(changing):
    with changing.wire("app") as before:
        assert changing.change_rules("host all app all reject\n") == ""
        assert answer(changing, "tcp", "app", "shop", "app-secret")["C"] == "28000"
        assert before.value("select 1") == "1"


def test_a_file_with_an_error_leaves_the_old_rules_in_force(changing):
    said = changing.change_rules("host all app all trust\nhost all app all\n")
    assert "pg_hba.conf:3" in said and "end-of-line before authentication method" in said
    assert answer(changing, "tcp", "app", "shop", "wrong")["C"] == "28P01"
    assert changing.alive()


def shown(weir):
    return [(r["rule_number"], r["line_number"], r["error"]) for r in weir.show("HBA")]


def test_show_hba_tells_what_is_wrong_with_refused_rules_next_to_those_in_force(changing):
    in_force = [(1, 1, None), (2, 2, None)]
    assert shown(changing) == in_force
    changing.change_rules("host all all all sometimes\nhost all app all\n")
    rules, refused = shown(changing)[:2], changing.show("HBA")[2:]
    assert rules == in_force
    assert [(r["rule_number"], r["line_number"], r["type"], r["auth_method"]) for r in refused] == [
        (None, 2, None, None), (None, 3, None, None)]
    assert [r["error"] for r in refused] == [
        'refused by the last reload, not in force: invalid authentication method "sometimes"',
        "refused by the last reload, not in force: end-of-line before authentication method"]
    assert {r["file_name"] for r in refused} == {changing.config["auth"]["hba_file"]}


def test_show_hba_forgets_refused_rules_when_a_reload_finds_good_ones(changing):
    changing.change_rules("host all app all\n")
    assert len(shown(changing)) == 3
    assert changing.change_rules("host all app all trust\n") == ""
    assert shown(changing) == [(1, 1, None), (2, 2, None)]


def test_show_hba_tells_of_no_rules_where_something_else_was_refused(changing):
    before = shown(changing)
    changing.path.write_text("[pool]\nsizee = 3\n", encoding="utf-8")
    with changing.console() as console, pytest.raises(psycopg.Error):
        console.execute("RELOAD")
    assert shown(changing) == before


def test_sighup_reads_the_rules_again(changing):
    Path(changing.config["auth"]["hba_file"]).write_text("host all all all reject\n",
                                                         encoding="utf-8")
    changing.signal(signal.SIGHUP)
    until(lambda: answer(changing, "tcp", "app", "shop", "app-secret"), what="the rules in force")


def test_a_start_with_an_error_in_the_rules_says_where(cluster, base, pooler, tmp_path):
    hba = tmp_path / "pg_hba.conf"
    hba.write_text("local all +admins trust\n", encoding="utf-8")
    process = pooler(cluster, {"auth": {"method": "hba", "hba_file": str(hba)}}, wait=False)
    process.expected_status = 2
    assert process.wait() == 2
    assert f'{hba}:1: membership of roles is not known to pgweir: "+admins"' in process.log()
