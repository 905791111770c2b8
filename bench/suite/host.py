"""The machine: which CPUs to use, who runs the servers, what can be measured, and what it is called."""

import os
import pathlib
import platform
import pwd
import re
import resource
import shutil
import socket
import subprocess
import tempfile

# Tracepoints beside raw_syscalls:sys_enter, to say what the system calls were.
SYSCALLS = ("recvfrom", "sendto", "recvmsg", "sendmsg", "read", "write", "readv", "writev",
            "epoll_wait", "epoll_pwait", "epoll_ctl", "timerfd_settime", "clock_gettime", "futex")


def raise_descriptor_limit():
    """Raises the soft limit to the hard one; returns it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def postgres_bin():
    """Directory of initdb, postgres and pgbench: $PG_BIN, else the newest that is installed."""
    if os.environ.get("PG_BIN"):
        return pathlib.Path(os.environ["PG_BIN"])
    found = [p.parent for p in pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if found:
        return max(found, key=lambda p: float(p.parent.name))
    path = shutil.which("postgres")
    if path:
        return pathlib.Path(path).resolve().parent
    raise SystemExit("bench: no PostgreSQL server found; set PG_BIN to the directory of its programs")


class Host:
    """Where processes run and as whom. `work` is a fresh directory the servers' user owns."""

    def __init__(self, pin=True):
        self.bin = postgres_bin()
        self.descriptors = raise_descriptor_limit()
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="pgweir-bench-"))
        self.identity = {}
        if os.geteuid() == 0:  # PostgreSQL and PgBouncer refuse to run as root
            account = _unprivileged_account()
            self.identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self.work, account.pw_uid, account.pw_gid)
        cpus = sorted(os.sched_getaffinity(0))
        self.server_cpu = self.client_cpu = None
        if pin and len(cpus) >= 2 and shutil.which("taskset"):
            self.server_cpu, self.client_cpu = cpus[0], cpus[1]
            os.sched_setaffinity(0, {cpus[-1]})  # never in the way of what is measured
        self._everything = ",".join(map(str, cpus))
        self.perf = _Perf()
        valgrind = shutil.which("valgrind")
        self.callgrind = valgrind and [valgrind, "--tool=callgrind", "--vgdb=no",
                                       "--separate-threads=yes",
                                       f"--callgrind-out-file={self.work}/callgrind"]

    def server_command(self, *words):
        return self._on(self.server_cpu, words)

    def client_command(self, *words):
        return self._on(self.client_cpu, words)

    def start(self, command, log, **options):
        """Starts a server as the unprivileged user, its output in work/LOG."""
        with open(self.work / log, "ab") as out:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                    cwd=self.work, **self.identity, **options)

    def run(self, *words):
        """Runs a program as the unprivileged user to its end; its output. Raises when it fails."""
        done = subprocess.run([str(w) for w in words], capture_output=True, text=True,
                              cwd=self.work, **self.identity, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{words[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def write(self, name, text):
        path = self.work / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        if self.identity:
            os.chown(path, self.identity["user"], self.identity["group"])
        return path

    def folder(self, name):
        """A folder in `work` that the servers' user may write to."""
        path = self.work / name
        path.mkdir(exist_ok=True)
        if self.identity:
            os.chown(path, self.identity["user"], self.identity["group"])
        return path

    def install(self, source):
        """Copies a program into `work`: the servers' user may not be able to reach the original."""
        target = self.work / pathlib.Path(source).name
        shutil.copy2(source, target)
        target.chmod(0o755)
        return target

    def remove(self):
        shutil.rmtree(self.work, ignore_errors=True)

    def _on(self, cpu, words):
        words = [str(w) for w in words]
        # Unpinned too: the script pins itself, and its children would inherit that.
        if not shutil.which("taskset"):
            return words
        return ["taskset", "-c", self._everything if cpu is None else str(cpu), *words]


class _Perf:
    """What perf can count here: hardware instructions (often not in virtual machines), system calls."""

    def __init__(self):
        self.instructions = _perf_counts("instructions:u,instructions:k")
        self.syscalls = _perf_counts("raw_syscalls:sys_enter")
        self.strace = shutil.which("strace") is not None
        self.named = [name for name in SYSCALLS
                      if self.syscalls and _perf_counts(f"syscalls:sys_enter_{name}")]


def _perf_counts(events):
    if not shutil.which("perf"):
        return False
    done = subprocess.run(["perf", "stat", "-x,", "-e", events, "true"], capture_output=True,
                          text=True, check=False)
    return done.returncode == 0 and "<not" not in done.stderr


def _unprivileged_account():
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SystemExit("bench: started as root, and there is no user postgres or nobody")


def describe():
    """One line: processor, memory, kernel, distribution."""
    cpu = next((line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo")
                if line.startswith("model name")), platform.machine())
    kib = next((int(re.findall(r"\d+", line)[0]) for line in _lines("/proc/meminfo")
                if line.startswith("MemTotal")), 0)
    distribution = next((line.split("=", 1)[1].strip().strip('"') for line in
                         _lines("/etc/os-release") if line.startswith("PRETTY_NAME")), "?")
    guest = ", virtual machine" if any(" hypervisor" in line for line in _lines("/proc/cpuinfo")) \
        else ""
    return (f"{os.cpu_count()} x {cpu}{guest}, {kib / 2**20:.0f} GiB, Linux {platform.release()}, "
            f"{distribution}")


def _lines(path):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
