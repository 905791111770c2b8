"""A throwaway cluster of PostgreSQL nodes that repmgr looks after, on free ports of loopback."""

import contextlib
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import time

from suite import client, host as host_module, scram

DATABASE = USER = "shop"
MONITOR = pathlib.Path(__file__).resolve().parents[2] / "conf" / "monitor.sql"

# As fast as repmgr fails over without an election that may be cancelled for good: with consensus,
# (attempts - 1) * interval must be at least 2 * monitor_interval.
REPMGR = {
    "failover": "automatic", "monitor_interval_secs": 1, "reconnect_attempts": 3,
    "reconnect_interval": 1, "connection_check_type": "connection",
    "primary_visibility_consensus": "true", "promote_check_interval": 1,
    "node_rejoin_timeout": 60, "log_level": "INFO",
}
POSTGRES = {
    "fsync": "off", "autovacuum": "off", "shared_buffers": "16MB",
    "max_connections": "100", "wal_log_hints": "on", "wal_level": "replica", "jit": "off",
    "max_wal_senders": "8", "wal_keep_size": "256MB", "hot_standby": "on", "max_wal_size": "1GB",
    "shared_preload_libraries": "repmgr", "log_min_messages": "fatal",
    "wal_receiver_status_interval": "1s", "ssl": "off",
}


# ssh [OPTIONS] HOST COMMAND: runs the command here.
SSH = """#!/bin/sh
while :; do
    case $1 in
        -o) shift 2 ;;
        -*) shift ;;
        *) break ;;
    esac
done
shift
exec sh -c "$*"
"""


class Node:
    """One PostgreSQL and its repmgrd, which live and die together."""

    def __init__(self, number, folder):
        self.number = number
        self.name = f"pg-{number}"
        self.port = host_module.free_port()
        self.address = ("127.0.0.1", self.port)
        self.data = folder / self.name
        self.config = folder / f"{self.name}.conf"
        self.repmgr_config = folder / f"{self.name}.repmgr.conf"
        self.repmgrd = None


class Cluster:
    """`nodes` by number, from 1; the first is the primary to begin with. Needs close()."""

    def __init__(self, host, count=3, promote_wrapper=None):
        """`promote_wrapper`: a script that repmgrd runs in place of `repmgr standby promote`; it
        gets that command as its arguments."""
        self._host = host
        self._bin = host.bin
        self._promote_wrapper = promote_wrapper
        self.password = secrets.token_hex(16)
        self.secret = scram.stored_secret(self.password)
        self.folder = host.work
        self.nodes = [Node(i + 1, self.folder) for i in range(count)]
        self._prepare()

    # ---- Making it

    def _prepare(self):
        # repmgr reaches other nodes' machines over ssh. Here they are all this machine.
        self._script("ssh", SSH)
        passwords = self._host.write("pgpass", f"127.0.0.1:*:*:*:{self.password}\n")
        self._environment = {
            "PATH": f"{self.folder}:{self._bin}:/usr/bin:/bin", "LC_ALL": "C.UTF-8",
            "PGPASSFILE": str(passwords), "HOME": str(self.folder),
        }
        for node in self.nodes:
            self._host.write(node.config.name, _settings(POSTGRES | {
                "port": node.port, "listen_addresses": "127.0.0.1", "data_directory": node.data,
                "unix_socket_directories": self.folder, "hba_file": self.folder / "hba.conf"}))
            self._host.write(node.repmgr_config.name, _settings(REPMGR | {
                "node_id": node.number, "node_name": node.name, "data_directory": node.data,
                "conninfo": self._conninfo(node), "pg_bindir": self._bin, "passfile": passwords,
                "promote_command": self._promote_command(node),
                "follow_command": f"{self._bin}/repmgr -f {node.repmgr_config} standby follow "
                                  "--upstream-node-id=%n",
                "service_start_command": self._control(node, "start"),
                "service_stop_command": self._control(node, "stop -m fast"),
                "service_restart_command": self._control(node, "restart -m fast"),
                "service_reload_command": self._control(node, "reload"),
                "service_promote_command": self._control(node, "promote")}))
        # Only this folder's owner comes in without a password.
        self._host.write("hba.conf", "local all all trust\n"
                         "host all all 127.0.0.1/32 scram-sha-256\n"
                         "host replication all 127.0.0.1/32 scram-sha-256\n")

    def _promote_command(self, node):
        command = f"{self._bin}/repmgr -f {node.repmgr_config} standby promote"
        return f"{self._promote_wrapper} {command}" if self._promote_wrapper else command

    def _control(self, node, verb):
        # postgresql.conf is not in the data directory: cloning would copy it, port and all.
        options = f"-o '-c config_file={node.config}' -l {self.folder}/{node.name}.log " \
            if verb.endswith("start") or "restart" in verb else ""
        return f"{self._bin}/pg_ctl -D {node.data} -w {options}{verb}".replace("'", "''")

    def _conninfo(self, node):
        return f"host=127.0.0.1 port={node.port} user=repmgr dbname=repmgr connect_timeout=2"

    def start(self):
        first, *others = self.nodes
        self.run("initdb", "-D", first.data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8",
                 "--locale=C")
        self.start_server(first)
        with contextlib.closing(self.superuser(first)) as sql:
            sql.query(f"CREATE ROLE repmgr SUPERUSER REPLICATION LOGIN PASSWORD '{self.secret}'")
            sql.query("CREATE DATABASE repmgr OWNER repmgr")
            sql.query(f"CREATE ROLE {USER} LOGIN PASSWORD '{self.secret}'")
            sql.query(f"CREATE DATABASE {DATABASE} OWNER {USER}")
        self.repmgr(first, "primary", "register")
        # A copy: the servers' user need not be able to read this tree.
        monitor = self._host.write("monitor.sql", MONITOR.read_text(encoding="utf-8"))
        self.run("psql", "-X", "-q", "-h", self.folder, "-p", first.port, "-U", "postgres",
                 "-d", "repmgr", "-v", f"password={self.secret}", "-f", monitor)
        for node in others:
            self.repmgr(node, "-h", "127.0.0.1", "-p", first.port, "-U", "repmgr", "-d", "repmgr",
                        "standby", "clone", "--fast-checkpoint")
            self.start_server(node)
            self.repmgr(node, "standby", "register", "--upstream-node-id=1", "--wait-sync=20")
        for node in self.nodes:
            self.start_repmgrd(node)
        self.wait_until(lambda: len(self.streaming(first)) == len(others), 60, "streaming standbys")
        # A repmgrd that has not seen its primary once ends when it cannot.
        for node in others:
            self.wait_until(lambda n=node: self.is_watching(n), 60, f"repmgrd of {node.name}")

    # ---- Asking it

    def superuser(self, node, database="postgres"):
        return client.Client(f"{self.folder}/.s.PGSQL.{node.port}", "postgres", database,
                             timeout=10)

    def ask(self, node, text, database="postgres"):
        with contextlib.closing(self.superuser(node, database)) as sql:
            return sql.query(text)

    def is_primary(self, node):
        try:
            return self.ask(node, "SELECT pg_is_in_recovery()") == [["f"]]
        except (OSError, client.ServerError):
            return False

    def primary(self, but=None):
        return next((n for n in self.nodes if n is not but and self.is_primary(n)), None)

    def timeline(self, primary):
        return int(self.ask(primary, "SELECT pg_walfile_name(pg_current_wal_lsn())")[0][0][:8], 16)

    def last_promoted(self):
        """The primary; of several, which repmgrd makes where it takes one for lost that is only
        busy, the one whose timeline is the latest, and then the one that others follow. None: there is
        none, or what there is changes just now."""
        try:
            return max(filter(self.is_primary, self.nodes), default=None,
                       key=lambda n: (self.timeline(n), len(self.streaming(n))))
        except (OSError, client.ServerError):
            return None

    def is_watching(self, node):
        """Its repmgrd has seen its upstream within the last seconds."""
        return 0 <= int(self.ask(node, "SELECT repmgr.get_upstream_last_seen()", "repmgr")[0][0]) < 5

    def streaming(self, node):
        """Names of the standbys that stream from it."""
        try:
            rows = self.ask(node, "SELECT application_name FROM pg_stat_replication"
                            " WHERE state = 'streaming'")
        except (OSError, client.ServerError):
            return []
        return sorted(name for name, in rows)

    def by_port(self, port):
        return next((n for n in self.nodes if n.port == port), None)

    @staticmethod
    def wait_until(condition, seconds, what):
        deadline = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what}: not within {seconds} s")
            time.sleep(0.05)

    # ---- Doing something to it

    def start_server(self, node):
        self.run("pg_ctl", "-D", node.data, "-w", "-t", "60", "-l", f"{self.folder}/{node.name}.log",
                 "-o", f"-c config_file={node.config}", "start")

    def start_repmgrd(self, node):
        node.repmgrd = self._host.start(
            [self._bin / "repmgrd", "-f", node.repmgr_config, "--daemonize=false",
             "--no-pid-file"], f"{node.name}.repmgrd.log", env=self._environment)

    def kill(self, node):
        """What ending a container or a machine does: all its processes at once, repmgrd's too."""
        postmaster = self.postmaster(node)
        os.kill(postmaster, signal.SIGSTOP)  # so that it starts no new ones meanwhile
        victims = [*_children(postmaster), postmaster]
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._end_repmgrd(node, signal.SIGKILL)
        self.wait_until(lambda: not any(_is_running(pid) for pid in victims), 30,
                        f"the end of {node.name}")

    def is_running(self, node):
        try:
            return _is_running(self.postmaster(node))
        except (OSError, ValueError, IndexError):
            return False

    def restart_unfenced(self, node):
        """What a restart policy does: PostgreSQL and repmgrd come up as they were."""
        self._end_repmgrd(node, signal.SIGKILL)
        (node.data / "postmaster.pid").unlink(missing_ok=True)
        self.start_server(node)
        self.start_repmgrd(node)

    def rejoin(self, node, primary):
        """Makes a former primary a standby of the present one."""
        self._end_repmgrd(node, signal.SIGTERM)
        self.stop_server(node)
        # pg_rewind reads the other's timeline from its last checkpoint.
        self.ask(primary, "CHECKPOINT")
        self.repmgr(node, "node", "rejoin", "-d", self._conninfo(primary), "--force-rewind")
        self.start_repmgrd(node)
        self.wait_until(lambda: node.name in self.streaming(primary), 30, f"{node.name} streaming")

    def switchover(self, to):
        """Moves the role as planned; the time it took. All others follow."""
        began = time.monotonic()
        self.repmgr(to, "standby", "switchover", "--siblings-follow", "--always-promote")
        return time.monotonic() - began

    def stop_server(self, node):
        self.run("pg_ctl", "-D", node.data, "-w", "-m", "fast", "stop", check=False)

    def postmaster(self, node):
        return int((node.data / "postmaster.pid").read_text().split()[0])

    def close(self):
        for node in self.nodes:
            self._end_repmgrd(node, signal.SIGKILL)
        for node in self.nodes:
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                self.kill(node)

    def _end_repmgrd(self, node, how):
        if node.repmgrd is not None:
            node.repmgrd.send_signal(how)
            node.repmgrd.wait()
            node.repmgrd = None

    def repmgr(self, node, *words):
        # Not /usr/bin/repmgr, which on Debian is a wrapper that looks for Debian's clusters.
        return self.run("repmgr", "-f", node.repmgr_config, *words)

    def run(self, program, *words, check=True):
        """Runs one of PostgreSQL's programs to its end, as the servers' user."""
        with open(self.folder / "commands.log", "a+", encoding="utf-8") as log:
            begin = log.tell()
            done = subprocess.run([str(self._bin / program), *map(str, words)],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  cwd=self.folder, env=self._environment, check=False,
                                  timeout=120, **self._host.identity)
            if check and done.returncode != 0:
                log.seek(begin)
                raise RuntimeError(f"{program} {' '.join(map(str, words))} failed:\n{log.read()}")

    def _script(self, name, text):
        path = self._host.write(name, text)
        path.chmod(0o755)
        return path


def is_installed(directory):
    return (pathlib.Path(directory) / "repmgrd").exists() and shutil.which("sh")


def _settings(values):
    return "".join(f"{key} = '{value}'\n" for key, value in values.items())


def _children(pid):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                found.append(int(path.parent.name))
    return found


def _is_running(pid):
    """Not a zombie either, which some inits leave for a while."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
