"""Many clients of every kind at once, well-behaved and not: nobody ever sees a row of another.

PGWEIR_CANARY_SECONDS is how long it goes on, PGWEIR_CANARY_CLIENTS with how many."""

import collections
import os
import random
import threading
import time

import pytest

import wire
from cluster import until
from watching import settled
from wire import COPY_DONE, COPY_FAIL, FLUSH, SYNC, Closed, Wire, rows, sqlstates

SECONDS = float(os.environ.get("PGWEIR_CANARY_SECONDS", "20"))
CLIENTS = int(os.environ.get("PGWEIR_CANARY_CLIENTS", "200"))
SEED = int(os.environ.get("PGWEIR_FIRST_SEED", "1"))
SERVERS = 8
STYLES = {"ISO, MDY": "1", "ISO, DMY": "31"}


class Mixed(Exception):
    """A client got what is not its own."""


class Journal(Wire):
    """A connection that remembers the last of what was said."""

    def __init__(self, address):
        super().__init__(address)
        self.said = collections.deque(maxlen=60)

    def send(self, *parts):
        self.said += [f"sent {part[:100]!r}" for part in parts]
        return super().send(*parts)

    def read(self):
        frame = super().read()
        self.said.append(f"got  {frame}")
        return frame


class Client:
    """One client program: connects, behaves for a while, and leaves in one way or another."""

    def __init__(self, weir, number):
        self.weir, self.number = weir, number
        self.rng = random.Random(f"{SEED}/{number}")
        self.count, self.turns = 0, collections.Counter()
        self.wire, self.mine, self.doing = None, {}, "nothing"

    def run(self, deadline):
        while time.monotonic() < deadline:
            self.connect()
            for _ in range(self.rng.randint(1, 25)):
                self.turn(self.rng.choice(POLITE))
                if time.monotonic() >= deadline:
                    break
            if self.rng.random() < 0.6:
                self.turn(self.rng.choice(RUDE))
                self.rng.choice([self.wire.reset, self.wire.reset, self.wire.close])()
            else:
                self.wire.send(wire.TERMINATE)
                self.wire.close()

    def connect(self):
        self.style = self.rng.choice(list(STYLES))
        self.wire, self.mine = Journal(self.weir.address), {}
        self.wire.login("app", self.weir.database, DateStyle=self.style,
                        application_name=f"client {self.number}")
        if self.wire.login_error:
            raise Mixed(f"login: {self.wire.login_error}")

    def turn(self, behaviour):
        self.doing = behaviour.__name__
        self.turns[self.doing] += 1
        behaviour(self)

    def tag(self):
        self.count += 1
        return f"canary {self.number}.{self.count}"

    def done(self, frames, *expected, failing=()):
        """These rows, and these errors, and nothing that is not this client's."""
        if [tuple(r) for r in rows(frames)] != [
                tuple(e) if isinstance(e, (list, tuple)) else (e,) for e in expected]:
            raise Mixed(f"{rows(frames)[:5]} instead of {expected[:5]}: {frames[:20]}")
        if sqlstates(frames) != list(failing):
            raise Mixed(f"{frames[:20]}: expected {failing}")
        if any(f.type == "A" for f in frames):
            raise Mixed(f"a notification for nobody: {frames[:20]}")

    def batch(self, *messages):
        return self.wire.send(*messages, SYNC).read_until("Z")


# --- well-behaved --------------------------------------------------------------------------------


def simple(c):
    tag, count = c.tag(), c.rng.choice([1, 1, 1, 50])
    c.done(c.wire.query(f"select '{tag}' from generate_series(1, {count})"), *[tag] * count)


def several_statements(c):
    tag = c.tag()
    c.done(c.wire.query(f"select '{tag}'; select '{tag}', 2; select 1/0; select 'never'"), tag,
           (tag, "2"), failing=["22012"])


def large_rows(c):
    tag, times = c.tag(), c.rng.randint(1000, 20_000)
    c.done(c.wire.query(f"select repeat('{tag}', {times}) from generate_series(1, 3)"),
           *[tag * times] * 3)


def extended(c):
    tag = c.tag()
    c.done(c.batch(wire.parse("select $1::text"), wire.bind([tag]), wire.describe(),
                   wire.execute()), tag)


def unnamed_over_transactions(c):
    tag = c.tag()
    c.done(c.batch(wire.parse(f"select '{tag}', $1::text")))
    for number in range(3):
        c.done(c.batch(wire.bind([number]), wire.execute()), (tag, str(number)))
    if c.rng.random() < 0.5:
        c.done(c.wire.query(f"select '{tag}'"), tag)
        c.done(c.batch(wire.bind(["x"]), wire.execute()), failing=["26000"])


def shared_prepared(c, closing=0.2):
    """Texts that others prepare as well, under names that others use for other texts."""
    tag, name = c.tag(), f"s{c.rng.randint(1, 12)}"
    before = []
    if name not in c.mine:
        c.mine[name] = c.rng.randint(1, 40)
        before = [wire.parse(f"select $1::text, {c.mine[name]}", name)]
    c.done(c.batch(*before, wire.bind([tag], name), wire.execute()), (tag, str(c.mine[name])))
    if c.rng.random() < closing:
        del c.mine[name]
        if c.rng.random() < 0.5:
            c.done(c.batch(wire.close("S", name)))
        else:
            c.done(c.wire.query(f"deallocate {name}"))
        c.done(c.batch(wire.bind([tag], name), wire.execute()), failing=["26000"])


def own_prepared(c):
    tag = c.tag()
    c.done(c.batch(wire.parse(f"select '{tag}'", "own")))
    for _ in range(3):
        c.done(c.batch(wire.bind(statement="own"), wire.execute()), tag)
    c.done(c.batch(wire.close("S", "own")))


def prepared_for_own_settings(c):
    text = "select '01/02/2003'::date - date '2003-01-01'"
    c.done(c.batch(wire.parse(text, "dated"), wire.bind(statement="dated"), wire.execute(),
                   wire.close("S", "dated")), STYLES[c.style])


def failing_prepared(c):
    tag = c.tag()
    c.done(c.batch(wire.parse(f"selct '{tag}'", "bad"), wire.bind(statement="bad"),
                   wire.execute()), failing=["42601"])
    c.done(c.batch(wire.parse(f"select '{tag}'", "bad"), wire.bind(statement="bad"),
                   wire.execute(), wire.close("S", "bad")), tag)


def long_prepared(c):
    tag = c.tag()
    c.done(c.batch(wire.parse(f"select '{tag}' /* {'x' * 80_000} */", "long"),
                   wire.bind(statement="long"), wire.execute(), wire.close("S", "long")), tag)


def forgetting(c):
    c.done(c.wire.query(c.rng.choice(["deallocate all", "discard all"])))
    c.mine.clear()


def pipeline(c):
    messages, answers = [], []
    for _ in range(c.rng.randint(2, 15)):
        tag, kind = c.tag(), c.rng.randint(0, 3)
        if kind == 0:
            messages += [wire.parse("select $1::text"), wire.bind([tag]), wire.execute(), SYNC]
            answers.append(([tag], []))
        elif kind == 1:
            messages.append(wire.query(f"select '{tag}'"))
            answers.append(([tag], []))
        elif kind == 2:
            messages += [wire.parse("select $1::text", "piped"), wire.bind([tag], "piped"),
                         wire.execute(), wire.close("S", "piped"), SYNC]
            answers.append(([tag], []))
        else:
            messages += [wire.parse(f"select '{tag}'", "first"), wire.bind(statement="first"),
                         wire.execute(), wire.close("S", "first"), wire.parse("select 1/$1::int"),
                         wire.bind(["0"]), wire.execute(), wire.parse("select 'never'", "never"),
                         wire.bind(statement="never"), wire.execute(), SYNC]
            answers.append(([tag], ["22012"]))
    c.wire.send(*messages)
    for expected, failing in answers:
        c.done(c.wire.read_until("Z"), *expected, failing=failing)


def flushes(c):
    tag = c.tag()
    c.done(c.wire.send(wire.parse(f"select '{tag}'", "flushed"), FLUSH).read_until("1"))
    c.done(c.wire.send(wire.bind(statement="flushed"), wire.execute(), FLUSH).read_until("C"), tag)
    c.done(c.batch(wire.close("S", "flushed")))


def copy_out(c):
    tag, count = c.tag(), c.rng.choice([1, 3000])
    frames = c.wire.query(f"copy (select '{tag}' from generate_series(1, {count})) to stdout")
    c.done(frames)
    if b"".join(f.body for f in frames if f.type == "d") != f"{tag}\n".encode() * count:
        raise Mixed(f"copy: {frames[:10]}")


def copy_in(c):
    tag, count = c.tag(), c.rng.randint(1, 500)
    c.done(c.wire.send(wire.query("copy canaries from stdin")).read_until("G"))
    if c.rng.random() < 0.3:
        c.wire.send(wire.copy_data(f"{tag}\n".encode()), COPY_FAIL)
        c.done(c.wire.read_until("Z"), failing=["57014"])
        count = 0
    else:
        for _ in range(count):
            c.wire.send(wire.copy_data(f"{tag}\n".encode()))
        c.done(c.wire.send(COPY_DONE).read_until("Z"))
    c.done(c.wire.query(f"delete from canaries where v = '{tag}' returning v"), *[tag] * count)


def transaction(c):
    tag = c.tag()
    c.done(c.wire.query("begin"))
    pid = c.wire.values("select pg_backend_pid()")
    c.done(c.wire.query(f"insert into canaries values ('{tag}')"))
    shared_prepared(c, closing=0)
    c.done(c.batch(wire.parse("select v from canaries where v = $1", "look"),
                   wire.bind([tag], "look"), wire.execute(), wire.close("S", "look")), tag)
    if c.wire.values("select pg_backend_pid()") != pid:
        raise Mixed("another server within a transaction")
    if c.rng.random() < 0.5:
        c.done(c.wire.query("select 1/0"), failing=["22012"])
    c.done(c.wire.query("rollback"))
    c.done(c.wire.query(f"select v from canaries where v = '{tag}'"))


def settings(c):
    """A setting is the client's own or nobody's."""
    tag = c.tag()
    c.done(c.wire.query(f"set canary.own = '{tag}'"))
    ((seen,),) = c.wire.values("select current_setting('canary.own', true)")
    if seen not in (None, "", tag):
        raise Mixed(f"a setting of another: {seen}")
    c.done(c.wire.query("begin"))
    c.done(c.wire.query(f"set local canary.own = '{tag}'"))
    c.done(c.wire.query("select current_setting('canary.own')"), tag)
    c.done(c.wire.query("commit"))


def own_name(c):
    c.done(c.wire.query("show application_name"), f"client {c.number}")


def temporary_table(c):
    tag = c.tag()
    c.done(c.wire.query("begin"))
    c.done(c.wire.query(f"create temp table mine as select '{tag}' as v"))
    c.done(c.batch(wire.parse("select v from mine", "temporary"),
                   wire.bind(statement="temporary"), wire.execute(),
                   wire.close("S", "temporary")), tag)
    c.done(c.wire.query(c.rng.choice(["commit", "rollback"])))


def sql_prepare(c):
    tag = c.tag()
    c.done(c.wire.query("begin"))
    c.done(c.wire.query(f"prepare p as select '{tag}'"))
    c.done(c.wire.query("execute p"), tag)
    c.done(c.wire.query("commit"))


def listen(c):
    tag = c.tag()
    frames = c.wire.query(f"listen chan_{c.number}; notify chan_{c.number}, '{tag}'")
    heard = [f.body[4:] for f in frames if f.type == "A"]
    if any(body != f"chan_{c.number}\0{tag}\0".encode() for body in heard):
        raise Mixed(f"heard {heard}")
    c.done([f for f in frames if f.type != "A"])


def sleep(c):
    tag = c.tag()
    c.done(c.wire.query(f"select '{tag}' from pg_sleep({c.rng.random() * 0.1})"), tag)


def cancel(c):
    tag = c.tag()
    c.wire.send(wire.query(f"select '{tag}' from pg_sleep({c.rng.random() * 0.5})"))
    if c.rng.random() < 0.5:
        time.sleep(c.rng.random() * 0.05)
    c.wire.cancel()
    frames = c.wire.read_until("Z")
    if sqlstates(frames) == ["57014"]:
        c.done(frames, failing=["57014"])
    else:
        c.done(frames, tag)


def late_cancel(c):
    """It comes when the query is over: nobody is to notice."""
    simple(c)
    c.wire.cancel()


POLITE = [simple, simple, simple, several_statements, large_rows, extended, extended,
          unnamed_over_transactions, shared_prepared, shared_prepared, shared_prepared,
          shared_prepared, own_prepared, prepared_for_own_settings, failing_prepared,
          long_prepared, forgetting, pipeline, pipeline, flushes, copy_out, copy_in, transaction,
          settings, own_name, temporary_table, sql_prepare, listen, sleep, cancel, late_cancel]


# --- and not: each is followed by the end of the connection --------------------------------------


def right_after_a_query(c):
    c.wire.send(wire.query(f"select '{c.tag()}'"))


def amid_a_long_query(c):
    c.wire.send(wire.query(f"select '{c.tag()}' from pg_sleep(2)"))
    time.sleep(c.rng.random() * 0.1)


def amid_a_row(c):
    c.wire.send(wire.query(f"select repeat('{c.tag()}', 300000) from generate_series(1, 5)"))
    c.wire.read_bytes(c.rng.randint(1, 100_000))


def amid_rows(c):
    c.wire.send(wire.query(f"select '{c.tag()}' from generate_series(1, 100000)"))
    c.wire.read_bytes(c.rng.randint(1, 100_000))


def amid_a_query(c):
    raw = wire.query(f"select '{c.tag()}' /* {'x' * c.rng.choice([10, 100_000])} */")
    c.wire.send(raw[:c.rng.randint(1, len(raw) - 1)])


def amid_a_parse(c):
    text = f"select '{c.tag()}' /* {'x' * c.rng.choice([10, 100_000])} */"
    raw = wire.parse(text, c.rng.choice(["", "half"]))
    c.wire.send(raw[:c.rng.randint(1, len(raw) - 1)])


def after_a_parse(c):
    c.wire.send(wire.parse(f"select $1::text, {c.rng.randint(1, 40)}", "half"))


def after_parses_and_flush(c):
    for number in range(5):
        c.wire.send(wire.parse(f"select $1::text, {c.rng.randint(1, 40)}", f"half{number}"))
    c.wire.send(FLUSH)


def amid_a_bind(c):
    raw = wire.bind([c.tag() * c.rng.choice([1, 10_000])])
    c.wire.send(wire.parse("select $1::text"), raw[:c.rng.randint(1, len(raw) - 1)])


def amid_a_pipeline(c):
    for _ in range(c.rng.randint(1, 20)):
        c.wire.send(wire.parse(f"select $1::text, {c.rng.randint(1, 40)}", "half"),
                    wire.bind([c.tag()], "half"), wire.execute(), wire.close("S", "half"),
                    *[SYNC] * c.rng.randint(0, 1))


def amid_a_copy_in(c):
    c.wire.send(wire.query("copy canaries from stdin"))
    if c.rng.random() < 0.7:
        c.wire.read_until("G")
    c.wire.send(wire.copy_data(f"{c.tag()}\n".encode()), b"d\0\0")


def amid_a_copy_out(c):
    c.wire.send(wire.query(f"copy (select '{c.tag()}' from generate_series(1, 100000)) to stdout"))
    c.wire.read_bytes(c.rng.randint(1, 10_000))


def amid_a_transaction(c):
    tag = c.tag()
    c.done(c.wire.query("begin"))
    c.done(c.wire.query(f"insert into canaries values ('{tag}')"))
    c.wire.send(wire.query(f"select '{tag}'"))


def after_a_cancel(c):
    c.wire.send(wire.query(f"select '{c.tag()}' from pg_sleep(2)"))
    c.wire.cancel()


def while_deallocating(c):
    c.wire.send(wire.query("deallocate all"), wire.query(f"select '{c.tag()}'"))


RUDE = [right_after_a_query, amid_a_long_query, amid_a_row, amid_rows, amid_a_query, amid_a_parse,
        after_a_parse, after_parses_and_flush, amid_a_bind, amid_a_pipeline, amid_a_copy_in,
        amid_a_copy_out, amid_a_transaction, after_a_cancel, while_deallocating]


# --- the test ------------------------------------------------------------------------------------


def storm(weir, seconds, clients):
    """Runs them all; (what went wrong, how often which behaviour was met)."""
    deadline, wrong, turns = time.monotonic() + seconds, [], collections.Counter()

    def one(number):
        client = Client(weir, number)
        try:
            client.run(deadline)
        except (Mixed, AssertionError, OSError, Closed) as error:
            said = "\n  ".join(client.wire.said) if client.wire else ""
            wrong.append(f"client {number} {client.doing}: {type(error).__name__}:"
                         f" {str(error)[:3000]}\n  {said}")
        turns.update(client.turns)

    threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(1, deadline + 100 - time.monotonic()))
    assert not any(t.is_alive() for t in threads), "a client hangs"
    return wrong, turns


@pytest.mark.alone
@pytest.mark.timeout(SECONDS + 240)
def test_nobody_sees_a_row_of_another(cluster, pooler, database):
    cluster.execute("create unlogged table canaries (v text); grant all on canaries to public",
                    database)
    weir = pooler(cluster, {"pool": {"size": SERVERS, "max_prepared_statements": 25},
                            "auth": {"method": "trust"}}, [database])
    weir.database = database
    with weir.wire("app", database) as client:
        client.query("select 1")
    settled(weir, cluster)
    files = weir.open_files() - weir.permits(database)

    wrong, turns = storm(weir, SECONDS, CLIENTS)
    print(f"{sum(turns.values())} turns: {dict(turns)}")
    assert not wrong, f"{len(wrong)} of {CLIENTS}, seed {SEED}\n" + "\n".join(wrong[:3])
    assert all(turns[behaviour.__name__] for behaviour in POLITE + RUDE), turns

    settled(weir, cluster)
    assert weir.permits(database) <= SERVERS
    with weir.wire("app", database) as late:
        assert late.value("select 'served'") == "served"
    until(lambda: weir.open_files() - weir.permits(database) <= files, what="sockets closed")
    assert cluster.value("select count(*) from canaries", database) == 0
    assert cluster.value("select count(*) from pg_locks where locktype = 'advisory'") == 0
