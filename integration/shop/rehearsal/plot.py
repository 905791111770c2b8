"""Pictures of a rehearsal: how each way to PostgreSQL bears more users, and a failover by the second."""

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "shop"  # the same data, the same file
matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
matplotlib.rcParams["font.family"] = "sans-serif"
matplotlib.rcParams["font.size"] = 9

# pylint: disable=wrong-import-position
from matplotlib import pyplot

COLOURS = {"direct": "#b5483a", "direct-kept": "#d99a8f", "pgweir": "#2a7f62",
           "pgweir-kept": "#8cc3ad"}
PANELS = (("visits_ok", "visits without an error, %"), ("rate_ok", "requests answered, /s"),
          ("p95", "95 of 100 answers within, ms"), ("connections", "connections at one PostgreSQL"))


def draw(path, results, subtitle):
    """Writes an SVG; results of failovers get a row each."""
    steady = [r for r in results if not r["failover"]]
    failovers = [r for r in results if r["failover"]]
    rows = bool(steady) + len(failovers)
    figure = pyplot.figure(figsize=(12, 3.2 * rows), layout="constrained")
    figure.suptitle(f"A ticket shop in front of PostgreSQL\n{subtitle}", fontsize=10)
    grid = figure.add_gridspec(rows, len(PANELS))
    if steady:
        for column, (key, title) in enumerate(PANELS):
            _bars(figure.add_subplot(grid[0, column]), steady, key, title)
    shared = None
    for number, result in enumerate(failovers, bool(steady)):
        shared = figure.add_subplot(grid[number, :], sharex=shared)
        _seconds(shared, result)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _bars(axes, results, key, title):
    users = sorted({r["nominal"] for r in results})
    ways = [w for w in COLOURS if any(r["way"] == w for r in results)]
    width = 0.8 / len(ways)
    for place, way in enumerate(ways):
        found = {r["nominal"]: r[key] or 0 for r in results if r["way"] == way}
        bars = axes.bar([users.index(u) + (place - (len(ways) - 1) / 2) * width for u in found],
                        found.values(), width, color=COLOURS[way], label=way)
        axes.bar_label(bars, fmt="%.0f", fontsize=7)
    axes.set_title(title, fontsize=9)
    axes.set_xticks(range(len(users)), users)
    axes.set_xlabel("users, before scaling")
    if key == "visits_ok":
        axes.set_ylim(0, 110)
        axes.legend(loc="lower left")


def _seconds(axes, result):
    seconds = [(at - result["killed_after"], *rest) for at, *rest in result["seconds"]]
    at = [s[0] for s in seconds]
    axes.bar(at, [s[1] for s in seconds], 1, align="edge", color="#2a7f62", label="good answers")
    axes.bar(at, [s[2] for s in seconds], 1, [s[1] for s in seconds], align="edge",
             color="#b5483a", label="errors")
    axes.axvline(0, color="#222", linestyle="--", linewidth=1)
    axes.set_title(f"{result['way']}, {result['users']} users: the primary is killed at 0",
                   fontsize=9)
    axes.set_ylabel("requests that ended, /s")
    axes.set_xlabel("seconds")
    slow = axes.twinx()
    slow.plot([a + 0.5 for a in at], [s[3] / 1000 for s in seconds], color="#444", linewidth=1,
              label="slowest answer")
    slow.set_ylabel("slowest answer, s")
    slow.set_ylim(bottom=0)
    lines = [*axes.get_legend_handles_labels()[0], *slow.get_legend_handles_labels()[0]]
    axes.legend(lines, [line.get_label() for line in lines], loc="upper left", fontsize=7)
