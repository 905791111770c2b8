"""Several pgweirs behind one name: a cancel request that reaches the wrong one is passed on."""

import pytest

import wire
from certificates import Authority
from cluster import free_port, until
from watching import running
from wire import PROTOCOL_3_0, PROTOCOL_3_2, sqlstates


@pytest.fixture
def pair(cluster, pooler, database):
    """Starts two that know each other; what each is told beside that is given by its number."""
    def start(over=None, peers=None):
        ports = {1: free_port(), 2: free_port()}
        known = {str(n): {"host": "127.0.0.1", "port": port} for n, port in ports.items()}
        for n, different in (peers or {}).items():
            known[str(n)] |= different
        return [pooler(cluster, {"listen": {"port": ports[n]}, "peers": {"id": n}, "peer": known,
                                 **(over or {}).get(n, {})}, [database]) for n in (1, 2)]
    return start


def passed_on(weir, peer):
    """Requests that `weir` has sent to a peer: (taken, failed)."""
    row = next(r for r in weir.show("PEERS") if r["peer_id"] == peer)
    return row["cancels"], row["cancels_failed"]


@pytest.mark.every_version
@pytest.mark.parametrize("protocol", [PROTOCOL_3_0, PROTOCOL_3_2], ids=["short key", "long key"])
def test_a_cancel_that_reaches_the_other_one_is_passed_on(cluster, pair, database, protocol):
    one, two = pair()
    with one.wire() as client:
        client.login("app", database, "app-secret", protocol)
        client.send(wire.query("select pg_sleep(81)"))
        running(cluster, "select pg_sleep(81)")
        client.cancel(two.address)
        assert sqlstates(client.read_until("Z")) == ["57014"]
        assert client.value("select 'goes on'") == "goes on"
    assert passed_on(two, 1) == (1, 0)
    assert passed_on(one, 2) == (0, 0)


def test_a_cancel_that_reaches_the_right_one_is_not_passed_on(cluster, pair, database):
    one, two = pair()
    with two.wire("app", database) as client:
        client.send(wire.query("select pg_sleep(82)"))
        running(cluster, "select pg_sleep(82)")
        client.cancel()
        assert sqlstates(client.read_until("Z")) == ["57014"]
    assert passed_on(two, 1) == passed_on(two, 2) == (0, 0)


def test_a_cancel_that_is_over_does_not_hit_the_next_query(cluster, pair, database):
    one, two = pair()
    with one.wire("app", database) as client:
        for number in range(10):
            client.send(wire.query(f"select pg_sleep(60), {number}"))
            running(cluster, f"select pg_sleep(60), {number}")
            client.cancel(two.address)
            assert sqlstates(client.read_until("Z")) == ["57014"]
            assert client.value("select 'next'") == "next"


@pytest.mark.parametrize(("name", "outcome"), [("pgweir-1", (0, 1)), ("127.0.0.1", (1, 0))])
def test_a_peer_is_who_its_certificate_says(cluster, pair, database, tmp_path, name, outcome):
    authority = Authority(tmp_path / "ca")
    kind = "IP" if name[0].isdigit() else "DNS"
    identity = authority.issue("pgweir", f"{kind}:{name}")
    one, two = pair({1: {"client_tls": {"mode": "prefer", "certificate": identity.certificate,
                                        "key": identity.key}}},
                    {1: {"tls": {"sslmode": "verify-full", "sslrootcert": authority.file}}})
    with one.wire("app", database) as client:
        client.send(wire.query("select pg_sleep(0.5), 83"))
        running(cluster, "select pg_sleep(0.5), 83")
        client.cancel(two.address)
        told = client.read_until("Z")
    assert passed_on(two, 1) == outcome
    assert sqlstates(told) == (["57014"] if outcome[0] else [])


def test_a_peer_without_tls_gets_nothing_where_tls_is_required(cluster, pair, database):
    one, two = pair(peers={1: {"tls": {"sslmode": "require"}}})
    with one.wire("app", database) as client:
        client.send(wire.query("select pg_sleep(0.5), 'survived'"))
        running(cluster, "select pg_sleep(0.5), ''survived''")
        client.cancel(two.address)
        assert wire.rows(client.read_until("Z")) == [["", "survived"]]
    assert passed_on(two, 1) == (0, 1)


def test_a_peer_s_address_that_leads_back_makes_no_loop(cluster, pooler, database):
    port = free_port()
    weir = pooler(cluster, {"listen": {"port": port}, "peers": {"id": 2}, "peer": {
        "1": {"host": "127.0.0.1", "port": port}}}, [database])
    with weir.wire("app", database) as client:
        client.key = key_of_peer(client.key, 1)
        client.cancel()
    assert passed_on(weir, 1) == (1, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "no-such-host.invalid"])
def test_a_peer_that_is_away_keeps_nobody(cluster, pooler, database, host):
    weir = pooler(cluster, {"peers": {"id": 2}, "peer": {
        "1": {"host": host, "port": free_port()}}}, [database])
    with weir.wire("app", database) as client:
        client.key = key_of_peer(client.key, 1)
        client.cancel()
    assert passed_on(weir, 1) == (0, 1)
    until(lambda: "a cancel request did not reach peer 1" in weir.log(), what="the warning")


def test_the_key_of_a_peer_that_nobody_knows_cancels_nothing(cluster, pair, database):
    one, _ = pair()
    with one.wire("app", database) as client:
        client.send(wire.query("select pg_sleep(0.5), 'survived'"))
        running(cluster, "select pg_sleep(0.5), ''survived''")
        own, client.key = client.key, key_of_peer(client.key, 30)
        client.cancel()
        client.key = own
        assert wire.rows(client.read_until("Z")) == [["", "survived"]]


def test_a_peer_comes_with_a_reload(cluster, pooler, database):
    one = pooler(cluster, {"peers": {"id": 1}}, [database])
    two = pooler(cluster, {"peers": {"id": 2}}, [database])
    two.change({"peer": {"1": {"host": "localhost", "port": one.port}}})
    with one.wire("app", database) as client:
        client.send(wire.query("select pg_sleep(84)"))
        running(cluster, "select pg_sleep(84)")
        client.cancel(two.address)
        assert sqlstates(client.read_until("Z")) == ["57014"]


def key_of_peer(key, number):
    """The same key, given out by another."""
    pid = int.from_bytes(key[:4], "big") & ((1 << 26) - 1)
    return (number << 26 | pid).to_bytes(4, "big") + key[4:]

