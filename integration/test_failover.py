"""A real cluster of repmgr loses its primary, and its clients notice a pause."""

import pytest

import repmgr_cluster
from cluster import until
from repmgr_cluster import MONITOR, LoopbackCluster

pytestmark = pytest.mark.failover


def config_of(nodes, state_dir, **cluster):
    """What pgweir is told of a cluster."""
    user, password = MONITOR
    return {
        "listen": {"addresses": ["127.0.0.1"], "port": 0},
        "workers": {"count": 2},
        "process": {"state_dir": str(state_dir)},
        "cluster": {"main": {
            "node": [{"name": f"n{n}", "host": nodes.address(n)[0], "port": nodes.address(n)[1]}
                     for n in nodes.nodes],
            "discovery": "repmgr",
            "monitor": {"user": user, "password": password, "database": "repmgr"},
            **cluster}},
        "database": {"shop": {"cluster": "main"}},
        "user": {"app": {"password": "app-secret"},
                 "admin": {"password": "admin-secret", "console": "admin"}},
    }


@pytest.fixture(scope="module")
def nodes(base):
    why_not = repmgr_cluster.missing(base)
    if why_not:
        pytest.skip(why_not)
    cluster = LoopbackCluster(repmgr_cluster.install_of(base), base / "ha", fast=True).start()
    yield cluster
    cluster.destroy()


def test_clients_outside_a_transaction_notice_a_pause_when_the_primary_dies(nodes, pooler, base):
    weir = pooler(None, None, config=config_of(nodes, base))
    idle = weir.connect()
    assert idle.execute("select 1").fetchone() == (1,)
    idle.execute("create table if not exists t (id int)")
    nodes.kill_node(1)
    idle.execute("insert into t values (1)")
    assert idle.execute("select count(*) from t").fetchone() == (1,)
