"""The visitors: runs Locust, and makes figures of what they noted."""

import collections
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass, field

from rehearsal.stage import SHOP

PEOPLE_A_PROCESS = 500  # that one process of Locust can play
SPARE = 5  # seconds: Locust's clock starts before its first user has an answer


@dataclass
class Notes:
    """What the visitors noted, each a list of dictionaries."""

    requests: list = field(default_factory=list)
    visits: list = field(default_factory=list)
    orders: list = field(default_factory=list)


def start(url, users, ramp, seconds, folder):
    """Lets `users` come within `ramp` seconds and stay for `seconds` more: the process."""
    processes = min(math.ceil(users / PEOPLE_A_PROCESS), os.cpu_count())
    several = ["--processes", str(processes)] if processes > 1 else []
    with open(folder / "locust.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "locust", "-f", SHOP / "locustfile.py", "--headless",
             "--users", str(users), "--spawn-rate", f"{users / ramp:.3f}",
             "--run-time", f"{ramp + seconds + SPARE}s", "--stop-timeout", "5", "--only-summary",
             "--exit-code-on-error", "0", "--host", url, *several],
            env={**os.environ, "SHOP_RECORD": str(folder)}, cwd=folder, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True)


def has_come(folder):
    """Whether the first of the visitors has got an answer."""
    return any(path.stat().st_size for path in folder.glob("*.jsonl"))


def read(folder):
    notes = Notes()
    lists = {"request": notes.requests, "visit": notes.visits, "order": notes.orders}
    for path in sorted(folder.glob("*.jsonl")):
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                note = json.loads(line)
                lists[note["kind"]].append(note)
    return notes


def share(items):
    """Of those that went well, in per cent; None: there are none."""
    return 100 * sum(i["ok"] for i in items) / len(items) if items else None


def percentile(values, part):
    """The smallest value that `part` of all do not exceed; None: there are none."""
    ordered = sorted(values)
    return ordered[max(math.ceil(part * len(ordered)) - 1, 0)] if ordered else None


def figures(notes, begin, end):
    """Of the requests that began, and the visits that ended, between `begin` and `end`. Times are of
    requests that went well: a refusal is quick."""
    requests = [r for r in notes.requests if begin <= r["at"] < end]
    visits = [v for v in notes.visits if begin <= v["ended"] < end]
    good = [r["ms"] for r in requests if r["ok"]]
    return {
        "requests": len(requests), "requests_ok": share(requests),
        "visits": len(visits), "visits_ok": share(visits),
        "rate": len(requests) / (end - begin), "rate_ok": len(good) / (end - begin),
        "p50": percentile(good, 0.5), "p95": percentile(good, 0.95),
        "p99": percentile(good, 0.99),
        "busy": sum(r["status"] == 409 for r in requests),
    }


def seconds_of(notes, begin, end):
    """For each second the requests that ended in it: (seconds since begin, good, bad, slowest ms)."""
    good, bad, slowest = (collections.Counter() for _ in range(3))
    for request in notes.requests:
        second = int(request["at"] + request["ms"] / 1000 - begin)
        (good if request["ok"] else bad)[second] += 1
        slowest[second] = max(slowest[second], request["ms"])
    return [(s, good[s], bad[s], slowest[s]) for s in range(int(end - begin))]
