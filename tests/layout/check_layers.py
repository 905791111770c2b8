#!/usr/bin/env python3
"""Refuses an #include that the layer table does not allow.

The table is the add_pgweir_layer() calls in CMakeLists.txt, taken transitively, so that the build
and this check cannot disagree. CMake refuses an upward call at link time; this refuses an upward
include, which may need no symbol at all.
"""

import argparse
import re
import sys
from pathlib import Path

LAYER_CALL = re.compile(r"^add_pgweir_layer\((\w+)\s*([^)]*)\)", re.MULTILINE)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)

# Layers whose headers decide and never perform: no socket, event loop or TLS object in them.
PURE_LAYERS = ("base", "config", "protocol", "auth", "metrics", "cluster", "observe", "tls")
IMPURE_HEADER = re.compile(
    r"^(boost/asio|openssl/|sys/(socket|epoll|un|uio)\.h|netinet/|arpa/|netdb\.h|poll\.h)"
)


def read_table(cmake_text):
    """Returns {layer: set of the layers it may include, itself among them}."""
    direct = {
        name: {dep.removeprefix("pgweir_") for dep in deps.split() if dep.startswith("pgweir_")}
        for name, deps in LAYER_CALL.findall(cmake_text)
    }
    direct = {name: deps - {"options"} for name, deps in direct.items()}

    def closure(name, seen):
        for dep in direct[name]:
            if dep not in direct:
                raise ValueError(f"layer {name} depends on {dep}, which is no layer")
            if dep not in seen:
                seen.add(dep)
                closure(dep, seen)
        return seen

    return {name: closure(name, {name}) for name in direct}


def check_file(path, layer, table, is_public):
    """Yields "FILE:LINE: message" for each include of `path` that its layer may not have."""
    text = path.read_text(encoding="utf-8")
    for match in INCLUDE.finditer(text):
        bracket, target = match.groups()
        # start(1) is the bracket: a match may begin on an empty line further up.
        where = f"{path}:{text.count(chr(10), 0, match.start(1)) + 1}"
        parts = target.split("/")
        if parts[0] == "pgweir":
            if bracket != '"':
                yield f'{where}: <{target}> is ours: include it with ""'
            if len(parts) < 3 or parts[1] not in table:
                yield f'{where}: "{target}" is in no layer'
            elif parts[1] not in table[layer]:
                yield f"{where}: {layer} must not include {parts[1]} ({target})"
        elif bracket == '"':
            if is_public:
                yield f'{where}: a public header must not include the private "{target}"'
            elif len(parts) > 1 and parts[0] != layer:
                yield f'{where}: "{target}" is private to another layer than {layer}'
        elif is_public and layer in PURE_LAYERS and IMPURE_HEADER.match(target):
            yield f"{where}: headers of {layer} must not include <{target}>"


def check_tree(root):
    """Returns (all problems in the tree below `root`, number of files read)."""
    table = read_table((root / "CMakeLists.txt").read_text(encoding="utf-8"))
    problems = []
    count = 0
    for base, is_public in ((root / "include/pgweir", True), (root / "src", False)):
        for folder in sorted(p for p in base.iterdir() if p.is_dir()):
            if folder.name not in table:
                problems.append(f"{folder}: no add_pgweir_layer({folder.name} ...) for it")
                continue
            for path in sorted(folder.rglob("*.[hc]pp")):
                count += 1
                problems += check_file(path, folder.name, table, is_public)
    return problems, count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="the source tree")
    problems, count = check_tree(parser.parse_args().root)
    for problem in problems:
        print(problem)
    print(f"{count} files checked, {len(problems)} problems")
    sys.exit(1 if problems or count == 0 else 0)


if __name__ == "__main__":
    main()
