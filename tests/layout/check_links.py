#!/usr/bin/env python3
"""Refuses documentation that points at what is not there.

Every relative link in a Markdown file must lead to a file or folder of this tree, and its #anchor
to a heading. The layer table of docs/architecture.md must be that of CMakeLists.txt.
"""

import argparse
import doctest
import re
import sys
from pathlib import Path

from check_layers import LAYER_CALL

FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE_SPAN = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
FOREIGN = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)
LAYER_SECTION = re.compile(r"^## Layers$.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
LAYER_ROW = re.compile(r"^\| `(\w+)` \|.*\| *([^|]*?) *\|$", re.MULTILINE)


def blank(match):
    """Keeps the line numbers of what follows."""
    return re.sub(r"[^\n]", " ", match.group())


def anchors(text):
    """The anchors that GitHub gives to the headings of a page.

    >>> sorted(anchors("# A page\\n## `pool.size`, and more!\\n## A page\\n```\\n# code\\n```\\n"))
    ['a-page', 'a-page-1', 'poolsize-and-more']
    """
    found = set()
    for heading in HEADING.findall(FENCE.sub(blank, text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        known, copies = slug, 0
        while known in found:
            copies += 1
            known = f"{slug}-{copies}"
        found.add(known)
    return found


def links(text):
    """Yields (line, target) of each link that is not code and does not leave this tree.

    >>> list(links("[a](b.md#c)\\n`[code](x)`\\n![p](q.png) [web](https://example.org)\\n"))
    [(1, 'b.md#c'), (3, 'q.png')]
    """
    prose = CODE_SPAN.sub(blank, FENCE.sub(blank, text))
    for match in LINK.finditer(prose):
        if not FOREIGN.match(match.group(1)):
            yield prose.count("\n", 0, match.start()) + 1, match.group(1)


def check_page(page, root):
    """Yields "FILE:LINE: message" for each link of `page` that leads nowhere.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> root = Path(folder.name)
    >>> _ = (root / "a.md").write_text("[1](b.md#one) [2](b.md#two) [3](c.md)\\n[4](../x) [5](#a)")
    >>> _ = (root / "b.md").write_text("# One\\n")
    >>> for problem in check_page(root / "a.md", root):
    ...     print(problem)
    a.md:1: b.md has no heading for #two
    a.md:1: there is no c.md
    a.md:2: ../x is outside of this tree
    a.md:2: a.md has no heading for #a
    """
    text = page.read_text(encoding="utf-8")
    for line, target in links(text):
        where = f"{page.relative_to(root)}:{line}"
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page.resolve()
        if not file.is_relative_to(root.resolve()):
            yield f"{where}: {target} is outside of this tree"
        elif not file.exists():
            yield f"{where}: there is no {path}"
        elif anchor and file.suffix == ".md":
            if anchor not in anchors(file.read_text(encoding="utf-8")):
                yield f"{where}: {file.name} has no heading for #{anchor}"


def check_layer_table(cmake_text, page_text):
    """Yields a message for each difference between the build's layers and the documented ones.

    >>> cmake = "add_pgweir_layer(base Boost::headers)\\nadd_pgweir_layer(net pgweir_base)\\n"
    >>> page = "## Layers\\n| `base` | x | |\\n| `net` | y | base |\\n## States\\n| `idle` | z | |\\n"
    >>> list(check_layer_table(cmake, page))
    []
    >>> list(check_layer_table(cmake, page.replace("| base |", "| pool |")))
    ['layer net links base, the table says pool']
    >>> list(check_layer_table(cmake, page.replace("| `base` | x | |\\n", "")))
    ['layers are base, net, the table has net']
    """
    built = {
        name: " ".join(
            dep.removeprefix("pgweir_") for dep in deps.split() if dep.startswith("pgweir_")
        )
        for name, deps in LAYER_CALL.findall(cmake_text)
    }
    table = "".join(LAYER_SECTION.findall(page_text))
    told = {name: deps.replace(",", "") for name, deps in LAYER_ROW.findall(table)}
    if list(built) != list(told):
        yield f"layers are {', '.join(built)}, the table has {', '.join(told)}"
    for name in sorted(built.keys() & told.keys()):
        if built[name] != told[name]:
            yield f"layer {name} links {built[name]}, the table says {told[name]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="the source tree")
    root = parser.parse_args().root
    # A check that cannot fail checks nothing: the examples above show that this one can.
    if doctest.testmod().failed:
        sys.exit(1)

    # Hidden folders and build/ hold what tools leave behind.
    pages = sorted(
        p
        for p in root.rglob("*.md")
        if not re.search(r"(^|/)(\.|build/)", p.relative_to(root).as_posix())
    )
    problems = [problem for page in pages for problem in check_page(page, root)]
    layers = root / "docs/architecture.md"
    problems += (
        f"{layers.relative_to(root)}: {problem}"
        for problem in check_layer_table(
            (root / "CMakeLists.txt").read_text(encoding="utf-8"),
            layers.read_text(encoding="utf-8"),
        )
    )
    for problem in problems:
        print(problem)
    print(f"{len(pages)} pages checked, {len(problems)} problems")
    sys.exit(1 if problems or not pages else 0)


if __name__ == "__main__":
    main()
