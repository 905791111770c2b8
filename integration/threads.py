"""Clients that act while others do, each in a thread of its own."""

import contextlib
import threading

import wire

HANG = 150  # seconds after which a client is taken to hang; pytest gives up a test at 180


def in_threads(count, work):
    """Runs work(number) in so many threads; raises what any of them raised."""
    failures = []

    def guarded(number):
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert not any(t.is_alive() for t in threads), "a client hangs"
    if failures:
        raise failures[0]


class HeldLogin(threading.Thread):
    """A client that logs in and is made to wait; `error` tells how that ended."""

    def __init__(self, weir, database="shop"):
        super().__init__(daemon=True)
        self.weir, self.database, self.error = weir, database, "unfinished"
        self.start()

    def run(self):
        with contextlib.suppress(wire.Closed, OSError), self.weir.wire() as client:
            client.login("app", self.database, "app-secret")
            self.error = (client.login_error or {}).get("C", "")


class Sender(threading.Thread):
    """Writes without reading; the reader starts once all is written or nothing more moves."""

    def __init__(self, client, raw):
        super().__init__(daemon=True)
        self.client, self.raw, self.sent = client, raw, 0

    def run(self):
        view = memoryview(self.raw)
        with contextlib.suppress(OSError):  # the reader tells
            while self.sent < len(view):
                self.sent += self.client.sock.send(view[self.sent : self.sent + (1 << 16)])

    def start_and_wait_until_stuck_or_done(self):
        self.start()
        before = -1
        while self.is_alive() and before != self.sent:
            before = self.sent
            self.join(2)
