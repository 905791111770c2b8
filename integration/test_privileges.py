"""Whom pgweir runs as, what it can still do then, and whose files it trusts."""

import grp
import os
import pwd
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
from pathlib import Path

import psycopg
import pytest

from certificates import Authority
from cluster import unprivileged_user, until
from pooler import BINARY, START, default_config, merged, toml
from wire import Wire

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to give up")
GROUP = "daemon"  # there is one on every system
# The leak check at the end would trace the process, which has closed itself to that.
NO_LEAK_CHECK = {"ASAN_OPTIONS": "detect_leaks=0"}


@pytest.fixture
def account():
    return pwd.getpwnam(unprivileged_user())


@pytest.fixture
def home(base, account):
    """A directory of the account."""
    folder = base / "home"
    folder.mkdir()
    shutil.chown(folder, account.pw_uid, account.pw_gid)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def become(home, account, cluster, pooler):
    """become({...}) is a pgweir that root has started, to become the account."""
    def start(over=None, wait=True):
        process = {"process": {"user": account.pw_name, "state_dir": str(home)}}
        return pooler(cluster, merged(process, over or {}), environment=NO_LEAK_CHECK, wait=wait)
    return start


def is_served(weir):
    with weir.wire("app") as client:
        return client.value("select 1") == "1"


def called(*arguments, **options):
    return subprocess.run([BINARY, *map(str, arguments)], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=60, check=False, **options)


def states(weir):
    """/proc/PID/status of each thread, once clients are served."""
    assert is_served(weir)
    for task in Path(f"/proc/{weir.pid}/task").iterdir():
        lines = (task / "status").read_text(encoding="ascii").splitlines()
        yield dict(line.split(":", 1) for line in lines)


# --- root ----------------------------------------------------------------------------------------


@needs_root
def test_root_is_refused(cluster, tmp_path):
    path = tmp_path / "pgweir.toml"
    path.write_text(toml(merged(default_config(cluster), {"listen": {"port": 6432}})))
    done = called("run", "-c", path)
    assert done.returncode == 1
    assert "pgweir does not run as root: name the account to become as process.user" in done.stderr


@needs_root
def test_root_is_no_account_to_become(cluster, tmp_path):
    path = tmp_path / "pgweir.toml"
    path.write_text(toml(merged(default_config(cluster), {"listen": {"port": 6432},
                                                          "process": {"user": "root"}})))
    assert "pgweir does not run as root" in called("run", "-c", path).stderr


@needs_root
def test_every_thread_has_become_the_account(become, account):
    for state in states(become()):
        assert set(state["Uid"].split()) == {str(account.pw_uid)}
        assert set(state["Gid"].split()) == {str(account.pw_gid)}
        groups = os.getgrouplist(account.pw_name, account.pw_gid)
        assert sorted(map(int, state["Groups"].split())) == sorted(groups)


@needs_root
def test_no_thread_has_privileges_or_can_get_any(become):
    for state in states(become()):
        assert {int(state[f"Cap{which}"], 16) for which in ("Inh", "Prm", "Eff", "Amb")} == {0}
        assert state["NoNewPrivs"].strip() == "1"


@needs_root
def test_the_group_may_be_another(become):
    group = grp.getgrnam(GROUP).gr_gid
    for state in states(become({"process": {"group": GROUP}})):
        assert set(state["Gid"].split()) == {str(group)}


@needs_root
@pytest.mark.parametrize("key", ["user", "group"])
def test_an_account_that_is_not_there_is_told_about(become, key):
    weir = become({"process": {key: "no-such-name"}}, wait=False)
    weir.expected_status = 1
    assert weir.wait() == 1
    assert f'process.{key}: there is no {key} "no-such-name"' in weir.log()


def test_only_root_becomes_somebody_else(cluster, base, account):
    binary, path = base / "pgweir-other", base / "other.toml"
    shutil.copy2(BINARY, binary)
    path.write_text(toml(merged(default_config(cluster), {"listen": {"port": 6432},
                                                          "process": {"user": GROUP}})))
    as_account = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    done = subprocess.run([binary, "run", "-c", path], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=60, check=False, cwd="/",
                          **(as_account if os.geteuid() == 0 else {}))
    assert done.returncode == 1
    assert f'process.user is "{GROUP}", and only root can become somebody else' in done.stderr


# --- what root does first ------------------------------------------------------------------------


def low_port():
    for port in range(600, 1000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return None


@needs_root
def test_a_port_of_root_s_is_bound(become):
    weir = become({"listen": {"port": low_port()}})
    assert is_served(weir)


@needs_root
def test_what_it_makes_is_the_account_s(become, account, home):
    weir = become({"listen": {"unix_socket_dir": str(home)}, "log": {"file": str(home / "log")}})
    assert is_served(weir)
    made = [home / "log", home / "mock_seed", home / f".s.PGSQL.{weir.port}"]
    assert {path.stat().st_uid for path in made} == {account.pw_uid}
    assert stat.S_IMODE((home / "mock_seed").stat().st_mode) == 0o600


@needs_root
def test_its_unix_socket_is_gone_after_the_end(become, home):
    weir = become({"listen": {"unix_socket_dir": str(home)}})
    weir.signal(signal.SIGTERM)
    weir.wait()
    assert not (home / f".s.PGSQL.{weir.port}").exists()


@needs_root
def test_its_log_can_be_rotated(become, home):
    log = home / "log"
    weir = become({"log": {"file": str(log)}})
    assert is_served(weir)
    log.rename(home / "log.1")
    weir.signal(signal.SIGHUP)
    until(log.exists, what="a new log file")


# --- what is left to a reload --------------------------------------------------------------------


def reload_error(weir):
    with weir.console() as console:
        with pytest.raises(psycopg.Error) as caught:
            console.execute("RELOAD")
        return str(caught.value)


@needs_root
def test_a_reload_is_done_as_the_account(become):
    weir = become()
    weir.change({"pool": {"size": 7}})
    assert {r["key"]: r["value"] for r in weir.show("CONFIG")}["pool.size"] == "7"


@needs_root
def test_a_reload_says_who_cannot_read_the_configuration_any_more(become, account):
    weir = become()
    weir.path.chmod(0o600)
    error = reload_error(weir)
    assert "Permission denied" in error
    assert f'runs as user "{account.pw_name}" (process.user), which must be able to read' in error
    assert is_served(weir)


@pytest.fixture
def authority(base):
    made = Authority(base / "privileges-tls")
    yield made
    shutil.rmtree(made.folder)


def secured(identity):
    return {"client_tls": {"mode": "require", "certificate": str(identity.certificate),
                           "key": str(identity.key)}}


@needs_root
def test_a_key_of_root_s_serves_until_it_must_be_read_again(become, authority):
    weir = become(secured(authority.issue("pgweir")))
    with weir.connect(sslmode="require") as client:
        assert client.execute("select 1").fetchone() == (1,)
    until(lambda: "a reload would be refused" in weir.log(), what="the warning")
    assert "which must be able to read these files" in reload_error(weir)


@needs_root
def test_a_key_of_the_account_s_serves_and_is_read_again(become, authority, account):
    identity = authority.issue("pgweir")
    shutil.chown(identity.key, account.pw_uid)
    weir = become(secured(identity))
    weir.change({"pool": {"size": 7}})
    assert "a reload would be refused" not in weir.log()
    assert called("check", "-c", weir.path, env={**os.environ, **NO_LEAK_CHECK}).returncode == 0


# --- modes of files ------------------------------------------------------------------------------


@pytest.fixture
def configuration(cluster, tmp_path):
    path = tmp_path / "pgweir.toml"
    path.write_text(toml(merged(default_config(cluster), {"listen": {"port": 6432}})))
    return path


def test_a_configuration_that_others_may_write_is_refused(configuration):
    configuration.chmod(0o646)
    done = called("check", "-c", configuration)
    assert done.returncode == 2
    assert "every user of this machine can write to it" in done.stderr


def test_a_configuration_with_passwords_that_others_may_read_is_warned_of(configuration):
    configuration.chmod(0o644)
    done = called("check", "-c", configuration)
    assert done.returncode == 0
    assert "holds passwords, and every user of this machine can read it" in done.stderr


def test_a_configuration_with_passwords_of_its_own_is_not(configuration):
    configuration.chmod(0o640)
    assert called("check", "-c", configuration).stderr == ""


def test_a_configuration_without_passwords_may_be_read_by_others(tmp_path):
    path = tmp_path / "pgweir.toml"
    path.write_text('[database.shop]\n[user.app]\npassword = { env = "SHOP_PASSWORD" }\n')
    path.chmod(0o644)
    done = called("check", "-c", path, env={**os.environ, "SHOP_PASSWORD": "secret"})
    assert (done.returncode, done.stderr) == (0, "")


def test_a_state_directory_that_others_may_write_to_is_refused(pooler, cluster, tmp_path):
    tmp_path.chmod(0o1777)
    weir = pooler(cluster, {"process": {"state_dir": str(tmp_path)}}, wait=False)
    weir.expected_status = 1
    assert weir.wait(START) == 1
    assert f"process.state_dir {tmp_path}: every user of this machine can write to it" in weir.log()


@pytest.mark.parametrize(("mode", "is_warned_of"), [(0o777, True), (0o1777, False), (0o755, False)])
def test_a_socket_that_others_may_replace_is_warned_of(pooler, cluster, base, mode, is_warned_of):
    folder = base / "sockets"
    folder.mkdir()
    folder.chmod(mode)
    weir = pooler(cluster, {"listen": {"unix_socket_dir": str(folder)}})
    with Wire(f"{folder}/.s.PGSQL.{weir.port}") as client:
        client.login("app", "shop", "app-secret")
    shutil.rmtree(folder)
    until(lambda: "listening on" in weir.log(), what="what comes behind the warning")
    assert ("every user of this machine can replace the socket" in weir.log()) == is_warned_of


# --- core dumps ----------------------------------------------------------------------------------


def core_limit(weir):
    text = Path(f"/proc/{weir.pid}/limits").read_text(encoding="ascii")
    return re.search(r"^Max core file size +(\S+) +(\S+)", text, re.M).groups()


def test_a_crash_leaves_no_core(pooler, cluster):
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    expected = "0" if hard == 0 else "1"
    assert core_limit(pooler(cluster)) == (expected, expected)


def test_a_crash_may_leave_a_core_where_that_is_wanted(pooler, cluster):
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    weir = pooler(cluster, {"process": {"core_dumps": True}})
    assert core_limit(weir)[1] == ("unlimited" if hard == resource.RLIM_INFINITY else str(hard))
