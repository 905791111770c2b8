"""The systemd unit: what systemd thinks of it, and pgweir started, told and confined as it says."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from as_unit import read_unit, values
from cluster import unprivileged_user
from pooler import BINARY, START, Pooler, default_config, merged
from wire import Wire

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "conf" / "pgweir.service"
SETTINGS = read_unit(UNIT)
INSTALLED, CONFIGURATION = "/usr/local/bin/pgweir", "/etc/pgweir/pgweir.toml"
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"),
                                   reason="systemd-analyze (package systemd) is not installed")


def the(key):
    """The value of a key that the unit has once."""
    (value,) = values(SETTINGS, key)
    return value


# --- the file ------------------------------------------------------------------------------------


def complaints(text, folder):
    """What systemd says about such a unit; commands are those of this machine."""
    path = folder / "pgweir.service"
    path.write_text(text.replace(INSTALLED, shutil.which("true")), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path],
                          capture_output=True, text=True, timeout=60, check=False)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "pgweir" in line]
    return lines or ([f"exit status {done.returncode}"] if done.returncode else [])


@needs_systemd
def test_systemd_finds_nothing_to_complain_about(tmp_path):
    assert complaints(UNIT.read_text(encoding="utf-8"), tmp_path) == []


@needs_systemd
@pytest.mark.parametrize("wrong", ["NoNewPrivilege=yes", "Type=notified", "UMask=0999",
                                   "SystemCallFilter=@system-services"])
def test_systemd_would_complain_about_a_slip(tmp_path, wrong):
    text = UNIT.read_text(encoding="utf-8").replace("[Install]", f"{wrong}\n[Install]")
    assert complaints(text, tmp_path)


@needs_systemd
def test_systemd_rates_its_exposure_as_ok():
    # Of 100. What is left are the network and what only the machine's owner knows: addresses.
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                           "--threshold=20", UNIT], capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_checked_before_the_start_is_what_is_started():
    (check,), (run,) = values(SETTINGS, "ExecStartPre"), values(SETTINGS, "ExecStart")
    assert check.split() == [INSTALLED, "check", "-c", CONFIGURATION]
    assert run.split() == [INSTALLED, "run", "-c", CONFIGURATION]


def test_systemd_waits_longer_than_a_drain_may_take():
    defaults = (ROOT / "conf" / "pgweir.toml").read_text(encoding="utf-8").splitlines()
    (drain,) = [line for line in defaults if line.startswith("shutdown = ")]
    assert int(the("TimeoutStopSec")) > int(drain.split('"')[1].removesuffix("s"))


# --- the process ---------------------------------------------------------------------------------


class Service(Pooler):
    """pgweir as the unit starts it, with a socket that hears what systemd would be told."""

    def __init__(self, folder, config, binary, confined):
        super().__init__(folder, config, binary)
        self.confined = confined
        self.folder.mkdir()
        self.write()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.listener.bind(str(self.folder / "notify"))
        os.chmod(self.folder / "notify", 0o777)

    def as_written(self, key):
        """A command line of the unit, with the paths of this test."""
        paths = {INSTALLED: str(self.binary), CONFIGURATION: str(self.path)}
        command = [paths.get(word, word) for word in the(key).split()]
        if self.confined:
            user = unprivileged_user() or "-"
            command = [sys.executable, Path(__file__).with_name("as_unit.py"), UNIT, user, *command]
        return command

    def command(self):
        program, run, *rest = self.as_written("ExecStart")
        stays = ["--allow-root"] if os.geteuid() == 0 and not self.confined else []
        return [program, run, *stays, *rest]

    def start(self):
        # The leak check at the end would trace the process, which the unit does not allow.
        return super().start({"NOTIFY_SOCKET": str(self.folder / "notify"),
                              "ASAN_OPTIONS": f"detect_leaks={int(not self.confined)}"}, wait=False)

    def told(self):
        """The next thing that systemd is told."""
        self.listener.settimeout(START)
        return self.listener.recv(4096).decode().splitlines()


@pytest.fixture
def service(cluster, base):
    """service({...}) is a pgweir that has not been started; it must end well."""
    made = []

    def make(over=None, confined=False):
        binary = BINARY
        if confined:
            binary = base / "pgweir"  # other users may not reach where it was built
            if not binary.exists():
                shutil.copy2(BINARY, binary)
        config = merged(default_config(cluster), over or {})
        made.append(Service(base / f"service{len(made)}", config, binary, confined))
        return made[-1]

    yield make
    for one in made:
        one.finish()
        one.listener.close()
        shutil.rmtree(one.folder)


def test_systemd_is_told_when_clients_are_served(service):
    weir = service().start()
    assert weir.told() == ["READY=1"]
    with weir.wire("app") as client:
        assert client.value("select 1") == "1"


def test_systemd_is_not_told_of_a_start_that_fails(service):
    weir = service()
    weir.expected_status = None
    with socket.socket() as taken:
        taken.bind((weir.host, weir.port))
        taken.listen()
        weir.start()
        assert weir.wait(START) != 0
    weir.listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        weir.listener.recv(4096)


def test_systemd_is_told_when_a_reload_begins_and_ends(service):
    weir = service().start()
    assert weir.told() == ["READY=1"]
    kill, signal_name, target = the("ExecReload").split()
    assert (Path(kill).name, target) == ("kill", "$MAINPID")
    weir.signal(getattr(signal, f"SIG{signal_name.lstrip('-')}"))
    assert [weir.told(), weir.told()] == [["RELOADING=1"], ["READY=1"]]


def test_systemd_is_told_that_a_refused_reload_is_over(service):
    weir = service().start()
    assert weir.told() == ["READY=1"]
    weir.path.write_text("[pool]\nsizee = 3\n", encoding="utf-8")
    weir.signal(signal.SIGHUP)
    assert [weir.told(), weir.told()] == [["RELOADING=1"], ["READY=1"]]


def test_systemd_is_told_when_it_stops(service):
    weir = service().start()
    assert weir.told() == ["READY=1"]
    weir.signal(getattr(signal, the("KillSignal")))
    assert weir.told() == ["STOPPING=1"]
    assert weir.wait() == 0


# --- confined ------------------------------------------------------------------------------------
# Without privileges, and with the system calls and address families that the unit allows.


@needs_systemd
def test_the_check_passes_confined(service):
    weir = service(confined=True)
    done = subprocess.run(weir.as_written("ExecStartPre"), stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=60, check=False,
                          env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    assert done.returncode == 0, done


@needs_systemd
def test_clients_are_served_confined(service):
    weir = service(confined=True).start()
    assert weir.told() == ["READY=1"]
    with weir.wire("app") as client:
        assert client.value("select 1") == "1"
        client.cancel()


@needs_systemd
def test_a_host_name_is_looked_up_confined(service, cluster):
    weir = service({"database": {"shop": {"host": "localhost", "port": cluster.port}}},
                   confined=True).start()
    assert weir.told() == ["READY=1"]
    with weir.wire("app") as client:
        assert client.value("select 1") == "1"


@needs_systemd
def test_a_reload_and_an_end_are_possible_confined(service):
    weir = service(confined=True).start()
    assert weir.told() == ["READY=1"]
    weir.signal(signal.SIGHUP)
    assert [weir.told(), weir.told()] == [["RELOADING=1"], ["READY=1"]]
    weir.signal(signal.SIGTERM)
    assert weir.told() == ["STOPPING=1"]
    assert weir.wait() == 0


@needs_systemd
def test_the_umask_of_the_unit_leaves_the_unix_socket_open_to_clients(service, base):
    folder = base / "runtime"  # as RuntimeDirectory makes it: the service's own, mode 0755
    folder.mkdir(mode=0o755)
    if user := unprivileged_user():
        shutil.chown(folder, user)
    weir = service({"listen": {"unix_socket_dir": str(folder)}}, confined=True).start()
    assert weir.told() == ["READY=1"]
    name = f"{folder}/.s.PGSQL.{weir.port}"
    assert os.stat(name).st_mode & 0o777 == 0o777
    with Wire(name) as client:
        client.login("app", "shop", "app-secret")
        assert client.value("select 1") == "1"


@needs_systemd
@pytest.mark.parametrize(("code", "status", "words"), [
    ("import os; os.sched_setaffinity(0, {0})", -signal.SIGSYS, ""),
    ("import os; os.chown('.', 0, 0)", -signal.SIGSYS, ""),
    ("import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", 1, "not supported"),
    ("import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)", 1, "not permitted"),
    ("import os; os.umask(0o077) == 0o077 or exit('umask')", 0, ""),
], ids=["affinity", "ownership", "netlink", "writable code", "umask"])
def test_the_confinement_of_these_tests_confines(code, status, words):
    done = subprocess.run([sys.executable, Path(__file__).with_name("as_unit.py"), UNIT, "-",
                           sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                          check=False)
    assert (done.returncode, words in done.stderr) == (status, True), done.stderr


@needs_systemd
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to give up")
def test_confined_it_has_no_privileges(service):
    weir = service(confined=True).start()
    assert weir.told() == ["READY=1"]
    lines = Path(f"/proc/{weir.pid}/status").read_text(encoding="ascii").splitlines()
    state = dict(line.split(":\t") for line in lines)
    assert {int(state[f"Cap{which}"], 16) for which in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    assert state["NoNewPrivs"] == "1" and "0" not in state["Uid"].split()
