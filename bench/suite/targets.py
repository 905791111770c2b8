"""What is compared: PgBouncer, pgweir, and no pooler at all. One fresh process a run."""

import os
import re
import shutil
import subprocess
import time

from suite import client, host as host_module, probes
from suite.postgres import DATABASE, MONITOR, PASSWORD, USER

POOL_SIZE = 20
MAX_CLIENTS = 12_000


class Direct:
    """PostgreSQL itself, for the side figures (throughput, latency)."""

    name = "direct"
    version = "no pooler"
    supports_prepared = True
    is_process = has_workers = speaks_tls = False
    max_clients = 90

    def start(self, postgres, _server_socket, _identity=None, _environment=None, _under=()):
        return Running(postgres.address, None)


class Pooler:
    """Starts a pooler that listens on 127.0.0.1 in transaction mode with POOL_SIZE servers."""

    is_process = speaks_tls = True
    has_workers = False
    max_clients = MAX_CLIENTS

    def __init__(self, host, program):
        self._host = host
        self._program = program

    def start(self, postgres, server_socket, identity=None, environment=None, under=()):
        """`server_socket`: tcp or unix, the pooler's way to PostgreSQL. `identity`: clients must
        speak TLS 1.3, and are shown it. `under`: a program that runs the pooler, with its options.
        Returns a Running."""
        port = host_module.free_port()
        server = postgres.socket_dir if server_socket == "unix" else "127.0.0.1"
        command = self._command(port, server, postgres, identity)
        process = self._host.start(self._host.server_command(*under, *command), f"{self.name}.log",
                                   env=os.environ | (environment or {}))
        running = Running(("127.0.0.1", port), process, identity is not None)
        deadline = time.monotonic() + (60 if under else 10)
        while True:
            try:
                running.login().close()
                return running
            except (OSError, client.ServerError) as problem:
                if process.poll() is not None or time.monotonic() > deadline:
                    running.stop()
                    raise RuntimeError(f"{self.name} does not serve ({problem}): "
                                       + self._last_words()) from problem
                time.sleep(0.05)

    def log(self):
        return (self._host.work / f"{self.name}.log").read_text(errors="replace").splitlines()

    def _last_words(self):
        lines = self.log()
        return lines[-1] if lines else "it logged nothing"


class PgBouncer(Pooler):
    name = "pgbouncer"

    def __init__(self, host, program):
        super().__init__(host, program)
        text = host.run(program, "--version").splitlines()[0]
        self.version = text
        number = re.search(r"(\d+)\.(\d+)", text)
        self.supports_prepared = (int(number[1]), int(number[2])) >= (1, 21)

    def _command(self, port, server, postgres, identity):
        # server_tls_sslmode: newer versions default to prefer, which would encrypt one side only.
        extra = "max_prepared_statements = 200\n" if self.supports_prepared else ""
        if identity:
            extra += f"""client_tls_sslmode = require
client_tls_cert_file = {identity.certificate}
client_tls_key_file = {identity.key}
client_tls_protocols = tlsv1.3
"""
        self._host.write("userlist.txt", f'"{USER}" "{postgres.secret}"\n')
        config = self._host.write("pgbouncer.ini", f"""[databases]
{DATABASE} = host={server} port={postgres.port} dbname={DATABASE}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {self._host.work}/userlist.txt
pool_mode = transaction
default_pool_size = {POOL_SIZE}
max_client_conn = {MAX_CLIENTS}
server_tls_sslmode = disable
log_connections = 0
log_disconnections = 0
log_stats = 0
{extra}""")
        return [self._program, config]


class Pgweir(Pooler):
    supports_prepared = has_workers = True

    def __init__(self, host, program, workers=1, name="pgweir"):
        super().__init__(host, host.install(program))
        self.name = name
        self._workers = workers
        self.version = host.run(self._program, "--version").splitlines()[0]

    def _database(self, server, postgres):
        return f"""[database.{DATABASE}]
host = "{server}"
port = {postgres.port}
"""

    def _command(self, port, server, postgres, identity):
        tls = f"""[client_tls]
mode = "require"
certificate = "{identity.certificate}"
key = "{identity.key}"
min_version = "TLSv1.3"
""" if identity else ""
        config = self._host.write(f"{self.name}.toml", f"""[listen]
addresses = ["127.0.0.1"]
port = {port}
[log]
level = "warn"
[workers]
count = {self._workers}
[auth]
method = "scram-sha-256"
[limits]
max_clients = {MAX_CLIENTS}
[pool]
mode = "transaction"
size = {POOL_SIZE}
{tls}{self._database(server, postgres)}[user.{USER}]
password = "{postgres.secret}"
""")
        return [self._program, "run", "-c", config]


class PgweirCluster(Pgweir):
    """The same, but the database is that of a cluster, of one node: each transaction needs its
    lease. What the role of its primary costs is the difference."""

    def __init__(self, host, program):
        super().__init__(host, program, name="pgweir-cluster")

    def _database(self, server, postgres):
        state = self._host.folder("state")
        # What a probe costs goes by time, not by transactions, so there are few; and whoever counts
        # instructions slows all down a good deal.
        return f"""[process]
state_dir = "{state}"
[cluster.main]
nodes = ["{server}:{postgres.port}"]
check_interval = "1m"
probe_timeout = "10s"
lease = "5m"
[cluster.main.monitor]
user = "{MONITOR}"
password = "{PASSWORD}"
database = "{DATABASE}"
[database.{DATABASE}]
cluster = "main"
"""


class Running:
    """A started target: `address` for clients; `pid` is None for the direct connection."""

    def __init__(self, address, process, tls=False):
        self.address = address
        self._tls = tls
        self._process = process
        self.pid = process.pid if process else None

    def login(self):
        return client.Client(self.address, USER, DATABASE, PASSWORD, tls=self._tls)

    def threads(self):
        return probes.threads_of(self.pid)

    def workers(self):
        return [thread for thread, name in self.threads() if probes.is_worker(name)]

    def stop(self):
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def died(self):
        return self._process is not None and self._process.poll() is not None


def find_pgbouncer():
    path = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if not path:
        raise SystemExit("bench: pgbouncer is not installed (give --targets without it)")
    return path
