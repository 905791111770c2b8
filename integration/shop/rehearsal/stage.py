"""What stands on the stage: a PostgreSQL cluster with repmgr, pgweir in front of it, and the shop."""

import contextlib
import os
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

from suite import client, entrances, host as host_module, repmgr

SHOP = Path(__file__).resolve().parent.parent
# One standby has each acknowledged order: what an order page has said is true after a failover.
SYNCHRONOUS = ("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'", "SELECT pg_reload_conf()")
BACKENDS = ("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            f" AND usename = '{repmgr.USER}'")
# What PostgreSQL says when max_connections is reached.
FULL = (b"too many clients already", b"remaining connection slots are reserved")


class Way:
    """How the shop reaches PostgreSQL: its name in results, and its part of the environment."""

    def __init__(self, name, is_pooled, kept_seconds=0):
        self.name, self.is_pooled, self.kept_seconds = name, is_pooled, kept_seconds


WAYS = {way.name: way for way in (
    Way("direct", False), Way("pgweir", True),
    Way("direct-kept", False, 60), Way("pgweir-kept", True, 60))}


class Stage:
    """A cluster of three nodes and, unless `pgweir` is None, that program in front of it, from with to
    its end."""

    def __init__(self, pgweir):
        self._pgweir = pgweir
        self.host = self.cluster = self.entrance = None

    def __enter__(self):
        self.host = host_module.Host(pin=False)
        try:
            self.cluster = repmgr.Cluster(self.host)
            self.cluster.start()
            for node in self.cluster.nodes:
                for text in SYNCHRONOUS:
                    self.cluster.ask(node, text)
            if self._pgweir:
                self.entrance = entrances.Pgweir(self.host, self._pgweir)
                self.entrance.start(self.cluster)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.entrance:
            self.entrance.stop()
        if self.cluster:
            self.cluster.close()
        self.host.remove()

    def environment(self, way):
        """Where the shop finds its databases. Directly it has what libpq offers: a list of nodes, of
        which it takes the first that may be written to."""
        nodes = self.cluster.nodes
        if way.is_pooled:
            found = {"PGHOST": "127.0.0.1", "PGPORT": self.entrance.address[1],
                     "READ_DATABASE": self.entrance.reads}
        else:
            reads = [*nodes[1:], nodes[0]]
            found = {"PGHOST": ",".join("127.0.0.1" for _ in nodes),
                     "PGPORT": ",".join(str(n.port) for n in nodes),
                     "SHOP_TARGET_SESSION_ATTRS": "read-write",
                     "READ_HOST": ",".join("127.0.0.1" for _ in reads),
                     "READ_PORT": ",".join(str(n.port) for n in reads)}
        return {"PGUSER": repmgr.USER, "PGDATABASE": repmgr.DATABASE,
                "PGPASSWORD": self.cluster.password, "SHOP_CONN_MAX_AGE": way.kept_seconds, **found}

    def fail_over(self):
        """Kills the primary as a power cut would: when."""
        dead = self.primary()
        at = time.time()
        self.cluster.kill(dead)
        return at

    def primary(self):
        return self.cluster.wait_until(self.cluster.last_promoted, 120, "a primary")

    def timeline(self):
        """It grows with each promotion, by one for all that happen at the same time."""
        return self.cluster.timeline(self.primary())

    def make_whole(self):
        """Makes every node a standby of the primary that was promoted last, whether it was killed
        or repmgrd took it for lost."""
        primary = self.primary()
        others = [node for node in self.cluster.nodes if node is not primary]
        with contextlib.suppress(RuntimeError):  # those that come back by themselves
            self.cluster.wait_until(
                lambda: len(self.cluster.streaming(primary)) == len(others), 5, "all streaming")
        for node in others:
            if node.name in self.cluster.streaming(primary):
                continue
            if not self.cluster.is_running(node):
                self.cluster.restart_unfenced(node)
            self.cluster.rejoin(node, primary)
        for node in self.cluster.nodes:
            if node.repmgrd is None or node.repmgrd.poll() is not None:
                self.cluster.start_repmgrd(node)
        if self.entrance:
            self.cluster.wait_until(self._is_written_through, 60, "writes through pgweir")

    def _is_written_through(self):
        try:
            with contextlib.closing(self.entrance.connect(self.entrance.writes)) as sql:
                return sql.query("SELECT pg_is_in_recovery()") == [["f"]]
        except (OSError, client.ServerError):
            return False


class Shop:
    """gunicorn with the shop, from with to its end; it logs into `log`."""

    def __init__(self, environment, log, workers, threads):
        self.port = host_module.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self._environment = {**os.environ, **{k: str(v) for k, v in environment.items()},
                             "SHOP_BIND": f"127.0.0.1:{self.port}", "SHOP_WORKERS": str(workers),
                             "SHOP_THREADS": str(threads)}
        self._process = None

    def manage(self, *words):
        subprocess.run([sys.executable, SHOP / "manage.py", *words], env=self._environment,
                       stdout=subprocess.DEVNULL, check=True, timeout=300)

    def __enter__(self):
        with open(self.log, "wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "shop.wsgi"], cwd=SHOP, env=self._environment,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        try:
            repmgr.Cluster.wait_until(self._answers, 180, "the shop")
        except BaseException:
            self.close()
            raise
        return self

    def _answers(self):
        if self._process.poll() is not None:
            raise RuntimeError(f"the shop ended: {self.log.read_text(errors='replace')[-2000:]}")
        with contextlib.suppress(OSError), \
                urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
            return answer.status == 200
        return False

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Requests under way end first."""
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Census(threading.Thread):
    """Looks at each PostgreSQL four times a second, from with to its end.

    `most`: connections of the shop that one node had at a time; `refusals()`: how often one had no
    more of them."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self._cluster = cluster
        self._logs = [cluster.folder / f"{node.name}.log" for node in cluster.nodes]
        self._begins = [log.stat().st_size for log in self._logs]
        self._connections = {}
        self._quit = threading.Event()
        self.most = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._quit.set()
        self.join()
        for connection in self._connections.values():
            connection.close()

    def run(self):
        while not self._quit.wait(0.25):
            self.most = max(self.most, *map(self._count, self._cluster.nodes))

    def _count(self, node):
        try:
            if node not in self._connections:
                self._connections[node] = self._cluster.superuser(node)
            return int(self._connections[node].query(BACKENDS)[0][0])
        except (OSError, client.ServerError):
            # It was killed, and may be back.
            if node in self._connections:
                self._connections.pop(node).close()
            return 0

    def refusals(self):
        count = 0
        for path, begin in zip(self._logs, self._begins, strict=True):
            with open(path, "rb") as log:
                log.seek(begin)
                count += sum(any(words in line for words in FULL) for line in log)
        return count
