"""What clients noticed, as time that runs from left to right: for a terminal, and as SVG."""

from xml.sax.saxutils import escape

SERVED, WAITING, FAILED = "=", ".", "x"

LANE, LEFT, TOP, WIDTH = 15, 190, 56, 760
COLOURS = {SERVED: "#2a7f62", WAITING: "#e3c567", FAILED: "#b5483a"}
# A wait that nobody notices is drawn as service.
NOTICED = 0.1


def spans(actor, begin, end):
    """Yields (from, to, SERVED | WAITING | FAILED), in order and without holes. Without a connection
    it fails, a rest between two statements is service."""
    at, is_connected = begin, True
    for event in list(actor.events):
        if event.ended < begin:
            is_connected = not event.lost
            continue
        if event.began > end:
            break
        began, ended = max(event.began, begin), min(event.ended, end)
        yield at, began, SERVED if is_connected else FAILED
        if ended - began > NOTICED:
            yield began, ended, WAITING
        else:
            yield began, ended, FAILED if event.error or not is_connected else SERVED
        if event.error:
            yield ended, ended, FAILED
        is_connected = not event.lost
        at = ended
    if at < end:
        yield at, end, SERVED if is_connected else FAILED


def lane(actor, begin, end, width):
    """One character for each of `width` equal pieces of time; of several things the worst."""
    order = SERVED + WAITING + FAILED
    cells = [SERVED] * width
    scale = width / (end - begin)
    for since, until, what in spans(actor, begin, end):
        first = min(int((since - begin) * scale), width - 1)
        last = min(int((until - begin) * scale), width - 1)
        for i in range(first, last + 1):
            cells[i] = max(cells[i], what, key=order.index)
    return "".join(cells)


def text(crowd, marks, begin, end, zero, only=None, width=72):
    """Lines for a terminal: a lane for each client (of `only`), and what happened when."""
    scale = width / (end - begin)
    lines = []
    for number, (at, what) in enumerate(marks, 1):
        lines.append(f"  [{number}] {at - zero:+8.3f} s  {what}")
    ruler = [" "] * width
    for number, (at, _) in enumerate(marks, 1):
        place = min(max(int((at - begin) * scale), 0), width - 1)
        while place < width - 1 and ruler[place] != " ":
            place += 1
        ruler[place] = str(number)
    lines += ["", f"{'':24}{''.join(ruler)}"]
    for actor, label in labelled(crowd):
        if only is None or actor in only:
            lines.append(f"{label:>22}  {lane(actor, begin, end, width)}")
    lines.append(f"{'':24}{begin - zero:<+8.1f}{'seconds':^{width - 16}}{end - zero:>+8.1f}")
    lines.append(f"{'':24}{SERVED} served   {WAITING} waits   {FAILED} an error")
    return lines


def svg(panels, title):
    """`panels`: (heading, crowd, marks, begin, end, zero), one above the other on one scale."""
    longest = max(end - begin for _, _, _, begin, end, _ in panels)
    scale = WIDTH / longest
    parts, y = [], TOP
    for heading, crowd, marks, begin, end, zero in panels:
        parts.append(f'<text x="12" y="{y}" font-weight="bold">{escape(heading)}</text>')
        y += 12
        top = y
        for actor, label in labelled(crowd):
            parts.append(f'<text x="{LEFT - 8}" y="{y + 10}" text-anchor="end" fill="#555">'
                         f"{escape(label)}</text>")
            parts += _bars(actor, begin, end, scale, y)
            y += LANE
        bottom = y
        for number, (at, what) in enumerate(marks, 1):
            x = LEFT + (at - begin) * scale
            parts.append(f'<line x1="{x:.1f}" y1="{top - 4}" x2="{x:.1f}" y2="{bottom}" '
                         'stroke="#222" stroke-dasharray="3 3"/>')
            y += 15
            parts.append(f'<text x="{x + 3:.1f}" y="{top - 4}" font-size="10">{number}</text>')
            parts.append(f'<text x="{LEFT}" y="{y}" font-size="11">{number}: '
                         f"{at - zero:+.3f} s, {escape(what)}</text>")
        y += 34
    legend = "".join(
        f'<rect x="{LEFT + i * 90}" y="30" width="12" height="10" fill="{COLOURS[what]}"/>'
        f'<text x="{LEFT + i * 90 + 16}" y="39" font-size="11">{word}</text>'
        for i, (what, word) in enumerate(((SERVED, "served"), (WAITING, "waits"),
                                          (FAILED, "an error"))))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 30}" height="{y}" '
            'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" '
            f'fill="white"/><text x="12" y="20" font-size="15" font-weight="bold">{escape(title)}'
            f"</text>{legend}\n" + "\n".join(parts) + "\n</svg>\n")


def _bars(actor, begin, end, scale, y):
    merged = []
    for since, until, what in spans(actor, begin, end):
        if merged and merged[-1][2] == what:
            merged[-1][1] = until
        elif until > since or what == FAILED:
            merged.append([since, until, what])
    # Errors last and wide enough to be seen.
    for since, until, what in sorted(merged, key=lambda bar: bar[2] == FAILED):
        width = max((until - since) * scale, 1.5 if what == FAILED else 0)
        yield (f'<rect x="{LEFT + (since - begin) * scale:.1f}" y="{y}" width="{width:.1f}" '
               f'height="{LANE - 4}" fill="{COLOURS[what]}"/>')


def labelled(crowd):
    for group in (crowd.writers, crowd.transactors, crowd.readers, crowd.holders, crowd.sleepers):
        for number, actor in enumerate(group, 1):
            yield actor, f"{actor.kind} {number}"
