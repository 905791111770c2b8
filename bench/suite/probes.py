"""What a process has used: CPU, instructions, system calls, heap calls, memory."""

import os
import pathlib
import re
import select
import signal
import struct
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")


class Usage:
    """CPU used so far by a pooler, by this whole benchmark, and by the machine."""

    def __init__(self, pid):
        self.at = time.time()
        self.cpu_ns = cpu_nanoseconds(pid) if pid else 0
        self._user, self._system = _ticks(pid) if pid else (0, 0)
        self._machine, self._steal = _machine_ticks()
        self._ours = sum(sum(_ticks(p)) for p in _descendants(os.getpid()))

    def since(self, earlier):
        """The window between two: seconds, pooler's CPU, and what disturbed it (parts of one CPU)."""
        seconds = self.at - earlier.at
        user, system = self._user - earlier._user, self._system - earlier._system
        foreign = (self._machine - earlier._machine) - (self._ours - earlier._ours)
        return {
            "seconds": seconds,
            "cpu_ns": self.cpu_ns - earlier.cpu_ns,
            "user_part": user / max(user + system, 1),
            "foreign": max(foreign, 0) / TICK / seconds,
            "steal": (self._steal - earlier._steal) / TICK / seconds,
        }


def cpu_nanoseconds(pid):
    """Time on a CPU of all threads: the scheduler's nanoseconds, or clock ticks without those."""
    try:
        return sum(int(task.joinpath("schedstat").read_text().split()[0])
                   for task in pathlib.Path(f"/proc/{pid}/task").iterdir())
    except (OSError, IndexError):
        return sum(_ticks(pid)) * 1_000_000_000 // TICK


def resident_bytes(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) * 1024


def threads_of(pid):
    """[(id, name)] of all threads, in the order in which they began."""
    return sorted((int(task.name), task.joinpath("comm").read_text().strip())
                  for task in pathlib.Path(f"/proc/{pid}/task").iterdir())


def is_worker(name):
    """Does a thread of that name serve clients?"""
    return re.fullmatch(r"worker \d+", name) is not None


class CallgrindCounts:
    """What callgrind has counted of a process that ended, by its files in `folder`: one a thread,
    in the order in which they began."""

    def __init__(self, folder):
        self._folder = folder
        for path in self._files():
            path.unlink()

    def read(self, threads):
        """`threads`: see threads_of(); {"all": user instructions, "workers": those of workers}."""
        counts = {"all": 0, "workers": 0}
        for path in self._files():
            number = int(path.name.rpartition("-")[2])
            count = int(re.search(r"^(?:totals|summary): (\d+)", path.read_text(), re.M)[1])
            counts["all"] += count
            if number <= len(threads) and is_worker(threads[number - 1][1]):
                counts["workers"] += count
        return counts

    def _files(self):
        return self._folder.glob("callgrind-[0-9]*")


class PerfCounters:
    """perf stat on a process, counting only between enable() and disable(). `threads`: on these
    alone."""

    def __init__(self, pid, events, threads=()):
        control_read, self._control = os.pipe()
        self._acknowledged, ack_write = os.pipe()
        self._process = subprocess.Popen(
            ["perf", "stat", "-x,", "-D", "-1", "-e", ",".join(events),
             *(["-t", ",".join(map(str, threads))] if threads else ["-p", str(pid)]),
             "--control", f"fd:{control_read},{ack_write}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            pass_fds=(control_read, ack_write))
        os.close(control_read)
        os.close(ack_write)

    def enable(self):
        self._say("enable")

    def disable(self):
        self._say("disable")

    def read(self):
        """Ends perf; {event: count}."""
        self._process.send_signal(signal.SIGINT)
        text = self._process.communicate(timeout=20)[1]
        os.close(self._control)
        os.close(self._acknowledged)
        counts = {}
        for line in text.splitlines():
            fields = line.split(",")
            if len(fields) > 2 and fields[0].isdigit():
                counts[fields[2]] = int(fields[0])
        return counts

    def _say(self, word):
        os.write(self._control, word.encode() + b"\n")
        if not select.select([self._acknowledged], [], [], 20)[0]:
            raise RuntimeError("perf stat does not answer")
        os.read(self._acknowledged, 64)


class Strace:
    """Counts system calls where perf cannot. It slows the process down a lot; only counts are used."""

    def __init__(self, pid):
        self._process = subprocess.Popen(["strace", "-f", "-c", "-p", str(pid)],
                                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.PIPE, text=True)
        self._process.stderr.readline()  # "Process N attached"

    def read(self):
        """Detaches; {"total": n, name: n, ...}."""
        self._process.send_signal(signal.SIGINT)
        counts = {}
        for line in self._process.communicate(timeout=20)[1].splitlines():
            fields = line.split()
            if len(fields) >= 5 and fields[0][0].isdigit() and fields[3].isdigit():
                counts[fields[-1]] = int(fields[3])
        return counts


class HeapCounters:
    """Reads the counters that malloc_count.c keeps for the process started with `environment`."""

    SLOTS = ("malloc", "calloc", "realloc", "aligned", "free", "bytes")

    def __init__(self, host, source):
        library = host.work / "malloc_count.so"
        if not library.exists():
            subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source),
                            "-ldl"], check=True)
        self._file = host.write("malloc_count.data", "\0" * 4096)
        self.environment = {"LD_PRELOAD": str(library), "MALLOC_COUNT_FILE": str(self._file)}

    def read(self):
        data = self._file.read_bytes()
        return dict(zip(self.SLOTS, struct.unpack_from("=6Q", data)))


class TlsFloor:
    """What OpenSSL alone needs for a silent TLS connection, as tls_floor.c finds it."""

    def __init__(self, host, source):
        self._host = host
        self._program = host.work / "tls_floor"
        if not self._program.exists():
            subprocess.run(["gcc", "-O2", "-o", str(self._program), str(source), "-lssl",
                            "-lcrypto"], check=True)

    def measure(self, identity, first, last):
        """Bytes of each connection from the first-th to the last-th."""
        return int(self._host.run(self._program, *identity, first, last))


def _ticks(pid):
    """(user, system) clock ticks of a process; zeros when it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]), int(fields[12])
    except OSError:
        return 0, 0


def _machine_ticks():
    """(user + nice + system, steal) of all CPUs."""
    fields = [int(x) for x in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return sum(fields[:3]), fields[7]


def _descendants(root):
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
            except OSError:
                continue
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children.get(pid, [])
    return found
