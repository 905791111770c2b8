"""Prepares and runs statements, and compares what comes back with PostgreSQL itself."""

import wire
from cluster import until
from wire import SYNC, Wire, fields, rows, sqlstates


def prepare(client, sql, name="s", oids=()):
    """Prepares; the SQLSTATEs of what went wrong."""
    return sqlstates(client.send(wire.parse(sql, name, oids), SYNC).read_until("Z"))


def execute(client, *values, name="s"):
    """All frames of running a prepared statement."""
    return client.send(wire.bind(values, name), wire.execute(), SYNC).read_until("Z")


def value(client, *values, name="s"):
    """The one value of a prepared statement that must succeed."""
    frames = execute(client, *values, name=name)
    assert not sqlstates(frames), frames
    return rows(frames)[0][0]


def held(client, where="true"):
    """How many statements the server that serves this client holds."""
    return int(client.value(f"select count(*) from pg_prepared_statements where {where}"))


def other_server(weir, cluster):
    """The server is gone: the next one holds nothing."""
    cluster.execute("select pg_terminate_backend(pid) from pg_stat_activity"
                    f" where datname = '{weir.database}' and backend_type = 'client backend'"
                    " and application_name is distinct from 'test'")
    until(lambda: cluster.backends(weir.database) == 0, what="the servers gone")
    until(lambda: weir.permits(weir.database) == 0, what="the end of the servers noticed")


def other_server_of(client, weir, cluster):
    """The same for this client's server alone."""
    pid = client.value("select pg_backend_pid()")
    cluster.execute(f"select pg_terminate_backend({pid})")
    until(lambda: weir.permits(weir.database) == 0, what="the end of the server noticed")


def start(cluster, pooler, database, mode="transaction", **pool):
    process = pooler(cluster, {"pool": {"mode": mode, "size": 1, **pool}}, [database])
    process.database = database
    return process


def direct(cluster, database, **params):
    """A connection straight to PostgreSQL."""
    one = Wire(cluster.address)
    one.login("app", database, "app-secret", **params)
    assert one.login_error is None, one.login_error
    return one


def comparable(frames):
    """Frames without what differs between two databases or sessions."""
    return [f._replace(body=b"") if f.type in "TS" else
            (f.type, {k: v for k, v in fields(f).items() if k in "SCMP"}) if f.type in "EN" else f
            for f in frames]


def same_as_postgresql(cluster, weir, *batches, **params):
    """Each batch gets PostgreSQL's own answers; those of the last are returned."""
    with direct(cluster, weir.database, **params) as theirs, \
            weir.wire("app", weir.database, **params) as ours:
        for number, batch in enumerate(batches):
            raw = b"".join(batch if isinstance(batch, (list, tuple)) else [batch])
            expected = theirs.send(raw).read_until("Z")
            got = ours.send(raw).read_until("Z")
            assert comparable(got) == comparable(expected), f"batch {number}"
    return got
