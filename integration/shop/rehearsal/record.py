"""Results as rows of a Markdown table, which a team keeps and adds to."""

COLUMNS = ("date", "changes", "users", "scale", "way", "requests/s", "requests ok",
           "visits ok", "p50", "p95", "p99", "connections", "refused: full", "orders", "wrong",
           "load average", "promotions")
HEADER = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"


def row(result):
    return f"| {' | '.join(map(str, _cells(result)))} |\n"


def table(results):
    return HEADER + "".join(map(row, results))


def append(path, results):
    """Adds the results to the table in `path`, which is made if need be. Where that has other columns,
    of an earlier version, another table begins."""
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    with open(path, "a", encoding="utf-8") as out:
        if not kept:
            out.write("# Rehearsals of the shop\n")
        if HEADER not in kept:
            out.write(f"\n{HEADER}")
        out.writelines(map(row, results))


def _cells(r):
    yield r["date"]
    yield r["changes"].replace("|", "/") or "-"
    yield f"{r['nominal']}{', failover' if r['failover'] else ''}"
    yield f"{r['scale']:g}: {r['users']}"
    yield r["way"]
    yield f"{r['rate_ok']:.0f}"
    yield from (_per_cent(r[key]) for key in ("requests_ok", "visits_ok"))
    yield from (_time(r[key]) for key in ("p50", "p95", "p99"))
    yield r["connections"]
    yield r["full"]
    yield f"{r['acknowledged']} told, {r['stored']} stored"
    yield len(r["problems"])
    yield f"{r['load']:.0f}"
    yield r["promotions"]


def _per_cent(share):
    """Never rounded up to 100: one failure shows."""
    if share is None:
        return "-"
    return "100 %" if share == 100 else f"{min(share, 99.99):.2f} %"


def _time(ms):
    return "-" if ms is None else f"{ms:.0f} ms" if ms < 10_000 else f"{ms / 1000:.0f} s"
