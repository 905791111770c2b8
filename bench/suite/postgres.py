"""A throwaway PostgreSQL, and what it says about the connections it has."""

import os
import subprocess
import threading
import time

from suite import client, host as host_module, scram

USER = DATABASE = "bench"
MONITOR = "monitor"  # the role by which pgweir sees how the node of a cluster is
PASSWORD = "bench"

# Nothing here may wait for a disk: the pooler is what is measured.
SETTINGS = {
    "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off",
    "max_connections": "100", "shared_buffers": "256MB", "ssl": "off", "jit": "off",
    "max_wal_size": "4GB", "logging_collector": "off", "log_min_messages": "fatal",
}


class Postgres:
    """Listens on 127.0.0.1:port and on a unix socket; role and database `bench`, pgbench's tables."""

    def __init__(self, host, scale):
        self._host = host
        self.port = host_module.free_port()
        self.secret = scram.stored_secret(PASSWORD)
        self.version = host.run(host.bin / "postgres", "--version").strip()
        data = host.work / "data"
        host.run(host.bin / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N",
                 "-E", "UTF8", "--locale=C")
        host.write("data/pg_hba.conf",
                   f"local {DATABASE} {USER} scram-sha-256\n"
                   "local all postgres trust\n"
                   f"host {DATABASE} {USER},{MONITOR} 127.0.0.1/32 scram-sha-256\n")
        settings = SETTINGS | {"port": str(self.port), "listen_addresses": "127.0.0.1",
                               "unix_socket_directories": str(host.work)}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        self.process = host.start(
            host.server_command(host.bin / "postgres", "-D", data, *options), "postgres.log")
        try:
            self._fill(scale)
        except BaseException:
            self.stop()
            raise

    @property
    def socket_dir(self):
        return str(self._host.work)

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def connect_as_superuser(self):
        return client.Client(f"{self.socket_dir}/.s.PGSQL.{self.port}", "postgres", "postgres")

    def wait_until_unused(self, timeout=20.0):
        """Returns when no client's backend is left, so that no run pays for the one before it."""
        with_superuser = self.connect_as_superuser()
        try:
            deadline = time.monotonic() + timeout
            while int(with_superuser.query(_COUNT)[0][0]) > 0:
                if time.monotonic() > deadline:
                    raise RuntimeError("backends of an earlier run are still there")
                time.sleep(0.02)
        finally:
            with_superuser.close()

    def stop(self):
        self.process.send_signal(2)  # SIGINT: fast shutdown
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _fill(self, scale):
        deadline = time.monotonic() + 30
        while True:
            try:
                superuser = self.connect_as_superuser()
                break
            except (OSError, client.ServerError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        for role in (USER, MONITOR):
            superuser.query(f"CREATE ROLE {role} LOGIN PASSWORD '{self.secret}'")
        superuser.query(f"GRANT pg_monitor TO {MONITOR}")
        superuser.query(f"CREATE DATABASE {DATABASE} OWNER {USER}")
        environment = os.environ | {"PGPASSWORD": PASSWORD}
        subprocess.run([str(self._host.bin / "pgbench"), "-i", "-q", "-s", str(scale),
                        "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, DATABASE],
                       env=environment, check=True, capture_output=True)
        superuser.query("CHECKPOINT")
        superuser.close()


_COUNT = ("SELECT count(*) FROM pg_stat_activity"
          f" WHERE backend_type = 'client backend' AND usename = '{USER}'")


class BackendSampler:
    """Within `with`: looks ten times a second how many connections clients have; `most` is the peak."""

    def __init__(self, postgres):
        self._client = postgres.connect_as_superuser()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.most = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._client.close()

    def _sample(self):
        while not self._stop.wait(0.1):
            self.most = max(self.most, int(self._client.query(_COUNT)[0][0]))
