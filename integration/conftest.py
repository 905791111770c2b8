"""Fixtures: clusters (one a PostgreSQL version), fresh databases, and pgweir processes."""

import contextlib
import itertools
import os
import resource
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

import installs
from cluster import Cluster
from pooler import BINARY, Pooler, default_config, merged

pytest_plugins = ["failover_scene"]

SLOW = os.environ.get("PGWEIR_SLOW") == "1"


def pytest_configure():
    # Whoever ends us with SIGTERM, as timeout(1) does, wants our processes gone as well.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated"))


def pytest_collection_modifyitems(items):
    for item in items:
        if "slow" in item.keywords and not SLOW:
            item.add_marker(pytest.mark.skip(reason="slow: set PGWEIR_SLOW=1"))


def pytest_generate_tests(metafunc):
    if "cluster" in metafunc.fixturenames:
        every = any(True for _ in metafunc.definition.iter_markers("every_version"))
        versions = installs.WANTED if every else installs.WANTED[:1]
        metafunc.parametrize("cluster", versions, indirect=True, scope="session",
                             ids=[f"pg{v}" for v in versions])


@pytest.fixture(scope="session", autouse=True)
def _many_files():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture(scope="session")
def base():
    """A short path that other users can enter: unix sockets and clusters live there."""
    folder = Path(tempfile.mkdtemp(prefix="pgweir-it-"))
    folder.chmod(0o755)
    yield folder
    if not os.environ.get("PGWEIR_KEEP"):
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def data(base):
    """Where clusters live: in memory, where a database is copied many times faster, if there is
    room for it."""
    room = 0
    with contextlib.suppress(OSError):
        memory = os.statvfs("/dev/shm")
        room = memory.f_bavail * memory.f_frsize
    if room < 4 << 30 or os.environ.get("PGWEIR_KEEP"):
        yield base
        return
    folder = Path(tempfile.mkdtemp(prefix="pgweir-it-", dir="/dev/shm"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _install(base, major):
    found = installs.find(base)
    if major not in found:
        pytest.skip(f"no PostgreSQL {major} server is installed (found: {sorted(found)})")
    return found[major]


@pytest.fixture(scope="session")
def clusters(base, data):
    """Makes the shared cluster of a version when first asked for."""
    running = {}

    def get(major):
        if major not in running:
            running[major] = Cluster(_install(base, major), data / f"pg{major}").create()
        return running[major]

    yield get
    for cluster in running.values():
        cluster.destroy()


@pytest.fixture(scope="session")
def cluster(request, clusters):
    return clusters(request.param)


_numbers = itertools.count(1)


@pytest.fixture
def own_cluster(base, data):
    """A cluster that the test may stop and break."""
    cluster = Cluster(_install(base, installs.WANTED[0]), data / f"own{next(_numbers)}").create()
    yield cluster
    cluster.destroy()


@pytest.fixture
def databases():
    """databases(cluster, template) makes a fresh one; dropped once the test's poolers are gone."""
    made = []

    def create(cluster, template="model"):
        made.append((cluster, cluster.create_database(template)))
        return made[-1][1]

    yield create
    for cluster, name in reversed(made):
        cluster.drop_database(name)


@pytest.fixture
def database(cluster, databases):
    """A fresh database of its own, so that its backends can be counted."""
    return databases(cluster)


def _poolers(base, request):
    if not BINARY.exists():
        pytest.fail(f"no pgweir binary at {BINARY}: build it or set PGWEIR_BINARY")
    started = []

    def start(cluster, over=None, databases=("shop",), environment=None, wait=True, config=None):
        config = merged(config or default_config(cluster, databases), over or {})
        process = Pooler(base / f"pooler{next(_numbers)}", config)
        started.append(process)
        return process.start(environment, wait)

    yield start
    problems = []
    for process in started:
        try:
            process.finish()
        except AssertionError as error:
            problems.append(str(error))
        if not os.environ.get("PGWEIR_KEEP"):
            if isinstance(request.node, pytest.Item):
                request.node.add_report_section("call", "pgweir.log", process.log()[-20000:])
            shutil.rmtree(process.folder, ignore_errors=True)
    assert not problems, "\n".join(problems)


@pytest.fixture
def pooler(base, request, databases):
    """Starts pgweir: pooler(cluster, {...}, databases=[...]) lays the tables over the defaults.

    At the test's end each is told to stop and must have behaved."""
    yield from _poolers(base, request)


@pytest.fixture(scope="module")
def lasting_pooler(base, request):
    """As pooler, for all tests of a module."""
    yield from _poolers(base, request)
