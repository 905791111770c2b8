"""Failover by a real Patroni and etcd: pgweir follows whoever holds the leader's lock."""

import itertools

import pytest

import patroni_cluster
from cluster import until
from failover_scene import LONG, Account, Load, Scene, Stage
from patroni_cluster import PatroniCluster

# Patroni waits for a lock to expire, and the first test for three nodes to be made.
pytestmark = pytest.mark.timeout(600)

INSERT = "INSERT INTO ledger VALUES ({})"


@pytest.fixture(scope="module")
def stage(base):
    why_not = patroni_cluster.missing(base)
    if why_not:
        pytest.skip(why_not)
    numbers = itertools.count(1)
    made = Stage(lambda: PatroniCluster(base, base / f"patroni{next(numbers)}").start())
    yield made
    made.clear()


@pytest.fixture
def scene(stage, pooler, base):
    """scene() puts pgweir, which is told of one node only, in front of a cluster that is whole."""
    def make():
        nodes = stage.whole()
        one = nodes.nodes[-1]
        host, port = nodes.address(one)
        return Scene(nodes, pooler, base, discovery="patroni", monitor={
            "user": "pgweir_monitor", "password": "monitor-secret", "database": "postgres"},
            node=[{"name": f"n{one}", "host": host, "port": port,
                   "patroni_port": nodes.api_ports[one]}]).ready()
    return make


def test_writes_follow_a_failover_of_patroni_and_nothing_acknowledged_is_lost(scene):
    here = scene()
    nodes, account = here.nodes, Account()
    nodes.replicate_synchronously(True)
    try:
        with Load(here, account=account, writers=3, transactors=2):
            nodes.kill_node(here.primary)
            winner = nodes.wait_primary(other_than=here.primary, seconds=LONG)
            here.wait_said(rf"writes go to n{winner}")
    finally:
        nodes.replicate_synchronously(False)
    account.check(here.rows(winner))
    assert account.lost() == []
    assert {node for _, node in here.rows(winner)} == {here.primary, winner}
    nodes.start_node(here.primary)


def test_clients_that_ask_nothing_of_a_server_that_dies_see_a_pause_only(scene):
    here = scene()
    nodes, account = here.nodes, Account()
    idle = here.wire()
    idle.value("select 1")
    nodes.kill_server(here.primary)
    number = account.next_id()
    account.judge("idle", (number,), idle.query(INSERT.format(number)))
    assert account.errors() == {}
    account.check(here.rows(nodes.wait_primary()))
    for n in nodes.nodes:
        until(lambda n=n: nodes.is_running(n), LONG, f"n{n} started by its Patroni")


def test_a_switchover_by_patronictl_is_no_error(scene):
    here = scene()
    nodes, account = here.nodes, Account()
    winner = here.standbys[0]
    idle = here.wire()
    idle.value("select 1")
    nodes.switchover(winner)
    here.wait_said(rf"writes go to n{winner}")
    number = account.next_id()
    account.judge("idle", (number,), idle.query(INSERT.format(number)))
    assert account.errors() == {}
    assert here.rows(winner)[-1] == (number, winner)
