"""The right to write does not depend on what clients and operators do to pgweir: while thousands are
connected, scraped, reloaded and logging in, the primary's lease is renewed about as often as ever.

By default small enough for every run; docs/failover.md has the figures of a large one, made with
PGWEIR_LEASE_CLIENTS=10000 PGWEIR_LEASE_SECONDS=30 and a release build."""

import contextlib
import os
import subprocess
import sys
import threading
import time

import pytest

from cluster import ROLES, until
from observing import ask, scrape, with_http
from wire import Wire

CLIENTS = int(os.environ.get("PGWEIR_LEASE_CLIENTS", "400"))
SECONDS = float(os.environ.get("PGWEIR_LEASE_SECONDS", "8"))
LOGINS = 1000  # a second, or as many as the machine can do
LEASE = 25     # seconds; ten times the default, as machines for tests stop for a second or two
PROBES = 1     # seconds from probe to probe, the default

pytestmark = [pytest.mark.alone, pytest.mark.timeout(180 + 2 * SECONDS + CLIENTS / 20)]


class Work(threading.Thread):
    """Does step() every `rest` seconds within a `with`; how often, and how long the longest took."""

    def __init__(self, step, rest):
        super().__init__(daemon=True)
        self._step, self._rest = step, rest
        self._quit = threading.Event()
        self.done, self.longest, self.failure = 0, 0.0, None

    def run(self):
        try:
            while not self._quit.is_set():
                began = time.monotonic()
                self._step()
                took = time.monotonic() - began
                self.done, self.longest = self.done + 1, max(self.longest, took)
                self._quit.wait(max(0, self._rest - took))
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            self.failure = error

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self._quit.set()
        self.join(60)
        if kind is None and self.failure:
            raise self.failure


class Sleepers:
    """A process for each processor that only sleeps there, for short times; how much longer one of
    these was at most, in seconds, is what the machine did to everybody. Within a `with`."""

    _CODE = """
import os, select, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
now = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
longest, end = 0.0, False
while not end:
    began = now()
    end = bool(select.select([sys.stdin], [], [], 0.01)[0])
    longest = max(longest, now() - began - 0.01)
print(longest)
"""

    def __enter__(self):
        self._processes = [
            subprocess.Popen([sys.executable, "-c", self._CODE, str(cpu)], text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for cpu in os.sched_getaffinity(0)]
        return self

    def __exit__(self, *_):
        self.overslept = max(float(p.communicate()[0]) for p in self._processes)


def log_in(weir):
    wire = Wire(weir.address)
    wire.login("app", "shop", ROLES["app"][1])
    assert wire.login_error is None, wire.login_error
    return wire


@pytest.mark.parametrize("traffic", ["no", "some"])
def test_no_crowd_scrape_reload_or_login_storm_keeps_the_lease_from_being_renewed(
        own_cluster, pooler, tmp_path, capsys, traffic):
    """Without traffic the monitor's probes renew the lease; with traffic it is renewed no later."""
    sizes = iter(range(20, 1_000_000))
    storm = 8

    def reload():
        weir.change({"pool": {"size": 20 + next(sizes) % 2}})

    with contextlib.ExitStack() as stack:
        sleepers = stack.enter_context(Sleepers())
        weir = pooler(own_cluster, with_http({
            "process": {"state_dir": str(tmp_path)},
            "limits": {"max_clients": CLIENTS + 1000, "max_login_clients": 1000},
            "cluster": {"main": {
                "node": [{"name": "solo", "host": own_cluster.host, "port": own_cluster.port}],
                "lease": f"{LEASE}s", "probe_timeout": f"{LEASE // 5}s",
                "partition_grace": "1ms",  # else probes are quick for a while after the start
                "monitor": {"user": "boss", "password": ROLES["boss"][1],
                            "database": "postgres"}}},
            "database": {"shop": {"cluster": "main", "host": None, "port": None}}}))
        until(lambda: ask(weir, "/readyz").status == 200, what="readiness")
        busy = weir.connect()
        stack.callback(busy.close)
        for _ in range(CLIENTS):
            stack.callback(log_in(weir).close)
        before = scrape(weir)
        assert before.total("pgweir_clients") >= CLIENTS
        works = {
            "scrapes": Work(lambda: scrape(weir), 0.1),
            "reloads": Work(reload, 0.5),
            **({"statements": Work(lambda: busy.execute("SELECT 1"), 0.005)}
               if traffic == "some" else {}),
            **{f"logins {i}": Work(lambda: log_in(weir).close(), storm / LOGINS)
               for i in range(storm)}}
        began = time.monotonic()
        with contextlib.ExitStack() as load:
            for work in works.values():
                load.enter_context(work)
            until(lambda: time.monotonic() - began > SECONDS
                  or any(w.failure for w in works.values()), SECONDS + 60, "the end of the load")
            took = time.monotonic() - began
        after = scrape(weir)
    logins = sum(w.done for name, w in works.items() if name.startswith("logins"))
    longest = LEASE - after.total("pgweir_lease_least_seconds")
    others = ", ".join(f"{w.done} {name} (longest {w.longest * 1e3:.0f} ms)"
                       for name, w in works.items() if not name.startswith("logins"))
    with capsys.disabled():
        print(f"\n{CLIENTS} clients, {took:.0f} s: {logins / took:.0f} logins/s, {others};"
              f" the lease was renewed within {longest:.3f} s, sleepers overslept by"
              f" {sleepers.overslept:.3f} s")
    assert all(w.done > 0 for w in works.values())
    assert after.total("pgweir_lease_lapses_total") == 0
    assert longest < 1.5 * PROBES + 3 * sleepers.overslept
    assert after.total("pgweir_primary_epoch") == before.total("pgweir_primary_epoch") == 1
    assert after.total("pgweir_hold_seconds_count") == before.total("pgweir_hold_seconds_count")
    assert not {row["event"] for row in weir.show("FAILOVER_LOG")} & {"hold", "reject"}
