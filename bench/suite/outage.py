"""What clients of every kind notice while the primary goes away: they run, and note each event."""

import collections
import contextlib
import itertools
import threading
import time

from suite import client

TABLE = "CREATE TABLE IF NOT EXISTS ledger (id bigint, port int DEFAULT inet_server_port())"
WRITE = "INSERT INTO ledger (id) VALUES ({}) RETURNING port"

# How long a client rests between two statements, as people and their applications do.
PAUSE = 0.02
# ... and before it connects again.
RECONNECT_PAUSE = 0.1

# One thing that happened to a client. `began` and `ended` are of time.monotonic(); `port` is that of
# the PostgreSQL that answered; `error` is "" where all went well, else "SQLSTATE: text" or what the
# socket said; `lost`: the connection ended with it.
Event = collections.namedtuple("Event", "began ended what port error lost")


class Actor(threading.Thread):
    """A client in a thread of its own. `events` only grows, so anybody may read it meanwhile."""

    kind = ""

    def __init__(self, connect):
        """`connect()` logs in and returns a client.Client."""
        super().__init__(daemon=True)
        self._connect = connect
        self._quit = threading.Event()
        self.connection = None
        self.events = []

    def run(self):
        while not self._quit.is_set():
            if self.connection is None and not self.note("connect", self._open):
                self._quit.wait(RECONNECT_PAUSE)
                continue
            self.step()
            self._quit.wait(PAUSE)
        if self.connection is not None:
            self.connection.close()

    def stop(self):
        self._quit.set()

    def step(self):
        raise NotImplementedError

    def note(self, what, act):
        """Calls act(), which returns the port that answered, and notes how that went: true, if well."""
        began = time.monotonic()
        port, error, lost = 0, "", False
        try:
            port = act()
        except client.ServerError as problem:
            error, lost = str(problem), problem.is_fatal or what == "connect"
        except OSError as problem:
            error, lost = f"{type(problem).__name__}: {problem}", True
        if lost and self.connection is not None:
            self.connection.close()
            self.connection = None
        self.events.append(Event(began, time.monotonic(), what, port, error, lost))
        return not error

    def _open(self):
        self.connection = self._connect()
        return 0

    def ask(self, text):
        """The first field of the first row as a number; 0: there is none."""
        rows = self.connection.query(text)
        return int(rows[0][0]) if rows else 0


class Writer(Actor):
    """Autocommit INSERTs, one after the other. Knows which were acknowledged, and which may be in."""

    kind = "autocommit writer"

    def __init__(self, connect, ids):
        super().__init__(connect)
        self._ids = ids
        self.acknowledged = set()
        self.unknown = set()

    def step(self):
        number = next(self._ids)
        if self.note("write", lambda: self.ask(WRITE.format(number))):
            self.acknowledged.add(number)
        else:
            self.unknown.add(number)


class Transactor(Writer):
    """Transactions of two INSERTs with a moment between them."""

    kind = "transactions"

    def step(self):
        numbers = next(self._ids), next(self._ids)
        began = time.monotonic()
        begun = len(self.events)
        done = (self.note("begin", lambda: self.ask("BEGIN"))
                and self.note("write", lambda: self.ask(WRITE.format(numbers[0])))
                and not self._quit.wait(PAUSE)
                and self.note("write", lambda: self.ask(WRITE.format(numbers[1])))
                and self.note("commit", lambda: self.ask("COMMIT")))
        last = self.events[-1]
        steps, self.events[begun:] = self.events[begun:], []
        # One event for the whole, for that is what an application tells its user.
        port = max((s.port for s in steps), default=0)
        self.events.append(Event(began, last.ended, "transaction", port, last.error, last.lost))
        if done:
            self.acknowledged.update(numbers)
        elif last.what == "commit":
            self.unknown.update(numbers)
        if last.error and not last.lost:
            self.note("rollback", lambda: self.ask("ROLLBACK"))


class Reader(Actor):
    """Autocommit SELECTs."""

    kind = "reader"

    def step(self):
        self.note("read", lambda: self.ask("SELECT inet_server_port()"))


class Sleeper(Actor):
    """Logs in, says nothing for the whole time, and finds out at the end whether it may still."""

    kind = "idle client"

    def __init__(self, connect):
        super().__init__(connect)
        self.survived = None
        self.error = ""

    def step(self):
        self._quit.wait()

    def run(self):
        self.connection = self._connect()
        self.note("read", lambda: self.ask("SELECT inet_server_port()"))
        self._quit.wait()

    def wake(self):
        self.stop()
        self.join()
        self.survived = self.note("read", lambda: self.ask("SELECT inet_server_port()"))
        self.error = self.events[-1].error
        if self.connection is not None:
            self.connection.close()


class Holder(Sleeper):
    """Is in the middle of a transaction when it happens."""

    kind = "open transaction"

    def __init__(self, connect, ids):
        super().__init__(connect)
        self.number = next(ids)
        self.silently_went_on = False

    def run(self):
        self.connection = self._connect()
        self.ask("BEGIN")
        self.note("write", lambda: self.ask(WRITE.format(self.number)))
        self._quit.wait()

    def wake(self):
        self.stop()
        self.join()
        # Not knowing that its transaction is gone, it commits.
        self.silently_went_on = self.note("commit", lambda: self.ask("COMMIT"))
        self.error = self.events[-1].error
        if self.connection is not None:
            if self.error:
                self.note("rollback", lambda: self.ask("ROLLBACK"))
            self.survived = self.note("read", lambda: self.ask("SELECT inet_server_port()"))
        if self.connection is not None:
            self.connection.close()


class Prober(threading.Thread):
    """Tries to write to one node, directly and as often as it can: when is it a primary?"""

    def __init__(self, connect):
        super().__init__(daemon=True)
        self._connect = connect
        self._quit = threading.Event()
        self._connection = None
        self.writable = []  # times at which a write was acknowledged after one was not

    def run(self):
        could = False
        while not self._quit.is_set():
            can = self._try()
            if can and not could:
                self.writable.append(time.monotonic())
            could = can
            self._quit.wait(0.05 if can else 0.005)
        self._drop()

    def stop(self):
        self._quit.set()

    def first_after(self, moment):
        return next((at for at in self.writable if at > moment), None)

    def _try(self):
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.query("INSERT INTO probe DEFAULT VALUES")
            return True
        except client.ServerError as problem:
            if problem.is_fatal:
                self._drop()
        except OSError:
            self._drop()
        return False

    def _drop(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Crowd:
    """Clients of every kind at one entrance. `connect(database)` logs in there."""

    def __init__(self, connect, writes, reads, writers=4, transactors=2, readers=2, sleepers=5,
                 holders=2):
        """`writes`, `reads`: the databases that these go to."""
        ids = itertools.count(1)
        self._lock = threading.Lock()
        numbers = iter(lambda: self._next(ids), None)

        def to(database):
            return lambda: connect(database)

        self.writers = [Writer(to(writes), numbers) for _ in range(writers)]
        self.transactors = [Transactor(to(writes), numbers) for _ in range(transactors)]
        self.readers = [Reader(to(reads)) for _ in range(readers)]
        self.sleepers = [Sleeper(to(writes)) for _ in range(sleepers)]
        self.holders = [Holder(to(writes), numbers) for _ in range(holders)]

    def _next(self, ids):
        with self._lock:
            return next(ids)

    @property
    def busy(self):
        return [*self.writers, *self.transactors, *self.readers]

    @property
    def still(self):
        return [*self.sleepers, *self.holders]

    def start(self):
        for actor in [*self.busy, *self.still]:
            actor.start()

    def wake(self):
        for actor in self.still:
            actor.wake()

    def stop(self):
        for actor in [*self.busy, *self.still]:
            actor.stop()
        for actor in self.busy:
            actor.join(30)

    def wait_for_writes(self, seconds):
        """Until every writer has written again from now on; false: not all did."""
        since = time.monotonic()
        return self.wait_for(lambda: all(
            any(e.began >= since and not e.error for e in w.events[-5:]) for w in self.writers),
            seconds)

    @staticmethod
    def wait_for(condition, seconds):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True


def first_success(actors, after, but_port=0):
    """When the first of them got an answer from a node other than `but_port`, after that moment."""
    times = [e.ended for a in actors for e in list(a.events)
             if e.ended > after and not e.error and e.port not in (0, but_port)]
    return min(times, default=None)


def longest_gap(actor, begin, end):
    """The longest time within begin..end in which nothing succeeded for it."""
    done = [e.ended for e in actor.events if not e.error and begin < e.ended < end
            and e.what not in ("connect", "rollback")]
    return max(b - a for a, b in zip([begin, *done], [*done, end]))


def errors_of(actors, begin, end):
    """{text: how often} of what went wrong for them; and how many connections they lost."""
    texts = collections.Counter()
    lost = 0
    for event in (e for a in actors for e in list(a.events)):
        if event.error and begin <= event.ended <= end:
            texts[_shortened(event.error)] += 1
            lost += event.lost and event.what != "connect"
    return texts, lost


def _shortened(error):
    """Without what differs from one error to the next."""
    first = error.splitlines()[0]
    return first if len(first) <= 90 else first[:87] + "..."


def audit(rows, actors):
    """Compares what clients were told with `rows`, the ids in the table on the final primary."""
    found = collections.Counter(int(r[0]) for r in rows)
    acknowledged = set().union(*(a.acknowledged for a in actors))
    unknown = set().union(*(a.unknown for a in actors))
    return {
        "acknowledged": len(acknowledged),
        "lost": len(acknowledged - set(found)),
        "unknown": len(unknown),
        "unknown_in": len(unknown & set(found)),
        "denied_in": len(set(found) - acknowledged - unknown),
        "twice": sum(1 for n in found.values() if n > 1),
    }


@contextlib.contextmanager
def probing(probers):
    for p in probers:
        p.start()
    try:
        yield probers
    finally:
        for p in probers:
            p.stop()
        for p in probers:
            p.join(10)
