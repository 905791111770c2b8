"""Tables of what Story measured, in Markdown."""

import collections
import statistics


def tables(results):
    """`results`: Story.result of every run. One row an entrance, its runs side by side."""
    runs = collections.defaultdict(list)
    for result in results:
        runs[result["name"]].append(result)
    entrances = list(runs.values())
    lines = [f"- **{e[0]['name']}**: {e[0]['version']}, {e[0]['how']}" for e in entrances]
    for title, part, columns in (
            ("The primary is killed (`kill -9`)", "crash", CRASH),
            ("It is started again: two primaries", "second_primary", SECOND),
            ("Planned switchover", "switchover", SWITCHOVER)):
        lines += ["", f"### {title}", "",
                  "| | " + " | ".join(heading for heading, _ in columns) + " |",
                  "|---" * (len(columns) + 1) + "|"]
        for entrance in entrances:
            measured = [run[part] for run in entrance if part in run]
            if measured:
                cells = [cell([m for m in measured]) for _, cell in columns]
                lines.append(f"| {entrance[0]['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _seconds(values):
    known = [v for v in values if v is not None]
    if not known:
        return "none came back"
    middle = f"{statistics.median(known):.2f} s"
    return middle if len(known) == 1 else f"{middle} ({min(known):.2f}-{max(known):.2f})"


def seconds(key):
    return lambda runs: _seconds([run[key] for run in runs])


def _after_promotion(runs):
    return _seconds([run["outage"] - run["promoted"] if run["outage"] is not None else None
                     for run in runs])


def _list(values):
    return ", ".join(map(str, values)) if len(set(values)) > 1 else str(values[0])


def errors(key):
    return lambda runs: _list([sum(run[key].values()) for run in runs])


def share(key, of):
    return lambda runs: _list([f"{run[key]}/{run[of]}" for run in runs])


def count(key):
    return lambda runs: _list([run[key] for run in runs])


def ledger(key):
    return lambda runs: _list([run["ledger"][key] for run in runs])


CRASH = (
    ("writes stop for", seconds("outage")),
    ("... after the new primary could be written to", _after_promotion),
    ("a writer waits at most", seconds("longest_wait")),
    ("errors of 4 writers", errors("writer_errors")),
    ("of 2 in transactions", errors("transaction_errors")),
    ("connections lost", count("connections_lost")),
    ("idle clients survived", share("idle_survived", "idle")),
    ("open transactions' connections survived", share("open_survived", "open")),
    ("readers wait at most", seconds("read_gap")),
    ("errors of 2 readers", errors("reader_errors")),
    ("reported as failed, but in", ledger("denied_in")),
    ("executed twice", ledger("twice")),
)
SECOND = (
    ("writes to the stale primary", share("writes_stale", "asked")),
    ("writes to the right one", share("writes_right", "asked")),
    ("reads from the stale primary", share("reads_stale", "asked")),
    ("the load's writes to the stale primary", count("crowd_writes_stale")),
    ("the load's reads from it", count("crowd_reads_stale")),
)
SWITCHOVER = (
    ("a writer waits at most", seconds("longest_wait")),
    ("of which repmgr takes", seconds("repmgr_took")),
    ("errors of 4 writers", errors("writer_errors")),
    ("of 2 in transactions", errors("transaction_errors")),
    ("connections lost", count("connections_lost")),
    ("had to be restarted first", lambda runs: _list(
        ["yes" if run["needed_restart"] else "no" for run in runs])),
)
