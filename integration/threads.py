"""Clients that act at once, each in a thread of its own."""

import threading

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
