"""pgbench as the load, and an exact count of its transactions in any window of time."""

import os
import re
import signal
import subprocess
import threading

from suite.postgres import DATABASE, PASSWORD, USER

# -T counts from the first login, which may take long; pgbench is told to end when we are done.
FOREVER_SECONDS = 3600
LOGIN_SECONDS = 300


def _pgbench(host, address, workload, *how):
    """Its command line and environment."""
    # A thread waits while it connects, so as many threads as clients.
    what = ["-C", "-j", workload.clients] if workload.connects else ["-j", 1]
    what += [] if workload.script else ["-S"]
    if workload.script:
        what += ["-f", host.write(f"{workload.name}.sql", workload.script)]
    command = host.client_command(
        host.bin / "pgbench", "-n", *what, "-M", workload.protocol, "-c", workload.clients,
        *how, "-h", address[0], "-p", address[1], "-U", USER, DATABASE)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    environment["HOME"] = str(host.work)  # nothing of ours, such as ~/.postgresql
    # Channel binding is not for all poolers, so it is for none.
    environment |= {"PGPASSWORD": PASSWORD, "PGGSSENCMODE": "disable",
                    "PGSSLMODE": "require" if workload.tls else "disable",
                    "PGSSLMINPROTOCOLVERSION": "TLSv1.3", "PGCHANNELBINDING": "disable"}
    return command, environment


def run_to_end(host, address, workload, transactions):
    """So many transactions of each client. Raises when one fails."""
    command, environment = _pgbench(host, address, workload, "-t", transactions)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          cwd=host.work, env=environment, check=False, **host.identity)
    if done.returncode != 0:
        raise RuntimeError("pgbench failed: " + done.stderr.strip()[-300:])


class Load:
    """Within `with`: all clients of pgbench are logged in and at work.

    Afterwards `transactions(t0, t1)` says what the transactions took that ended in a window of it.
    """

    def __init__(self, host, address, workload):
        self._log_prefix = host.work / f"pgbench-{os.urandom(4).hex()}"
        self._ready = threading.Event()  # at work, or ended
        self._at_work = False
        self._messages = []
        command, environment = _pgbench(host, address, workload, "-T", FOREVER_SECONDS, "-P", 1,
                                        "-l", f"--log-prefix={self._log_prefix}")
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, text=True, cwd=host.work,
                                         env=environment, **host.identity)
        self._reader = threading.Thread(target=self._read_messages, daemon=True)
        self._reader.start()

    def __enter__(self):
        try:
            if self._ready.wait(LOGIN_SECONDS) and self._at_work:
                return self
            raise RuntimeError("pgbench did no work: " + "; ".join(self._messages[-3:]))
        except BaseException:
            self.__exit__(True)
            raise

    def __exit__(self, failure, *_):
        # SIGALRM is how -T ends a run: in order, with the log written.
        self._process.send_signal(signal.SIGKILL if failure else signal.SIGALRM)
        self.summary = self._process.communicate()[0] if not failure else ""
        self._process.wait()
        self._reader.join()
        self._ended = self._parse_log()

    @property
    def errors(self):
        """Transactions that failed, clients that gave up or never got in, and a failed pgbench."""
        failed = re.search(r"number of failed transactions: (\d+)", self.summary)
        lines = sum("error:" in m and "Run was aborted" not in m for m in self._messages)
        return (int(failed[1]) if failed else 0) + max(lines, int(self._process.returncode != 0))

    def error_texts(self):
        return [m for m in self._messages if "error" in m][:3]

    def transactions(self, start, end):
        """Latencies in microseconds, sorted, of the transactions that ended in [start, end)."""
        first, last = start * 1e6, end * 1e6
        return sorted(latency for at, latency in self._ended if first <= at < last)

    def _read_messages(self):
        for line in self._process.stderr:
            progress = re.match(r"progress: .* s, ([0-9.]+) tps", line)
            if progress:
                if float(progress[1]) > 0:
                    self._at_work = True
                    self._ready.set()
            else:
                self._messages.append(line.strip())
        self._ready.set()

    def _parse_log(self):
        """pgbench -l: client, number, latency, script, epoch seconds, microseconds."""
        ended = []
        for path in self._log_prefix.parent.glob(self._log_prefix.name + ".*"):
            with open(path, encoding="ascii") as lines:
                for line in lines:
                    fields = line.split()
                    if len(fields) >= 6 and fields[2].isdigit():
                        ended.append((int(fields[4]) * 1_000_000 + int(fields[5]), int(fields[2])))
            path.unlink()
        return ended
