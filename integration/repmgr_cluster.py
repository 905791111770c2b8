"""Replicated clusters that fail over by repmgr: real servers and real repmgrds on loopback.

Tests use what RepmgrCluster names and nothing else, so that the same tests can run against nodes
that are containers.
"""

import abc
import contextlib
import ctypes
import os
import pwd
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

import psycopg

import installs
from cluster import free_port, unprivileged_user, until

MONITOR = ("pgweir_monitor", "monitor-secret")
MONITOR_SQL = Path(__file__).parent.parent / "conf" / "monitor.sql"
PR_SET_CHILD_SUBREAPER = 36
SSH = """#!/bin/sh
# repmgr's switchover reaches the other node by ssh. All nodes are here.
while [ $# -gt 0 ]; do
    case "$1" in
        -o) shift 2 ;;
        -*) shift ;;
        *) break ;;
    esac
done
shift
exec sh -c "$*"
"""


class ReplicatedCluster(abc.ABC):
    """Nodes are numbered from 1; node n is called "n<n>". Node 1 is the first primary. Whoever
    promotes a node in place of another looks after each of them.

    Verbs return when what they name has happened, and raise when it has not.
    """

    nodes = ()

    @abc.abstractmethod
    def address(self, n):
        """(host, port) of a node."""

    @abc.abstractmethod
    def start(self):
        """Makes the nodes, their roles, and those who look after them."""

    @abc.abstractmethod
    def destroy(self):
        """Ends and removes everything."""

    @abc.abstractmethod
    def kill_node(self, n):
        """As a machine that loses its power: the server and who looks after it are gone at once,
        their connections end."""

    @abc.abstractmethod
    def start_node(self, n):
        """Starts a server that was killed or stopped, as what it was; and who looks after it."""

    @abc.abstractmethod
    def switchover(self, n):
        """A planned change: node n becomes the primary, the others follow it."""

    @abc.abstractmethod
    def connect(self, n, database="postgres", **options):
        """A superuser's connection straight to a node."""

    # --- the same for all ---

    def replicate_synchronously(self, on):
        """From now on a commit waits for one standby, or for none; on nodes that run."""
        names = ", ".join(f"n{n}" for n in self.nodes)
        change = f"SET synchronous_standby_names = 'ANY 1 ({names})'" if on else (
            "RESET synchronous_standby_names")
        for n in self.nodes:
            with contextlib.suppress(psycopg.OperationalError), self.connect(n) as connection:
                connection.execute(f"ALTER SYSTEM {change}")
                connection.execute("SELECT pg_reload_conf()")

    def value(self, n, sql, database="postgres"):
        with self.connect(n, database) as connection:
            return connection.execute(sql).fetchone()[0]

    def status(self):
        """{n: (is in recovery, timeline)}; None for a node that does not answer."""
        found = {}
        for n in self.nodes:
            try:
                with self.connect(n) as connection:
                    found[n] = connection.execute(
                        "SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery()"
                        " THEN (SELECT received_tli FROM pg_stat_wal_receiver)"
                        " ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))"
                        "::bit(32)::int END").fetchone()
            except psycopg.OperationalError:
                found[n] = None
        return found

    def primaries(self):
        return [n for n, told in self.status().items() if told and not told[0]]

    def wait_primary(self, other_than=None, seconds=60):
        """The number of the first node that says it is the primary."""
        def found():
            return [n for n in self.primaries() if n != other_than]
        return until(found, seconds, f"a primary other than {other_than}")[0]

    def wait_standby(self, n, seconds=60):
        """Until node n streams on the timeline of a primary."""
        def is_following():
            told = self.status()
            timelines = [t[1] for t in told.values() if t and not t[0]]
            return told[n] and told[n][0] and told[n][1] in timelines
        until(is_following, seconds, f"n{n} as a standby")


class RepmgrCluster(ReplicatedCluster):
    """What repmgr's nodes can have done to them besides."""

    @abc.abstractmethod
    def stop_node(self, n):
        """A fast shutdown of the server; its repmgrd goes on."""

    @abc.abstractmethod
    def freeze_node(self, n):
        """The server stops running; its connections stay, and nothing is answered."""

    @abc.abstractmethod
    def thaw_node(self, n):
        """The end of freeze_node()."""

    @abc.abstractmethod
    def rejoin(self, n):
        """Makes a former primary a standby of the present one, as an operator would."""

    @abc.abstractmethod
    def take_over(self, n):
        """An operator makes node n the primary in place of one that is gone; the others follow."""

    @abc.abstractmethod
    def promote(self, n):
        """Promotes node n by itself, without anybody's consent or notice."""

    @abc.abstractmethod
    def pause(self):
        """repmgrds do nothing until unpause()."""

    @abc.abstractmethod
    def unpause(self):
        """The end of pause()."""


class Process(NamedTuple):
    """A process that is not taken for another one that has got its number since."""

    pid: int
    started: int  # in ticks since the machine's start

    @staticmethod
    def stat(pid):
        """The fields of /proc/PID/stat behind the name; None when there is no such process."""
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
            return text.rsplit(")", 1)[1].split()
        return None

    @classmethod
    def of(cls, pid):
        stat = cls.stat(pid)
        return cls(pid, int(stat[19])) if stat else None

    def children(self):
        numbers = (int(e.name) for e in Path("/proc").iterdir() if e.name.isdigit())
        stats = ((pid, self.stat(pid)) for pid in numbers)
        return [Process(pid, int(stat[19])) for pid, stat in stats
                if stat and int(stat[1]) == self.pid]

    def is_gone(self):
        """Also when it has ended and only its parent, which may be us, has not noticed."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        return Process.of(self.pid) != self

    def send(self, number):
        if not self.is_gone():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def postmaster_of(data):
    """The process of the server of a data folder; None when there is none. A file that was left
    behind may hold a number that is somebody else's now."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        pid = int((data / "postmaster.pid").read_text(encoding="ascii").split()[0])
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if str(data).encode() in words:
            return Process.of(pid)
    return None


def kill_server(data):
    """Server and backends of a data folder are gone when this returns, and have said nothing."""
    postmaster = postmaster_of(data)
    if not postmaster:
        return
    # Stopped first, so that it does not see its children end and say goodbye to clients.
    postmaster.send(signal.SIGSTOP)
    family = [*postmaster.children(), postmaster]
    for process in family:
        process.send(signal.SIGKILL)
    until(lambda: all(p.is_gone() for p in family), 30, f"the end of the server of {data}")
    (data / "postmaster.pid").unlink(missing_ok=True)


def adopt_orphans():
    """What a program starts becomes our child when that program ends, so that we see it gone."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def as_user(name):
    """Arguments of subprocess for running as this user; None: as whoever we are."""
    if not name:
        return {}
    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}


def make_monitor(psql, port, host, database, environment=None, **options):
    """The role that pgweir's monitor logs in as, by the file that users run."""
    user, password = MONITOR
    subprocess.run([psql, "-X", "-q", "-h", str(host), "-p", str(port), "-U", "postgres", "-d",
                    database, "-v", "ON_ERROR_STOP=1", "-v", f"monitor={user}", "-v",
                    f"password={password}", "-f", str(MONITOR_SQL)],
                   check=True, env=environment, stdin=subprocess.DEVNULL, **options)


class LoopbackCluster(RepmgrCluster):
    """Processes on 127.0.0.1, everything in one folder.

    `fast` repmgrds fail over in a second, without asking each other whether they still see the
    primary; otherwise as recommended, which takes about three. With `sync` a commit waits for one
    standby. `repmgr` lays keys over repmgr.conf, `settings` over postgresql.conf.
    """

    def __init__(self, install, folder, nodes=3, fast=False, sync=False, repmgr=None,
                 settings=None):
        self.install = install
        self.folder = Path(folder)
        self.nodes = tuple(range(1, nodes + 1))
        self.ports = {n: free_port() for n in self.nodes}
        self.peer_ports = dict(self.ports)  # where nodes reach each other
        self.sync = sync
        self.settings = settings or {}
        self.repmgr_settings = {
            "failover": "automatic",
            "monitor_interval_secs": 1,
            "reconnect_interval": 1,
            "connection_check_type": "connection",
            **({"reconnect_attempts": 1, "primary_visibility_consensus": "false"} if fast
               else {"reconnect_attempts": 3, "primary_visibility_consensus": "true"}),
            **(repmgr or {}),
        }
        self._user = unprivileged_user()
        self._repmgrds = {}
        self._environment = {
            "PATH": f"{self.folder}/bin:{self.install.bin}:/usr/bin:/bin",
            "HOME": str(self.folder), "LC_ALL": "C",
        }
        adopt_orphans()

    def address(self, n):
        return ("127.0.0.1", self.ports[n])

    # --- files ---

    def _data(self, n):
        return self.folder / f"n{n}"

    def _conninfo(self, n):
        return (f"host=127.0.0.1 port={self.peer_ports[n]} user=repmgr dbname=repmgr"
                " password=not-for-everybody connect_timeout=2")

    def _pg_ctl(self, n, *arguments):
        options = f"-c config_file={self.folder}/p{n}.conf"
        return [str(self.install.bin / "pg_ctl"), "-D", str(self._data(n)), "-s", "-w",
                "-l", f"{self.folder}/n{n}.log", "-o", options, *arguments]

    def _repmgr(self, n):
        # Not Debian's wrapper in /usr/bin.
        return [str(self.install.bin / "repmgr"), "-f", f"{self.folder}/r{n}.conf"]

    def _write_files(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "bin").mkdir()
        ssh = self.folder / "bin" / "ssh"
        ssh.write_text(SSH, encoding="ascii")
        ssh.chmod(0o755)
        (self.folder / "hba.conf").write_text(
            "local all all trust\n"
            "host all,replication repmgr 127.0.0.1/32 trust\n"
            "host all all 127.0.0.1/32 scram-sha-256\n", encoding="ascii")
        for n in self.nodes:
            # Outside of the data folder, or a clone would take the other node's port.
            self._write_settings(f"p{n}.conf", {
                "data_directory": self._data(n), "hba_file": f"{self.folder}/hba.conf",
                "listen_addresses": "127.0.0.1", "port": self.ports[n],
                "unix_socket_directories": self.folder, "cluster_name": f"n{n}",
                "shared_preload_libraries": "repmgr", "wal_level": "replica",
                "hot_standby": "on", "wal_log_hints": "on", "wal_keep_size": "256MB",
                "max_wal_senders": 10, "max_replication_slots": 10, "fsync": "off",
                "shared_buffers": "16MB", "max_connections": 300, "autovacuum": "off", "jit": "off",
                "wal_retrieve_retry_interval": "500ms", "timezone": "Etc/UTC",
                "include_if_exists": f"{self.folder}/sync.conf", **self.settings}, " ")
            program = " ".join(map(shlex.quote, self._repmgr(n)))
            self._write_settings(f"r{n}.conf", {
                "node_id": n, "node_name": f"n{n}", "conninfo": self._conninfo(n),
                "data_directory": self._data(n), "pg_bindir": self.install.bin,
                "promote_command": f"{program} standby promote",
                "follow_command": f"{program} standby follow --upstream-node-id=%n",
                "service_start_command": shlex.join(self._pg_ctl(n, "start")),
                "service_stop_command": shlex.join(self._pg_ctl(n, "-m", "fast", "stop")),
                "service_restart_command": shlex.join(self._pg_ctl(n, "-m", "fast", "restart")),
                "service_reload_command": shlex.join(self._pg_ctl(n, "reload")),
                "service_promote_command": shlex.join(self._pg_ctl(n, "promote")),
                "log_level": "INFO", **self.repmgr_settings}, "=")
        if self._user:
            for path in [self.folder, *self.folder.rglob("*")]:
                shutil.chown(path, self._user)

    def _write_settings(self, name, settings, separator):
        def quoted(value):
            return "'" + str(value).replace("'", "''") + "'"
        lines = [f"{k}{separator}{quoted(v)}\n" for k, v in settings.items()]
        (self.folder / name).write_text("".join(lines), encoding="ascii")

    # --- programs ---

    def run(self, *command, check=True, **options):
        """Runs a program to its end, as the user that owns the servers."""
        done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              env=self._environment, cwd=self.folder, timeout=120,
                              **as_user(self._user), **options)
        assert not check or done.returncode == 0, f"{shlex.join(map(str, command))}:\n{done.stdout}"
        return done

    def connect(self, n, database="postgres", **options):
        return psycopg.connect(host=str(self.folder), port=self.ports[n], user="postgres",
                               dbname=database, autocommit=True, connect_timeout=2,
                               application_name="test", **options)

    # --- verbs ---

    def start(self):
        self._write_files()
        self.run(self.install.bin / "initdb", "-D", self._data(1), "-U", "postgres", "-A", "trust",
                 "-E", "UTF8", "--no-locale", "--no-sync")
        self.run(*self._pg_ctl(1, "start"))
        with self.connect(1) as connection:
            connection.execute("CREATE ROLE repmgr SUPERUSER LOGIN REPLICATION")
            connection.execute("CREATE DATABASE repmgr OWNER repmgr")
            connection.execute("CREATE ROLE app LOGIN PASSWORD 'app-secret'")
            connection.execute("CREATE DATABASE shop OWNER app")
        self.run(*self._repmgr(1), "primary", "register")
        for n in self.nodes[1:]:
            self.run(*self._repmgr(n), "-h", "127.0.0.1", "-p", self.peer_ports[1], "-U",
                     "repmgr", "-d", "repmgr", "standby", "clone", "--fast-checkpoint")
            self.run(*self._pg_ctl(n, "start"))
            self.run(*self._repmgr(n), "standby", "register", "--upstream-node-id=1",
                     "--wait-sync=30")
        make_monitor(self.install.bin / "psql", self.ports[1], self.folder, "repmgr",
                     self._environment)
        if self.sync:
            # Only now: without standbys no commit would have ended.
            names = ", ".join(f"n{n}" for n in self.nodes)
            self._write_settings("sync.conf", {"synchronous_standby_names": f"ANY 1 ({names})"},
                                 " ")
            for n in self.nodes:
                self.run(*self._pg_ctl(n, "reload"))
        for n in self.nodes:
            self.repmgrd_start(n)
        for n in self.nodes[1:]:
            self.wait_standby(n)
        return self

    def stop(self):
        """Fast shutdown of everything, standbys last."""
        for n in self.nodes:
            self.repmgrd_stop(n)
        for n in self.nodes:
            if postmaster_of(self._data(n)):
                self.stop_node(n)

    def destroy(self):
        for n in self.nodes:
            self.repmgrd_stop(n)
            kill_server(self._data(n))
        if not os.environ.get("PGWEIR_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def repmgrd_start(self, n):
        with open(self.folder / f"repmgrd{n}.log", "ab") as log:
            self._repmgrds[n] = subprocess.Popen(
                [self.install.bin / "repmgrd", "-f", self.folder / f"r{n}.conf",
                 "--daemonize=false", "--no-pid-file"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=self._environment, cwd=self.folder, **as_user(self._user))

    def repmgrd_stop(self, n):
        process = self._repmgrds.pop(n, None)
        if process:
            process.kill()
            process.wait()

    def kill_node(self, n):
        self.repmgrd_stop(n)
        kill_server(self._data(n))

    def stop_node(self, n):
        postmaster = postmaster_of(self._data(n))
        self.run(*self._pg_ctl(n, "-m", "fast", "stop"))
        until(postmaster.is_gone, 30, f"the end of n{n}")

    def start_node(self, n):
        self.run(*self._pg_ctl(n, "start"))
        if n not in self._repmgrds:
            self.repmgrd_start(n)

    def freeze_node(self, n):
        postmaster = postmaster_of(self._data(n))
        postmaster.send(signal.SIGSTOP)
        for child in postmaster.children():
            child.send(signal.SIGSTOP)

    def thaw_node(self, n):
        postmaster = postmaster_of(self._data(n))
        for process in [*postmaster.children(), postmaster]:
            process.send(signal.SIGCONT)

    def rejoin(self, n):
        primary = self.wait_primary(other_than=n)
        self.repmgrd_stop(n)
        if postmaster_of(self._data(n)):
            self.stop_node(n)
        else:
            # pg_rewind wants a clean shutdown, which a killed server has not had.
            self.run(self.install.bin / "postgres", "--single", "-D", self._data(n),
                     "-c", f"config_file={self.folder}/p{n}.conf", "template1")
        # pg_rewind reads the timeline of the new primary from its last checkpoint, and takes both
        # nodes for being on the same one before there is a newer.
        with self.connect(primary) as connection:
            connection.execute("CHECKPOINT")
        self.run(*self._repmgr(n), "node", "rejoin", "-d", self._conninfo(primary),
                 "--force-rewind")
        self.repmgrd_start(n)
        self.wait_standby(n)
        # Its own copy of the metadata is that of the old timeline until it has caught up.
        until(lambda: self.value(n, "SELECT upstream_node_id FROM repmgr.nodes"
                                    f" WHERE node_id = {n}", "repmgr") == primary,
              60, f"n{n} below n{primary} in the metadata")

    def switchover(self, n):
        self.run(*self._repmgr(n), "standby", "switchover", "--siblings-follow")

    def take_over(self, n):
        self.run(*self._repmgr(n), "standby", "promote", "--siblings-follow")

    def promote(self, n):
        with self.connect(n) as connection:
            assert connection.execute("SELECT pg_promote()").fetchone()[0]

    def pause(self):
        self.run(*self._repmgr(self.primaries()[0]), "service", "pause")

    def unpause(self):
        self.run(*self._repmgr(self.primaries()[0]), "service", "unpause")


def missing(base):
    """Why no such cluster can be made here; None: it can."""
    found = installs.find(base)
    for major in sorted(found):
        if (found[major].bin / "repmgrd").exists():
            return None
    return "repmgr is not installed beside any PostgreSQL server (postgresql-15-repmgr)"


def install_of(base):
    found = installs.find(base)
    return next(found[m] for m in sorted(found) if (found[m].bin / "repmgrd").exists())

