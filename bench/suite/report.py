"""Medians, ratios within rounds, and the Markdown they are printed as."""

import statistics

# A round in which others took more than this part of a CPU is noisy.
NOISY = 0.10

# (key, what it is called, decimals); the first that a workload has is its main figure.
FIGURES = (
    ("cpu_us", "pooler CPU, us/txn", 2),
    ("cpu_s_per_gb", "pooler CPU, s/GB", 3),
    ("user_part", "of it in user code", 2),
    ("insn_user", "user instructions/txn", 0),
    ("insn_workers", "of them in workers", 0),
    ("insn_kernel", "kernel instructions/txn", 0),
    ("syscalls", "system calls/txn", 2),
    ("heap_calls", "heap allocations/txn", 3),
    ("heap_bytes", "heap bytes/txn", 1),
    ("tps", "transactions/s", 0),
    ("p50_us", "latency p50, us", 0),
    ("p99_us", "latency p99, us", 0),
    ("bytes_logged_in", "bytes a client, logged in", 0),
    ("bytes_after_query", "bytes a client, after a query", 0),
    ("bytes_openssl", "of OpenSSL alone", 0),
    ("bytes_above_openssl", "above OpenSSL alone", 0),
    ("rss_mib", "resident, MiB", 1),
    ("login_cpu_us", "pooler CPU a login, us", 1),
    ("logins_per_s", "logins/s (one at a time)", 0),
    ("idle_cpu_ms_per_s", "CPU while all are silent, ms/s", 2),
    ("most_servers", "most server connections", 0),
    ("errors", "errors", 0),
)
WORST = {"errors", "most_servers"}  # a median would hide what these are there to show
NOT_COMPARED = WORST | {"user_part", "bytes_openssl"}


def summarise(rounds):
    """{workload: {target: [figures of each round]}} -> {workload: {"rows": ..., "noisy": bool}}."""
    return {workload: _summarise_workload(by_target) for workload, by_target in rounds.items()}


def _summarise_workload(by_target):
    quiet, noisy = _quiet_rounds(by_target)
    rows = {}
    for key, label, decimals in FIGURES:
        values = {t: [(i, r[key]) for i, r in enumerate(rs) if key in r]
                  for t, rs in by_target.items()}
        values = {t: [(i, v) for i, v in vs if i in quiet or key in WORST] or vs
                  for t, vs in values.items()}
        if not any(values.values()):
            continue
        best = max if key in WORST else statistics.median
        row = {"label": label, "decimals": decimals,
               "targets": {t: {"value": best([v for _, v in vs]), "spread": _spread(vs)}
                           for t, vs in values.items() if vs}}
        first = base_of(by_target)
        if key not in NOT_COMPARED and values.get(first):
            # To nothing, or what is printed as nothing, there is no ratio.
            base = {i: v for i, v in values[first] if round(v, decimals)}
            for name, vs in values.items():
                ratios = [v / base[i] for i, v in vs if i in base]
                if ratios and name != first:
                    row["targets"][name]["ratio"] = statistics.median(ratios)
        rows[key] = row
    mixes = {t: next((r["syscall_mix"] for r in rs if "syscall_mix" in r), None)
             for t, rs in by_target.items()}
    return {"targets": list(by_target), "rows": rows, "noisy": noisy,
            "syscall_mix": {t: m for t, m in mixes.items() if m},
            "error_texts": {t: text for t, rs in by_target.items()
                            if (text := [m for r in rs for m in r.get("error_texts", [])][:3])}}


def base_of(targets):
    """What the others are compared with."""
    return "pgbouncer" if "pgbouncer" in targets else next(iter(targets), None)


def _quiet_rounds(by_target):
    """Rounds in which no target was disturbed; all of them (and True) when there is none."""
    count = max((len(rs) for rs in by_target.values()), default=0)
    quiet = {i for i in range(count)
             if all(rs[i].get("foreign", 0) + rs[i].get("steal", 0) <= NOISY
                    for rs in by_target.values() if i < len(rs))}
    return (quiet, False) if quiet else (set(range(count)), True)


def _spread(values):
    numbers = [v for _, v in values]
    middle = statistics.median(numbers)
    return (max(numbers) - min(numbers)) / 2 / middle if middle and len(numbers) > 1 else 0.0


def markdown(header, summary):
    """The whole report as text."""
    parts = ["\n".join(f"- {line}" for line in header)]
    for workload, result in summary.items():
        if result["rows"]:
            parts.append(_table(workload, result))
    return "\n\n".join(parts) + "\n"


def _table(workload, result):
    names = result["targets"]
    base = base_of(names)
    others = [n for n in names if n != base]
    lines = [f"### {workload}" + (" (~ every round was disturbed)" if result["noisy"] else ""), "",
             "| | " + " | ".join(names + [f"{n} / {base}" for n in others]) + " |",
             "|---|" + "---:|" * (len(names) + len(others))]
    for row in result["rows"].values():
        cells = [_cell(row["targets"].get(n), row["decimals"]) for n in names]
        for name in others:
            ratio = row["targets"].get(name, {}).get("ratio")
            cells.append(f"{ratio:.3f}x" if ratio is not None else "")
        lines.append(f"| {row['label']} | " + " | ".join(cells) + " |")
    for name, mix in result["syscall_mix"].items():
        calls = ", ".join(f"{call} {each:.2f}" for call, each in mix.items())
        lines += ["", f"{name} calls: {calls}."]
    for name, texts in result["error_texts"].items():
        lines += ["", f"{name} errors: " + "; ".join(texts)]
    return "\n".join(lines)


def _cell(entry, decimals):
    if entry is None:
        return "-"
    spread = f" ±{entry['spread']:.0%}" if entry["spread"] >= 0.005 else ""
    return f"{entry['value']:,.{decimals}f}{spread}"


def failures(summary, bound):
    """What must not happen at any speed: errors, or more servers than the pool has."""
    found = []
    for workload, result in summary.items():
        for name, entry in result["rows"].get("errors", {"targets": {}})["targets"].items():
            if entry["value"]:
                found.append(f"{workload}: {name} gave {entry['value']:.0f} errors")
        for name, entry in result["rows"].get("most_servers", {"targets": {}})["targets"].items():
            if name != "direct" and entry["value"] > bound:
                found.append(f"{workload}: {name} had {entry['value']:.0f} server connections, "
                             f"the pool is {bound}")
    return found
