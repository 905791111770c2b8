"""docker-compose.yml as users start it: three nodes, two pgweirs, Prometheus. What befalls a primary
in containers costs no write, and the old primary comes back as a standby, by itself."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import psycopg
import pytest

from cluster import free_port, until
from failover_scene import Account, Client, Transactor, Writer
from pooler import BINARY, SANITIZER

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parent.parent
SECRETS = ROOT / "deploy" / "secrets"
NODES = ("pg-1", "pg-2", "pg-3")
POOLERS = ("pgweir-1", "pgweir-2")
PROJECT = "pgweir-test"
LONG = 240  # seconds within which anything happens, also on a busy machine
BINARY_IMAGE = """
FROM pgweir-runtime
USER root
{libraries}
COPY pgweir /usr/local/bin/pgweir
USER pgweir
"""
SANITIZERS = """
RUN apt-get update && apt-get install -y --no-install-recommends libasan8 libubsan1 && \\
    rm -rf /var/lib/apt/lists/*
"""


def run(*command, check=True, **options):
    done = subprocess.run([str(c) for c in command], cwd=ROOT, check=False, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **options)
    assert not check or done.returncode == 0, f"{' '.join(map(str, command))}:\n{done.stdout}"
    return done.stdout.strip()


def why_not():
    """Why there can be no containers here; None: there can."""
    if not shutil.which("docker") or subprocess.run(
            ["docker", "info"], check=False, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL).returncode:
        return "no Docker engine answers"
    if not shutil.which("docker-compose"):
        return "docker-compose is not installed"
    return None


class Containers:
    """The services of docker-compose.yml, called as there. pgweir is the program that the other
    tests run, or the image PGWEIR_IMAGE."""

    def __init__(self, folder):
        self.folder = folder
        self.ports = {pooler: free_port() for pooler in POOLERS}
        self.prometheus_port = free_port()
        self._ids = {}
        self.environment = os.environ | {
            "COMPOSE_PROJECT_NAME": PROJECT, "PROMETHEUS_PORT": str(self.prometheus_port),
            "PGWEIR_1_PORT": str(self.ports["pgweir-1"]),
            "PGWEIR_2_PORT": str(self.ports["pgweir-2"]),
            # repmgr's failover takes as long as this machine lets it.
            "RESTART_WAIT": "60",
        }

    def start(self):
        if not run("docker", "images", "-q", "debian:bookworm-slim"):
            run("scripts/make-base-image")
        service = {} if "PGWEIR_IMAGE" in os.environ else self._make_image()
        # A hold that lasts also where this machine has no time for anybody for a minute; and who
        # logs in is told.
        config = self.folder / "compose.toml"
        text = (ROOT / "deploy" / "pgweir.toml").read_text(encoding="utf-8")
        text = re.sub("hold_timeout = .*", 'hold_timeout = "300s"', text)
        config.write_text(f"{text}\n[log]\nconnections = true\n", encoding="utf-8")
        service["volumes"] = [f"{config}:/etc/pgweir/pgweir.toml:ro"]
        over = self.folder / "compose.json"
        over.write_text(json.dumps({"services": {p: service for p in POOLERS}}), encoding="ascii")
        self.environment["COMPOSE_FILE"] = f"docker-compose.yml:{over}"
        self.compose("down", "--volumes", check=False)  # what an interrupted run has left
        self.compose("build", *NODES[:1], "prometheus")
        run("scripts/rehearse", "up", "--no-build", "--seconds", "300", env=self.environment)
        return self

    def _make_image(self):
        """pgweir's image around the program under test; what a service says that runs it."""
        run("docker", "build", "--target", "runtime", "--tag", "pgweir-runtime", ".")
        context = self.folder / "image"
        context.mkdir()
        run("strip", "--strip-debug", "-o", context / "pgweir", BINARY)
        is_sanitized = "libasan" in run("ldd", BINARY)
        (context / "Dockerfile").write_text(
            BINARY_IMAGE.format(libraries=SANITIZERS if is_sanitized else ""), encoding="ascii")
        run("docker", "build", "--tag", "pgweir-under-test", context)
        service = {"image": "pgweir-under-test"}
        if is_sanitized:
            # As scripts/test does, without address space layout randomisation, and so without the
            # filter that forbids to ask for that.
            service |= {"entrypoint": ["setarch", "-R", "pgweir"],
                        "command": ["run", "-c", "/etc/pgweir/pgweir.toml"],
                        "security_opt": ["no-new-privileges:true", "seccomp:unconfined"]}
        return service

    def close(self):
        """Ends everything; what pgweir has logged."""
        try:
            self.compose("stop", "-t", "30", *POOLERS)
            return self.compose("logs", "--no-color", *POOLERS)
        finally:
            if not os.environ.get("PGWEIR_KEEP"):
                self.compose("down", "--volumes", "--timeout", "30")

    def compose(self, *words, check=True):
        return run("docker-compose", *words, check=check, env=self.environment)

    def id(self, service):
        if service not in self._ids:
            self._ids[service] = self.compose("ps", "-q", service)
        return self._ids[service]

    def docker(self, *words, check=True):
        """Names of services among the words are replaced by their containers."""
        return run("docker", *(self.id(w) if w in NODES + POOLERS else w for w in words),
                   check=check)

    def password(self, name):
        return (SECRETS / f"{name}_password").read_text(encoding="ascii")

    def story(self):
        """What everybody has said that matters, lately."""
        lines = []
        for service in NODES + POOLERS:
            log = self.docker("logs", "--since", "5m", service).splitlines()
            told = [line.split("; evidence")[0] for line in log
                    if re.search(r"node pg-|may-promote|NOTICE\]|cluster main", line)]
            lines += [f"--- {service}", *told[-25:]]
        return "\n".join(lines)

    # --- what can happen ---

    def network(self):
        return f"{PROJECT}_databases"

    def cut(self, service):
        self.docker("network", "disconnect", self.network(), service)

    def mend(self, service):
        run("docker", "network", "connect", "--alias", service, self.network(), self.id(service))

    def freeze(self, node):
        # A busy container is not frozen at the first attempt, where the kernel has cgroups of the
        # first version.
        until(lambda: self._state(node) == "paused" or self.docker("pause", node, check=False) == "",
              LONG, f"{node} frozen")

    def repair(self):
        """Takes back what a test that failed has done to nodes."""
        for node in NODES:
            if self._state(node) == "paused":
                self.docker("unpause", node)
            if self._state(node) != "running":
                self.docker("start", node)
            if "databases" not in self.docker("inspect", "-f", "{{json .NetworkSettings.Networks}}",
                                              node):
                self.mend(node)

    def _state(self, node):
        return self.docker("inspect", "-f", "{{.State.Status}}", node)

    # --- what is so ---

    def ask(self, node, sql, database="shop"):
        """Straight from a node, also one that is cut off; None: it does not answer."""
        done = subprocess.run(["docker", "exec", self.id(node), "timeout", "10", "psql", "-XqAtw",
                               "-U", "postgres", "-d", database, "-c", sql], check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return done.stdout.strip() if done.returncode == 0 else None

    def connect(self, pooler, user="shop", database="shop"):
        return psycopg.connect(host="127.0.0.1", port=self.ports[pooler], user=user, dbname=database,
                               password=self.password(user), autocommit=True, prepare_threshold=None,
                               sslmode="disable")

    def nodes_of(self, pooler):
        """{node: what this pgweir takes it for}."""
        with contextlib.suppress(psycopg.OperationalError), \
                self.connect(pooler, "admin", "pgweir") as console:
            rows = console.cursor(row_factory=psycopg.rows.dict_row).execute("SHOW NODES").fetchall()
            return {row["name"]: row["state"] for row in rows}
        return {}

    def primary(self, other_than=None):
        """Whom both pgweirs write to; waits until they agree."""
        def agreed():
            views = [self.nodes_of(p) for p in POOLERS]
            found = [{n for n, state in view.items() if state == "primary"} for view in views]
            (first, *_), same = found[0] or {None}, found[0] == found[1]
            return same and first != other_than and first
        return until(agreed, LONG, f"one primary of both pgweirs, other than {other_than}")

    def whole(self):
        """Waits until each node is the primary or streams from it, for both pgweirs too; the
        primary."""
        def is_whole():
            return all(sorted(self.nodes_of(p).values()) == ["primary", "standby", "standby"]
                       for p in POOLERS) and all(
                self.docker("inspect", "-f", "{{.State.Health.Status}}", n) == "healthy"
                for n in NODES)
        until(is_whole, LONG, "three nodes that are well")
        return self.primary()

    def rows(self, node):
        """[(id, name of the node that wrote it)], as a node has them; None: it does not answer."""
        told = self.ask(node, "SELECT id, node FROM ledger ORDER BY id")
        return None if told is None else [
            (int(number), by) for number, by in (line.split("|") for line in told.splitlines())]

    def said(self, service, pattern, since):
        """Lines of a container's log from a time on."""
        log = self.docker("logs", "--since", f"{since:.3f}", service)
        return [line for line in log.splitlines() if re.search(pattern, line)]


class Rarely:
    """Leaves the processor to the containers."""

    rest = 0.05


class SlowWriter(Rarely, Writer):
    pass


class SlowTransactor(Rarely, Transactor):
    pass


class Retrying(Rarely, Client):
    """Autocommit INSERTs of a client that connects again, to any pgweir, when it has to."""

    def __init__(self, name, containers, account):
        super().__init__(name, None, account)
        self._containers = containers

    def run(self):
        try:
            while not self._quit.is_set():
                self._connect()
                self.account.write(self.name, self.connection)
                self._quit.wait(self.rest)
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            self.failure = error

    def _connect(self):
        attempt = 0
        while self.connection is None or self.connection.closed:
            attempt += 1
            with contextlib.suppress(psycopg.OperationalError):
                self.connection = self._containers.connect(POOLERS[attempt % 2])


class Crowd:
    """Writers and transactors at work, through both pgweirs, from `with` to its end."""

    def __init__(self, containers, kinds=(SlowWriter, SlowWriter, SlowTransactor)):
        self.account = Account()
        self.clients = []
        for pooler in POOLERS:
            for i, kind in enumerate(kinds):
                name = f"{kind.__name__.lower().removeprefix('slow')} {i} at {pooler}"
                self.clients.append(kind(name, containers.connect(pooler), self.account)
                                    if kind is not Retrying else
                                    kind(name, containers, self.account))

    def __enter__(self):
        for client in self.clients:
            client.start()
        self.flows()
        return self

    def __exit__(self, kind, *_):
        for client in self.clients:
            client.stop()
        for client in self.clients:
            client.join(LONG)
            if kind is None:
                assert not client.is_alive(), f"{client.name} hangs"
                assert client.failure is None, client.failure
            if client.connection:
                client.connection.close()

    def flows(self):
        """Waits until every client has begun something and had it done, from now on."""
        since = time.monotonic()

        def served():
            done = {t.client for t in list(self.account.told)
                    if t.ids and not t.sqlstate and t.began > since}
            return all(c.name in done for c in self.clients)

        until(served, LONG, "a write by every client")
        return since


@pytest.fixture(scope="module")
def running(base):
    reason = why_not()
    if reason:
        pytest.skip(reason)
    made = Containers(base)
    try:
        yield made.start()
    finally:
        log = made.close()
    reports = [line for line in log.splitlines() if SANITIZER.search(line)]
    assert not reports, reports


@pytest.fixture
def containers(running, request):  # pylint: disable=redefined-outer-name
    """Everything runs and is well, and the ledger is empty."""
    failed = request.session.testsfailed
    running.repair()
    running.ask(running.whole(), "DROP TABLE IF EXISTS ledger; CREATE TABLE ledger (id bigint,"
                " node text DEFAULT current_setting('cluster_name'));"
                " ALTER TABLE ledger OWNER TO shop")
    yield running
    if request.session.testsfailed > failed:
        print(running.story())


def kill(containers, node):  # pylint: disable=redefined-outer-name
    containers.docker("kill", node)


def stop(containers, node):  # pylint: disable=redefined-outer-name
    containers.docker("stop", "-t", "60", node)


def start(containers, node):  # pylint: disable=redefined-outer-name
    containers.docker("start", node)


def freeze_and_kill(containers, node):  # pylint: disable=redefined-outer-name
    """repmgrd may wait for an answer of a frozen node for as long as that is frozen."""
    containers.freeze(node)
    until(lambda: containers.nodes_of(POOLERS[0]).get(node) == "down", LONG, f"{node} silent")
    containers.docker("kill", node)


@pytest.mark.parametrize("harm, heal", [
    pytest.param(kill, start, id="killed"),
    pytest.param(stop, start, id="stopped"),
    pytest.param(freeze_and_kill, start, id="frozen"),
    pytest.param(Containers.cut, Containers.mend, id="cut-off"),
])
def test_no_write_fails_when_the_primary_is_lost_and_it_comes_back_as_a_standby(
        containers, harm, heal):  # pylint: disable=redefined-outer-name
    old = containers.primary()
    with Crowd(containers) as crowd:
        harm(containers, old)
        new = containers.primary(other_than=old)
        granted = crowd.flows()
        heal(containers, old)
        assert containers.whole() == new
        crowd.flows()

    held = crowd.account.check(containers.rows(new))
    assert held["ok"] > 0
    # A statement that was on its way to the old primary is in doubt; no other write has an error.
    told = {client: codes for client, codes in crowd.account.errors().items() if "writer" in client}
    assert all(codes == ["08007"] for codes in told.values()), told
    assert not crowd.account.lost()
    late = {i for t in crowd.account.told if t.began > granted for i in t.ids}
    assert not [i for i, by in containers.rows(new) if i in late and by != new]
    until(lambda: containers.rows(old) == containers.rows(new), LONG, "the same rows on both")


def test_a_primary_that_is_started_again_at_once_follows_whoever_took_over(containers):
    old, began = containers.primary(), time.time()
    with Crowd(containers) as crowd:
        containers.docker("restart", "-t", "0", old)
        new = containers.primary(other_than=old)
        assert containers.whole() == new
        crowd.flows()
    crowd.account.check(containers.rows(new))
    assert containers.said(old, "waits 60 s for another to be promoted|is rewound to", began)
    assert not containers.said(old, "starts as a primary", began)


def test_repmgr_s_hook_tells_every_pgweir(containers):
    began = time.time()
    # With the environment that repmgrd gives it.
    containers.docker("exec", "-e", "PGPASSFILE=/etc/repmgr/pgpass", containers.primary(),
                      "/usr/local/share/pgweir/repmgr-event-hook", "1", "standby_promote", "1")
    for pooler in POOLERS:
        until(lambda p=pooler: containers.said(p, "logged in as repmgr-hook", began), LONG,
              f"the hook at {pooler}")


def test_pgweirs_that_are_restarted_one_after_the_other_cost_no_row(containers):
    with Crowd(containers, kinds=(Retrying, Retrying)) as crowd:
        for pooler in POOLERS:
            containers.docker("restart", "-t", "60", pooler)
            until(lambda p=pooler: containers.docker(
                "inspect", "-f", "{{.State.Health.Status}}", p) == "healthy", LONG, f"{pooler} ready")
            crowd.flows()
    held = crowd.account.check(containers.rows(containers.primary()))
    assert held["ok"] > 0


def test_a_former_primary_by_itself_does_not_serve_and_with_a_majority_does(containers):
    old, began = containers.primary(), time.time()
    others = [n for n in NODES if n != old]
    with containers.connect("pgweir-1") as connection:
        connection.execute("INSERT INTO ledger VALUES (1)")
    containers.docker("kill", *others, old)
    containers.docker("start", old)
    until(lambda: containers.said(old, "keeps out: .* is no majority", began), LONG,
          "the reason why it keeps out")
    assert containers.ask(old, "SELECT 1") is None
    containers.docker("start", *others)
    # From when it says so until it serves nobody else is allowed to be promoted.
    until(lambda: containers.said(old, "it goes on in", began), LONG, "that it will serve again")
    while containers.ask(old, "SELECT 1") is None:
        told = containers.docker("exec", others[0], "/usr/local/share/pgweir/may-promote",
                                 check=False)
        assert re.search(f"stays a standby: {old} (goes on as the primary|is a primary)", told), told
    assert containers.whole() == old
    assert containers.rows(old) == [(1, old)]


def test_an_empty_node_makes_no_database_while_another_may_have_one(running):  # pylint: disable=unused-argument,redefined-outer-name
    """As the first node whose volume was lost, while the others cannot be reached."""
    secrets = [f"{path}:/run/secrets/{path.name}:ro" for path in SECRETS.iterdir()]
    lonely = run("docker", "run", "--detach", "--network", "none",
                 "--group-add", (SECRETS / "repmgr_password").stat().st_gid,
                 "-e", "NODE_NAME=pg-1", "-e", "NODES=pg-1 pg-2 pg-3",
                 *(word for mount in secrets for word in ("-v", mount)), "pgweir-postgres")
    try:
        until(lambda: "keeps out: has no data" in run("docker", "logs", lonely), LONG, "its reason")
        assert "makes the database" not in run("docker", "logs", lonely)
    finally:
        run("docker", "rm", "--force", "--volumes", lonely)


def test_applications_reach_pgweir_by_one_name_and_no_database(containers):
    def reach(host, port):
        return subprocess.run(
            ["docker", "run", "--rm", "--network", f"{PROJECT}_front", "--entrypoint", "timeout",
             "pgweir-postgres", "5", "bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}"],
            check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0

    both = run("docker", "run", "--rm", "--network", f"{PROJECT}_front", "--entrypoint", "getent",
               "pgweir-postgres", "ahostsv4", "pgweir")
    assert len({line.split()[0] for line in both.splitlines()}) == 2
    assert reach("pgweir", 6432)
    address = containers.docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}"
                                "{{end}}", containers.primary())
    assert not reach(address, 5432)


def test_what_people_are_told_to_type_does_what_they_are_told(containers):
    """scripts/rehearse, as docs/rehearsal.md has it."""
    def rehearse(*words):
        return run("scripts/rehearse", *words, env=containers.environment)

    def nodes(pooler):
        words = [line.split() for line in rehearse("nodes", pooler).splitlines()[1:]]
        return {name: state for name, state, *_ in words}

    primary = containers.primary()
    states = {n: "primary" if n == primary else "standby" for n in NODES}
    for pooler in POOLERS:
        until(lambda p=pooler: nodes(p) == states, LONG, f"{states} in the list of {pooler}")
    assert re.search(r"^ pgweir \d", rehearse("console", "pgweir-2", "-c", "SHOW VERSION"), re.M)
    assert primary in rehearse("sql", "-c", "SELECT current_setting('cluster_name')")

    away = next(n for n in NODES if n != primary)
    rehearse("cut", away)
    until(lambda: nodes(POOLERS[1])[away] == "down", LONG, f"{away} cut off")
    told = rehearse("watch", "--seconds", "3")
    rehearse("mend", away)
    until(lambda: nodes(POOLERS[1])[away] == "standby", LONG, f"{away} back")
    seconds = re.findall(r"^[\d:]{8} +\d+ +\d+ ms +[\d.]+ s +(\S+)$", told, re.M)
    assert seconds and set(seconds) <= {primary, "-"}, told
    figures = dict(re.findall(r"^([a-z ]+?) +(\d+)$", told, re.M))
    assert int(figures.pop("acknowledged")) > 0, told
    assert set(figures) == {"  missing", "in doubt", "refused", "  of which are there"}, told
    assert set(figures.values()) == {"0"}, told


def test_prometheus_asks_both_pgweirs_and_knows_the_alarms(containers):
    def ask(page):
        url = f"http://127.0.0.1:{containers.prometheus_port}/api/v1/{page}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def targets_up():
        targets = ask("targets")["activeTargets"]
        return sorted(t["labels"]["instance"] for t in targets if t["health"] == "up") == [
            "pgweir-1:9127", "pgweir-2:9127"]

    until(targets_up, LONG, "both pgweirs up")
    names = {rule["name"] for group in ask("rules")["groups"] for rule in group["rules"]}
    assert {"NoPrimary", "SplitBrain", "PgweirDown"} <= names
