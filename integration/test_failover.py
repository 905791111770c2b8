"""A real cluster of repmgr loses its primary: what clients notice, and where their writes are."""

import pytest

pytestmark = pytest.mark.failover


def test_clients_outside_a_transaction_notice_a_pause_when_the_primary_dies(scene):
    here = scene().ready()
    idle = here.weir.connect()
    assert idle.execute("select 1").fetchone() == (1,)
    here.nodes.kill_node(here.primary)
    idle.execute("insert into ledger values (1)")
    assert idle.execute("select count(*) from ledger").fetchone() == (1,)
