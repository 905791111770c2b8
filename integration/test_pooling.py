"""The pool: its bounds, its queue, its timeouts, and what it does when a server goes away."""

import signal
import socket
import statistics
import threading
import time

import pytest

import wire
from cluster import until
from threads import Sender, in_threads
from watching import Sampler, running, waiting
from wire import Closed, Wire, sqlstates

MODES = ["session", "transaction", "statement"]


# --- modes ---------------------------------------------------------------------------------------


@pytest.mark.every_version
@pytest.mark.parametrize("mode", MODES)
def test_a_client_gets_its_results_in_every_mode(cluster, pooler, mode):
    weir = pooler(cluster, {"pool": {"mode": mode}})
    with weir.wire("app") as client:
        assert [client.value(f"select {n}") for n in range(10)] == [str(n) for n in range(10)]


def test_session_mode_keeps_the_server_until_the_client_leaves(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"mode": "session", "size": 1}}, [database])
    one, two = weir.wire("app", database), weir.wire()
    one.query("select 1")
    two.send(wire.startup({"user": "app", "database": database}))
    two.authenticate("app", "app-secret")
    two.send(wire.query("select 2"))
    assert two.silent_for(1)
    one.close()
    assert wire.rows(two.read_until("Z")) == [["2"]]


def test_transaction_mode_shares_the_server_between_transactions(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"mode": "transaction", "size": 1}}, [database])
    with weir.wire("app", database) as one, weir.wire("app", database) as two:
        pids = {client.value("select pg_backend_pid()") for client in (one, two, one, two)}
        assert len(pids) == 1


def test_transaction_mode_keeps_the_server_for_a_transaction(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"mode": "transaction", "size": 1}}, [database])
    with weir.wire("app", database) as one, weir.wire("app", database) as two:
        one.query("begin")
        two.send(wire.query("select 2"))
        assert two.silent_for(1)
        one.query("commit")
        assert wire.rows(two.read_until("Z")) == [["2"]]


def test_a_failed_transaction_keeps_its_server_too(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"mode": "transaction", "size": 1}}, [database])
    with weir.wire("app", database) as one, weir.wire("app", database) as two:
        one.query("begin")
        one.query("select 1/0")
        two.send(wire.query("select 2"))
        assert two.silent_for(1)
        one.query("rollback")
        assert wire.rows(two.read_until("Z")) == [["2"]]


def test_statement_mode_refuses_a_transaction_block(cluster, pooler):
    weir = pooler(cluster, {"pool": {"mode": "statement"}})
    with weir.wire("app") as client:
        client.send(wire.query("begin"))
        assert sqlstates(client.drain()) == ["25001"]


def test_statement_mode_leaves_no_transaction_open_behind_a_refused_block(cluster, pooler,
                                                                          database):
    weir = pooler(cluster, {"pool": {"mode": "statement", "size": 1}}, [database])
    with weir.wire("app", database) as client:
        client.send(wire.query("begin")).drain()
    until(lambda: cluster.backends(database, "state like 'idle in transaction%'") == 0)


@pytest.mark.parametrize("batch", [
    [wire.query(sql) for sql in ("begin", "select 1", "commit")],
    [m for sql in ("begin", "select 1", "commit")
     for m in (wire.parse(sql), wire.bind(), wire.execute(), wire.SYNC)]],
    ids=["queries", "batches"])
def test_statement_mode_refuses_a_transaction_that_is_pipelined(cluster, pooler, batch):
    weir = pooler(cluster, {"pool": {"mode": "statement"}})
    with weir.wire("app") as client:
        client.send(wire.query("select pg_sleep(0.2)"), *batch)  # so that all wait in the server
        frames = client.drain()
        assert sqlstates(frames) == ["25001"]
        assert [f.body for f in frames if f.type == "Z"] == [b"I"]


def test_statement_mode_answers_what_came_before_a_refused_block(cluster, pooler):
    weir = pooler(cluster, {"pool": {"mode": "statement"}})
    with weir.wire("app") as client:
        big = "select repeat('x', 300000)"
        client.send(wire.query(big), wire.query("select 2"), wire.query("begin"))
        frames = client.drain()
        assert wire.rows(frames) == [["x" * 300_000], ["2"]]
        assert sqlstates(frames) == ["25001"]


def test_statement_mode_allows_a_multi_statement_query(cluster, pooler):
    weir = pooler(cluster, {"pool": {"mode": "statement"}})
    with weir.wire("app") as client:
        assert wire.rows(client.query("select 1; select 2")) == [["1"], ["2"]]


def test_a_user_can_have_a_mode_of_its_own(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"mode": "transaction"},
                            "user": {"other": {"pool": {"mode": "session"}}}}, [database])
    with weir.wire("other", database) as client:
        client.query("select 1")
        assert weir.pool(database, "other")["sv_active"] == 1


# --- the bound -----------------------------------------------------------------------------------


@pytest.mark.tsan
@pytest.mark.every_version
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_300_clients_never_take_more_than_the_pool_s_size(cluster, pooler, database, workers):
    weir = pooler(cluster, {"pool": {"size": 10}, "workers": {"count": workers},
                            "auth": {"method": "trust"}}, [database])

    def client(number):
        with weir.wire("app", database) as me:
            for turn in range(10):
                wanted = str(number * 1000 + turn)
                assert me.value(f"select {wanted}") == wanted

    with Sampler(cluster, database) as sampler:
        in_threads(300, client)
    assert 0 < sampler.most <= 10, sampler.samples


@pytest.mark.tsan
@pytest.mark.parametrize("workers", [1, 2])
def test_transactions_of_many_clients_never_exceed_the_bound(cluster, pooler, database, workers):
    weir = pooler(cluster, {"pool": {"size": 3}, "workers": {"count": workers},
                            "auth": {"method": "trust"}}, [database])

    def client(number):
        with weir.wire("app", database) as me:
            for _ in range(10):
                me.query("begin")
                pid = me.value("select pg_backend_pid()")
                assert me.value("select pg_backend_pid()") == pid
                assert me.query("commit")[-1].body == b"I"

    with Sampler(cluster, database) as sampler:
        in_threads(60, client)
    assert 0 < sampler.most <= 3


def test_every_client_of_a_small_pool_gets_its_share(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 2}, "auth": {"method": "trust"}}, [database])
    turns, stop = [0] * 40, threading.Event()

    def client(number):
        with weir.wire("app", database) as me:
            while not stop.is_set():
                me.query("select pg_sleep(0.001)")
                turns[number] += 1

    timer = threading.Timer(5, stop.set)
    timer.start()
    in_threads(len(turns), client)
    assert min(turns) >= 0.4 * statistics.median(turns), sorted(turns)


def test_min_size_servers_are_there_before_they_are_needed(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"min_size": 3}}, [database])
    with weir.wire("app", database) as client:
        client.query("select 1")
        until(lambda: cluster.backends(database) == 3, what="three servers")


def test_reserve_servers_open_only_after_a_wait(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1, "reserve_size": 1, "reserve_after": "1s"}},
                  [database])
    with weir.wire("app", database) as one, weir.wire("app", database) as two:
        one.query("begin")
        two.send(wire.query("select 2"))
        assert two.silent_for(0.3)
        assert wire.rows(two.read_until("Z")) == [["2"]]


def test_reserve_servers_are_bounded_as_well(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1, "reserve_size": 1, "reserve_after": "100ms"}},
                  [database])
    with weir.wire("app", database) as one, weir.wire("app", database) as two, \
            weir.wire("app", database) as three:
        one.query("begin")
        two.query("begin")
        three.send(wire.query("select 3"))
        assert three.silent_for(1.5)
        one.query("commit")
        assert wire.rows(three.read_until("Z")) == [["3"]]


def test_a_database_s_cap_holds_over_its_users(cluster, pooler, database):
    weir = pooler(cluster, {"database": {database: {"max_server_connections": 3}},
                            "pool": {"size": 3}, "auth": {"method": "trust"}}, [database])

    def client(number):
        with weir.wire(["app", "other"][number % 2], database) as me:
            for _ in range(20):
                me.value("select 1")

    with Sampler(cluster, database) as sampler:
        in_threads(20, client)
    assert 0 < sampler.most <= 3


def test_a_user_s_cap_holds_over_its_databases(cluster, pooler, databases):
    names = [databases(cluster) for _ in range(2)]
    weir = pooler(cluster, {"user": {"app": {"max_server_connections": 2}},
                            "auth": {"method": "trust"}, "pool": {"size": 2}}, names)
    most, stop = [0], threading.Event()

    def watch():
        with cluster.connect("postgres") as connection:
            while not stop.is_set():
                most[0] = max(most[0], connection.execute(
                    "select count(*) from pg_stat_activity where usename = 'app'"
                    " and datname = any(%s)", (names,)).fetchone()[0])

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()

    def client(number):
        with weir.wire("app", names[number % 2]) as me:
            for _ in range(20):
                me.value("select 1")

    in_threads(20, client)
    stop.set()
    watcher.join()
    assert 0 < most[0] <= 2


@pytest.mark.parametrize("where", ["database", "user"])
def test_a_client_above_a_client_cap_gets_53300(cluster, pooler, database, where):
    name = database if where == "database" else "app"
    weir = pooler(cluster, {where: {name: {"max_client_connections": 2}}}, [database])
    kept = [weir.wire("app", database) for _ in range(2)]
    with weir.wire() as client:
        client.login("app", database, "app-secret")
        assert client.login_error["C"] == "53300"
    assert [k.value("select 1") for k in kept] == ["1", "1"]


# --- batches without Sync ------------------------------------------------------------------------

INSERT = wire.parse("insert into t values (1)") + wire.bind() + wire.execute() + wire.FLUSH


def _pool_of_one(cluster, pooler, database, mode="transaction", **over):
    cluster.execute("create table t (n int); grant all on t to public", database=database)
    return pooler(cluster, {"pool": {"mode": mode, "size": 1}, **over}, [database])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("leave", ["close", "reset", "terminate"])
def test_what_a_client_left_without_sync_is_not_committed(cluster, pooler, database, mode, leave):
    weir = _pool_of_one(cluster, pooler, database, mode)
    one = weir.wire("app", database)
    one.send(INSERT).read_until("C")
    if leave == "terminate":
        one.send(wire.TERMINATE).raw_until_closed()
    else:
        getattr(one, leave)()
    with weir.wire("app", database) as two:
        two.query("select 1")
    assert cluster.execute("select n from t", database) == []


@pytest.mark.parametrize("rest", [[wire.FLUSH, wire.SYNC], [b"S\0", b"\0\0\x04"]],
                         ids=["a flush", "half a sync"])
@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_batch_keeps_its_server_until_its_sync(cluster, pooler, database, mode, rest):
    weir = _pool_of_one(cluster, pooler, database, mode)
    with weir.wire("app", database) as one, weir.wire("app", database) as two:
        one.send(INSERT).read_until("C")
        one.send(rest[0])
        two.send(wire.query("select 2"))
        assert two.silent_for(0.5)
        one.send(rest[1]).read_until("Z")
        assert wire.rows(two.read_until("Z")) == [["2"]]
    assert cluster.execute("select n from t", database) == [(1,)]


def test_a_statement_is_still_there_when_its_bind_comes_in_pieces(cluster, pooler, database):
    weir = _pool_of_one(cluster, pooler, database)
    with weir.wire("app", database) as one, weir.wire("app", database) as two:
        for turn in range(20):
            one.send(wire.parse("select $1::text"), wire.describe("S"), wire.FLUSH).read_until("T")
            bind = wire.bind(["x" * 9_000])
            one.send(bind[:4_000])
            two.send(wire.query(f"select {turn}"))
            time.sleep(0.01)  # so that the pieces are two segments
            one.send(bind[4_000:], wire.execute(), wire.SYNC)
            assert wire.rows(one.read_until("Z")) == [["x" * 9_000]]
            assert wire.rows(two.read_until("Z")) == [[str(turn)]]


# --- copy data that comes too late ---------------------------------------------------------------


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_copy_that_failed_early_gives_its_server_back(cluster, pooler, database, mode):
    weir = _pool_of_one(cluster, pooler, database, mode)
    with weir.wire("app", database) as one, weir.wire("app", database) as two:
        one.send(wire.query("copy t from stdin")).read_until("G")
        one.send(wire.copy_data(b"bad\n"), *[wire.copy_data(b"1\n" * 4_096)] * 512,
                 wire.COPY_DONE)
        assert wire.types(one.read_until("Z")) == "EZ"
        assert two.value("select 2") == "2"
        assert one.value("select 1") == "1"


def test_large_copy_data_of_an_idle_client_takes_no_server_for_long(cluster, pooler, database):
    weir = _pool_of_one(cluster, pooler, database)
    with weir.wire("app", database) as one, weir.wire("app", database) as two:
        one.send(wire.query("copy t from stdin")).read_until("G")
        one.send(wire.copy_data(b"bad\n"), wire.COPY_DONE).read_until("Z")
        for turn in range(20):
            one.send(wire.copy_data(b"1\n" * 50_000))
            assert two.value(f"select {turn}") == str(turn)
        assert one.value("select 1") == "1"


# --- waiting -------------------------------------------------------------------------------------


def _full_pool(cluster, pooler, database, **over):
    """A pool of one whose server is taken; and the client that has it."""
    weir = pooler(cluster, {"pool": {"size": 1}, **over}, [database])
    holder = weir.wire("app", database)
    holder.query("begin")
    return weir, holder


def test_a_wait_that_takes_too_long_ends_in_one_error(cluster, pooler, database):
    weir, _holder = _full_pool(cluster, pooler, database, timeouts={"query_wait": "500ms"})
    with weir.wire("app", database) as waiter:
        waiter.send(wire.query("select 1"))
        frames = waiter.outcome()
        assert len(sqlstates(frames)) == 1


def test_a_statement_whose_wait_timed_out_is_never_executed(cluster, pooler, database):
    cluster.execute("create table t (n int); grant all on t to public", database=database)
    weir, holder = _full_pool(cluster, pooler, database, timeouts={"query_wait": "500ms"})
    with weir.wire("app", database) as waiter:
        waiter.send(wire.query("insert into t values (1)")).outcome()
    holder.query("commit")
    with weir.wire("app", database) as later:
        later.query("insert into t values (2)")
    assert cluster.execute("select n from t", database) == [(2,)]


def test_a_client_whose_wait_timed_out_gets_exactly_one_result_later(cluster, pooler, database):
    weir, holder = _full_pool(cluster, pooler, database, timeouts={"query_wait": "500ms"})
    waiter = weir.wire("app", database)
    if waiter.send(wire.query("select 'too early'")).outcome()[-1].type != "Z":
        waiter = weir.wire("app", database)
    holder.query("commit")
    assert waiter.values("select 'now'") == [["now"]]
    assert waiter.silent_for(0.5)


def test_a_waiting_client_that_hangs_up_leaves_the_queue(cluster, pooler, database):
    weir, _holder = _full_pool(cluster, pooler, database)
    waiter = weir.wire("app", database)
    waiter.send(wire.query("select 1"))
    waiting(weir, database, 1)
    waiter.close()
    waiting(weir, database, 0)


def test_a_statement_of_a_client_that_hung_up_waiting_is_not_executed(cluster, pooler, database):
    cluster.execute("create table t (n int); grant all on t to public", database=database)
    weir, holder = _full_pool(cluster, pooler, database)
    waiter = weir.wire("app", database)
    waiter.send(wire.query("insert into t values (1)"))
    waiting(weir, database, 1)
    waiter.close()
    waiting(weir, database, 0)
    holder.query("commit")
    assert cluster.execute("select n from t", database) == []


def test_a_statement_that_comes_together_with_a_hang_up_is_not_executed(cluster, pooler, database):
    cluster.execute("create table t (n int); grant all on t to public", database=database)
    weir, holder = _full_pool(cluster, pooler, database)
    leaving = weir.wire("app", database)
    with weir.asleep():
        leaving.send(wire.query("insert into t values (1)"))
        leaving.close()
    until(lambda: weir.pool(database)["cl_active"] == 1, what="the client gone")
    assert weir.pool(database)["cl_waiting"] == 0
    holder.query("commit")
    assert holder.values("select n from t") == []


@pytest.mark.parametrize("nothing", [wire.FLUSH, wire.COPY_DONE, wire.copy_data(b"1\n" * 50_000)],
                         ids=["a flush", "a late end of copy", "late copy data"])
@pytest.mark.parametrize("end", ["cancel", "query_wait"])
def test_a_wait_for_nothing_does_not_refuse_the_next_query(cluster, pooler, database, nothing,
                                                           end):
    limits = {"query_wait": "500ms"} if end == "query_wait" else {}
    weir, holder = _full_pool(cluster, pooler, database, timeouts=limits)
    with weir.wire("app", database) as waiter:
        waiter.send(nothing)
        waiting(weir, database, 1)
        if end == "cancel":
            waiter.cancel()
        waiting(weir, database, 0)
        holder.query("commit")
        assert waiter.values("select 'next'") == [["next"]]


def test_a_waiting_client_that_cancels_gets_57014(cluster, pooler, database):
    weir, _holder = _full_pool(cluster, pooler, database)
    with weir.wire("app", database) as waiter:
        waiter.send(wire.query("select 1"))
        waiting(weir, database, 1)
        waiter.cancel()
        assert sqlstates(waiter.read_until("Z")) == ["57014"]


def test_a_client_that_cancelled_its_wait_can_go_on(cluster, pooler, database):
    weir, holder = _full_pool(cluster, pooler, database)
    with weir.wire("app", database) as waiter:
        waiter.send(wire.query("select 'cancelled'"))
        waiting(weir, database, 1)
        waiter.cancel()
        waiter.read_until("Z")
        holder.query("commit")
        assert waiter.values("select 'next'") == [["next"]]


@pytest.mark.parametrize("messages", [
    [wire.parse("select 'early'"), wire.bind(), wire.describe(), wire.execute(), wire.SYNC],
    [wire.query("select 'early'; select 'early'")],
    [wire.parse("select '" + "x" * 200_000 + "'"), wire.bind(), wire.execute(), wire.SYNC],
    [wire.query("select '" + "x" * 200_000 + "'")]],
    ids=["a batch", "several statements", "a large batch", "a large query"])
@pytest.mark.parametrize(("end", "sqlstate"), [("cancel", "57014"), ("query_wait", "53300")])
def test_whatever_waited_is_answered_once_when_its_wait_ends(cluster, pooler, database, messages,
                                                             end, sqlstate):
    limits = {"query_wait": "300ms"} if end == "query_wait" else {}
    weir, holder = _full_pool(cluster, pooler, database, timeouts=limits)
    with weir.wire("app", database) as waiter:
        waiter.send(*messages)
        if end == "cancel":
            waiting(weir, database, 1)
            waiter.cancel()
        frames = waiter.read_until("Z")
        assert (wire.types(frames), sqlstates(frames)) == ("EZ", [sqlstate])
        holder.query("commit")
        assert waiter.values("select 'next'") == [["next"]]


def test_statements_behind_a_cancelled_one_are_answered_in_their_turn(cluster, pooler, database):
    weir, holder = _full_pool(cluster, pooler, database)
    with weir.wire("app", database) as waiter:
        waiter.send(wire.query("select 'first'"), wire.query("select 'second'"))
        waiting(weir, database, 1)
        waiter.cancel()
        assert sqlstates(waiter.read_until("Z")) == ["57014"]
        holder.query("commit")
        assert wire.rows(waiter.read_until("Z")) == [["second"]]


def test_waiters_are_served_in_their_order(cluster, pooler, database):
    cluster.execute("create table t (at serial, n int); grant all on t, t_at_seq to public",
                    database=database)
    weir, holder = _full_pool(cluster, pooler, database, workers={"count": 1})
    waiters = []
    for number in range(5):
        waiter = weir.wire("app", database)
        waiter.send(wire.query(f"insert into t (n) values ({number})"))
        waiters.append(waiter)
        waiting(weir, database, number + 1)
    holder.query("commit")
    for waiter in waiters:
        waiter.read_until("Z")
    assert [n for (n,) in cluster.execute("select n from t order by at", database)] == [
        0, 1, 2, 3, 4]


# --- servers that come and go --------------------------------------------------------------------


def test_an_idle_server_is_closed_after_its_idle_timeout(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"server_idle_timeout": "500ms"}}, [database])
    with weir.wire("app", database) as client:
        client.query("select 1")
        until(lambda: cluster.backends(database) == 0, what="no servers")


def test_min_size_servers_survive_the_idle_timeout(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"server_idle_timeout": "300ms", "min_size": 1}}, [database])
    with weir.wire("app", database) as client:
        client.query("select 1")
        time.sleep(2)
        until(lambda: cluster.backends(database) == 1, what="one server")


def test_an_old_server_is_replaced(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"server_lifetime": "500ms", "size": 1}}, [database])
    with weir.wire("app", database) as client:
        first = client.value("select pg_backend_pid()")
        until(lambda: client.value("select pg_backend_pid()") != first, what="another server")


def test_an_old_server_is_not_taken_away_from_a_transaction(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"server_lifetime": "300ms", "size": 1}}, [database])
    with weir.wire("app", database) as client:
        client.query("begin")
        first = client.value("select pg_backend_pid()")
        time.sleep(1.5)
        assert client.value("select pg_backend_pid()") == first


def test_clients_are_held_while_the_server_is_down(own_cluster, pooler):
    weir = pooler(own_cluster, {"pool": {"size": 2}})
    clients = [weir.wire("app") for _ in range(5)]
    for client in clients:
        client.query("select 1")
    own_cluster.stop()
    for number, client in enumerate(clients):
        client.send(wire.query(f"select {number}"))
    assert all(client.silent_for(0.5) for client in clients)
    own_cluster.start()
    assert [wire.rows(c.read_until("Z")) for c in clients] == [[[str(n)]] for n in range(5)]


def test_a_first_client_is_held_while_the_server_is_down(own_cluster, pooler):
    own_cluster.stop()
    weir = pooler(own_cluster)
    answered = []

    def client():
        with weir.wire("app") as me:
            answered.append(me.value("select 1"))

    thread = threading.Thread(target=client, daemon=True)
    thread.start()
    time.sleep(1)
    assert not answered
    own_cluster.start()
    thread.join(60)
    assert answered == ["1"]


def test_a_server_that_stays_down_ends_the_wait_at_query_wait(own_cluster, pooler):
    weir = pooler(own_cluster, {"timeouts": {"query_wait": "1s"}})
    with weir.wire("app") as client:
        client.query("select 1")
        own_cluster.stop()
        client.send(wire.query("select 2"))
        frames = client.outcome()
        assert len(sqlstates(frames)) == 1


def test_the_pool_works_again_after_the_server_crashed(own_cluster, pooler):
    weir = pooler(own_cluster, {"pool": {"size": 3}})
    for client in [weir.wire("app") for _ in range(6)]:
        client.query("select 1")
    own_cluster.stop(signal.SIGQUIT)
    own_cluster.start()
    with weir.wire("app") as client:
        assert client.value("select 1") == "1"


def test_a_terminated_idle_server_goes_unnoticed(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    with weir.wire("app", database) as client:
        for _ in range(5):
            pid = client.value("select pg_backend_pid()")
            cluster.execute(f"select pg_terminate_backend({pid}, 5000)")
            assert client.value("select 1") == "1"


def test_a_server_terminated_in_a_transaction_is_reported_once(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    with weir.wire("app", database) as client:
        client.query("begin")
        pid = client.value("select pg_backend_pid()")
        cluster.execute(f"select pg_terminate_backend({pid}, 5000)")
        try:
            client.send(wire.query("select 1"))
        except Closed:
            pass
        frames = client.outcome()
        assert sqlstates(frames)[:1] == ["57P01"] and len(sqlstates(frames)) == 1


def test_a_server_terminated_mid_query_is_reported(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    with weir.wire("app", database) as client:
        client.send(wire.query("select pg_sleep(63)"))
        pid = running(cluster, "select pg_sleep(63)")
        cluster.execute(f"select pg_terminate_backend({pid})")
        frames = client.outcome()
        assert sqlstates(frames) == ["57P01"]


def test_a_server_lost_in_the_middle_of_a_row_adds_nothing_to_it(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    with weir.wire("app", database) as client:
        big = "select repeat('x', 50000000)"
        client.send(wire.query(big)).read()
        pid = running(cluster, big.replace("'", "''"))
        cluster.execute(f"select pg_terminate_backend({pid}, 5000)")
        body = client.raw_until_closed()
        assert body.startswith(b"D") and set(body[11:]) == {ord("x")}


def test_the_permit_of_a_terminated_server_comes_back(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1}}, [database])
    with weir.wire("app", database) as client:
        client.query("begin")
        pid = client.value("select pg_backend_pid()")
        cluster.execute(f"select pg_terminate_backend({pid}, 5000)")
    with weir.wire("app", database) as client:
        assert client.value("select 1") == "1"


# --- timeouts ------------------------------------------------------------------------------------


def _ends_with(client, sqlstate):
    assert client.closed_within(20)
    assert sqlstates(client.drain()) == [sqlstate]


def test_idle_in_transaction_ends_with_25P03(cluster, pooler, database):
    weir = pooler(cluster, {"timeouts": {"idle_in_transaction": "500ms"}}, [database])
    with weir.wire("app", database) as client:
        client.query("begin")
        _ends_with(client, "25P03")


def test_idle_in_a_batch_without_sync_ends_with_25P03(cluster, pooler, database):
    weir = _pool_of_one(cluster, pooler, database,
                        timeouts={"idle_in_transaction": "500ms"})
    with weir.wire("app", database) as client:
        client.send(INSERT).read_until("C")
        _ends_with(client, "25P03")


def test_a_batch_that_waits_for_its_client_is_no_running_query(cluster, pooler, database):
    weir = _pool_of_one(cluster, pooler, database, timeouts={"query": "500ms"})
    with weir.wire("app", database) as client:
        client.send(INSERT).read_until("C")
        assert client.silent_for(1.5)
        client.send(wire.parse("select pg_sleep(67)") + wire.bind()
                    + wire.execute() + wire.SYNC)
        assert sqlstates(client.read_until("Z")) == ["57014"]


def test_the_transaction_of_an_idle_client_is_rolled_back(cluster, pooler, database):
    weir = pooler(cluster, {"timeouts": {"idle_in_transaction": "500ms"}}, [database])
    with weir.wire("app", database) as client:
        client.query("begin")
        until(lambda: cluster.backends(database, "state like 'idle in transaction%'") == 0)


def test_a_query_that_runs_too_long_ends_with_57014(cluster, pooler, database):
    weir = pooler(cluster, {"timeouts": {"query": "500ms"}}, [database])
    with weir.wire("app", database) as client:
        client.send(wire.query("select pg_sleep(64)"))
        frames = client.outcome()
        assert sqlstates(frames) == ["57014"]


def test_a_query_that_ran_too_long_does_not_run_on(cluster, pooler, database):
    weir = pooler(cluster, {"timeouts": {"query": "500ms"}}, [database])
    with weir.wire("app", database) as client:
        client.send(wire.query("select pg_sleep(65)")).outcome()
        until(lambda: cluster.backends(database, "query = 'select pg_sleep(65)'"
                                                 " and state = 'active'") == 0)


def test_a_transaction_that_takes_too_long_ends_with_25P04(cluster, pooler, database):
    weir = pooler(cluster, {"timeouts": {"transaction": "1s"}}, [database])
    with weir.wire("app", database) as client:
        client.query("begin")
        seen = []
        for _ in range(200):
            seen = seen or sqlstates(client.send(wire.query("select pg_sleep(0.1)")).outcome())
            if seen:
                break
        assert seen == ["25P04"]


@pytest.mark.parametrize("limit", ["query", "transaction"])
def test_a_pipeline_that_never_pauses_has_its_limits_per_query(cluster, pooler, database, limit):
    weir = pooler(cluster, {"timeouts": {limit: "1500ms"}}, [database])
    with weir.wire("app", database) as client:
        step = wire.query("select pg_sleep(0.2)")
        client.send(step)
        for _ in range(15):
            client.send(step)
            assert not sqlstates(client.read_until("Z"))
        assert not sqlstates(client.read_until("Z"))


def test_a_query_of_a_pipeline_that_runs_too_long_ends_with_57014(cluster, pooler, database):
    weir = pooler(cluster, {"timeouts": {"query": "1s"}}, [database])
    with weir.wire("app", database) as client:
        client.send(wire.query("select pg_sleep(0.6)"), wire.query("select pg_sleep(0.6)"),
                    wire.query("select pg_sleep(66)"), wire.query("select 'next'"))
        assert [sqlstates(client.read_until("Z")) for _ in range(3)] == [[], [], ["57014"]]
        assert wire.rows(client.read_until("Z")) == [["next"]]


def test_an_idle_client_ends_with_57P05(cluster, pooler, database):
    weir = pooler(cluster, {"timeouts": {"client_idle": "500ms"}}, [database])
    with weir.wire("app", database) as client:
        client.query("select 1")
        _ends_with(client, "57P05")


def test_a_client_in_a_transaction_is_not_idle(cluster, pooler, database):
    weir = pooler(cluster, {"timeouts": {"client_idle": "500ms"}}, [database])
    with weir.wire("app", database) as client:
        client.query("begin")
        assert client.silent_for(2)


MUCH = {"many rows": (1_000, 50_000), "one row": (50_000_000, 1)}


def _reader_of_much(weir, database, what="many rows"):
    """A client that was sent far more than any buffer takes, and has begun to read it."""
    reader = Wire(weir.address, receive_buffer=4096)
    reader.login("app", database, "app-secret")
    size, count = MUCH[what]
    reader.send(wire.query(f"select repeat('x', {size}) from generate_series(1, {count})"))
    reader.sock.recv(1, socket.MSG_PEEK)
    return reader


@pytest.mark.parametrize("what", MUCH)
def test_a_client_that_reads_nothing_makes_room_for_those_who_wait(cluster, pooler, database, what):
    weir = pooler(cluster, {"pool": {"size": 1}, "timeouts": {"client_stall": "1s"}}, [database])
    reader = _reader_of_much(weir, database, what)
    with weir.wire("app", database) as waiter:
        assert waiter.value("select 1") == "1"
    assert len(reader.raw_until_closed()) < 50_000_000


def test_a_client_that_reads_nothing_stays_while_nobody_waits(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 1}, "timeouts": {"client_stall": "500ms"}},
                  [database])
    reader = _reader_of_much(weir, database)
    time.sleep(2.5)
    assert len(wire.rows(reader.read_until("Z"))) == 50_000


@pytest.mark.parametrize("what", MUCH)
def test_a_slow_reader_stays_although_others_wait(cluster, pooler, database, what):
    weir = pooler(cluster, {"pool": {"size": 1}, "timeouts": {"client_stall": "2s"}}, [database])
    reader = _reader_of_much(weir, database, what)
    with weir.wire("app", database) as waiter:
        waiter.send(wire.query("select 1"))
        waiting(weir, database)
        for _ in range(60):
            reader.buffer += reader.sock.recv(4096)
            time.sleep(0.1)
        assert sum(len(v) for (v,) in wire.rows(reader.read_until("Z"))) == 50_000_000
        assert wire.rows(waiter.read_until("Z")) == [["1"]]


def test_a_client_that_reads_nothing_of_pgweir_s_own_replies_makes_room_as_well(cluster, pooler,
                                                                                database):
    """Parse and Close of a statement that the server knows are answered without it."""
    weir = pooler(cluster, {"pool": {"size": 1}, "timeouts": {"client_stall": "1s"}}, [database])
    reader = Wire(weir.address, receive_buffer=4096, segment=536)
    reader.login("app", database, "app-secret")
    batch = wire.parse("select 1", "s") + wire.close("S", "s") + wire.FLUSH
    with weir.wire("app", database) as waiter:
        Sender(reader, batch * 300_000).start_and_wait_until_stuck_or_done()
        assert waiter.value("select 1") == "1"


def test_a_user_s_timeout_overrides_the_database_s(cluster, pooler, database):
    weir = pooler(cluster, {"timeouts": {"client_idle": "300ms"},
                            "user": {"other": {"timeouts": {"client_idle": "60s"}}}}, [database])
    with weir.wire("other", database) as client:
        client.query("select 1")
        assert client.silent_for(2)


def test_a_busy_server_that_stops_answering_a_connect_is_given_up(cluster, pooler, database):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(16)  # accepts in the kernel, never answers
        weir = pooler(cluster, {
            "database": {"deaf": {"host": "127.0.0.1", "port": deaf.getsockname()[1]}},
            "pool": {"server_connect_timeout": "500ms"}, "timeouts": {"client_login": "2s"}})
        with Wire(weir.address) as client:
            client.login("app", "deaf", "app-secret")
            assert client.login_error is not None


def test_a_database_that_only_the_star_names_is_forgotten_when_unused(cluster, pooler, database):
    weir = pooler(cluster, {"database": {"*": {"pool": {"server_idle_timeout": "100ms"}}}},
                  databases=["*"])
    with weir.wire("app", database) as client:
        client.value("select 1")
        assert weir.pool(database) is not None
    until(lambda: weir.pool(database) is None, what="the pool of an unused database to go")
    with weir.wire("app", database) as client:
        assert client.value("select current_database()") == database
