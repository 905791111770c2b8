"""Prepared statements at the edges: clients that leave amid replies of ours."""

import pytest

import wire
from cluster import until
from statements import prepare, start
from wire import SYNC

CYCLE = (wire.parse("select 1", "k") + wire.bind(statement="k") + wire.execute()
         + wire.close("S", "k"))


@pytest.fixture
def weir(cluster, pooler, database):
    """A pool of one server in transaction mode."""
    return start(cluster, pooler, database)


def test_a_client_may_leave_amid_hundreds_of_replies_of_ours(weir, cluster):
    cluster.execute("create table t (n int); grant select on t to public", weir.database)
    with weir.wire("app", weir.database) as other:
        prepare(other, "select 1")
    with cluster.connect(weir.database) as holder, holder.transaction(), \
            weir.wire("app", weir.database) as client:
        prepare(client, "select 2")
        holder.execute("lock table t")
        # What is behind the Sync is waited for, so nobody notices that the client has left.
        client.send(wire.parse("select n from t"), wire.bind(), wire.execute(),
                    wire.parse("select 3", "x"), CYCLE * 200, SYNC, wire.bind(statement="x"))
        until(lambda: cluster.backends(weir.database, "wait_event_type = 'Lock'"), what="the wait")
    with weir.wire("app", weir.database) as other:
        assert other.value("select 1") == "1"
