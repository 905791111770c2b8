"""Runs pgweir for a test: writes its configuration, starts it, and holds it to a clean end."""

import contextlib
import os
import re
import signal
import struct
import subprocess
import time
from pathlib import Path

import psycopg

from cluster import ROLES, free_port, until
from wire import Wire

BINARY = Path(os.environ.get("PGWEIR_BINARY")
              or Path(__file__).parent.parent / "build" / "dev" / "pgweir").resolve()
SANITIZER = re.compile(r"ERROR: (Address|Leak|Thread|Memory)Sanitizer|runtime error:"
                       r"|WARNING: ThreadSanitizer|Assertion .* failed")
# Columns of SHOW POOLS that count each server once; the others repeat some of them.
SERVER_STATES = ("active", "idle", "connecting", "checking", "cleaning", "cancelling", "moving",
                 "closing")
START = 30  # seconds; sanitizers on a busy machine are slow
END = 40


def merged(base, over):
    """`over` laid over `base`, table by table; None removes a key."""
    out = dict(base)
    for key, value in over.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merged(out[key], value)
        else:
            out[key] = value
    return out


def _value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _key(key):
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _are_sections(value):
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def toml(tables, path=(), brackets=("[", "]")):
    """The text of nested tables; a list of tables becomes as many sections of one name."""
    lines = [f"{_key(k)} = {_value(v)}" for k, v in tables.items()
             if not isinstance(v, dict) and not _are_sections(v)]
    if path and (lines or not tables):
        lines.insert(0, brackets[0] + ".".join(_key(p) for p in path) + brackets[1])
    for key, value in tables.items():
        if isinstance(value, dict):
            lines.append(toml(value, (*path, key)))
        elif _are_sections(value):
            lines += [toml(item, (*path, key), ("[[", "]]")) for item in value]
    return "\n".join(lines) + "\n"


def default_config(cluster, databases=("shop",)):
    """All roles of the cluster, two workers, a short shutdown."""
    server = {"host": cluster.host, "port": cluster.port}
    return {
        "listen": {"addresses": ["127.0.0.1"], "port": 0},
        "workers": {"count": 2},
        "timeouts": {"shutdown": "5s"},
        "database": {name: dict(server) for name in databases},
        "user": {
            **{role: {"password": password} for role, (_, password) in ROLES.items()},
            "admin": {"password": "admin-secret", "console": "admin"},
            "stats": {"password": "stats-secret", "console": "stats"},
        },
    }


class Pooler:
    """One pgweir process. `passwords` are what its clients log in with."""

    def __init__(self, folder, config, binary=BINARY):
        self.folder, self.binary = Path(folder), Path(binary)
        self.config = config if isinstance(config, str) else merged(config, {})
        self.host = "127.0.0.1"
        self.port = None
        if not isinstance(config, str):
            self.port = self.config["listen"].get("port") or free_port()
            self.config["listen"] = {**self.config["listen"], "port": self.port}
        self.path = self.folder / "pgweir.toml"
        self.log_path = self.folder / "pgweir.log"
        self.process = None
        self.expected_status = 0

    @property
    def address(self):
        return (self.host, self.port)

    @property
    def pid(self):
        return self.process.pid

    def write(self, config=None):
        if config is not None:
            self.config = config
        text = self.config if isinstance(self.config, str) else toml(self.config)
        self.path.write_text(text, encoding="utf-8")

    def change(self, over, reload=True):
        """Lays `over` over the configuration and reloads it through the console."""
        self.write(merged(self.config, over))
        if reload:
            with self.console() as console:
                console.execute("RELOAD")

    def command(self):
        """Tests that root runs are those of a pgweir that stays root, unless it is to become
        somebody."""
        becomes = not isinstance(self.config, str) and "user" in self.config.get("process", {})
        stays = ["--allow-root"] if os.geteuid() == 0 and not becomes else []
        return [self.binary, "run", *stays, "-c", self.path]

    def start(self, environment=None, wait=True):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write()
        env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0",
               "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1", **(environment or {})}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=env, start_new_session=True)
        if wait:
            until(self.accepts, START, "pgweir's start")
        return self

    def accepts(self):
        assert self.process.poll() is None, f"pgweir ended: {self.log()}"
        listen = {} if isinstance(self.config, str) else self.config["listen"]
        ends = [self.address]
        ends += [(a, self.port) for a in listen.get("addresses", ()) if ":" in a]
        if listen.get("unix_socket_dir"):
            ends.append(f"{listen['unix_socket_dir']}/.s.PGSQL.{self.port}")
        try:
            for end in ends:
                Wire(end, timeout=5).close()
        except OSError:
            return False
        return True

    def alive(self):
        return self.process.poll() is None

    def log(self):
        return self.log_path.read_text("utf-8", "replace")

    def signal(self, number):
        self.process.send_signal(number)

    @contextlib.contextmanager
    def asleep(self):
        """It does not run: nothing that is sent meanwhile is read before the end."""
        tasks = Path(f"/proc/{self.pid}/task")

        def all_stopped():  # each thread stops by itself, when it hears of it
            return all((t / "stat").read_text("ascii").rsplit(")", 1)[1].split()[0] == "T"
                       for t in tasks.iterdir())

        self.signal(signal.SIGSTOP)
        try:
            until(all_stopped, what="all threads stopped")
            yield
        finally:
            self.signal(signal.SIGCONT)

    def wait(self, seconds=END):
        return self.process.wait(seconds)

    def finish(self):
        """SIGTERM; the process must end by itself, well, and with nothing to complain about."""
        if not self.process:
            return
        # Once it has said its last word, a signal would find nobody who handles it.
        if self.alive() and not self.log().endswith("stopped\n"):
            self.signal(signal.SIGTERM)
        try:
            status = self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"pgweir did not end within {END} s of SIGTERM:\n"
                                 + self.log()[-4000:]) from None
        log = self.log()
        assert not SANITIZER.search(log), log[-8000:]
        if self.expected_status is not None:
            assert status == self.expected_status, f"exit status {status}:\n{log[-8000:]}"

    # --- clients ---

    def wire(self, user=None, database="shop", password=None, **params):
        """A raw connection; logged in when a user is given."""
        wire = Wire(self.address)
        if user:
            wire.login(user, database, password or ROLES.get(user, ("", ""))[1], **params)
            assert wire.login_error is None, wire.login_error
        return wire

    def conversation(self, user, database, password):
        """What an unauthenticated client learns, with nonces, salts and its own names taken out."""
        with self.wire() as client:
            client.login(user, database, password)
            seen = []
            for frame in client.welcome:
                body = frame.body
                if frame.type == "R" and body[:4] == struct.pack("!i", 11):
                    parts = dict(p.split(b"=", 1) for p in body[4:].split(b","))
                    body = b"r:%d s:%d i=%s" % (len(parts[b"r"]), len(parts[b"s"]), parts[b"i"])
                elif frame.type == "R" and body[:4] == struct.pack("!i", 5):
                    body = body[:4]
                seen.append((frame.type, body.replace(user.encode(), b"USER")))
            return seen

    def dsn(self, user="app", database="shop", password=None):
        secrets = {**{r: p for r, (_, p) in ROLES.items()},
                   "admin": "admin-secret", "stats": "stats-secret"}
        return {"host": self.host, "port": self.port, "user": user, "dbname": database,
                "password": password or secrets[user]}

    def connect(self, user="app", database="shop", password=None, **options):
        options = {"autocommit": True, "connect_timeout": 30, **options}
        return psycopg.connect(**self.dsn(user, database, password), **options)

    def console(self, user="admin"):
        return self.connect(user, "pgweir")

    def show(self, what, user="admin"):
        """SHOW's rows as dictionaries."""
        with self.console(user) as console:
            cursor = console.execute(f"SHOW {what}")
            names = [c.name for c in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def pool(self, database="shop", user="app"):
        """The row of SHOW POOLS, or None before the first client."""
        for row in self.show("POOLS"):
            if (row["database"], row["user"]) == (database, user):
                return row
        return None

    def permits(self, database="shop", user="app"):
        """How many server connections this pool accounts for, over all its states."""
        row = self.pool(database, user) or {}
        return sum(row.get(f"sv_{state}", 0) for state in SERVER_STATES)

    # --- the process from outside ---

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def rss_kib(self):
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    def cpu_seconds(self):
        stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def cpu_share(self, seconds):
        """CPU time used per second of wall time, over a while."""
        before, start = self.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        return (self.cpu_seconds() - before) / (time.monotonic() - start)
