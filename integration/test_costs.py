"""What clients cost: neither memory nor processor time grows with what they did or wait for."""

import pytest

import wire
from cluster import until
from threads import in_threads
from watching import waiting
from wire import SYNC

# Else AddressSanitizer keeps what was freed, and it counts as in use.
NO_QUARANTINE = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:quarantine_size_mb=1"}
TRUST = {"auth": {"method": "trust"}}
MIB = 1024  # KiB


@pytest.fixture
def start(cluster, pooler, database):
    def started(over):
        weir = pooler(cluster, {**TRUST, **over}, [database], environment=NO_QUARANTINE)
        weir.database = database
        return weir

    return started


FORGETTING = {
    "closed": lambda name: wire.close("S", name) + SYNC,
    "deallocated": lambda name: wire.query(f"deallocate {name}"),
    "all deallocated": lambda name: wire.query("deallocate all"),
    "discarded": lambda name: wire.query("discard all"),
}


@pytest.mark.parametrize("how", FORGETTING)
def test_statements_that_were_prepared_and_forgotten_cost_no_memory(start, how):
    weir = start({"pool": {"size": 1}})
    padding = "x" * 4000

    def prepare_and_forget(client, numbers):
        for number in numbers:
            client.send(wire.parse(f"select {number} /* {padding} */", f"s{number}") + SYNC
                        + FORGETTING[how](f"s{number}"))
            client.read_ready(2)

    with weir.wire("app", weir.database) as client:
        prepare_and_forget(client, range(1000))  # warms caches up
        before = weir.rss_kib()
        prepare_and_forget(client, range(1000, 6000))  # 20 MiB of texts
        assert weir.rss_kib() - before < 6 * MIB


def test_clients_that_once_sent_or_got_much_cost_no_more_than_others(start):
    weir = start({"pool": {"size": 4}})
    clients = [weir.wire("app", weir.database) for _ in range(60)]

    def one(number, size=1_000_000):
        assert clients[number].value(f"select length('{'x' * size}')") == str(size)
        assert clients[number].value(f"select repeat('x', {size})") == "x" * size

    in_threads(4, one)  # warms buffers up
    before = weir.rss_kib()
    for number in range(60):
        one(number)
    until(lambda: weir.rss_kib() - before < 8 * MIB, what="memory given back")


def test_clients_that_wait_with_a_large_query_keep_it_to_themselves(start):
    weir = start({"pool": {"size": 1}})
    with weir.wire("app", weir.database) as holder:
        holder.query("begin")
        clients = [weir.wire("app", weir.database) for _ in range(200)]
        before = weir.rss_kib()
        for client in clients:
            client.send(wire.query(f"select '{'x' * 100_000}'"))
        waiting(weir, weir.database, 200)
        assert weir.rss_kib() - before < 8 * MIB
        holder.query("commit")
        for client in clients:
            assert wire.rows(client.read_until("Z")) == [["x" * 100_000]]


@pytest.mark.alone
@pytest.mark.parametrize("reserve", [0, 1])
def test_waiting_clients_cost_no_processor_time(start, reserve):
    weir = start({"pool": {"size": 1, "reserve_size": reserve, "reserve_after": "1h"}})
    with weir.wire("app", weir.database) as holder:
        holder.query("begin")
        clients = [weir.wire("app", weir.database) for _ in range(300)]
        for client in clients:
            client.send(wire.query("select 1"))
        waiting(weir, weir.database, 300)
        assert weir.cpu_share(2) < 0.2
        holder.query("commit")
        assert all(wire.rows(client.read_until("Z")) == [["1"]] for client in clients)
