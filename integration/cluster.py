"""A PostgreSQL cluster of its own: made by initdb in a temporary folder, thrown away afterwards."""

import contextlib
import itertools
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import psycopg

from scram import md5_secret

# How the server authenticates each role over TCP; the unix socket is open to all.
ROLES = {
    "app": ("scram-sha-256", "app-secret"),
    "other": ("scram-sha-256", "other-secret"),
    "scram_user": ("scram-sha-256", "scram-secret"),
    "md5_user": ("md5", "md5-secret"),
    "plain_user": ("password", "plain-secret"),
    "trust_user": ("trust", "trust-secret"),
    "boss": ("scram-sha-256", "boss-secret"),
}
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "shared_buffers": "32MB",
    "max_connections": "300",
    "jit": "off",
    "log_destination": "stderr",
    "timezone": "Etc/UTC",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "max_wal_size": "128MB",  # clusters may live in memory
}


def unprivileged_user():
    """The account PostgreSQL runs under: ourselves, unless we are root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "pgweir-test"):
        with contextlib.suppress(KeyError):
            pwd.getpwnam(name)
            return name
    subprocess.run(["useradd", "--system", "pgweir-test"], check=True)
    return "pgweir-test"


def _ports():
    """Ports below those that the kernel gives to clients; each pytest-xdist worker has its own."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = list(range(10_000 + worker % 16, 32_768, 16))
    random.SystemRandom().shuffle(ports)
    return itertools.cycle(ports)


_candidates = _ports()


def free_port():
    """A port that nobody listens on, and that nobody else who asks is given soon."""
    for port in _candidates:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def until(condition, seconds=30, what="condition"):
    """Polls until condition() is true; the value is returned. Fails after a generous bound."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} not reached within {seconds} s"
        time.sleep(0.02)


class Cluster:
    """`host`/`port` reach it over TCP, `socket_dir` over a unix socket without a password."""

    def __init__(self, install, folder):
        self.install, self.major = install, install.major
        self.folder = Path(folder)
        self.data = self.folder / "data"
        self.log_path = self.folder / "log"
        self.host, self.port = "127.0.0.1", free_port()
        self.socket_dir = str(self.folder)
        self.process = None
        self._user = unprivileged_user()
        self._numbers = itertools.count(1)

    @property
    def address(self):
        return (self.host, self.port)

    def _as_user(self):
        if not self._user:
            return {}
        group = pwd.getpwnam(self._user).pw_gid
        return {"user": self._user, "group": group, "extra_groups": []}

    def create(self, **settings):
        """`settings` are laid over SETTINGS."""
        self.folder.mkdir(parents=True)
        if self._user:
            shutil.chown(self.folder, self._user)
        subprocess.run(
            [self.install.program("initdb"), "-D", self.data, "-U", "postgres", "-A", "trust",
             "-E", "UTF8", "--no-locale", "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, **self._as_user())
        hba = ["local all all trust"]
        for role, (method, _) in ROLES.items():
            hba += [f"host all {role} {net} {method}" for net in ("127.0.0.1/32", "::1/128")]
        (self.data / "pg_hba.conf").write_text("\n".join(hba) + "\n")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.writelines(f"{k} = '{v}'\n" for k, v in {**SETTINGS, **settings}.items())
        self.start()
        for role, (method, password) in ROLES.items():
            secret = md5_secret(role, password) if method == "md5" else password
            self.execute(f"create role {role} login password '{secret}'")
        self.execute("alter role boss superuser")
        self.execute("create role app_group")
        self.execute("grant app_group to app")
        self.execute("create database model")  # never connected to again, so it can be copied
        self.execute("grant all on schema public to public", database="model")
        self.create_database(name="shop")
        return self

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [self.install.program("postgres"), "-D", self.data, "-p", str(self.port),
                 "-h", "127.0.0.1", "-k", self.socket_dir],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                **self._as_user())
        until(self.ready, 60, "PostgreSQL's start")

    def ready(self):
        assert self.process.poll() is None, self.log()
        try:
            self.connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how=signal.SIGINT):
        """Stops at once; SIGQUIT is a crash."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(60)

    def destroy(self):
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self, since=0):
        with open(self.log_path, "rb") as log:
            log.seek(since)
            return log.read().decode("utf-8", "replace")

    def log_position(self):
        return self.log_path.stat().st_size

    def connect(self, database="shop", user="postgres", **options):
        return psycopg.connect(host=self.socket_dir, port=self.port, user=user, dbname=database,
                               autocommit=True, application_name="test", **options)

    def execute(self, sql, database="postgres"):
        """Runs one statement as superuser; its rows, or None."""
        with self.connect(database) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else None

    def value(self, sql, database="postgres"):
        return self.execute(sql, database)[0][0]

    def create_database(self, template="model", name=None):
        name = name or f"db_{next(self._numbers)}"
        # A third of the processor time of the default, which writes the copy to the WAL.
        strategy = "strategy file_copy" if self.major >= 15 else ""
        self.execute(f"create database {name} template {template} {strategy}")
        return name

    def drop_database(self, name):
        self.execute(f"drop database if exists {name} with (force)")

    def backends(self, database, where="true"):
        """How many client backends the server has in this database."""
        return self.value(
            "select count(*) from pg_stat_activity where backend_type = 'client backend'"
            f" and datname = '{database}' and application_name is distinct from 'test'"
            f" and ({where})")
