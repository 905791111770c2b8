"""What tests watch from outside while clients are at work: PostgreSQL's backends, the console."""

import contextlib
import threading
import time

import wire
from cluster import until


class Sampler(threading.Thread):
    """Watches how many backends a database has while something goes on."""

    def __init__(self, cluster, database):
        super().__init__(daemon=True)
        self.cluster, self.database = cluster, database
        self.most, self.samples, self.stopping = 0, 0, threading.Event()

    def run(self):
        with self.cluster.connect("postgres") as connection:
            while not self.stopping.is_set():
                count = connection.execute(
                    "select count(*) from pg_stat_activity where datname = %s"
                    " and backend_type = 'client backend'", (self.database,)).fetchone()[0]
                self.most, self.samples = max(self.most, count), self.samples + 1
                time.sleep(0.01)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join()


def pids(cluster, database, user=None):
    """The backends of this database."""
    with cluster.connect("postgres") as connection:
        return {pid for (pid,) in connection.execute(
            "select pid from pg_stat_activity where backend_type = 'client backend'"
            " and datname = %s and usename = coalesce(%s, usename)", (database, user))}


def waiting(pooler, database, count=1, user="app"):
    until(lambda: (pooler.pool(database, user) or {}).get("cl_waiting") == count,
          what=f"{count} waiting clients")


def running(cluster, sql):
    """Waits until a server runs this statement; its pid."""
    return until(lambda: cluster.execute(
        "select pid from pg_stat_activity where state = 'active'"
        f" and query = '{sql}'"), what=f"{sql} running")[0][0]


def settled(weir, cluster):
    """Waits until no client is left and what the pool accounts for is what PostgreSQL sees."""
    def quiet():
        row = weir.pool(weir.database)
        return row and row["cl_active"] == row["cl_waiting"] == row["sv_active"] == 0
    until(quiet, what="no clients left")
    until(lambda: weir.permits(weir.database) == cluster.backends(weir.database),
          what="permits equal to backends")


def serves_at_once(weir, count, user="app"):
    """So many clients of its database are in a transaction at the same time."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(weir.wire(user, weir.database)) for _ in range(count)]
        for client in clients:
            client.send(wire.query("begin"), wire.query("select pg_backend_pid()"))
        return len({wire.rows(client.read_ready(2))[0][0] for client in clients}) == count
