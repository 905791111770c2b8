"""What the workers and pools of one pgweir share: servers, permits, back-off, limits."""

import contextlib
import signal
import socket
import time

import pytest

import wire
from cluster import until
from threads import HeldLogin
from watching import pids
from wire import sqlstates

pytestmark = pytest.mark.tsan

# Longer than any hand-over takes, shorter than a row of clients served one a tick.
PATIENCE = {"timeouts": {"query_wait": "4s"}}


@contextlib.contextmanager
def clients_by_worker(weir, database, each, user="app"):
    """Logged-in clients, `each` on either of two workers."""
    with contextlib.ExitStack() as stack:
        # They go where there are fewest, others' clients included, so a few more are needed.
        clients = [stack.enter_context(weir.wire(user, database)) for _ in range(2 * each + 4)]
        ports = {c.sock.getsockname()[1]: c for c in clients}
        by_worker = {}
        for row in weir.show("CLIENTS"):
            if row["port"] in ports:
                by_worker.setdefault(row["worker"], []).append(ports[row["port"]])
        assert len(by_worker) == 2 and min(map(len, by_worker.values())) >= each
        yield [c[:each] for c in by_worker.values()]


def occupy(clients, seconds=1.0):
    """All at once run a query that takes this long; their SQLSTATEs, "" for success."""
    for client in clients:
        client.send(wire.query(f"select pg_sleep({seconds})"))
    return ["".join(sqlstates(client.read_ready())) for client in clients]


# --- what one worker has learned


def test_a_login_waits_for_no_server_where_any_worker_knows_what_to_tell(own_cluster, pooler):
    weir = pooler(own_cluster, {"pool": {"size": 12}, "timeouts": {"client_login": "5s"}})
    weir.wire("app", "shop").close()
    own_cluster.stop()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(weir.wire("app", "shop")) for _ in range(6)]
        own_cluster.start()
        assert [c.value("select 1") for c in clients] == ["1"] * 6


# --- servers on one worker, clients on the other


def test_idle_servers_of_another_worker_serve_those_who_wait(cluster, pooler, database):
    weir = pooler(cluster, {**PATIENCE, "database": {database: {"pool": {"size": 12}}}},
                  databases=[database])
    with clients_by_worker(weir, database, 12) as (here, there):
        assert occupy(here, 0.3) == [""] * 12
        assert occupy(there) == [""] * 12


def test_a_database_s_cap_does_not_hide_idle_servers_of_another_worker(cluster, pooler, database):
    weir = pooler(cluster, {**PATIENCE, "database": {
        database: {"max_server_connections": 12, "pool": {"size": 24}}}}, databases=[database])
    with clients_by_worker(weir, database, 12) as (here, there):
        assert occupy(here, 0.3) == [""] * 12
        assert occupy(there) == [""] * 12


def test_servers_of_another_pool_are_not_closed_while_the_own_pool_has_idle_ones(
        cluster, pooler, database):
    weir = pooler(cluster, {**PATIENCE, "database": {
        database: {"max_server_connections": 9, "pool": {"size": 24}}}}, databases=[database])
    with weir.wire("other", database) as bystander, \
            clients_by_worker(weir, database, 8) as (here, there):
        pid = bystander.value("select pg_backend_pid()")
        assert occupy(here, 0.3) == [""] * 8
        assert occupy(there, 0.3) == [""] * 8
        assert bystander.value("select pg_backend_pid()") == pid


def test_a_client_is_served_by_another_worker_s_servers_when_logins_are_refused(
        own_cluster, pooler):
    weir = pooler(own_cluster, {"database": {"shop": {"pool": {"size": 8}}}})
    with clients_by_worker(weir, "shop", 4) as (here, there):
        assert occupy(here, 0.3) == [""] * 4
        own_cluster.execute("alter role app password 'rotated'")
        assert occupy(there, 0.1) == [""] * 4


# --- logins that fail


def failures(weir):
    return weir.log().count("no connection to")


def test_a_socket_that_is_not_there_is_tried_now_and_then(cluster, pooler, base):
    nowhere = base / "nowhere"
    nowhere.mkdir(exist_ok=True)
    weir = pooler(cluster, {"database": {"shop": {"host": str(nowhere)}}})
    HeldLogin(weir)
    until(lambda: failures(weir) >= 8, what="the longest back-off")
    before, began = failures(weir), time.monotonic()
    time.sleep(2)
    # The back-off ends at one second, less half of it for jitter.
    assert failures(weir) - before <= 2 * (time.monotonic() - began) + 1


def test_a_refused_connection_is_tried_once_a_round(own_cluster, pooler):
    weir = pooler(own_cluster)
    own_cluster.stop()
    held = [HeldLogin(weir) for _ in range(8)]
    until(lambda: failures(weir) >= 30, what="the longest back-off")
    before, began = failures(weir), time.monotonic()
    time.sleep(2)
    most_a_round = 4  # max_parallel_connects
    assert failures(weir) - before <= most_a_round * (2 * (time.monotonic() - began) + 1)
    own_cluster.start()
    for client in held:
        client.join(30)
    assert [c.error for c in held] == [""] * 8


def test_a_reload_to_another_host_does_not_wait_for_logins_at_the_old_one(cluster, pooler):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        weir = pooler(cluster, {"database": {"shop": {"port": silent.getsockname()[1]}}})
        client = HeldLogin(weir)
        until(lambda: weir.pool() and weir.pool()["sv_login"], what="a login that hangs")
        weir.change({"database": {"shop": {"port": cluster.port}}})
        client.join(8)  # pgweir waits 15 s for a login that hangs
        assert client.error == ""


# --- limits


def test_limits_of_one_client_do_not_shape_the_pool_of_a_forced_user(cluster, pooler, database):
    weir = pooler(cluster, {**PATIENCE, "database": {database: {"user": "app"}},
                            "user": {"other": {"pool": {"size": 1},
                                               "max_server_connections": 1}}},
                  databases=[database])
    with contextlib.ExitStack() as stack:
        stack.enter_context(weir.wire("other", database))
        clients = [stack.enter_context(weir.wire("scram_user", database)) for _ in range(3)]
        for client in clients:
            client.query("begin")
        assert len({c.value("select pg_backend_pid()") for c in clients}) == 3


def test_a_user_s_client_cap_holds_for_a_database_with_a_forced_user(cluster, pooler, database):
    weir = pooler(cluster, {"database": {database: {"user": "app"}},
                            "user": {"other": {"max_client_connections": 1}}},
                  databases=[database])
    with weir.wire("other", database), weir.wire() as second:
        second.login("other", database, "other-secret")
        assert second.login_error["C"] == "53300"


def test_the_forced_user_s_own_server_cap_holds(cluster, pooler, database):
    weir = pooler(cluster, {"timeouts": {"query_wait": "300ms"},
                            "database": {database: {"user": "app"}},
                            "user": {"app": {"max_server_connections": 1}}}, databases=[database])
    with weir.wire("other", database) as first, weir.wire("other", database) as second:
        first.query("begin")
        assert sqlstates(second.query("select 1")) == ["53300"]


def test_a_login_that_fails_late_gives_its_place_back(cluster, pooler, database):
    weir = pooler(cluster, {"database": {database: {"max_client_connections": 1}}},
                  databases=[database])
    def refusal():
        with weir.wire() as refused:
            refused.login("app", database, "app-secret", options="-x")
            time.sleep(1.2)  # past a housekeeping tick, with the connection open
            return refused.login_error["C"]

    for _ in range(3):
        # That the one before has hung up may be seen a moment later than that the next has come.
        until(lambda: refusal() == "42601", what="the place of the login before")
    time.sleep(0.5)
    with weir.wire("app", database) as client:
        assert client.value("select 1") == "1"


def test_pools_below_their_minimum_do_not_take_servers_from_each_other(cluster, pooler, database):
    weir = pooler(cluster, {"database": {database: {
        "max_server_connections": 6, "pool": {"min_size": 5}}}}, databases=[database])
    with weir.wire("app", database) as a, weir.wire("other", database) as b:
        a.value("select 1"), b.value("select 1")
        until(lambda: len(pids(cluster, database)) == 6, what="the cap to be reached")
        before = pids(cluster, database)
        time.sleep(3)
        assert pids(cluster, database) == before


def test_a_pool_that_shrinks_keeps_what_it_may_keep(cluster, pooler, database):
    weir = pooler(cluster, {"database": {database: {"pool": {"size": 16}}}}, databases=[database])
    with clients_by_worker(weir, database, 8) as (here, there):
        assert occupy(here + there, 0.5) == [""] * 16
        before = pids(cluster, database)
        assert len(before) == 16
        weir.change({"database": {database: {"pool": {"size": 8}}}})
        until(lambda: len(pids(cluster, database)) <= 8, what="the pool to shrink")
        assert len(before & pids(cluster, database)) == 8


# --- what is idle


def test_servers_that_are_only_checked_still_reach_their_idle_timeout(cluster, pooler, database):
    weir = pooler(cluster, {"workers": {"count": 1}, "database": {database: {"pool": {
        "size": 6, "server_check_delay": "50ms", "server_idle_timeout": "1s"}}}},
        databases=[database])
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(weir.wire("app", database)) for _ in range(5)]
        occupy(clients, 0.3)
        assert len(pids(cluster, database)) == 5

        def one_left():
            clients[0].value("select 1")
            time.sleep(0.2)
            return len(pids(cluster, database)) == 1
        until(one_left, what="four unused servers to go")


# --- what goes wrong while a server is made ready


def test_a_timeout_that_another_client_set_does_not_end_the_next_one(cluster, pooler, database):
    weir = pooler(cluster, {"workers": {"count": 1}, "database": {database: {
        "pool": {"size": 1}}}}, databases=[database])
    for number in range(20):
        with weir.wire("app", database, statement_timeout="1") as hasty:
            hasty.query("select 1")
        with weir.wire("app", database, application_name=f"calm{number}") as calm:
            assert calm.value("select 1") == "1"


def test_a_server_that_is_made_ready_for_one_client_is_not_counted_on_by_the_next(
        cluster, pooler, database):
    weir = pooler(cluster, {**PATIENCE, "database": {database: {"pool": {"size": 4}}}},
                  databases=[database])
    with weir.wire("app", database, application_name="a") as a, \
            weir.wire("app", database, application_name="b") as b:
        assert occupy([a, b], 0.5) == ["", ""]


# --- cancelling


def test_a_cancel_request_that_was_never_answered_does_not_hit_the_next_client(
        own_cluster, pooler):
    weir = pooler(own_cluster, {"workers": {"count": 1},
                                "database": {"shop": {"pool": {"size": 1}}}})
    with weir.wire("app") as first, weir.wire("app") as second:
        first.send(wire.query("select pg_sleep(1)"))
        until(lambda: own_cluster.value(
            "select count(*) from pg_stat_activity where query like '%pg_sleep(1)%'"
            " and state = 'active' and pid <> pg_backend_pid()") == 1, what="the query to run")
        own_cluster.process.send_signal(signal.SIGSTOP)
        try:
            first.cancel()
            first.read_ready()
            time.sleep(6)  # longer than pgweir waits for an answer to its request
        finally:
            own_cluster.process.send_signal(signal.SIGCONT)
        assert second.value("select pg_sleep(1)") == ""


def test_a_terminated_client_s_last_request_is_run_although_it_was_not_sent_yet(
        cluster, pooler, database):
    weir = pooler(cluster, {"workers": {"count": 1}}, databases=[database])
    cluster.execute("create table kept (t text)", database)
    cluster.execute("grant all on kept to public", database)
    with weir.wire("app", database) as client:
        # Far more than the sockets towards PostgreSQL take at once.
        text = "x" * (64 * 1024 * 1024)
        client.send(wire.query(f"insert into kept values ('{text}')"), wire.message("X"))
    until(lambda: cluster.value("select count(*) from kept", database) == 1,
          what="the last request to be run")
