"""The process: its command line, its signals, its sockets, and how it ends."""

import ctypes
import errno
import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time

import pytest

import wire
from cluster import free_port, until
from pooler import BINARY, default_config, merged, toml
from wire import Closed, Wire, sqlstates

LIBC = ctypes.CDLL(None, use_errno=True)


def call(*arguments, seconds=60):
    return subprocess.run([BINARY, *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=seconds, check=False)


@pytest.fixture
def config_file(base):
    path = base / "check.toml"
    yield path
    path.unlink(missing_ok=True)


# --- command line --------------------------------------------------------------------------------


def test_version_names_the_program_and_a_number():
    done = call("--version")
    assert done.returncode == 0 and re.match(r"pgweir \d+\.\d+", done.stdout, re.IGNORECASE)


def test_help_names_the_commands():
    done = call("--help")
    assert done.returncode == 0 and {"run", "check"} <= set(re.findall(r"\w+", done.stdout))


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["run", "--frobnicate"]],
                         ids=["nothing", "unknown command", "unknown option"])
def test_a_wrong_command_line_is_an_error(arguments):
    done = call(*arguments)
    assert done.returncode != 0 and done.stderr


def test_check_accepts_a_good_file(cluster, config_file):
    config_file.write_text(toml(merged(default_config(cluster), {"listen": {"port": 6432}})))
    done = call("check", "-c", config_file)
    assert done.returncode == 0, done.stderr


BAD = """[listen]
port = 70000
[pool]
sizee = 3
mode = "sometimes"
[timeouts]
query = "a while"
"""


def test_check_fails_on_a_bad_file(config_file):
    config_file.write_text(BAD)
    assert call("check", "-c", config_file).returncode != 0


@pytest.mark.parametrize("line", [2, 4, 5, 7])
def test_check_names_every_problem_by_file_and_line(config_file, line):
    config_file.write_text(BAD)
    done = call("check", "-c", config_file)
    assert f"{config_file}:{line}:" in done.stdout + done.stderr


def test_check_suggests_the_key_that_was_meant(config_file):
    config_file.write_text(BAD)
    done = call("check", "-c", config_file)
    assert '"size"' in done.stdout + done.stderr


def test_check_names_the_line_of_a_syntax_error(config_file):
    config_file.write_text("[pool]\nsize = = 3\n")
    done = call("check", "-c", config_file)
    assert done.returncode != 0 and f"{config_file}:2" in done.stdout + done.stderr


def test_check_of_a_missing_file_names_it(base):
    done = call("check", "-c", base / "not-there.toml")
    assert done.returncode != 0 and "not-there.toml" in done.stdout + done.stderr


def test_run_refuses_a_bad_file_with_the_same_words(config_file):
    config_file.write_text(BAD)
    done = call("run", "-c", config_file)
    assert done.returncode != 0 and f"{config_file}:4:" in done.stdout + done.stderr


def test_run_fails_when_its_port_is_taken(cluster, config_file):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config_file.write_text(toml(merged(default_config(cluster), {"listen": {"port": port}})))
        done = call("run", "--allow-root", "-c", config_file)
        assert done.returncode != 0 and str(port) in done.stderr


# --- signals -------------------------------------------------------------------------------------


def test_sighup_reloads(cluster, pooler):
    weir = pooler(cluster, {"pool": {"size": 3}})
    weir.change({"pool": {"size": 4}}, reload=False)
    weir.signal(signal.SIGHUP)

    def shown():
        row = next(r for r in weir.show("CONFIG") if r["key"] == "pool.size")
        return row["value"] == "4"

    until(shown, what="the new size")


def test_sighup_with_a_bad_file_keeps_the_old_configuration(cluster, pooler):
    weir = pooler(cluster)
    weir.path.write_text(BAD)
    weir.signal(signal.SIGHUP)
    until(lambda: f"{weir.path}:4:" in weir.log(), what="the problem in the log")
    with weir.wire("app") as client:
        assert client.value("select 1") == "1"


@pytest.mark.tsan
def test_sigterm_lets_a_transaction_finish(cluster, pooler, database):
    cluster.execute("create table t (n int); grant all on t to public", database)
    weir = pooler(cluster, {"timeouts": {"shutdown": "20s"}}, [database])
    with weir.wire("app", database) as client:
        client.query("begin")
        client.query("insert into t values (1)")
        weir.signal(signal.SIGTERM)
        time.sleep(1)
        assert not sqlstates(client.query("commit"))
    assert cluster.execute("select n from t", database) == [(1,)]


def test_sigterm_lets_a_running_query_finish(cluster, pooler):
    weir = pooler(cluster, {"timeouts": {"shutdown": "20s"}})
    with weir.wire("app") as client:
        client.send(wire.query("select pg_sleep(2), 'finished'"))
        until(lambda: cluster.value("select count(*) from pg_stat_activity where query like"
                                    " '%''finished''' and state = 'active'"))
        weir.signal(signal.SIGTERM)
        assert wire.rows(client.read_until("Z")) == [["", "finished"]]


def test_sigterm_ends_idle_clients_with_57P01(cluster, pooler):
    weir = pooler(cluster)
    with weir.wire("app") as client:
        client.query("select 1")
        weir.signal(signal.SIGTERM)
        assert sqlstates(client.drain()) == ["57P01"]


def test_sigterm_refuses_new_clients(cluster, pooler):
    weir = pooler(cluster, {"timeouts": {"shutdown": "20s"}})
    with weir.wire("app") as client:
        client.query("begin")
        weir.signal(signal.SIGTERM)

        def refused():
            try:
                with weir.wire() as late:
                    late.login("app", "shop", "app-secret")
                    return late.login_error is not None
            except (OSError, Closed):
                return True

        until(refused, what="a refusal")
        client.query("commit")


def test_sigterm_waits_no_longer_than_its_bound(cluster, pooler):
    weir = pooler(cluster, {"timeouts": {"shutdown": "1s"}})
    with weir.wire("app") as client:
        client.query("begin")
        weir.signal(signal.SIGTERM)
        weir.wait(30)


def test_sigterm_ends_the_servers_too(cluster, pooler, database):
    weir = pooler(cluster, databases=[database])
    with weir.wire("app", database) as client:
        client.query("select 1")
    weir.signal(signal.SIGTERM)
    weir.wait()
    until(lambda: cluster.backends(database) == 0, what="no servers")


def test_a_second_sigint_ends_it_at_once(cluster, pooler):
    weir = pooler(cluster, {"timeouts": {"shutdown": "300s"}})
    weir.expected_status = None
    with weir.wire("app") as client:
        client.query("begin")
        weir.signal(signal.SIGINT)
        until(lambda: "got signal" in weir.log(), what="the first signal seen")
        assert weir.alive()
        weir.signal(signal.SIGINT)
        weir.wait(30)


def test_sigquit_ends_it_at_once(cluster, pooler):
    weir = pooler(cluster, {"timeouts": {"shutdown": "300s"}})
    weir.expected_status = None
    with weir.wire("app") as client:
        client.query("begin")
        weir.signal(signal.SIGQUIT)
        weir.wait(30)


def test_a_client_that_never_reads_does_not_hold_up_the_end(cluster, pooler):
    weir = pooler(cluster, {"timeouts": {"shutdown": "1s"}})
    with weir.wire("app") as client:
        client.send(wire.query("select repeat('x', 1000) from generate_series(1, 100000)"))
        time.sleep(0.5)
        weir.signal(signal.SIGTERM)
        weir.wait(30)


# --- sockets -------------------------------------------------------------------------------------


def test_a_unix_socket_serves_clients(cluster, pooler, base):
    weir = pooler(cluster, {"listen": {"unix_socket_dir": str(base)}})
    with Wire(f"{base}/.s.PGSQL.{weir.port}") as client:
        client.login("app", "shop", "app-secret")
        assert client.value("select 1") == "1"


def test_a_cancel_may_come_over_the_unix_socket(cluster, pooler, base):
    weir = pooler(cluster, {"listen": {"unix_socket_dir": str(base)}})
    with Wire(f"{base}/.s.PGSQL.{weir.port}") as client:
        client.login("app", "shop", "app-secret")
        client.send(wire.query("select pg_sleep(70)"))
        until(lambda: cluster.value("select count(*) from pg_stat_activity"
                                    " where query = 'select pg_sleep(70)'"))
        client.cancel()
        assert sqlstates(client.read_until("Z")) == ["57014"]


def test_the_unix_socket_has_the_configured_mode(cluster, pooler, base):
    weir = pooler(cluster, {"listen": {"unix_socket_dir": str(base), "unix_socket_mode": "0700"}})
    assert os.stat(f"{base}/.s.PGSQL.{weir.port}").st_mode & 0o777 == 0o700


def test_the_unix_socket_is_gone_after_the_end(cluster, pooler, base):
    weir = pooler(cluster, {"listen": {"unix_socket_dir": str(base)}})
    weir.signal(signal.SIGTERM)
    weir.wait()
    assert not os.path.exists(f"{base}/.s.PGSQL.{weir.port}")


def test_a_unix_socket_left_by_a_crash_is_replaced(cluster, pooler, base):
    over = {"listen": {"unix_socket_dir": str(base), "port": free_port()}}
    first = pooler(cluster, over)
    first.expected_status = None
    first.signal(signal.SIGKILL)
    first.wait()
    second = pooler(cluster, over)
    with Wire(f"{base}/.s.PGSQL.{second.port}") as client:
        client.login("app", "shop", "app-secret")
        assert client.login_error is None


def _has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            return True
    except OSError:
        return False


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback")
def test_ipv6_clients_are_served(cluster, pooler):
    weir = pooler(cluster, {"listen": {"addresses": ["127.0.0.1", "::1"]}})
    with Wire(("::1", weir.port)) as client:
        client.login("app", "shop", "app-secret")
        assert client.value("select 1") == "1"


PIDFD_GETFD = 438  # on all architectures; a privilege over our own child


def connections_of(pid):
    """Copies of a process's connected TCP sockets."""
    found, handle = [], os.pidfd_open(pid)
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            is_socket = os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
        except FileNotFoundError:
            continue
        copy = LIBC.syscall(PIDFD_GETFD, handle, int(fd), 0) if is_socket else -1
        if is_socket and copy < 0 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS):
            pytest.skip("the kernel lends no descriptor of another process here")
        if copy < 0:
            continue
        one = socket.socket(fileno=copy)
        try:
            one.getpeername()
        except OSError:
            one.close()
        else:
            found.append(one)
    os.close(handle)
    return found


def test_both_legs_have_the_configured_tcp_settings(cluster, pooler):
    weir = pooler(cluster, {"tcp": {"keepalive_idle": "41s", "keepalive_interval": "7s",
                                    "keepalive_count": 5, "user_timeout": "43s"}})
    with weir.wire("app") as client:
        client.query("begin")
        legs = connections_of(weir.pid)
        peers = {one.getpeername() for one in legs}
        assert {client.sock.getsockname(), cluster.address} <= peers
        for one in legs:
            assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert [one.getsockopt(socket.IPPROTO_TCP, option) for option in (
                socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT,
                socket.TCP_USER_TIMEOUT)] == [41, 7, 5, 43_000]
            assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            one.close()


def test_a_reload_of_tcp_settings_counts_for_clients_that_come_after_it(cluster, pooler):
    weir = pooler(cluster, {"tcp": {"keepalive_idle": "41s", "user_timeout": "43s"}})
    weir.change({"tcp": {"keepalive": False, "user_timeout": 0}})
    with weir.wire("app") as client:
        own, = (one for one in connections_of(weir.pid)
                if one.getpeername() == client.sock.getsockname())
        assert not own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not own.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        own.close()


def test_a_name_may_be_listened_on(cluster, pooler):
    weir = pooler(cluster, {"listen": {"addresses": ["localhost"]}})
    with weir.wire("app") as client:
        assert client.value("select 1") == "1"


# --- many ----------------------------------------------------------------------------------------


def _open(weir, count, threads=8):
    clients, failures = [], []

    def some():
        try:
            for _ in range(count // threads):
                clients.append(weir.wire("app"))
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    workers = [threading.Thread(target=some, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(150)
    assert not failures, failures[0]
    return clients


def _idle_clients():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return min(5000, (hard - 500) // 8 * 8)


@pytest.mark.alone
def test_5000_idle_clients_leave_room_for_work(cluster, pooler):
    weir = pooler(cluster, {"auth": {"method": "trust"}})
    clients = _open(weir, _idle_clients())
    try:
        assert [c.value("select 1") for c in clients[::100]] == ["1"] * len(clients[::100])
    finally:
        for client in clients:
            client.close()


@pytest.mark.alone
def test_5000_idle_clients_cost_no_processor_time(cluster, pooler):
    weir = pooler(cluster, {"auth": {"method": "trust"}})
    clients = _open(weir, _idle_clients())
    try:
        assert weir.cpu_share(3) < 0.2
    finally:
        for client in clients:
            client.close()


@pytest.mark.alone
def test_an_idle_pgweir_sleeps(cluster, pooler):
    weir = pooler(cluster)
    with weir.wire("app") as client:
        client.query("select 1")
        assert weir.cpu_share(3) < 0.1
