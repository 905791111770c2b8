"""Ratios to what is compared with, as a bar chart in SVG."""

from xml.sax.saxutils import escape

CHARTED = ("cpu_us", "cpu_s_per_gb", "insn_user", "insn_kernel", "syscalls", "heap_calls",
           "bytes_logged_in", "bytes_after_query", "login_cpu_us")
LEFT, SCALE, ROW, TOP = 350, 260, 22, 64
MOST = 2.0  # longer bars are cut; their number still says how long they are
ALIKE = 0.005  # from 1: what the number beside the bar does not show


def _colour(ratio):
    if abs(ratio - 1) < ALIKE:
        return "#8a8a8a"
    return "#2a7f62" if ratio < 1 else "#b5483a"


def svg(summary, base, subtitle):
    """One bar a figure, shorter is cheaper; the line at 1.0 is `base`."""
    bars = [(f"{workload}: {row['label']}", name, entry["ratio"])
            for workload, result in summary.items()
            for key, row in result["rows"].items() if key in CHARTED
            for name, entry in row["targets"].items() if "ratio" in entry and name != "direct"]
    names = sorted({name for _, name, _ in bars})
    is_alone = len(names) == 1  # the title then says whose bars these are
    title = (f"Cost{f' of {names[0]}' if is_alone else ''} compared with {base}"
             " (shorter is cheaper)")
    height = TOP + ROW * len(bars) + 30
    width = LEFT + int(SCALE * MOST) + (60 if is_alone else 150)
    line = LEFT + SCALE
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             'font-family="sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="white"/>',
             f'<text x="12" y="22" font-size="15" font-weight="bold">{escape(title)}</text>',
             f'<text x="12" y="40" fill="#555" font-size="11">{escape(subtitle)}</text>']
    for i, (label, name, ratio) in enumerate(bars):
        y = TOP + i * ROW
        parts.append(f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{min(ratio, MOST) * SCALE:.1f}" '
                     f'height="{ROW - 6}" fill="{_colour(ratio)}"/>')
        parts.append(f'<text x="{LEFT + min(ratio, MOST) * SCALE + 6:.1f}" y="{y + 12}">'
                     f'{ratio:.2f}x{"" if is_alone else " " + escape(name)}</text>')
    parts.append(f'<line x1="{line}" y1="{TOP - 6}" x2="{line}" y2="{height - 24}" stroke="#333" '
                 'stroke-dasharray="4 3"/>')
    parts.append(f'<text x="{line}" y="{height - 8}" text-anchor="middle">{escape(base)} = 1</text>')
    return "\n".join([*parts, "</svg>", ""])
