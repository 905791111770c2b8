"""What pgweir answers is, byte for byte, what PostgreSQL answers to the same messages."""

import os
import random
import struct
import threading

import pytest

import wire
from generator import RESET, SCHEMA, Conversation
from threads import Sender
from wire import COPY_FAIL, SYNC, Closed, Frame, Wire, sqlstates

pytestmark = pytest.mark.every_version

SEEDS = int(os.environ.get("PGWEIR_SEEDS", "100"))
FIRST_SEED = int(os.environ.get("PGWEIR_FIRST_SEED", "1"))
FIRST_USER_OID = 16384


def exchanges(seed):
    """Many short conversations find more than few long ones; what only shows late needs some."""
    return range(40 if seed % 10 == 0 else 5)


def _row_description(body):
    """Table OIDs differ between two databases; only whether there is one must agree."""
    (count,) = struct.unpack("!h", body[:2])
    out, at = bytearray(body[:2]), 2
    for _ in range(count):
        end = body.index(b"\0", at) + 1
        table, rest = body[end : end + 4], body[end + 4 : end + 18]
        if struct.unpack("!I", table)[0] >= FIRST_USER_OID:
            table = b"USER"
        out += body[at:end] + table + rest
        at = end + 18
    return bytes(out)


def comparable(frame):
    if frame.type == "T":
        return Frame("T", _row_description(frame.body))
    if frame.type == "A":
        return Frame("A", b"PID." + frame.body[4:])
    return frame


def play(client, messages, mark, cuts=None):
    """Sends the messages and a marker; all frames up to the marker's end."""
    sentinel = f"the end of {mark}"
    raw = b"".join([*messages, COPY_FAIL, SYNC, wire.query("rollback"),
                    wire.query(f"select '{sentinel}'")])
    frames = []
    try:
        at = 0
        for cut in [*sorted(cuts or []), len(raw)]:
            cut = min(cut, len(raw))
            client.send(raw[at:cut])
            at = cut
        while not (frames and frames[-1].type == "D"
                   and frames[-1].body.endswith(sentinel.encode())):
            frames.append(client.read())
        frames += client.read_until("Z")
    except Closed:
        frames.append(Frame("closed", b""))
    except TimeoutError:
        frames.append(Frame("no further answer", b""))
    return [comparable(f) for f in frames]


def explain(seed, number, messages, expected, got):
    at = next((n for n, (a, b) in enumerate(zip(expected, got, strict=False)) if a != b),
              min(len(expected), len(got)))
    return (f"seed {seed}, exchange {number} (PGWEIR_FIRST_SEED={seed} PGWEIR_SEEDS=1)\n"
            + "\n".join(f"  sent {m[:160]!r}" for m in messages)
            + f"\nreply {at} differs:\n  PostgreSQL: {expected[at:at + 3]}"
              f"\n  pgweir:     {got[at:at + 3]}")


@pytest.fixture
def twins(cluster, databases):
    """Two databases alike."""
    model = databases(cluster)
    cluster.execute(SCHEMA, model)
    return [databases(cluster, model) for _ in range(2)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_random_conversations_get_the_same_answers(cluster, pooler, twins, mode):
    mine, theirs = twins
    weir = pooler(cluster, {"pool": {"mode": mode, "size": 1}, "auth": {"method": "trust"}},
                  [mine])
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
        rng = random.Random(seed)
        conversation = Conversation(rng, mode == "session")
        with Wire(cluster.address) as direct, Wire(weir.address) as pooled:
            direct.login("app", theirs, "app-secret")
            pooled.login("app", mine)
            for number in exchanges(seed):
                messages = conversation.exchange() if number else [wire.query(RESET)]
                cuts = [rng.randint(0, sum(map(len, messages))) for _ in range(rng.randint(0, 5))]
                expected = play(direct, messages, number)
                got = play(pooled, messages, number, cuts)
                assert got == expected, explain(seed, number, messages, expected, got)
                if expected[-1].type == "closed":
                    break


def same_or_failed_already(expected, got):
    """In a failed transaction no statement can be brought to a server, so that may be what ends a
    batch there, with 25P02, where PostgreSQL itself goes on to describe or finds another fault."""
    def batches(frames):
        batch = []
        for frame in frames:
            batch.append(frame)
            if frame.type == "Z":
                yield batch
                batch = []
        yield batch

    def agree(theirs, ours):
        if theirs == ours:
            return True
        return (len(ours) >= 2 and ours[-1] == theirs[-1] == Frame("Z", b"E")
                and sqlstates(ours) == ["25P02"] and theirs[:len(ours) - 2] == ours[:-2])

    theirs, ours = list(batches(expected)), list(batches(got))
    return len(theirs) == len(ours) and all(map(agree, theirs, ours))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("limit", [1, 3, 200])
def test_prepared_statements_are_the_same_on_whichever_server(cluster, pooler, twins, limit):
    """Another client takes servers away and gives them back; few statements fit on each."""
    mine, theirs = twins
    weir = pooler(cluster, {
        "pool": {"size": 3, "max_prepared_statements": limit}, "auth": {"method": "trust"},
        "workers": {"count": 1}}, [mine])
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
        rng = random.Random(seed)
        conversation = Conversation(rng, session=False, prepared=True)
        with Wire(cluster.address) as direct, Wire(weir.address) as pooled, \
                Wire(weir.address) as thief:
            direct.login("app", theirs, "app-secret")
            pooled.login("app", mine)
            thief.login("app", mine)
            for number in exchanges(seed):
                messages = conversation.exchange() if number else [wire.query(RESET)]
                cuts = [rng.randint(0, sum(map(len, messages))) for _ in range(rng.randint(0, 5))]
                if rng.random() < 0.5:
                    thief.query(rng.choice(["begin", "commit", "select 1"]))
                expected = play(direct, messages, number)
                got = play(pooled, messages, number, cuts)
                assert same_or_failed_already(expected, got), \
                    explain(seed, number, messages, expected, got)
                if expected[-1].type == "closed":
                    break


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_many_clients_at_once_get_the_same_answers_as_one(cluster, pooler, twins, mode):
    """Read-only conversations in parallel over a small pool: no answer goes astray."""
    mine, theirs = twins
    weir = pooler(cluster, {"pool": {"mode": mode, "size": 3 if mode == "transaction" else 8},
                            "auth": {"method": "trust"}}, [mine])
    wrong = []

    def client(seed):
        rng = random.Random(seed)
        with Wire(cluster.address) as direct, Wire(weir.address) as pooled:
            direct.login("app", theirs, "app-secret")
            pooled.login("app", mine)
            for number in range(20):
                messages = []
                for _ in range(rng.randint(1, 10)):
                    value = f"{seed}/{number}/{rng.random()}"
                    messages += rng.choice([
                        [wire.query(f"select '{value}'")],
                        [wire.query(f"begin; select '{value}'; commit")],
                        [wire.parse("select $1::text"), wire.bind([value]), wire.execute(), SYNC],
                        [wire.parse("select 1/$1::int"), wire.bind([0]), wire.execute(),
                         wire.parse("skipped"), SYNC],
                        [wire.query(f"copy (values ('{value}')) to stdout")]])
                expected = play(direct, messages, number)
                got = play(pooled, messages, number)
                if got != expected:
                    wrong.append(explain(seed, number, messages, expected, got))
                    return

    threads = [threading.Thread(target=client, args=(s,), daemon=True) for s in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(150)
    assert not wrong, wrong[0]
    assert not any(t.is_alive() for t in threads), "a client hangs"


# --- volume --------------------------------------------------------------------------------------


def _pipeline(kind, count):
    sql = "select repeat('x', 1000)"
    one = (wire.query(sql) if kind == "simple" else
           wire.parse(sql) + wire.bind() + wire.describe() + wire.execute() + SYNC)
    return one * count


@pytest.mark.parametrize("kind", ["simple", "extended"])
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_20000_statements_may_be_sent_before_anything_is_read(cluster, pooler, mode, kind):
    weir = pooler(cluster, {"pool": {"mode": mode}})
    with weir.wire("app") as client:
        sender = Sender(client, _pipeline(kind, 20_000))
        sender.start_and_wait_until_stuck_or_done()
        found = sum(f.type == "D" and len(f.body) == 1006 for f in client.read_ready(20_000))
        assert found == 20_000


def test_one_batch_of_20000_statements_is_answered_at_its_sync(cluster, pooler):
    weir = pooler(cluster)
    with weir.wire("app") as client:
        one = (wire.parse("select repeat('x', 1000)") + wire.bind() + wire.execute())
        sender = Sender(client, one * 20_000 + SYNC)
        sender.start_and_wait_until_stuck_or_done()
        assert sum(f.type == "D" for f in client.read_ready()) == 20_000


MIB64 = 64 * 1024 * 1024


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_query_of_64_mib_passes(cluster, pooler, mode):
    weir = pooler(cluster, {"pool": {"mode": mode}})
    with weir.wire("app") as client:
        frames = client.send(wire.query(f"select length('{'x' * MIB64}')")).read_until("Z")
        assert wire.rows(frames) == [[str(MIB64)]]


def test_a_parameter_of_64_mib_passes(cluster, pooler):
    weir = pooler(cluster)
    with weir.wire("app") as client:
        frames = client.send(wire.parse("select length($1::text)"), wire.bind([b"x" * MIB64]),
                             wire.execute(), SYNC).read_until("Z")
        assert wire.rows(frames) == [[str(MIB64)]]


def test_a_row_of_64_mib_passes(cluster, pooler):
    weir = pooler(cluster)
    with weir.wire("app") as client:
        row = next(f for f in client.query(f"select repeat('x', {MIB64})") if f.type == "D")
        assert len(row.body) == MIB64 + 6 and not row.body[6:].strip(b"x")


def test_a_copy_of_64_mib_passes_in_both_directions(cluster, pooler, database):
    cluster.execute("create unlogged table t (v text); grant all on t to public", database)
    weir = pooler(cluster, databases=[database])
    line = b"x" * 65_535 + b"\n"
    with weir.wire("app", database) as client:
        client.send(wire.query("copy t from stdin")).read_until("G")
        for _ in range(1024):
            client.send(wire.copy_data(line))
        client.send(wire.COPY_DONE).read_until("Z")
        frames = client.query("copy t to stdout")
        assert sum(len(f.body) for f in frames if f.type == "d") == 1024 * len(line)


def test_a_slow_reader_does_not_make_pgweir_hold_its_rows(cluster, pooler):
    weir = pooler(cluster)
    with weir.wire("app") as client:
        before = weir.rss_kib()
        client.send(wire.query(
            "select repeat('x', 10000) from generate_series(1, 20000)"))  # 200 MB
        client.closed_within(0)
        threading.Event().wait(3)
        assert weir.rss_kib() - before < 64 * 1024
