"""The measurements themselves. Each returns plain dicts of figures; report.py puts them together."""

import dataclasses
import pathlib
import time

from suite import certificates, client
from suite.load import Load, run_to_end
from suite.postgres import BackendSampler
from suite.probes import (CallgrindCounts, HeapCounters, PerfCounters, Strace, TlsFloor, Usage,
                          resident_bytes)
from suite.targets import POOL_SIZE

SOURCES = pathlib.Path(__file__).parent.parent


@dataclasses.dataclass(frozen=True)
class Workload:
    """One way to load a pooler with pgbench; without a script with pgbench -S."""

    name: str
    protocol: str
    clients: int
    script: str = ""
    connects: bool = False  # each transaction on a connection of its own
    tls: str = ""           # the kind of certificate, see certificates.KINDS; none: no TLS
    bytes: int = 0          # of a result, where that is large

    @property
    def simulated(self):
        """Transactions of a client under callgrind, in a shorter and a longer run."""
        if self.bytes:
            return (1, 6)
        if self.clients == 1:
            return (500, 5000)
        return (20, 220) if self.clients < 500 else (5, 45)

    def fits(self, target):
        return (self.clients <= target.max_clients and (not self.tls or target.speaks_tls)
                and (self.protocol != "prepared" or target.supports_prepared))


TEN_IN_A_PIPELINE = "\n".join([
    "\\set aid random(1, 100000)", "\\startpipeline",
    *["SELECT abalance FROM pgbench_accounts WHERE aid = :aid;"] * 10, "\\endpipeline", ""])

ROWS, ROW = 2048, 1000
LARGE_RESULT = f"SELECT repeat('x', {ROW}) FROM generate_series(1, {ROWS});\n"
LARGE_BYTES = ROWS * (ROW + 11)  # with what a DataRow has around its value

WORKLOADS = (
    Workload("simple-1", "simple", 1),
    Workload("extended-1", "extended", 1),
    Workload("simple-64", "simple", 64),
    Workload("extended-64", "extended", 64),
    Workload("prepared-64", "prepared", 64),
    Workload("simple-1000", "simple", 1000),
    Workload("extended-1000", "extended", 1000),
    Workload("prepared-1000", "prepared", 1000),
    Workload("pipeline-64", "extended", 64, TEN_IN_A_PIPELINE),
    Workload("login", "simple", 4, connects=True),
    Workload("login-tls-ecdsa", "simple", 4, connects=True, tls="ecdsa"),
    Workload("login-tls-rsa", "simple", 4, connects=True, tls="rsa"),
    Workload("tls-simple-64", "simple", 64, tls="ecdsa"),
    Workload("tls-extended-64", "extended", 64, tls="ecdsa"),
    Workload("bulk", "simple", 4, LARGE_RESULT, bytes=LARGE_BYTES),
    Workload("tls-bulk", "simple", 4, LARGE_RESULT, tls="ecdsa", bytes=LARGE_BYTES),
)


class Bench:
    """Host, server and the way to it: what every measurement needs."""

    def __init__(self, host, postgres, server_socket):
        self.host = host
        self.postgres = postgres
        self._server_socket = server_socket

    def timed_round(self, target, workload, seconds):
        """CPU, throughput and latency over one window, with nothing attached to the pooler."""
        with self._started(target, workload.tls) as running, \
                BackendSampler(self.postgres) as backends:
            with self._load(running, workload) as load:
                before = Usage(running.pid)
                time.sleep(seconds)
                after = Usage(running.pid)
            latencies = load.transactions(before.at, after.at)
            window = after.since(before)
            count = max(len(latencies), 1)
            figures = {
                "tps": len(latencies) / window["seconds"],
                "foreign": window["foreign"], "steal": window["steal"],
                "errors": load.errors, "error_texts": load.error_texts(),
                "most_servers": backends.most,
            }
            if not workload.connects:  # pgbench's latency is without connecting
                figures |= {"p50_us": _percentile(latencies, 50),
                            "p99_us": _percentile(latencies, 99)}
            if running.pid:
                figures |= {"cpu_us": window["cpu_ns"] / 1000 / count,
                            "user_part": window["user_part"]}
                if workload.bytes:
                    figures["cpu_s_per_gb"] = figures.pop("cpu_us") * 1000 / workload.bytes
            return figures

    def counted_run(self, target, workload, seconds):
        """Instructions, then system calls, over two windows of one run. Not timed."""
        perf = self.host.perf
        windows = [("all", ["instructions:u", "instructions:k"])] if perf.instructions else []
        if perf.instructions and target.has_workers:
            windows.append(("workers", ["instructions:u"]))
        if perf.syscalls:
            windows.append(("all", ["raw_syscalls:sys_enter"]
                            + [f"syscalls:sys_enter_{name}" for name in perf.named]))
        use_strace = not perf.syscalls and perf.strace
        figures = {}
        if not windows and not use_strace:
            return figures
        spans = []
        with self._started(target, workload.tls) as running:
            with self._load(running, workload) as load:
                for threads, events in windows:
                    counters = PerfCounters(running.pid, events,
                                            running.workers() if threads == "workers" else ())
                    counters.enable()
                    start = time.time()
                    time.sleep(seconds)
                    counters.disable()
                    spans.append((start, time.time(), threads, counters.read()))
                if use_strace:
                    tracer = Strace(running.pid)
                    start = time.time()
                    time.sleep(seconds)
                    spans.append((start, time.time(), "all", tracer.read()))
            for start, end, threads, counts in spans:
                transactions = max(len(load.transactions(start, end)), 1)
                each = _per_transaction(counts, transactions)
                figures |= {"insn_workers": each["insn_user"]} if threads == "workers" else each
        return figures

    def simulated_run(self, target, workload, _seconds):
        """User instructions where the processor does not count them: under callgrind, as the
        difference of a short and a longer run, which have the same logins."""
        if self.host.perf.instructions or not self.host.callgrind or not target.is_process:
            return {}
        few, many = workload.simulated
        collected = []
        for each in (few, many):
            counts = CallgrindCounts(self.host.work)
            with self._started(target, workload.tls, under=self.host.callgrind) as running:
                run_to_end(self.host, running.address, workload, each)
                threads = running.threads()
            collected.append(counts.read(threads))
        transactions = (many - few) * workload.clients
        grown = {what: (collected[1][what] - collected[0][what]) / transactions
                 for what in collected[0]}
        figures = {"insn_user": grown["all"]}
        if target.has_workers:
            figures["insn_workers"] = grown["workers"]
        return figures

    def heap_run(self, target, workload, seconds):
        """Heap calls a transaction after warm-up."""
        counters = HeapCounters(self.host, SOURCES / "malloc_count.c")
        with self._started(target, workload.tls, counters.environment) as running:
            with self._load(running, workload) as load:
                start, before = time.time(), counters.read()
                time.sleep(seconds)
                after, end = counters.read(), time.time()
        if before["malloc"] == 0:
            return {}  # statically linked, or the loader refused the library
        transactions = max(len(load.transactions(start, end)), 1)
        grown = {slot: after[slot] - before[slot] for slot in counters.SLOTS}
        calls = sum(grown[slot] for slot in ("malloc", "calloc", "realloc", "aligned"))
        return {"heap_calls": calls / transactions, "heap_bytes": grown["bytes"] / transactions}

    def idle_clients(self, target, wanted, settle, tls=""):
        """Memory of clients that are logged in and silent, and what their silence costs in CPU.

        `settle`: seconds after the last query, in which timers of logins may run out unmeasured.
        `tls`: as in a workload.
        """
        warm = 200
        wanted = min(wanted, target.max_clients - 10, self.host.descriptors - 500)
        with self._started(target, tls) as running:
            clients = []
            try:
                clients += [running.login() for _ in range(warm)]
                baseline = resident_bytes(running.pid)
                start, cpu = time.time(), Usage(running.pid)
                clients += [running.login() for _ in range(wanted - warm)]
                login = Usage(running.pid).since(cpu)
                login_seconds = time.time() - start
                logged_in = resident_bytes(running.pid)
                for each in clients:
                    each.query("SELECT 1")
                queried = resident_bytes(running.pid)
                time.sleep(settle)
                quiet = Usage(running.pid)
                time.sleep(3)
                silence = Usage(running.pid).since(quiet)
                alive = sum(_answers(each) for each in clients)
            finally:
                for each in clients:
                    each.close()
            added = wanted - warm
            figures = {
                "clients": wanted, "errors": wanted - alive,
                "foreign": login["foreign"], "steal": login["steal"],
                "bytes_logged_in": (logged_in - baseline) / added,
                "bytes_after_query": (queried - baseline) / added,
                "rss_mib": queried / 2**20,
                "login_cpu_us": login["cpu_ns"] / 1000 / added,
                "logins_per_s": added / login_seconds,
                "idle_cpu_ms_per_s": silence["cpu_ns"] / 1e6 / silence["seconds"],
            }
        if tls:
            floor = TlsFloor(self.host, SOURCES / "tls_floor.c").measure(
                certificates.identity(self.host, tls), warm, wanted)
            figures |= {"bytes_openssl": floor,
                        "bytes_above_openssl": figures["bytes_after_query"] - floor}
        return figures

    def crowd(self, target, clients, seconds):
        """Many more clients than servers: who got an error, who waited, how many servers there were."""
        return self.timed_round(target, Workload("crowd", "simple", clients), seconds) | {
            "clients": clients, "bound": POOL_SIZE}

    def _load(self, running, workload):
        return Load(self.host, running.address, workload)

    def _started(self, target, tls="", environment=None, under=()):
        return _Started(self, target, tls, environment, under)

    def start(self, target, tls, environment, under):
        self.postgres.wait_until_unused()
        identity = certificates.identity(self.host, tls) if tls else None
        return target.start(self.postgres, self._server_socket, identity, environment, under)


class _Started:
    """A target for the time of a `with`; a pooler that dies meanwhile is an error."""

    def __init__(self, bench, target, tls, environment, under):
        self._bench, self._target, self._tls = bench, target, tls
        self._environment, self._under = environment, under

    def __enter__(self):
        self._running = self._bench.start(self._target, self._tls, self._environment, self._under)
        return self._running

    def __exit__(self, failure, *_):
        died = self._running.died()
        self._running.stop()
        if died and not failure:
            raise RuntimeError(f"{self._target.name} died while it was measured")


def _per_transaction(counts, transactions):
    figures, calls = {}, {}
    for event, count in counts.items():
        each = count / transactions
        if event == "instructions:u":
            figures["insn_user"] = each
        elif event == "instructions:k":
            figures["insn_kernel"] = each
        elif event in ("raw_syscalls:sys_enter", "total"):
            figures["syscalls"] = each
        else:
            calls[event.removeprefix("syscalls:sys_enter_")] = each
    if calls:
        figures["syscall_mix"] = {name: each for name, each in
                                  sorted(calls.items(), key=lambda c: -c[1]) if each >= 0.005}
    return figures


def _percentile(ordered, percent):
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0


def _answers(each):
    try:
        return each.query("SELECT 1") == [["1"]]
    except (OSError, client.ServerError):
        return False
