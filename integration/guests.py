"""A few well-behaved clients, and how long they wait for their answers."""

import os
import re
import signal
import subprocess
import threading
import time

from cluster import ROLES

GUESTS = 4
RATE = 200  # queries a second of all of them
LEAST = 0.5  # seconds that they are at work


class Guests:
    """Within `with` they run small queries at a steady rate: pgbench, so that what the test itself does
    is not in their way. At the end each must have got every answer."""

    def __init__(self, weir, cluster, folder):
        self._prefix = folder / "guests"
        script = folder / "guests.sql"
        script.write_text("select :client_id;\n", encoding="ascii")
        environment = {**os.environ, "PGPASSWORD": ROLES["app"][1], "PGSSLMODE": "disable"}
        self._process = subprocess.Popen(
            [cluster.install.program("pgbench"), "-h", weir.host, "-p", str(weir.port), "-U", "app",
             "-n", "-f", script, "-c", str(GUESTS), "-R", str(RATE), "-T", "3600", "-P", "1",
             "-l", f"--log-prefix={self._prefix}", "shop"],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._said, self._at_work = [], threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stderr:
            self._said.append(line)
            if line.startswith("progress:"):
                self._at_work.set()
        self._at_work.set()

    def __enter__(self):
        assert self._at_work.wait(60) and self._process.poll() is None, self._said
        self.began = time.time()
        return self

    def __exit__(self, kind, *_):
        # What was done to pgweir meanwhile may have been over before the next of them was due.
        time.sleep(max(0, self.began + LEAST - time.time()))
        ended = time.time()
        self._process.send_signal(signal.SIGALRM)  # as when its time is over
        out = self._process.communicate(timeout=60)[0]
        self._reader.join()
        self._log = [line.split() for path in self._prefix.parent.glob(self._prefix.name + ".*")
                     if path.suffix != ".sql" for line in path.read_text("ascii").splitlines()]
        if kind is None:
            assert self._process.returncode == 0 and re.search(
                r"number of failed transactions: 0 ", out), (out, self._said)
            assert self.waits(self.began, ended), "nothing was answered meanwhile"

    def waits(self, began, ended):
        """Seconds from when a query was due to its answer, of those that were answered from `began`
        to `ended` (of time.time()), sorted. Once they have left."""
        return sorted(int(line[2]) / 1e6 for line in self._log
                      if began <= int(line[4]) + int(line[5]) / 1e6 < ended)
