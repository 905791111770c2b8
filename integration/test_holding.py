"""Thousands of clients wait for a primary: who is refused, in which order the others go on, and
what it costs. PGWEIR_SLOW=1 takes 5,000 clients, where a build with sanitizers takes a fifth."""

import contextlib
import os
from types import SimpleNamespace

import pytest

import wire
from cluster import until
from failover_scene import LONG, NARROW, PATIENT, Scene, staged
from watching import Sampler

pytestmark = pytest.mark.failover

CLIENTS = 5000 if os.environ.get("PGWEIR_SLOW") == "1" else 1000
LIMIT = CLIENTS * 4 // 5
PARTS = 8
INSERT = "INSERT INTO ledger (id) VALUES ({})"


@pytest.fixture(scope="module")
def stage(base):
    """Nobody is promoted here but by hand."""
    with staged(base, "by-hand", repmgr={"failover": "manual"}) as made:
        yield made


class Crowd(contextlib.ExitStack):
    """Idle clients of the database whose pool is narrow."""

    def __init__(self, weir, count):
        super().__init__()
        self.weir = weir
        self.clients = [self.enter_context(self._client()) for _ in range(count)]

    def _client(self):
        client = self.weir.wire("app", "narrow")
        client.sock.settimeout(LONG)
        return client

    def send(self, numbers):
        """Client i writes row i."""
        for i in numbers:
            self.clients[i].send(wire.query(INSERT.format(i)))

    def told(self, numbers):
        """The SQLSTATEs of their answers."""
        return {i: wire.sqlstates(self.clients[i].read_until("Z")) for i in numbers}


def cluster_row(weir):
    return weir.show("CLUSTERS")[0]


@pytest.fixture(scope="module")
def held(stage, lasting_pooler, base):
    """What a crowd noticed of a primary that was away until a standby was promoted."""
    here = Scene(stage.whole(), lasting_pooler, base, hold_max_clients=LIMIT, **PATIENT, over={
        "workers": {"count": 1}, "auth": {"method": "trust"}, "limits": {"max_clients": 6000}}
    ).ready()
    weir, nodes, winner = here.weir, here.nodes, here.standbys[0]
    with nodes.connect(here.primary, "shop") as boss:
        boss.execute("ALTER TABLE ledger ADD at timestamptz DEFAULT statement_timestamp()")
    with Crowd(weir, CLIENTS) as crowd:
        idle = weir.rss_kib()
        nodes.kill_node(here.primary)
        here.wait_said("writes wait")
        for part in range(PARTS):
            end = LIMIT * (part + 1) // PARTS
            crowd.send(range(LIMIT * part // PARTS, end))
            until(lambda end=end: cluster_row(weir)["held_clients"] == end, LONG, f"{end} held")
        surplus = range(LIMIT, CLIENTS)
        crowd.send(surplus)
        refused = crowd.told(surplus)
        story = SimpleNamespace(here=here, winner=winner, refused=refused, row=cluster_row(weir),
                                grown_kib=weir.rss_kib() - idle)
        with Sampler(DirectNode(nodes, winner), "shop") as sampler:
            nodes.take_over(winner)
            story.served = crowd.told(range(LIMIT))
        story.most = sampler.most
    with nodes.connect(winner, "shop") as connection:
        story.order = [number for (number,) in
                       connection.execute("SELECT id FROM ledger ORDER BY at").fetchall()]
    story.rejected = cluster_row(weir)["hold_rejected"]
    weir.finish()
    print(f"{CLIENTS} clients, {LIMIT} held: {story.grown_kib} KiB more resident memory,"
          f" at most {story.most} connections to the new primary")
    return story


class DirectNode:
    """A node as what watches backends knows clusters."""

    def __init__(self, nodes, n):
        self._nodes, self._n = nodes, n

    def connect(self, database):
        return self._nodes.connect(self._n, database)


def test_who_is_within_the_limit_is_served_by_the_new_primary(held):
    assert held.served == {i: [] for i in range(LIMIT)}
    assert sorted(held.order) == list(range(LIMIT))


def test_who_is_beyond_the_limit_is_refused_while_the_others_wait(held):
    assert held.refused == {i: ["53300"] for i in range(LIMIT, CLIENTS)}
    assert held.row["held_clients"] == LIMIT
    assert held.rejected == CLIENTS - LIMIT


def test_who_came_first_is_served_first(held):
    """Those of a part came at once; servers of one pool are as fast as each other."""
    part = {i: i * PARTS // LIMIT for i in range(LIMIT)}
    for place, number in enumerate(held.order):
        assert abs(place * PARTS // LIMIT - part[number]) <= 1, (place, number)


def test_the_new_primary_sees_no_more_than_the_pool_s_servers(held):
    assert 0 < held.most <= NARROW


def test_what_clients_send_while_they_wait_costs_pgweir_little(held):
    assert held.row["held_bytes"] == 0  # it stays in the kernel, whatever its size
    assert held.grown_kib < LIMIT * 16
