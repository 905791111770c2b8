"""Clients that misbehave hurt nobody but themselves, and nothing of them stays behind."""

import random
import resource
import struct
import threading

import pytest

import wire
from cluster import until
from watching import pids, serves_at_once, settled, waiting
from wire import SYNC, Closed, Wire

BIG = "select n, repeat('x', 1000) from generate_series(1, 200000) n"
PARSE = (wire.parse("select $1::text, $2::int", "") + wire.describe("S")
         + wire.bind(["value", 7]) + wire.describe() + wire.execute() + wire.close("S") + SYNC)


def leaves_mid_row(client):
    client.send(wire.query(BIG))
    client.read_until("D")


def leaves_before_the_answer(client):
    client.send(wire.query(BIG))


def leaves_mid_copy_in(client):
    client.send(wire.query("copy t from stdin")).read_until("G")
    client.send(wire.copy_data(b"1\n") * 100, b"d\0\0\0\x20half")


def leaves_mid_copy_out(client):
    client.send(wire.query("copy (select generate_series(1, 1000000)) to stdout")).read_until("d")


def leaves_mid_pipeline(client):
    client.send(PARSE * 200 + wire.query("select pg_sleep(30)") + PARSE * 200)
    client.read_until("Z")


def leaves_in_a_transaction(client):
    client.query("begin")
    client.query("lock table t")


def leaves_in_a_failed_transaction(client):
    client.query("begin")
    client.query("select 1/0")


def leaves_mid_message(client):
    client.send(wire.query("select 'never finished'")[:-5])


def leaves_mid_large_message(client):
    client.send(wire.query("select '" + "x" * 1_000_000 + "'")[:500_000])


def leaves_while_it_waits(client):
    client.send(wire.query("select pg_sleep(0.05)"))


LEAVING = [leaves_mid_row, leaves_before_the_answer, leaves_mid_copy_in, leaves_mid_copy_out,
           leaves_mid_pipeline, leaves_in_a_transaction, leaves_in_a_failed_transaction,
           leaves_mid_message, leaves_mid_large_message, leaves_while_it_waits]


@pytest.fixture
def weir(cluster, pooler, database):
    cluster.execute("create table t (n int); grant all on t to public", database)
    process = pooler(cluster, {"pool": {"size": 4}, "auth": {"method": "trust"}}, [database])
    process.database = database
    return process


class Canaries:
    """Polite clients that each check that every answer is their own."""

    def __init__(self, weir, count=4):
        self.weir, self.wrong, self.turns = weir, [], 0
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._sing, args=(n,), daemon=True)
                        for n in range(count)]

    def _sing(self, number):
        rng = random.Random(number)
        try:
            with self.weir.wire("app", self.weir.database) as client:
                while not self.stopping.is_set():
                    value = f"canary {number} {rng.random()}"
                    sent = rng.choice([
                        [wire.query(f"select '{value}'")],
                        [wire.parse("select $1::text"), wire.bind([value]), wire.execute(), SYNC]])
                    got = wire.rows(client.send(*sent).read_until("Z"))
                    if got != [[value]]:
                        self.wrong.append((value, got))
                    self.turns += 1
        except Exception as error:  # noqa: BLE001 - judged by the test
            self.wrong.append((number, error))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "a canary hangs"


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("leaving", LEAVING, ids=lambda f: f.__name__)
def test_the_others_get_their_own_answers_when_a_client(weir, leaving, how):
    with Canaries(weir) as canaries:
        for _ in range(15):
            client = weir.wire("app", weir.database)
            leaving(client)
            getattr(client, how)()
    assert canaries.turns and not canaries.wrong, canaries.wrong[0]


@pytest.mark.parametrize("leaving", LEAVING, ids=lambda f: f.__name__)
def test_the_pool_accounts_for_what_postgresql_sees_after_a_client(weir, cluster, leaving):
    for _ in range(10):
        client = weir.wire("app", weir.database)
        leaving(client)
        client.reset()
    settled(weir, cluster)


ROW = f"repeat('x', {20_000_000})"
LARGE_ROWS = {
    "a query": [wire.query(f"select {ROW}")],
    "a batch": [wire.parse(f"select {ROW}"), wire.bind(), wire.execute(), SYNC],
    "copy": [wire.query(f"copy (select {ROW}) to stdout")],
}


@pytest.mark.parametrize("how", ["reset", "close", "cancel"])
@pytest.mark.parametrize("what", LARGE_ROWS)
def test_clients_that_leave_amid_a_large_row_free_their_servers(weir, cluster, what, how):
    clients = [weir.wire("app", weir.database) for _ in range(4)]
    for client in clients:
        client.send(*LARGE_ROWS[what])
    for client in clients:
        client.read_bytes(1000)
    for client in clients:
        getattr(client, how)()
    if how == "cancel":
        for client in clients:
            client.close()
    assert serves_at_once(weir, 4)
    settled(weir, cluster)


def test_40_busy_clients_that_are_gone_at_once_leave_every_server_usable(weir, cluster):
    clients = [weir.wire("app", weir.database) for _ in range(40)]
    for number, client in enumerate(clients):
        client.send(wire.query("begin"), wire.query(f"select pg_sleep(60), {number}"))
    waiting(weir, weir.database, 36)
    for client in clients:
        client.reset()
    assert serves_at_once(weir, 4)
    settled(weir, cluster)


def test_clients_that_leave_before_their_answer_cost_no_server(weir, cluster):
    assert serves_at_once(weir, 4)
    before = pids(cluster, weir.database)
    for number in range(80):
        client = weir.wire("app", weir.database)
        client.send(wire.query(f"select pg_sleep(0.01), {number}"))
        client.reset()
    settled(weir, cluster)
    assert pids(cluster, weir.database) == before


def test_a_storm_of_all_of_them_leaves_nothing_behind(weir, cluster):
    def storm():
        rng = random.Random(7)

        def one(seed):
            rng = random.Random(seed)
            for _ in range(10):
                client = weir.wire("app", weir.database)
                try:
                    rng.choice(LEAVING)(client)
                except Closed:
                    pass
                rng.choice([client.reset, client.close])()

        threads = [threading.Thread(target=one, args=(rng.random(),), daemon=True)
                   for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive(), "a client hangs"
        settled(weir, cluster)

    storm()  # warms caches and pools up
    files, rss = weir.open_files(), weir.rss_kib()
    for _ in range(3):
        storm()
    until(lambda: weir.open_files() <= files + 4, what="sockets closed")
    assert weir.rss_kib() - rss < 64 * 1024


def test_logins_given_up_at_any_step_leave_nothing_behind(cluster, pooler):
    weir = pooler(cluster)
    with weir.wire("app") as client:
        client.query("select 1")
        files = weir.open_files()
        for step in range(60):
            other = weir.wire()
            if step % 4:
                other.send(wire.startup({"user": "app", "database": "shop"}))
            if step % 4 > 1:
                other.read()
            if step % 4 > 2:
                other.send(wire.message("p", b"SCRAM-SHA-256\0"))
            other.reset()
        until(lambda: weir.open_files() <= files, what="sockets closed")


def test_connections_that_say_nothing_cost_only_their_socket(cluster, pooler):
    weir = pooler(cluster)
    with weir.wire("app") as client:
        client.query("select 1")
        files = weir.open_files()
        for other in [weir.wire() for _ in range(300)]:
            other.reset()
        until(lambda: weir.open_files() <= files, what="sockets closed")


# --- running out of files ------------------------------------------------------------------------


def _starve(weir, spare):
    limit = weir.open_files() + spare
    resource.prlimit(weir.pid, resource.RLIMIT_NOFILE, (limit, limit))


def test_a_client_works_on_when_files_run_out(cluster, pooler):
    weir = pooler(cluster)
    with weir.wire("app") as client:
        client.query("select 1")
        _starve(weir, 10)
        others = [weir.wire() for _ in range(60)]
        assert client.value("select 2") == "2"
        for other in others:
            other.close()


@pytest.mark.alone
def test_running_out_of_files_does_not_make_it_spin(cluster, pooler):
    weir = pooler(cluster)
    with weir.wire("app") as client:
        client.query("select 1")
        _starve(weir, 10)
        others = [weir.wire() for _ in range(60)]
        assert weir.cpu_share(3) < 0.5
        for other in others:
            other.close()


def test_new_clients_get_in_once_files_are_free_again(cluster, pooler):
    weir = pooler(cluster)
    with weir.wire("app") as client:
        client.query("select 1")
        _starve(weir, 20)
        for other in [weir.wire() for _ in range(100)]:
            other.close()
        with weir.wire("app") as late:
            assert late.value("select 3") == "3"


def test_a_client_that_is_reset_while_its_server_reads_nothing_is_noticed(weir, cluster):
    with cluster.connect(weir.database) as other:
        other.autocommit = False
        other.execute("lock table t")
        client = weir.wire("app", weir.database)
        client.sock.settimeout(1)
        client.send(wire.query("insert into t values (1)"))
        with pytest.raises(TimeoutError):
            while True:
                client.sock.sendall(wire.query("select '" + "x" * 1_000_000 + "'"))
        client.reset()
        until(lambda: weir.pool(weir.database)["sv_active"] == 0, what="no server in use")
    settled(weir, cluster)


def test_a_flood_of_what_is_ignored_starves_nobody(cluster, pooler, database):
    weir = pooler(cluster, {"pool": {"size": 2}, "workers": {"count": 1}}, [database])
    stopping = threading.Event()

    def flood():
        with weir.wire("app", database) as client:
            while not stopping.is_set():
                client.send(wire.copy_data(b"1\n" * 1_000) * 100)

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    try:
        with weir.wire("app", database) as client:
            for turn in range(100):
                assert client.value(f"select {turn}") == str(turn)
    finally:
        stopping.set()
        thread.join(60)


# --- hostile bytes after login -------------------------------------------------------------------

HOSTILE = {
    "length 0": b"Q\0\0\0\0", "length 1": b"Q\0\0\0\x01", "length 3": b"Q\0\0\0\x03",
    "length -1": b"Q\xff\xff\xff\xff",
    "length of a gigabyte": b"Q\x40\0\0\0" + b"x" * 1000,
    "the greatest length": b"Q\x7f\xff\xff\xffselect 1\0",
    "an unknown type": wire.message("?", b"what"),
    "a type of zero": b"\0\0\0\0\x04", "a server's message": wire.message("Z", b"I"),
    "a server's row": wire.message("D", b"\0\1\0\0\0\1x"),
    "a second startup": wire.startup({"user": "boss", "database": "shop"}),
    "an SSL request": wire.SSL_REQUEST,
    "a password nobody asked for": wire.message("p", b"secret\0"),
    "a query without a terminator": wire.message("Q", b"select 1"),
    "an empty query message": wire.message("Q"),
    "an empty Parse": wire.message("P"), "an empty Bind": wire.message("B"),
    "a Bind of 65535 parameters it does not have": wire.message("B", b"\0\0\0\0\xff\xff"),
    "a Bind whose value is too long": wire.message("B", b"\0\0\0\0\0\1\x7f\xff\xff\xffx"),
    "an empty Describe": wire.message("D"), "an empty Execute": wire.message("E"),
    "a Describe of an unknown kind": wire.message("D", b"Zname\0"),
    "an empty Close": wire.message("C"), "an empty function call": wire.message("F"),
    "a Sync with a body": wire.message("S", b"body"),
    "a Flush with a body": wire.message("H", b"body"),
    "a cancel request": struct.pack("!iiii", 16, 80877102, 1, 1),
    "an Execute without a portal": wire.execute("nowhere"),
    "zeros": b"\0" * 5000, "0xff": b"\xff" * 5000,
    "a megabyte of noise": random.Random(44).randbytes(1_000_000),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_others_are_not_disturbed_by(weir, what):
    with weir.wire("app", weir.database) as canary:
        for _ in range(5):
            with weir.wire("app", weir.database) as client:
                try:
                    client.send(HOSTILE[what], SYNC)
                    client.closed_within(0.1)
                except Closed:
                    pass
                assert canary.value("select 'own'") == "own"


@pytest.mark.parametrize("mode", ["session", "transaction"])
@pytest.mark.parametrize("before", [[], [wire.query("select 1")]], ids=["idle", "served"])
def test_a_message_of_an_unknown_type_is_named(cluster, pooler, mode, before):
    weir = pooler(cluster, {"pool": {"mode": mode}})
    with weir.wire("app") as client:
        for message in before:
            client.send(message).read_until("Z")
        client.send(wire.message("?", b"what"))
        errors = [wire.fields(f) for f in client.drain()]
        assert [(e["C"], e["M"]) for e in errors] == [
            ("08P01", "invalid frontend message type 63")]


@pytest.mark.parametrize("what", HOSTILE)
def test_the_pool_recovers_from(weir, cluster, what):
    for _ in range(6):  # more than the pool has servers
        with weir.wire("app", weir.database) as client:
            try:
                client.send(HOSTILE[what], SYNC)
                client.closed_within(0.1)
            except Closed:
                pass
    with weir.wire("app", weir.database) as client:
        assert client.value("select 'served'") == "served"
    settled(weir, cluster)


def test_a_message_cut_off_at_any_byte_disturbs_nobody(weir, cluster):
    raw = wire.query("select 1") + PARSE + wire.function_call(177, b"1", b"2")
    with weir.wire("app", weir.database) as canary:
        for cut in range(len(raw)):
            with weir.wire("app", weir.database) as client:
                client.send(raw[:cut])
            assert canary.value(f"select {cut}") == str(cut)
    settled(weir, cluster)


def test_random_damage_to_messages_disturbs_nobody(weir, cluster):
    rng = random.Random(42)
    with weir.wire("app", weir.database) as canary:
        for turn in range(150):
            raw = bytearray(wire.query("select 1") + PARSE * 2)
            for _ in range(rng.randint(1, 4)):
                raw[rng.randrange(len(raw))] = rng.randrange(256)
            with Wire(weir.address) as client:
                client.login("app", weir.database)
                try:
                    client.send(bytes(raw))
                    client.closed_within(0.01)
                except Closed:
                    pass
            assert canary.value(f"select {turn}") == str(turn)
    settled(weir, cluster)


def test_random_bytes_instead_of_a_login_disturb_nobody(weir):
    rng = random.Random(43)
    with weir.wire("app", weir.database) as canary:
        for turn in range(150):
            with weir.wire() as client:
                try:
                    client.send(rng.randbytes(rng.randint(1, 300)))
                    client.sock.shutdown(1)
                except (Closed, OSError):
                    pass
                client.raw_until_closed()
            assert canary.value(f"select {turn}") == str(turn)


def test_a_giant_length_reserves_no_memory(weir):
    with weir.wire("app", weir.database) as client:
        before = weir.rss_kib()
        client.send(b"P\x3f\xff\xff\xff" + b"x" * 1000)
        client.closed_within(0.5)
        assert weir.rss_kib() - before < 16 * 1024
