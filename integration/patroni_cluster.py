"""A replicated cluster that fails over by Patroni: real servers, a real Patroni beside each, and the
etcd that they agree by, all on loopback."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import psycopg

import installs
from cluster import free_port, unprivileged_user, until
from repmgr_cluster import (ReplicatedCluster, adopt_orphans, as_user, kill_server, make_monitor,
                            postmaster_of)

SCOPE = "demo"
TTL = 20  # seconds, the least that Patroni has: so long a dead leader keeps its lock


def missing(base):
    """Why no such cluster can be made here; None: it can."""
    absent = [p for p in ("patroni", "etcd") if not shutil.which(p)]
    if absent:
        return f"{' and '.join(absent)} not installed (packages patroni and etcd-server)"
    return None if 15 in installs.find(base) else "PostgreSQL 15 is not installed"


class PatroniCluster(ReplicatedCluster):
    """Everything is in one folder. A node's name is in its setting weir.node, since Patroni gives
    all the same cluster_name."""

    def __init__(self, base, folder, nodes=3):
        self.install = installs.find(base)[15]
        self.folder = Path(folder)
        self.nodes = tuple(range(1, nodes + 1))
        self.ports = {n: free_port() for n in self.nodes}
        self.api_ports = {n: free_port() for n in self.nodes}
        self._etcd_port = free_port()
        self._etcd = None
        self._patronis = {}
        self._user = unprivileged_user()
        self._environment = {"PATH": f"{self.install.bin}:/usr/bin:/bin", "LC_ALL": "C",
                             "HOME": str(self.folder)}
        adopt_orphans()

    def address(self, n):
        return ("127.0.0.1", self.ports[n])

    def connect(self, n, database="postgres", **options):
        return psycopg.connect(host=str(self.folder), port=self.ports[n], user="postgres",
                               dbname=database, autocommit=True, connect_timeout=2,
                               application_name="test", **options)

    def _data(self, n):
        return self.folder / f"n{n}"

    def _config(self, n):
        return self.folder / f"patroni{n}.yml"

    def _write_files(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        for n in self.nodes:
            # YAML takes JSON.
            self._config(n).write_text(json.dumps({
                "scope": SCOPE, "name": f"n{n}",
                "restapi": {"listen": f"127.0.0.1:{self.api_ports[n]}",
                            "connect_address": f"127.0.0.1:{self.api_ports[n]}"},
                "etcd3": {"host": f"127.0.0.1:{self._etcd_port}"},
                "bootstrap": {
                    "dcs": {"ttl": TTL, "loop_wait": 1, "retry_timeout": 3,
                            "master_start_timeout": 0,
                            "postgresql": {"use_pg_rewind": True}},
                    "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, {"username": "postgres"},
                               "no-sync"]},
                "postgresql": {
                    "listen": f"127.0.0.1:{self.ports[n]}",
                    "connect_address": f"127.0.0.1:{self.ports[n]}",
                    "data_dir": str(self._data(n)), "bin_dir": str(self.install.bin),
                    "pgpass": str(self.folder / f"pgpass{n}"),
                    "basebackup": [{"checkpoint": "fast"}],
                    "authentication": {"superuser": {"username": "postgres"},
                                       "replication": {"username": "postgres"}},
                    "pg_hba": ["local all all trust",
                               "host all,replication postgres 127.0.0.1/32 trust",
                               "host all all 127.0.0.1/32 scram-sha-256"],
                    "parameters": {
                        "unix_socket_directories": str(self.folder), "weir.node": f"n{n}",
                        "shared_buffers": "16MB", "fsync": "off", "autovacuum": "off",
                        "jit": "off", "wal_retrieve_retry_interval": "500ms"}},
            }, indent=1), encoding="utf-8")
        if self._user:
            for path in [self.folder, *self.folder.rglob("*")]:
                shutil.chown(path, self._user)

    def _launch(self, name, *command):
        with open(self.folder / f"{name}.log", "ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    start_new_session=True, env=self._environment,
                                    cwd=self.folder, **as_user(self._user))

    def _launch_patroni(self, n):
        self._patronis[n] = self._launch(f"patroni{n}", "patroni", str(self._config(n)))

    def start(self):
        try:
            self._start()
        except BaseException:
            self.destroy()
            raise
        return self

    def _start(self):
        self._write_files()
        url, peers = (f"http://127.0.0.1:{p}" for p in (self._etcd_port, free_port()))
        self._etcd = self._launch(
            "etcd", "etcd", "--data-dir", str(self.folder / "etcd"), "--name", "one",
            "--listen-client-urls", url, "--advertise-client-urls", url,
            "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers,
            "--initial-cluster", f"one={peers}")
        self._launch_patroni(1)
        self.wait_primary(seconds=90)
        with self.connect(1) as connection:
            connection.execute("CREATE ROLE app LOGIN PASSWORD 'app-secret'")
            connection.execute("CREATE DATABASE shop OWNER app")
        make_monitor(self.install.bin / "psql", self.ports[1], self.folder, "postgres",
                     self._environment)
        for n in self.nodes[1:]:
            self._launch_patroni(n)
        for n in self.nodes[1:]:
            self.wait_standby(n, 90)

    def destroy(self):
        for n in self.nodes:
            self.kill_node(n)
        if self._etcd:
            self._etcd.kill()
            self._etcd.wait()
        if not os.environ.get("PGWEIR_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- verbs ---

    def kill_node(self, n):
        patroni = self._patronis.pop(n, None)
        if patroni:
            patroni.kill()
            patroni.wait()
        kill_server(self._data(n))

    def kill_server(self, n):
        """The server alone: its Patroni hears of it."""
        kill_server(self._data(n))

    def start_node(self, n):
        self._launch_patroni(n)
        self.wait_standby(n, 90)

    def switchover(self, n):
        subprocess.run(["patronictl", "-c", str(self._config(n)), "switchover", SCOPE, "--force",
                        "--candidate", f"n{n}"],
                       check=True, stdin=subprocess.DEVNULL, env=self._environment,
                       cwd=self.folder, timeout=90, **as_user(self._user))
        until(lambda: self.primaries() == [n], 60, f"n{n} as the only primary")

    def is_running(self, n):
        return postmaster_of(self._data(n)) is not None
